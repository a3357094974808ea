"""Common corruptions: accuracy by type and severity as rows, the mean corruption errors, and a heat map."""

from __future__ import annotations

import numpy as np
import pandas as pd

from neurobust.core.reference_range import BASELINE
from neurobust.files.corruption_table import corruption_table_path, read_corruption_table
from neurobust.report.blocks import Row, blocks
from neurobust.report.contents import NETWORK
from neurobust.report.style import empty_svg, panel_blocks, rc, to_svg
from neurobust.report.transfer_matrix import draw_matrix
from neurobust.report.view import View
from neurobust.study.model import Study

# A relative error is a share of what the baseline loses; where it loses less than a point, that share means nothing.
LEAST_LOSS = 0.01


def corruption_rows(study: Study) -> list[Row]:
    """Accuracy of every network under every type and severity, beside that on the same images uncorrupted."""
    rows: list[Row] = []
    for network in study.networks():
        frame, scored = read_corruption_table(corruption_table_path(study.root, network.path))
        for (kind, severity), part in frame.groupby(["corruption", "severity"], sort=False):
            row = {"corruption": kind, "scored": kind in scored, "severity": int(severity), "n": len(part)}
            row |= {"clean_accuracy": float(part["clean_correct"].mean()), "accuracy": float(part["correct"].mean())}
            rows.append(network._asdict() | row)
    return rows


def error_rows(rows: list[Row]) -> list[Row]:
    """Mean corruption errors of every network, as shares of the baseline's (Hendrycks and Dietterich 2019, eq. 1, 2).

    Per scored type, the errors of the five severities are summed and divided by the sum of the baseline's, which is the
    mean over the seeds of the study's own condition `none`; `mce` is the mean of these over types. `relative_mce` does
    so with the errors beyond the clean error. Types on which the baseline makes no error, or loses less than a point,
    say nothing and are left out: `n_types` and `n_relative` count the others. Without a baseline both are missing.
    """
    table = pd.DataFrame([row for row in rows if row["scored"]])
    if not len(table):
        return []
    table["error"], table["loss"] = 1 - table["accuracy"], table["clean_accuracy"] - table["accuracy"]
    found = []
    for task, architecture, block in blocks(table):
        base = block[block["condition"] == BASELINE].groupby("corruption", sort=False)[["error", "loss"]].mean()
        for (condition, seed), part in block.groupby(["condition", "seed"], sort=False):
            own = part.groupby("corruption", sort=False)[["error", "loss"]].mean()
            names = dict(zip(NETWORK, (task, architecture, condition, int(seed)), strict=True))
            found.append(names | {"accuracy": float(part["accuracy"].mean())} | ratios(own, base))
    return found


def ratios(own: pd.DataFrame, base: pd.DataFrame) -> Row:
    """The two errors of one network from its and the baseline's mean `error` and `loss` per type."""
    base = base.reindex(own.index)
    wrong, lost = base["error"] > 0, base["loss"] >= LEAST_LOSS
    return {
        "mce": float((own["error"] / base["error"])[wrong].mean()), "n_types": int(wrong.sum()),
        "relative_mce": float((own["loss"] / base["loss"])[lost].mean()), "n_relative": int(lost.sum()),
    }  # fmt: skip


def draw_corruptions(view: View) -> str:
    """Heat map of the accuracy by type and condition, mean over severities and seeds, a block per task."""
    table = view.tables["corruptions"]
    if not len(table):
        return empty_svg("No corrupted image was classified.")
    parts = blocks(table)
    kinds = list(table["corruption"].unique())
    with rc():
        height, wide = 1.1 + 0.2 * (len(kinds) + 1), 1.8 + 0.42 * table["condition"].nunique()
        figure, axes = panel_blocks(view.titles(parts), 1, height, wide=wide)
        for (_, _, part), (axis,) in zip(parts, axes, strict=True):
            conditions = view.in_order(part["condition"])
            means = part.groupby(["corruption", "condition"])["accuracy"].mean().unstack()
            means = means.reindex(index=kinds, columns=conditions).to_numpy(float)
            names = [kind.replace("_", " ") for kind in kinds]
            clean = part.groupby("condition")["clean_accuracy"].mean().reindex(conditions).to_numpy(float)
            draw_matrix(axis, np.vstack([means, clean]), [*names, "uncorrupted"], conditions, beside="with")
            axis.set_xlabel("")
        return to_svg(figure, "Accuracy under common corruptions, by type and condition")
