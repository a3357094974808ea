"""The analyses that `analyses_settings` describes."""

from __future__ import annotations

from torch import Tensor

from neurobust.core.similarity import debiased_cka
from neurobust.explain.analyses_settings import Dimensionality, Distance, LowFrequency, Similarity
from neurobust.explain.measures import linear_distance, low_frequency_share, participation_ratio
from neurobust.explain.view import View


def distance(view: View, settings: Distance) -> float | None:
    """`linear_distance`: None where no image is classified correctly."""
    return linear_distance(view.margin, view.gradient)


def low_frequency(view: View, settings: LowFrequency) -> float | None:
    """`low_frequency_share` up to the cutoff: None where the gradient is 0."""
    return low_frequency_share(view.gradient.cpu(), settings.cutoff)


def dimensionality(view: View, settings: Dimensionality) -> float:
    """`participation_ratio` of the penultimate layer."""
    return participation_ratio(view.features)


def similarity(view: View, settings: Similarity, responses: Tensor) -> float:
    """`debiased_cka` of the penultimate layer with responses (n, voxels), in float64."""
    return float(debiased_cka(view.features.double(), responses.double()))
