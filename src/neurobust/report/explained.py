"""From the tables of `explain` to those of the report: one of networks, one of predictors, one of the whole study."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from neurobust.files.explained import (
    network_analysis_path,
    predictor_analysis_path,
    read_explained,
    study_analysis_path,
)
from neurobust.report.blocks import Row, number, records
from neurobust.study.model import Study


def inside_rows(study: Study) -> list[Row]:
    """Every measure of every network; nothing of what was not made."""
    rows = []
    for network in study.networks():
        for name in analyses_of(study, "network"):
            path = network_analysis_path(study.root, network.path, name)
            rows += [{**network._asdict(), **row} for row in table_rows(study, name, path)]
    return rows


def seen_rows(study: Study, whole: bool) -> list[Row]:
    """Every measure of every ROI's predictor; `other` is another ROI that the number is about. Not `whole`: without the
    analyses that need other ROIs, for a page that is built from one ROI's chain."""
    rows = []
    for roi, seed in itertools.product(study.rois, study.predictor_seeds):
        for name in analyses_of(study, "predictor"):
            if "others" in study.explain[name].needs and not whole:
                continue
            path = predictor_analysis_path(study.root, study.predictor, roi, seed, name)
            for row in table_rows(study, name, path):
                rows.append({**row, "roi": roi, "seed": seed, "other": "" if row["roi"] == roi else row["roi"]})
    return rows


def why_rows(study: Study) -> list[Row]:
    """Every number about all networks of a task and an architecture."""
    rows = []
    for task, architecture in study.blocks():
        for name in analyses_of(study, "study"):
            path = study_analysis_path(study.root, task, architecture, name)
            rows += [{"task": task, "architecture": architecture, **row} for row in table_rows(study, name, path)]
    return rows


def analyses_of(study: Study, scope: str) -> list[str]:
    """The analyses of a scope, in the study's order."""
    return [name for name, settings in study.explain.items() if settings.scope == scope]


def table_rows(study: Study, analysis: str, path: Path) -> Iterator[Row]:
    """The rows of a table, if it is there, with the unit of each measure."""
    measures = study.explain[analysis].measures
    for row in records(read_explained(path)[0]) if path.exists() else []:
        found: Row = {key: number(row[key]) for key in ("value", "low", "high")}
        found |= {key: row[key] or "" for key in ("layer", "roi")}
        unit = measures[row["measure"]].unit if row["measure"] in measures else ""
        yield {**row, **found, "analysis": analysis, "unit": unit}


def asked(study: Study) -> list[str]:
    """The measures of networks that the analyses of the whole study ask about."""
    networks = (settings for settings in study.explain.values() if settings.scope == "network")
    return [measure for settings in networks for measure, facts in settings.measures.items() if facts.asked]
