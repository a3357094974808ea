"""Common corruptions, generated: 15 scored types and 4 more at five severities, CIFAR and ImageNet strengths."""

from neurobust.attacks.corruptions.files import corrupt_network, make_corruptions
from neurobust.attacks.corruptions.registry import CORRUPTIONS, choose_types, corrupt

__all__ = ["CORRUPTIONS", "choose_types", "corrupt", "corrupt_network", "make_corruptions"]
