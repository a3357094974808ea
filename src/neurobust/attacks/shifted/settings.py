"""Settings of shifted test sets, and what their official layouts are. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from neurobust.attacks.corruptions.registry import CORRUPTIONS, SEVERITIES
from neurobust.core.settings import UNIQUE, Count, FilePath, Settings, about


class Layout(Struct, frozen=True):
    """How a published set lies on disk.

    task: the kind of task whose classes it has. corrupted: it has every image under several corruptions at five
    severities. subset: it has some of the classes alone, which the set defines; otherwise it has all. part: the folder
    with the class folders, below the set's own. cropped: its files are cut to their final size already. images: how
    many it has, of a corruption and severity where there are any.
    """

    task: str
    images: int
    corrupted: bool = False
    subset: bool = False
    part: str = ""
    cropped: bool = False


LAYOUTS = {
    "imagenet-c": Layout("image-folder", 50000, corrupted=True, cropped=True),  # Hendrycks and Dietterich, ICLR 2019
    "imagenet-r": Layout("image-folder", 30000, subset=True),  # renditions: Hendrycks et al., ICCV 2021
    "imagenet-a": Layout("image-folder", 7500, subset=True),  # natural adversarials: Hendrycks et al., CVPR 2021
    "imagenet-sketch": Layout("image-folder", 50889),  # Wang et al., NeurIPS 2019
    "stylized-imagenet": Layout("image-folder", 50000, part="val", cropped=True),  # Geirhos et al., ICLR 2019
    "cifar10-c": Layout("cifar10", 10000, corrupted=True),  # Hendrycks and Dietterich, ICLR 2019
}
Kind = Literal["imagenet-c", "imagenet-r", "imagenet-a", "imagenet-sketch", "stylized-imagenet", "cifar10-c"]


class ShiftedSet(Settings, frozen=True, kw_only=True):
    """A published test set in its official layout, shown to every network of a task."""

    kind: Annotated[Kind, about("which set")]
    source: Annotated[FilePath, about("its folder")]
    task: Annotated[str, about("whose networks meet it")]
    images: Annotated[
        Count | None, about("drawn from the set, the same of every corruption and severity; default: all")
    ] = None
    types: Annotated[
        Annotated[tuple[str, ...], UNIQUE, Meta(extra_json_schema={"items": {"type": "string"}})] | None,
        about("corruptions of imagenet-c and cifar10-c, by the names of their folders or files; default: all"),
    ] = None

    def __post_init__(self) -> None:
        if self.types is not None and not self.layout.corrupted:
            raise ValueError(f"types: {self.kind} has no corruptions; leave it out")

    @property
    def layout(self) -> Layout:
        """How the set lies on disk."""
        return LAYOUTS[self.kind]

    def shown(self) -> int:
        """Images that each network sees, at most."""
        each = min(self.images or self.layout.images, self.layout.images)
        kinds = len(self.types) if self.types is not None else len(CORRUPTIONS)
        return each * (kinds * len(SEVERITIES) if self.layout.corrupted else 1)
