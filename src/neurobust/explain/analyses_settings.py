"""The analyses that every network of a study is given. Imports no torch."""

from __future__ import annotations

from typing import Annotated, ClassVar

from neurobust.core.settings import Share, about
from neurobust.explain.description import Analysis, Need


class Distance(Analysis, frozen=True):
    """Linear distance to the boundary."""

    run: ClassVar[str] = "neurobust.explain.analyses:distance"
    measure: ClassVar[str] = "linear distance to the boundary"
    unit: ClassVar[str] = "L2"
    meaning: ClassVar[str] = "median over correctly classified images of margin / norm of its gradient"
    needs: ClassVar[tuple[Need, ...]] = ("gradient",)


class LowFrequency(Analysis, frozen=True):
    """Where in the spectrum the network's gradient lies."""

    run: ClassVar[str] = "neurobust.explain.analyses:low_frequency"
    measure: ClassVar[str] = "low-frequency share of input gradient"
    meaning: ClassVar[str] = "share of the gradient's energy at low spatial frequencies"
    needs: ClassVar[tuple[Need, ...]] = ("gradient",)

    cutoff: Annotated[Share, about("highest frequency that counts as low", "of Nyquist")] = 0.25


class Dimensionality(Analysis, frozen=True):
    """Effective dimensionality of the penultimate layer."""

    run: ClassVar[str] = "neurobust.explain.analyses:dimensionality"
    measure: ClassVar[str] = "effective dimensionality"
    unit: ClassVar[str] = "dimensions"
    meaning: ClassVar[str] = "participation ratio of the penultimate layer's covariance over images"
    needs: ClassVar[tuple[Need, ...]] = ("features",)


class Similarity(Analysis, frozen=True):
    """Similarity of the penultimate layer to the predictor of each guiding ROI."""

    run: ClassVar[str] = "neurobust.explain.analyses:similarity"
    measure: ClassVar[str] = "similarity to predictor"
    unit: ClassVar[str] = "debiased CKA"
    meaning: ClassVar[str] = "linear CKA of the penultimate layer with the predictor's responses; 0 where unrelated"
    needs: ClassVar[tuple[Need, ...]] = ("features", "predictors")
