"""Where a predictor looks: fields beside pRFs, and attribution."""

from __future__ import annotations

import numpy as np

from neurobust.core.seeding import numpy_rng
from neurobust.explain.findings import Findings, Row
from neurobust.explain.predictor_bench import PredictorBench
from neurobust.explain.predictors.attribution import map_fields, mass_inside, mass_ratio, occlusion, roi_attribution
from neurobust.explain.predictors.columns import moving, pictures, reliable, some
from neurobust.explain.predictors.fields import chance_fields, compare_fields, field_intervals
from neurobust.explain.predictors.settings import Attribution, Fields
from neurobust.files.prf_maps import STIMULUS_DEGREES

SINGLE = 4  # voxels whose maps are shown


def fields(bench: PredictorBench, settings: Fields) -> Findings:
    """Correlation of the fields of the voxel table with the pRFs; no rows for a kind without fields."""
    own = bench.voxels[["field_x", "field_y", "field_size"]].to_numpy(float)
    keep = reliable(bench)
    assert bench.prfs is not None
    if not np.isfinite(own[keep]).all(1).any():
        return Findings([], {})
    looks, prfs = own[keep], bench.prfs[keep]
    return Findings(
        list(compared_rows(looks, prfs, bench)),
        {"field": looks.astype(np.float32), "prf": prfs.astype(np.float32)},
    )


def compared_rows(looks: np.ndarray, prfs: np.ndarray, bench: PredictorBench) -> list[Row]:
    """How fields (V, 3) agree with pRFs (V, 3): correlations with intervals, errors, and chance."""
    found = compare_fields(looks, prfs)
    ends = field_intervals(looks, prfs, numpy_rng(bench.seed, "fields", "interval"))
    chance = chance_fields(looks, prfs, numpy_rng(bench.seed, "fields", "chance"))
    rows = [Row(f"r of {axis}", found[f"r_{axis}"], low=low, high=high) for axis, (low, high) in ends.items()]
    rows.append(Row("centre error", found["centre_error"]))
    return [*rows, Row("size ratio", found["size_ratio"]), Row("chance r", chance["x"])]


def attribution(bench: PredictorBench, settings: Attribution) -> Findings:
    """Maps of the ROI and of single voxels; where pRFs are known, how they agree with them."""
    columns, mean, scale = moving(bench)
    if not len(columns):
        return Findings([], {})
    shown = some(bench, settings.pictures)
    gradients = roi_attribution(lambda x: bench.predictor(x)[:, columns], shown, mean, scale, settings.steps)
    covered = some(bench, settings.images)
    maps = occlusion(lambda x: bench.predictor(x)[:, columns], covered, settings.grid).cpu().numpy().astype(np.float64)
    best = np.argsort(-bench.noise_ceiling[columns.cpu().numpy()], kind="stable")[:SINGLE]
    arrays = {
        "images": pictures(shown), "gradients": gradients.sum(1).float().cpu().numpy(),
        "voxels": maps[best].astype(np.float32),
    }  # fmt: skip
    if bench.prfs is None:
        return Findings([], arrays)
    prfs = bench.prfs[columns.cpu().numpy()]
    arrays["prfs"] = prfs[best].astype(np.float32)
    return Findings(mass_rows(maps, prfs, bench, len(covered)), arrays)


def mass_rows(maps: np.ndarray, prfs: np.ndarray, bench: PredictorBench, n_images: int) -> list[Row]:
    """How occlusion maps (V, grid, grid) agree with pRFs (V, 3)."""
    share = mass_inside(maps, prfs, STIMULUS_DEGREES)
    ratio, low, high = mass_ratio(maps, prfs, STIMULUS_DEGREES, numpy_rng(bench.seed, "attribution"))
    known = np.isfinite(share)
    rows = [
        Row("mass in the pRF", float(np.median(share[known])) if known.any() else None, n_images=n_images),
        Row("mass ratio", ratio, low=low, high=high, n_images=n_images),
    ]
    looks = map_fields(maps, STIMULUS_DEGREES)
    found = compare_fields(looks, prfs)
    ends = field_intervals(looks, prfs, numpy_rng(bench.seed, "attribution", "interval"))
    return rows + [
        Row(f"r of {axis}, occluded", found[f"r_{axis}"], low=ends[axis][0], high=ends[axis][1], n_images=n_images)
        for axis in ends
    ]
