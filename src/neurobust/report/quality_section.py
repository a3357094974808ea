"""What the page of data quality says: per subject its sessions and slices, per ROI which voxels are kept."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from neurobust.files.predictor_tables import LEAST_CEILING
from neurobust.report.blocks import Row
from neurobust.report.entries import MISSING, plain, text
from neurobust.report.slices import STEPS, ceiling_slices, coverage_slices, read_cortex
from neurobust.report.view import View

LEAST_KEPT = 0.5  # of an area's voxels: areas that keep less are named
OUT_OF_SCALE = 2.0  # times the median session's scale, or a part of it: named on the page; the gate stops at 4


def quality_section(view: View) -> Row:
    """The parts of the page; each is empty where nothing was measured."""
    cortex = {subject: read_cortex(view, subject) for subject in view.study.subjects}
    pictures = [
        {"subject": subject, "coverage": coverage_slices(view, found), "ceilings": ceiling_slices(found)}
        for subject, found in cortex.items()
        if found is not None
    ]
    return {
        "sessions": session_table(view), "pictures": pictures, "coverage": coverage_table(view), "steps": legend(),
        "edges": edge_words(view), "poor": poor_words(view),
        "least": f"{LEAST_CEILING:g}", "out_of_scale": f"{OUT_OF_SCALE:g}",
    }  # fmt: skip


def legend() -> list[Row]:
    """Colour and range of each step of the map of noise ceilings, in percent."""
    lows = [low for low, _ in STEPS]
    ends = [f"{low:g} to {high:g} %" for low, high in pairwise(lows)] + [f"{lows[-1]:g} % and more"]
    return [{"color": colour, "range": words} for (_, colour), words in zip(STEPS, ends, strict=True)]


def session_table(view: View) -> list[Row]:
    """A row per subject: how its sessions drift, and which stand apart."""
    rows = []
    for subject, part in view.tables["sessions"].groupby("subject", sort=False):
        scale, empty = part["relative_scale"], part[part["scale"].isna()]["session"]
        odd = part[(scale > OUT_OF_SCALE) | (scale < 1 / OUT_OF_SCALE)]
        first, last = trend(part, "scale")
        low, high = trend(part, "mean")
        rows.append(
            {"subject": subject, "n": len(part), "empty": numbers(empty), "odd": odd_sessions(odd)}
            | {"means": f"{plain(part['mean'].min())} to {plain(part['mean'].max())}", "drift": shown(high - low)}
            | {"scale": shown(100 * (last / first - 1), 0), "mean_r": lowest(part, "mean_r")}
            | {"repeats": lowest(part, "repeats_r")}
        )
    return rows


def trend(part: pd.DataFrame, column: str) -> tuple[float, float]:
    """Where a straight line through a subject's sessions begins and ends; NaN with fewer than three sessions.

    Its slope is the median over pairs of sessions, its height the median over sessions (Theil 1950, Sen 1968): one
    session that stands apart is no drift.
    """
    known = part.dropna(subset=[column])
    if len(known) < 3:
        return float("nan"), float("nan")
    x, y = known["session"].to_numpy(float), known[column].to_numpy(float)
    one, other = np.triu_indices(len(x), 1)
    slope = float(np.median((y[other] - y[one]) / (x[other] - x[one])))
    start = float(np.median(y - slope * x))
    return start + slope * x.min(), start + slope * x.max()


def shown(value: float, digits: int = 2) -> str:
    """A change with its sign; what rounds to zero has none."""
    if pd.isna(value):
        return MISSING
    rounded = round(value, digits) + 0.0
    return (f"{rounded:+.{digits}f}" if rounded else f"{rounded:.{digits}f}").replace("-", "−")


def numbers(sessions: pd.Series) -> str:
    """Sessions as text: 3, 17."""
    return ", ".join(str(int(session)) for session in sessions)


def odd_sessions(odd: pd.DataFrame) -> str:
    """Sessions out of scale, each with its scale in the median one's."""
    return ", ".join(f"{int(row.session)} (×{plain(row.relative_scale)})" for row in odd.itertuples())


def lowest(part: pd.DataFrame, column: str) -> str:
    """The lowest value of a column and its session."""
    known = part.dropna(subset=[column])
    if not len(known):
        return MISSING
    row = known.loc[known[column].idxmin()]
    return f"{plain(row[column], 3)} (session {int(row['session'])})"


def coverage_table(view: View) -> list[Row]:
    """A row per ROI and subject: where its voxels lie, which are kept, and what becomes of them in the predictor."""
    return [
        {"roi": row.roi, "subject": row.subject, "grid": text(row.grid).replace("x", "×"), "slices": int(row.n_slices)}
        | {name: int(getattr(row, f"n_{name}")) for name in ("voxels", "edge", "undefined", "low", "kept")}
        | {"share": share(row.n_kept, row.n_voxels), "ncsnr_r": plain(row.ncsnr_r, 3)}
        | {"predicted": share(row.n_predicted, row.n_voxels), "above": share(row.n_above, row.n_kept)}
        | {"negative": share(row.n_negative, row.n_voxels)}
        for row in view.tables["coverage"].itertuples()
    ]


def edge_words(view: View) -> str:
    """Which areas have voxels in the outermost layer of the volume, in a sentence."""
    table = view.tables["coverage"]
    odd = table[table["n_edge"] > 0]
    if not len(odd):
        return "No area has voxels at the edge of the volume."
    return f"At the edge of the volume: {', '.join(f'{r.roi} of {r.subject} ({r.n_edge})' for r in odd.itertuples())}."


def poor_words(view: View) -> str:
    """Which areas keep less than half of their voxels, in a sentence."""
    table = view.tables["coverage"]
    odd = table[table["n_kept"] < LEAST_KEPT * table["n_voxels"]]
    if not len(odd):
        return "Every area keeps at least half of its voxels."
    told = (f"{r.roi} of {r.subject} ({r.n_kept} of {r.n_voxels})" for r in odd.itertuples())
    return f"Less than half of the voxels are kept in {', '.join(told)}."


def share(part: float, whole: float) -> str:
    """A count as percent of another."""
    return MISSING if pd.isna(part) or not whole else f"{100 * part / whole:.0f} %"
