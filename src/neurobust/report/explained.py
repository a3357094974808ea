"""From the tables of `explain` to those of the report: one of networks, one of predictors, one of the whole study."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from neurobust.files.explained import (
    network_analysis_path,
    predictor_analysis_path,
    read_explained,
    study_analysis_path,
)
from neurobust.report.blocks import Row, number
from neurobust.study.model import Study


def inside_rows(study: Study) -> list[Row]:
    """Every measure of every network; nothing of what was not made."""
    return [
        {**network._asdict(), **row}
        for network in study.networks()
        for row in table_rows(
            study, "network", lambda name, at=network.path: network_analysis_path(study.root, at, name)
        )
    ]


def seen_rows(study: Study) -> list[Row]:
    """Every measure of every ROI's predictor; `other` is another ROI that the number is about."""
    rows = []
    for roi in study.rois:
        for seed in study.predictor_seeds:
            names = (study.root, study.predictor, roi, seed)
            for row in table_rows(study, "predictor", lambda name, at=names: predictor_analysis_path(*at, name)):
                rows.append({**row, "roi": roi, "seed": seed, "other": "" if row["roi"] == roi else row["roi"]})
    return rows


def why_rows(study: Study) -> list[Row]:
    """Every number about all networks of a task and an architecture."""
    rows = []
    for task, architecture in study.blocks():
        at = (study.root, task, architecture)
        for row in table_rows(study, "study", lambda name, at=at: study_analysis_path(*at, name)):
            rows.append({"task": task, "architecture": architecture, **row})
    return rows


def table_rows(study: Study, scope: str, path: Callable[[str], Path]) -> Iterator[Row]:
    """The rows of one table after the other, of the analyses of a scope, with the unit of each measure."""
    for name, settings in study.explain.items():
        if settings.scope != scope or not path(name).exists():
            continue
        frame, _ = read_explained(path(name))
        for row in frame.to_dict("records"):
            numbers = {key: number(row[key]) for key in ("value", "low", "high")}
            unit = settings.measures[row["measure"]].unit if row["measure"] in settings.measures else ""
            yield {
                **row,
                **numbers,
                "layer": row["layer"] or "",
                "roi": row["roi"] or "",
                "analysis": name,
                "unit": unit,
            }


def asked(study: Study) -> list[str]:
    """The measures of networks that the analyses of the whole study ask about."""
    networks = (settings for settings in study.explain.values() if settings.scope == "network")
    return [measure for settings in networks for measure, facts in settings.measures.items() if facts.asked]
