"""What figures and sections take a table apart by: a block per task and architecture, and when one is crowded."""

from __future__ import annotations

import pandas as pd

from neurobust.report.study import Study

Tables = dict[str, pd.DataFrame]
MANY = 8  # conditions that a panel can tell apart; with more, controls are drawn on the pages per ROI only


def blocks(table: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """(task, architecture, rows) in the order of the study."""
    if not len(table):
        return []
    return [
        (task, architecture, part) for (task, architecture), part in table.groupby(["task", "architecture"], sort=False)
    ]


def block_titles(study: Study, parts: list[tuple[str, str, pd.DataFrame]]) -> list[str]:
    """A block's title: its task, and its architecture where there are several."""
    several = len(study["architectures"]) > 1
    return [f"{task}, {architecture}" if several else task for task, architecture, _ in parts]
