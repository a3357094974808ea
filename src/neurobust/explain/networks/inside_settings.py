"""The analyses of a network that cost next to nothing: one number each. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from neurobust.core.settings import Share, about
from neurobust.explain.description import Analysis, Measure, Need


class Distance(Analysis, frozen=True):
    """Linear distance to the boundary."""

    run: ClassVar[str] = "neurobust.explain.networks.inside:distance"
    title: ClassVar[str] = "distance to the boundary"
    meaning: ClassVar[str] = (
        "How far, in L2, an image is from another answer if the network were linear around it: a larger distance means "
        "a flatter network. It does not change with the scale of the logits."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "linear distance to the boundary": Measure(
            "L2", "median over correctly classified images of margin / norm of its gradient", asked=True
        )
    }

    def passes(self) -> float:
        """One gradient."""
        return 3.0


class LowFrequency(Analysis, frozen=True):
    """Where in the spectrum the network's gradient lies."""

    run: ClassVar[str] = "neurobust.explain.networks.inside:low_frequency"
    title: ClassVar[str] = "spectrum of the gradient"
    meaning: ClassVar[str] = (
        "Which share of the gradient's energy lies at low spatial frequencies: a network that looks at coarse things "
        "has a larger one. White noise has about 5 %."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "low-frequency share of input gradient": Measure(
            "", "share of the gradient's energy at low spatial frequencies", asked=True
        )
    }

    cutoff: Annotated[Share, about("highest frequency that counts as low", "of Nyquist")] = 0.25

    def passes(self) -> float:
        """The gradient is that of `distance`, computed once for both."""
        return 0.0


class Dimensionality(Analysis, frozen=True):
    """Effective dimensionality of the penultimate layer."""

    run: ClassVar[str] = "neurobust.explain.networks.inside:dimensionality"
    title: ClassVar[str] = "effective dimensionality"
    meaning: ClassVar[str] = (
        "In how many directions the penultimate layer varies over images: 1 where all images lie on a line. The "
        "estimate has no bias from the number of images, but with few of them it varies over seeds more than over "
        "conditions."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "effective dimensionality": Measure(
            "dimensions", "unbiased participation ratio of the penultimate layer's covariance over images", asked=True
        )
    }


class Similarity(Analysis, frozen=True):
    """Similarity of the penultimate layer to the predictor of each ROI that the network is compared with."""

    run: ClassVar[str] = "neurobust.explain.networks.inside:similarity"
    title: ClassVar[str] = "similarity to the predictor"
    meaning: ClassVar[str] = (
        "How alike images are to the network and to the predictor of an ROI: 0 where unrelated, 1 where the same. "
        "Guidance should raise it for its own ROI above that of its shuffle."
    )
    measures: ClassVar[Mapping[str, Measure]] = {
        "similarity to predictor": Measure(
            "debiased CKA", "linear CKA of the penultimate layer with the predictor's responses", asked=True
        )
    }
    needs: ClassVar[tuple[Need, ...]] = ("predictors",)
