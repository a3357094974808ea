"""The tasks `cifar10` and `cifar100`, described; `cifar` reads them."""

from __future__ import annotations

from typing import Annotated, ClassVar

from neurobust.core.settings import Seed, Share, about
from neurobust.networks.description import Task

SIDE = 32  # pixels


class Cifar(Task, frozen=True):
    """What both have in common."""

    validation: Annotated[Share, about("share of the training images")] = 0.1
    seed: Annotated[Seed, about("of the validation images")] = 0

    @property
    def side(self) -> int:
        """Side of the images in pixels."""
        return SIDE

    @property
    def images(self) -> int:
        """How many images there are."""
        return 60000


class Cifar10(Cifar, frozen=True):
    """CIFAR-10 from its official Python archive, unpacked."""

    reader: ClassVar[str] = "neurobust.networks.tasks.cifar:read_cifar10"
    brings: ClassVar[str] = "the folder cifar-10-batches-py"


class Cifar100(Cifar, frozen=True):
    """CIFAR-100 with its 100 fine labels, from its official Python archive, unpacked."""

    reader: ClassVar[str] = "neurobust.networks.tasks.cifar:read_cifar100"
    brings: ClassVar[str] = "the folder cifar-100-python"
