"""Settings of the common corruptions. Imports neither torch nor scipy."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from neurobust.attacks.corruptions.registry import CORRUPTIONS, SCORED, SEVERITIES
from neurobust.attacks.corruptions.tables import set_of
from neurobust.core.errors import InputError
from neurobust.core.names import one_of
from neurobust.core.settings import Count, Settings, about

NamedTypes = Annotated[
    tuple[str, ...],
    Meta(min_length=1, extra_json_schema={"uniqueItems": True, "items": {"enum": list(CORRUPTIONS)}}),
]


class Corruptions(Settings, frozen=True, kw_only=True):
    """Which corruptions of which test images every network is shown."""

    set: Annotated[
        Literal["cifar", "tinyimagenet", "imagenet", "by-side"],
        about(
            "of strengths: published for images of 32, 64 or 224 px, scaled to the task's; by-side: for each task that "
            "whose images are the largest within its own"
        ),
    ]
    types: Annotated[Literal["scored", "all"] | NamedTypes, about("the 15 that are scored, all 19, or names")]
    images: Annotated[Count, about("the first of the list that attacks work through")]

    def __post_init__(self) -> None:
        named = () if isinstance(self.types, str) else self.types
        if unknown := sorted({*named} - {*CORRUPTIONS}):
            raise InputError(f"types: '{unknown[0]}' is not known; give scored, all or a list of these: "
                             f"{one_of(unknown[0], CORRUPTIONS)}")  # fmt: skip

    def set_for(self, side: int) -> str:
        """The set of strengths for images of this side."""
        return set_of(side) if self.set == "by-side" else self.set

    @property
    def names(self) -> tuple[str, ...]:
        """The corruptions that `types` says, in the registry's order."""
        if isinstance(self.types, str):
            return SCORED if self.types == "scored" else tuple(CORRUPTIONS)
        return tuple(name for name in CORRUPTIONS if name in self.types)

    def corrupted(self) -> int:
        """Corrupted images of one task: every type at every severity."""
        return len(SEVERITIES) * len(self.names) * self.images
