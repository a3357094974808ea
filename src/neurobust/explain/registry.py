"""The analyses of a network, by name, in the order of the table. Imports no torch."""

from __future__ import annotations

from neurobust.core.places import Places, modules_of
from neurobust.explain.description import Analysis, Need

ANALYSES: Places[type[Analysis]] = Places(
    {
        "distance": "neurobust.explain.analyses_settings:Distance",
        "low-frequency": "neurobust.explain.analyses_settings:LowFrequency",
        "dimensionality": "neurobust.explain.analyses_settings:Dimensionality",
        "similarity": "neurobust.explain.analyses_settings:Similarity",
    },
    "neurobust.analyses",
    Analysis,
)
# Passes through the network, forward and backward, that an image costs where some analysis needs this.
PASSES: dict[Need, float] = {"features": 1.0, "gradient": 3.0}


def analysis_modules() -> list[str]:
    """The modules that the analyses are described and computed in, sorted: what a table depends on."""
    computed = modules_of(*(ANALYSES[name].run for name in ANALYSES))
    return sorted(computed | {ANALYSES.module_name(name) for name in ANALYSES})


def analysis_passes(rois: int) -> float:
    """Passes that one image costs under all analyses, with the predictors of this many ROIs: the price of a table."""
    needs = {need for name in ANALYSES for need in ANALYSES[name].needs}
    return sum(PASSES.get(need, 0.0) for need in needs) + (rois if "predictors" in needs else 0)
