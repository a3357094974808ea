"""The tasks `tiny-imagenet`, `celeba-identity` and `celeba-attributes`, described; `photos` reads them."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from neurobust.core.settings import LARGEST_SIDE, Count, Seed, Share, about
from neurobust.networks.description import Task


class Photos(Task, frozen=True):
    """What photographs of a size of one's own have in common."""

    image_size: Annotated[int, Meta(ge=16, le=LARGEST_SIDE), about("side of the images", "pixels")] = 64

    @property
    def side(self) -> int:
        """Side of the images in pixels."""
        return self.image_size


class TinyImageNet(Photos, frozen=True):
    """The folder tiny-imagenet-200 of 200 classes; its `val` is the test."""

    reader: ClassVar[str] = "neurobust.networks.tasks.photos:read_tiny_imagenet"
    brings: ClassVar[str] = "the folder tiny-imagenet-200"

    validation: Annotated[Share, about("share of the training images")] = 0.05
    seed: Annotated[Seed, about("of the validation images")] = 0

    @property
    def images(self) -> int:
        """How many images there are."""
        return 110000


class Celeba(Photos, frozen=True):
    """CelebA, whose images have 40 attributes each."""

    brings: ClassVar[str] = "the folder of CelebA, with img_align_celeba and its text files"
    faces: ClassVar[bool] = True
    attributes: ClassVar[int] = 40


class CelebaIdentity(Celeba, frozen=True):
    """Who is shown, among the people with the most images; 70 / 10 / 20 % of each."""

    reader: ClassVar[str] = "neurobust.networks.tasks.photos:read_celeba_identity"
    people: ClassVar[bool] = True

    identities: Annotated[int, Meta(ge=2), about("people with the most images")] = 100
    min_images: Annotated[Count, about("of each person")] = 20
    seed: Annotated[Seed, about("of the split")] = 0

    @property
    def images(self) -> int:
        """How many images there are, at 29 of a person."""
        return 29 * self.identities


class CelebaAttributes(Celeba, frozen=True):
    """Whether a face has one attribute, in the official partition."""

    reader: ClassVar[str] = "neurobust.networks.tasks.photos:read_celeba_attributes"

    attribute: Annotated[str, about("of CelebA's 40 that is to be seen")] = "Smiling"

    @property
    def images(self) -> int:
        """How many images there are."""
        return 202599
