"""Settings of SemanticAdv."""

from __future__ import annotations

from typing import Annotated, ClassVar

from neurobust.attacks.description import AttackLoss
from neurobust.attacks.semantic.description import SemanticAttack, ShareStrengths
from neurobust.core.settings import Count, NotNegative, Positive, Whole, about


class SemanticAdv(SemanticAttack, frozen=True):
    """A face gets one attribute turned, halfway and place by place, so that the network misreads it."""

    run: ClassVar[str] = "neurobust.attacks.semantic.semanticadv:SemanticAdvAttack"
    title: ClassVar[str] = "SemanticAdv (faces)"
    source: ClassVar[str] = "Qiu et al., ECCV 2020"
    helpers: ClassVar[tuple[str, ...]] = ("editor", "identity", "oracle")
    faces: ClassVar[bool] = True
    axis: ClassVar[str] = "range of the mixing weights"

    strengths: Annotated[ShareStrengths, about("range of the mixing weights below 1")] = (0.0, 0.2, 0.4, 0.7, 1.0)
    attribute: Annotated[str, about("the one that is turned; `random`: one drawn per image")] = "random"
    steps: Annotated[Count, about("at each strength")] = 60
    rebuild: Annotated[Whole, about("steps of the search for the image that the editor gives back best")] = 30
    learning_rate: Annotated[Positive, about("of Adam, for the mixing weights")] = 0.05
    smoothness: Annotated[NotNegative, about("weight of the total variation of the mixing weights")] = 0.01
    loss: AttackLoss = "margin"

    def passes(self) -> float:
        """All steps at every strength."""
        return float(self.steps * len(self.strengths))
