"""The pages on the data itself and on a study that runs, counted again."""

import json

import h5py
import numpy as np
import pandas as pd
from printed import same, tables_of
from scipy import stats

CEILING = 5.0  # percent of variance below which a voxel is left out


def quality(results, page):
    """How sessions drift (Theil and Sen's line, by SciPy), and which voxels are kept."""
    (table,) = tables_of(page, "^Drift of each subject")
    counted = 0
    for subject, sessions, means, drift, scale, _, agreement, repeats in table.rows:
        found = json.loads((results.root / f"cortex/{subject}/quality.json").read_text())["by_session"]
        frame = pd.DataFrame(found).astype(float)
        counted += same(sessions, len(frame))
        counted += same(means, frame["mean"].min(), frame["mean"].max())
        for cell, column in ((drift, "mean"), (scale, "scale")):
            known = frame.dropna(subset=[column])
            slope, start, *_ = stats.theilslopes(known[column], known["session"], method="joint")
            first, last = (start + slope * end for end in (known["session"].min(), known["session"].max()))
            counted += same(cell, last - first if column == "mean" else 100 * (last / first - 1))
        for cell, column in ((agreement, "mean_r"), (repeats, "repeats_r")):
            worst = frame[column].idxmin()
            counted += same(cell, frame[column][worst], frame["session"][worst])
    (table,) = tables_of(page, "^Voxels of each ROI and subject")
    for roi, subject, voxels, slices, edge, undefined, low, kept, *_ in table.rows:
        with h5py.File(results.root / f"cortex/{subject}/{roi}.h5") as file:
            shape = tuple(int(n) for n in file.attrs["shape"])
            ceiling, ncsnr = file["noise_ceiling"][:], file["ncsnr"][:]
            places = np.array(np.unravel_index(file["voxel_index"][:], shape)).T
        outer = [any(place == 0) or any(place == np.array(shape) - 1) for place in places]
        whole = ceiling >= CEILING
        nothing = ~whole & ~(ncsnr > 0)
        counted += same(voxels, len(ceiling)) + same(slices, len({place[2] for place in places}))
        counted += same(edge, sum(outer)) + same(undefined, nothing.sum())
        counted += same(low, (~whole & ~nothing).sum()) + same(kept, whole.sum())
    return counted


def status(results, page):
    """What the gate found, how predictors and networks stand, of what is there."""
    (table,) = tables_of(page, "^What the gate found")
    counted = 0
    for subject, sessions, *cells in table.rows:
        found = json.loads((results.root / f"cortex/{subject}/quality.json").read_text())
        counted += same(sessions, found["sessions"])
        counted += sum(map(same, cells, (found[name] for name in ("ncsnr_r", "repeats_r", "chance_r"))))
    (table,) = tables_of(page, "^Predictors of the ROIs")
    for roi, seeds, voxels, kept, r, reached, _ in table.rows:
        paths = sorted(results.root.glob(f"predictors/gnet/{roi}/seed*/voxels.parquet"))
        frames = [pd.read_parquet(path) for path in paths]
        counted += same(seeds, len(frames)) + same(voxels, len(frames[0]))
        counted += same(kept, (frames[0]["noise_ceiling"] >= CEILING).sum())
        counted += same(r, np.mean([frame["r"].median() for frame in frames]))
        counted += same(reached, np.mean([frame["r_normalised"].median() for frame in frames]))
    return counted
