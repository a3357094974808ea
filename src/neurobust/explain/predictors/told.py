"""What a predictor's responses tell: concepts, and what is left of its accuracy on other versions of its images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from neurobust.core.seeding import numpy_rng, torch_generator
from neurobust.explain.findings import Findings, Row
from neurobust.explain.predictor_bench import PredictorBench
from neurobust.explain.predictors.columns import reliable
from neurobust.explain.predictors.concepts import chance_auc, concept_auc, concept_d, enough
from neurobust.explain.predictors.settings import Concepts, Shifted
from neurobust.explain.predictors.shifted import INTACT, VERSIONS, kept_share, version_r


def concepts(bench: PredictorBench, settings: Concepts) -> Findings:
    """Medians over reliable voxels, a row a concept (`layer`); the interval holds the central half of the voxels.
    Arrays: `measured` and `predicted` AUC (concepts, voxels), `names`, and the column of each voxel."""
    assert bench.concepts is not None
    kept = enough(bench.concepts.shown, settings.fewest)
    if not len(kept):
        return Findings([], {})
    shown, names = bench.concepts.shown[:, kept], [bench.concepts.names[k] for k in kept]
    columns = reliable(bench)
    measured = bench.responses[:, columns]
    predicted = bench.predicted.cpu().numpy()[:, columns].astype(np.float64)
    predicted = np.where(np.isfinite(measured), predicted, np.nan)  # the same images for both
    auc = {"measured": concept_auc(measured, shown), "predicted": concept_auc(predicted, shown)}
    limit = chance_auc(measured, shown, numpy_rng(bench.seed, "concepts"), settings.permutations)
    tables = {f"{kind} AUC": table for kind, table in auc.items()}
    tables |= {"measured d'": concept_d(measured, shown), "predicted d'": concept_d(predicted, shown)}
    rows = [row for measure, table in tables.items() for row in spread_rows(measure, names, table, shown)]
    for name, values, most, count in zip(names, auc["measured"], limit, shown.sum(0), strict=True):
        selective = float(np.nanmean(np.abs(values - 0.5) > most - 0.5)) if np.isfinite(values).any() else None
        rows.append(Row("selective voxels", selective, layer=name, n_images=int(count)))
        rows.append(Row("chance AUC", float(most), layer=name, n_images=int(count)))
    arrays = {name: table.astype(np.float32) for name, table in auc.items()}
    return Findings(rows, {**arrays, "names": np.array(names), "columns": columns})


def spread_rows(measure: str, names: list[str], table: np.ndarray, shown: np.ndarray) -> Iterator[Row]:
    """Median and quartiles over voxels of each concept's row of a table (concepts, voxels)."""
    for name, values, count in zip(names, table, shown.sum(0), strict=True):
        values = values[np.isfinite(values)]
        if len(values):
            low, middle, high = (float(v) for v in np.quantile(values, [0.25, 0.5, 0.75]))
            yield Row(measure, middle, layer=name, low=low, high=high, n_images=int(count))


def shifted(bench: PredictorBench, settings: Shifted) -> Findings:
    """r of each version (`layer`) with the measured responses, medians over reliable voxels, intervals over images."""
    keep = reliable(bench, settings.least_ceiling)
    responses = {INTACT: bench.predicted.cpu().numpy()}
    for name, change in VERSIONS.items():
        made = change(bench.images, torch_generator(bench.seed, "shifted", name))
        responses[name] = bench.over(made, bench.predictor).cpu().numpy()
    rng = numpy_rng(bench.seed, "shifted")
    found = version_r(responses, bench.responses, keep, rng, settings.resamples)
    count = len(bench.images)
    rows = [
        Row("r on a version", r, layer=name, low=low, high=high, n_images=count)
        for name, (r, low, high) in found.items()
    ]
    return Findings(rows + [Row("share kept", v, layer=name, n_images=count) for name, v in kept_share(found).items()])
