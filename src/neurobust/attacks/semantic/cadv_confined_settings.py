"""Settings of confined recolouring."""

from __future__ import annotations

from typing import Annotated, ClassVar

from neurobust.attacks.description import AttackLoss
from neurobust.attacks.semantic.description import SemanticAttack, WholeStrengths
from neurobust.core.errors import InputError
from neurobust.core.settings import Count, NotNegative, Positive, about


class CAdvConfined(SemanticAttack, frozen=True):
    """Some of an image's colours get others, by hints to a colouriser; the rest keep theirs, unlike in `cadv`."""

    run: ClassVar[str] = "neurobust.attacks.semantic.cadv_confined:ConfinedAttack"
    title: ClassVar[str] = "confined recolouring"
    source: ClassVar[str] = "after Bhattad et al., ICLR 2020: hints are free in some clusters of colours alone"
    helpers: ClassVar[tuple[str, ...]] = ("colouriser", "oracle")
    axis: ClassVar[str] = "free colour clusters"
    keeps_lightness: ClassVar[bool] = True

    strengths: Annotated[WholeStrengths, about("colour clusters that are free")] = (0, 2, 4, 6, 8)
    clusters: Annotated[Count, about("of an image's colours")] = 8
    hints: Annotated[Count, about("of each pinned cluster that give their colour away", "pixels")] = 6
    sigma: Annotated[NotNegative, about("of the blur before clustering", "pixels of an image of 224")] = 3.0
    steps: Annotated[Count, about("at each strength")] = 60
    learning_rate: Annotated[Positive, about("of Adam, for hints and mask")] = 0.02
    loss: AttackLoss = "margin"

    def __post_init__(self) -> None:
        super().__post_init__()
        if max(self.strengths) > self.clusters:
            raise InputError(
                f"strengths {list(self.strengths)} exceed the {self.clusters} clusters; lower them or raise `clusters`"
            )

    def passes(self) -> float:
        """All steps at every strength."""
        return float(self.steps * len(self.strengths))
