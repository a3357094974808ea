"""What the analyses of `inside_settings` compute, from the measures."""

from __future__ import annotations

from neurobust.explain.findings import Findings, Row
from neurobust.explain.measures import linear_distance, low_frequency_share
from neurobust.explain.network_bench import NetworkBench
from neurobust.explain.networks.geometry import participation_ratio
from neurobust.explain.networks.inside_settings import Dimensionality, Distance, LowFrequency, Similarity
from neurobust.explain.networks.similarity import kernel, kernel_cka


def one(bench: NetworkBench, measure: str, value: float | None) -> Findings:
    """A finding of one number over all images."""
    return Findings([Row(measure, value, n_images=len(bench.images))])


def distance(bench: NetworkBench, settings: Distance) -> Findings:
    """`linear_distance`: None where no image is classified correctly."""
    return one(bench, "linear distance to the boundary", linear_distance(bench.margin, bench.gradient))


def low_frequency(bench: NetworkBench, settings: LowFrequency) -> Findings:
    """`low_frequency_share` up to the cutoff: None where the gradient is 0."""
    share = low_frequency_share(bench.gradient.cpu(), settings.cutoff)
    return one(bench, "low-frequency share of input gradient", share)


def dimensionality(bench: NetworkBench, settings: Dimensionality) -> Findings:
    """`participation_ratio` of the penultimate layer."""
    return one(bench, "effective dimensionality", participation_ratio(bench.features))


def similarity(bench: NetworkBench, settings: Similarity) -> Findings:
    """Debiased CKA of the penultimate layer with the responses of each ROI's predictor: NaN where it is undefined."""
    own, count = kernel(bench.features), len(bench.images)
    return Findings(
        [
            Row("similarity to predictor", kernel_cka(own, kernel(responses)), roi=roi, n_images=count)
            for roi, responses in bench.predictors.items()
        ]
    )
