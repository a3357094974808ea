"""What a page says of what the predictors see: per analysis its figures, how to read them, and its numbers."""

from __future__ import annotations

import pandas as pd

from neurobust.explain.description import Analysis
from neurobust.report.blocks import Row, in_roi
from neurobust.report.entries import between, short
from neurobust.report.seen_data import one_value, rows_of
from neurobust.report.view import View

# Analysis -> its figures, in reading order.
DRAWN = {
    "exciting": ("exciting",), "attribution": ("attribution",), "fields": ("fields",), "tuning": ("tuning",),
    "transfer": ("cores",), "concepts": ("concepts",), "fragility": ("fragility", "fooled"), "shifted": ("versions",),
}  # fmt: skip


def seen_parts(view: View) -> list[Row]:
    """Per analysis of the predictors: `name`, `title`, `meaning`, `figures`, `lines` of numbers, and `found`, sentences
    of what came out."""
    parts = []
    chosen = {name: facts for name, facts in view.study.explain.items() if facts.scope == "predictor"}
    for name in sorted(chosen, key=lambda name: list(DRAWN).index(name) if name in DRAWN else len(DRAWN)):
        rows, facts = rows_of(view, name), chosen[name]
        if not len(rows):
            continue
        parts.append(
            {"name": name, "title": facts.title, "meaning": facts.meaning, "source": facts.source}
            | {"figures": DRAWN.get(name, ()), "lines": number_lines(facts, rows)}
            | {"found": fragility_sentences(view, rows) if name == "fragility" else []}
        )
    return parts


def number_lines(facts: Analysis, rows: pd.DataFrame) -> list[Row]:
    """The numbers of one analysis, as text: ROI, measure, what it is of, value, interval, unit, and what it means."""
    return [
        {
            "roi": row.roi, "measure": row.measure, "of": ", ".join(filter(None, (row.layer, row.other))),
            "value": short(row.value), "interval": between(row.low, row.high, short), "unit": row.unit,
            "meaning": facts.measures[row.measure].meaning if row.measure in facts.measures else "",
        }
        for row in rows.itertuples()
    ]  # fmt: skip


def fragility_sentences(view: View, rows: pd.DataFrame) -> list[str]:
    """Per ROI, how small a change moves its predictor: how fragile the target itself is, in a sentence."""
    found = []
    for roi in view.study.rois:
        least, noise = (one_value(in_roi(rows, roi), roi, f"{kind} change, L∞") for kind in ("smallest", "random"))
        if least is None:
            continue
        times = "" if noise is None else f"; random signs need {noise['value'] / least['value']:.0f} times as much"
        found.append(
            f"The predictor of {roi}: a change of {least['value']:.2g}/255 in each pixel (L∞) moves its response by "
            f"one standard deviation{times}."
        )
    return found
