"""Entry point of the scope study: all networks of a task and an architecture, a table per analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurobust.explain.bench import Job, explain
from neurobust.explain.registry import asked, read_analyses
from neurobust.explain.study_bench import Explaining, StudyBench
from neurobust.files.attack_table import read_attack_table
from neurobust.files.explained import read_explained
from neurobust.files.network_metrics import read_metrics

BASELINE = "none"
RANGE = (0.1, 0.6)  # robust accuracies of `none` at which a difference can be seen


def explain_study(
    metrics: Sequence[Path], attacked: Sequence[Path], tables: Sequence[Path], gains: Sequence[Mapping[str, str]],
    analyses: Mapping[str, Any], folder: Path,
) -> None:  # fmt: skip
    """Make some analyses (name -> settings) over the networks whose metrics, tables of the primary attack and tables of
    every analysis these are; gains: condition, roi and control of each that is explained. Write each into `folder`."""
    networks = pd.DataFrame(
        [{**name_of(path), "clean_accuracy": read_metrics(path).clean_accuracy} for path in metrics]
    )
    curves, attack = read_curves(attacked)
    budget = reference_budget(curves)
    robust = curves[curves["budget"] == budget][["condition", "seed", "robust_accuracy"]]
    networks = networks.merge(robust, on=["condition", "seed"], how="left")
    measures = read_measures(tables)
    family = asked(measures["analysis"].unique())
    explained, answers = [Explaining(**gain) for gain in gains], read_answers(attacked, budget)
    bench = StudyBench(networks, measures, family, explained, attack, budget, answers)
    inputs = {"/".join(path.parts[-3:]): path for path in (*metrics, *attacked, *tables)}
    explain(bench, read_analyses(analyses), Job(folder, inputs))


def name_of(path: Path) -> dict[str, Any]:
    """Condition and seed of the network whose file it is."""
    condition, seed = path.parent.parts[-2:]
    return {"condition": condition, "seed": int(seed.removeprefix("seed"))}


def read_curves(attacked: Sequence[Path]) -> tuple[pd.DataFrame, str]:
    """Robust accuracy of each network at each budget above 0: condition, seed, budget, robust_accuracy; and the attack.

    An attack that failed has no rows.
    """
    rows, attack = [], ""
    for path in attacked:
        frame, record = read_attack_table(path)
        attack = record.attack
        for budget, part in frame.groupby("budget"):
            if budget > 0:
                rows.append({**name_of(path), "budget": budget, "robust_accuracy": 1 - part["success"].mean()})
    return pd.DataFrame(rows, columns=["condition", "seed", "budget", "robust_accuracy"]), attack


def read_answers(attacked: Sequence[Path], budget: float) -> pd.DataFrame | None:
    """Whether each network reads each image rightly, and still does at a budget: condition, seed, image, correct,
    survived. None where no table has that budget."""
    parts = []
    for path in attacked:
        frame, _ = read_attack_table(path)
        part = frame[frame["budget"] == budget]
        found = {"image": part["image"], "correct": part["clean_correct"], "survived": ~part["success"].astype(bool)}
        parts.append(pd.DataFrame(found).assign(**name_of(path)))
    whole = pd.concat(parts) if parts else pd.DataFrame()
    return whole if len(whole) else None


def reference_budget(curves: pd.DataFrame) -> float:
    """The smallest budget at which `none` stands in RANGE, over its seeds; else the one at which it stands nearest to
    its middle; without `none`, all conditions. NaN without any."""
    own = curves[curves["condition"] == BASELINE]
    levels = (own if len(own) else curves).groupby("budget")["robust_accuracy"].mean()
    if levels.empty:
        return float("nan")
    seen = levels[(levels >= RANGE[0]) & (levels <= RANGE[1])]
    return float(seen.index[0] if len(seen) else (levels - np.mean(RANGE)).abs().idxmin())


def read_measures(tables: Sequence[Path]) -> pd.DataFrame:
    """Every number of every table: condition, seed, analysis, measure, layer, roi, value."""
    parts = []
    for path in tables:
        frame, record = read_explained(path)
        parts.append(frame.assign(**name_of(path), analysis=record.analysis))
    columns = ["condition", "seed", "analysis", "measure", "layer", "roi", "value"]
    return pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns)
