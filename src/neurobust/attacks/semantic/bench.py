"""A network beside its images and the auxiliary networks that a semantic attack reads."""

from __future__ import annotations

from collections.abc import Collection

from torch import nn

from neurobust.attacks.engine.subject import Bench, Subject
from neurobust.attacks.helpers import Helpers
from neurobust.attacks.semantic.data import read_task
from neurobust.core.training import pick_device
from neurobust.networks.architectures import load_network


def open_bench(
    subject: Subject, helpers: Helpers, names: Collection[str], attributes: bool, attack_batch: int
) -> tuple[Bench, dict[str, nn.Module]]:
    """The network with its task's first images, and the auxiliary networks `names`, on the device.

    attributes: whether the task must say those of its images. Raises InputError on files that cannot be used.
    """
    data, device = read_task(subject.dataset, attributes=attributes), pick_device()
    networks = helpers.networks(names, device)
    network = load_network(subject.model).to(device)
    return Bench(network, data, data.examined(subject.n_images), device, attack_batch), networks
