"""Settings of tAdv."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from neurobust.attacks.semantic.description import SemanticAttack, WholeStrengths
from neurobust.core.settings import Count, NotNegative, about


class TAdv(SemanticAttack, frozen=True):
    """An image takes on the texture of an image of another class until the network takes it for that class."""

    run: ClassVar[str] = "neurobust.attacks.semantic.tadv:TAdvAttack"
    title: ClassVar[str] = "tAdv (texture)"
    source: ClassVar[str] = "Bhattad et al., ICLR 2020, section 3.2"
    helpers: ClassVar[tuple[str, ...]] = ("texture", "oracle")
    axis: ClassVar[str] = "steps of texture transfer"

    strengths: Annotated[WholeStrengths, about("steps of texture transfer")] = (1, 2, 4, 8, 14)
    weight: Annotated[NotNegative, about("of the cross-entropy; the texture loss is 1 at the clean image")] = 0.03
    bank: Annotated[Count, about("training images that textures are taken from")] = 1000

    def passes(self) -> float:
        """A larger strength goes on where the one before ended."""
        return float(max(self.strengths))


class TAdvJPEG(TAdv, frozen=True):
    """tAdv with JPEG in the loop: the network is shown what a JPEG file gives back, which is what breaks it."""

    run: ClassVar[str] = "neurobust.attacks.semantic.tadv:JPEGAttack"
    title: ClassVar[str] = "tAdv through JPEG"
    source: ClassVar[str] = "Bhattad et al., ICLR 2020, the variant against compression"

    quality: Annotated[int, Meta(ge=1, le=95), about("of the JPEG file")] = 75
