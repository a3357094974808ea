"""Settings of cAdv."""

from __future__ import annotations

from typing import Annotated, ClassVar

from neurobust.attacks.semantic.description import SemanticAttack, Targeted, WholeStrengths
from neurobust.core.errors import InputError
from neurobust.core.settings import Count, NotNegative, Positive, Whole, about


class CAdv(SemanticAttack, frozen=True):
    """An image loses its colours and gets others, by hints to a colouriser anywhere in it, until it is misread."""

    run: ClassVar[str] = "neurobust.attacks.semantic.cadv:CAdvAttack"
    title: ClassVar[str] = "cAdv (colour)"
    source: ClassVar[str] = "Bhattad et al., ICLR 2020, section 3.1"
    helpers: ClassVar[tuple[str, ...]] = ("colouriser", "oracle")
    axis: ClassVar[str] = "steps of recolouring"

    strengths: Annotated[WholeStrengths, about("steps of Adam")] = (0, 50, 100, 200, 500)
    targeted: Targeted = True
    clusters: Annotated[Count, about("of an image's colours")] = 8
    hinted: Annotated[Whole, about("clusters, the colouriser's surest, that hints start in: the k of cAdv-k")] = 4
    hints: Annotated[Whole, about("that an image starts with; the paper's belong to images of 224", "pixels")] = 50
    sigma: Annotated[NotNegative, about("of the blur before clustering", "pixels of an image of 224")] = 3.0
    learning_rate: Annotated[Positive, about("of Adam, for hints and mask")] = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hinted > self.clusters:
            raise InputError(f"hinted {self.hinted} exceeds the {self.clusters} clusters; lower it or raise `clusters`")

    def passes(self) -> float:
        """A larger strength goes on where the one before ended."""
        return float(max(self.strengths))
