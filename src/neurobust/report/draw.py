"""The figures of a report from its tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from neurobust.core.errors import InputError
from neurobust.core.io import write_text
from neurobust.core.memory import seldom_collected
from neurobust.report.contents import FIGURES
from neurobust.report.tables import read_tables
from neurobust.report.view import View
from neurobust.study.model import Study


@seldom_collected()
def draw_figures(study: Study, tables: Path, outputs: Mapping[str, Path]) -> None:
    """Draw the figures named in `outputs` from the CSV tables in the folder `tables` and write them as SVG."""
    if unknown := sorted(set(outputs) - set(FIGURES)):
        raise InputError(f"report: no figure '{unknown[0]}' (there are {sorted(FIGURES)}); correct the rule's outputs")
    view = View(study, read_tables(tables))
    for name, path in outputs.items():
        write_text(path, FIGURES[name](view))
