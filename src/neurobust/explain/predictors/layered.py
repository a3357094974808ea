"""Which layers of a predictor explain its ROI, and how well its core serves other ROIs."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import torch

from neurobust.core.seeding import numpy_rng
from neurobust.explain.findings import Findings, Row
from neurobust.explain.predictor_bench import PredictorBench
from neurobust.explain.predictors.columns import reliable
from neurobust.explain.predictors.settings import Transfer, Tuning
from neurobust.explain.predictors.tuning import layer_tuning, seen_r, served_r, unique_share
from neurobust.files.predictor_tables import LEAST_CEILING
from neurobust.files.splits import TEST
from neurobust.statistics import LEVEL

Core = Callable[[torch.Tensor], torch.Tensor | None]
Contributions = Callable[[torch.Tensor], dict[str, torch.Tensor]]


def tuning(bench: PredictorBench, settings: Tuning) -> Findings:
    """Inclusive and exclusive r of each layer, medians over reliable voxels, intervals over images; no rows for a kind
    whose responses are no sum over layers."""
    parts = contributions(bench)
    if not parts:
        return Findings([])
    keep = reliable(bench)
    layers = {name: part[:, keep] for name, part in parts.items()}
    measured = bench.responses[:, keep]
    found = medians(layers, measured)
    rng = numpy_rng(bench.seed, "tuning")
    draws = [rng.integers(len(measured), size=len(measured)) for _ in range(settings.resamples)]
    again = [medians({name: part[rows] for name, part in layers.items()}, measured[rows]) for rows in draws]
    rows = []
    for (measure, layer), value in found.items():
        low, high = np.quantile([other[measure, layer] for other in again], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        rows.append(Row(measure, value, layer=layer, low=float(low), high=float(high), n_images=len(measured)))
    return Findings(rows)


def contributions(bench: PredictorBench) -> dict[str, np.ndarray]:
    """What each layer adds to the responses to the held-out images: name -> (n, V)."""
    found: dict[str, list[np.ndarray]] = {}
    with torch.inference_mode():
        for batch in bench.images.split(bench.image_batch):
            for name, part in cast(Contributions, bench.predictor.contributions)(batch).items():
                found.setdefault(name, []).append(part.float().cpu().numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def medians(layers: dict[str, np.ndarray], measured: np.ndarray) -> dict[tuple[str, str], float]:
    """(measure, layer) -> median over voxels."""
    tuned = layer_tuning(layers, measured)
    r = seen_r(np.sum(list(layers.values()), axis=0), measured)
    unique = unique_share(tuned, r)
    found = {("r of all layers", ""): float(np.median(r))}
    for name, (alone, without) in tuned.items():
        found["r of the layer alone", name] = float(np.median(alone))
        found["r of all but the layer", name] = float(np.median(without))
        found["unique r²", name] = float(np.median(unique[name]))
    return found


def transfer(bench: PredictorBench, settings: Transfer) -> Findings:
    """r of a new linear readout of the core for each ROI, on held-out images; no rows for a kind without a core that
    was trained. Arrays: `r {roi}` (V,), per voxel."""
    core = cast(Core, bench.predictor.core_features)
    with torch.inference_mode():
        parts = [core(batch) for batch in bench.images.split(bench.image_batch)]
    known = [part for part in parts if part is not None]
    if not known:
        return Findings([])
    features = torch.cat(known).double().cpu().numpy()
    rows, arrays = [], {}
    for roi in [bench.roi, *bench.others]:
        other = bench.measured(roi, TEST, bench.most)
        shared, here, there = np.intersect1d(bench.held_out.nsd_id, other.nsd_id, return_indices=True)
        complete = np.isfinite(other.responses[there]).all(1)
        columns = np.flatnonzero(np.nan_to_num(other.noise_ceiling) >= LEAST_CEILING)
        if complete.sum() < 4 * settings.folds or not len(columns):
            continue
        responses = other.responses[there[complete]][:, columns].astype(np.float64)
        rng = numpy_rng("transfer", "folds")
        r = served_r(features[here[complete]], responses, folds=settings.folds, rng=rng)
        rows.append(Row("r of a new readout", float(np.median(r)), roi=roi, n_images=int(complete.sum())))
        arrays[f"r {roi}"] = r.astype(np.float32)
    return Findings(rows, arrays)
