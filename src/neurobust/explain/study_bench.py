"""What analyses of a whole study look at: the networks of one task and architecture, a row each, with all measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from neurobust.explain.description import Need


@dataclass(frozen=True)
class Explaining:
    """A condition whose gain is explained: the ROI that guides it and the condition that it is measured against."""

    condition: str
    roi: str
    control: str


@dataclass(frozen=True)
class StudyBench:
    """networks: a row per network: condition, seed, clean_accuracy and robust_accuracy (shares) at the reference
    budget of the primary attack; measures: a row per number of a network: condition, seed, analysis, measure, layer,
    roi, value; answers: of every network and image whether it was read rightly, `correct`, and whether it survived
    that budget, `survived` (condition, seed, image beside them), None where no attack was carried out; asked: measure
    -> analysis, the family that is asked about, in the order of the registry; gains: what is explained.
    """

    networks: pd.DataFrame
    measures: pd.DataFrame
    asked: dict[str, str]
    gains: Sequence[Explaining]
    answers: pd.DataFrame | None = None

    def lacks(self, need: Need) -> str | None:
        """Nothing that networks and predictors have is here, and no analysis of a study asks for it."""
        return f"an analysis of a whole study has no {need}"
