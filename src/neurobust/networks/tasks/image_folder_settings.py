"""The task `image-folder`, described; `image_folder` reads it."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from neurobust.core.settings import LARGEST_SIDE, FilePath, Seed, Share, about
from neurobust.networks.description import Task

IMAGES_PER_CLASS = 1350  # of ImageNet, validation included
SHIPPED = {"imagenet50": 50}  # class lists that come with the package, and how many classes they have
IMAGENET = 1000  # classes of the whole of it


class ImageFolder(Task, frozen=True):
    """A folder in the layout of ImageNet: train/{class folder}/* and val/{class folder}/*."""

    reader: ClassVar[str] = "neurobust.networks.tasks.image_folder:read"
    brings: ClassVar[str] = "the folder that holds train and val"

    image_size: Annotated[int, Meta(ge=16, le=LARGEST_SIDE), about("side of the images", "pixels")] = 224
    resize: Annotated[
        Annotated[int, Meta(ge=16, le=LARGEST_SIDE)] | None,
        about("shorter side before the centre crop; default: image_size", "pixels"),
    ] = None
    classes: Annotated[
        FilePath | None, about("imagenet50, or a file that lists class folders; default: every folder of train")
    ] = None
    validation: Annotated[Share, about("share of the training images")] = 0.05
    seed: Annotated[Seed, about("of the validation images")] = 0

    def __post_init__(self) -> None:
        if self.resize is not None and self.resize < self.image_size:
            raise ValueError(
                f"resize: {self.resize} is less than image_size, {self.image_size}, which is cut from it; raise it"
            )

    @property
    def side(self) -> int:
        """Side of the images in pixels."""
        return self.image_size

    @property
    def images(self) -> int:
        """How many images there are in ImageNet, of the shipped list of classes or of all."""
        return IMAGES_PER_CLASS * SHIPPED.get(self.classes or "", IMAGENET)
