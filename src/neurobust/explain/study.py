"""Entry point of the scope study: all networks of a task and an architecture, a table per analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from neurobust.core.reference_range import BASELINE, IN_RANGE, in_range
from neurobust.explain.bench import Job, explain
from neurobust.explain.registry import asked, read_analyses
from neurobust.explain.study_bench import Explaining, StudyBench
from neurobust.files.attack_table import read_attack_table
from neurobust.files.explained import read_explained
from neurobust.files.network_metrics import read_metrics


def explain_study(
    metrics: Sequence[Path], attacked: Sequence[Path], tables: Sequence[Path], gains: Sequence[Mapping[str, str]],
    analyses: Mapping[str, Any], folder: Path,
) -> None:  # fmt: skip
    """Make some analyses (name -> settings) over the networks whose metrics, tables of the primary attack and tables of
    every analysis these are; gains: condition, roi and control of each that is explained. Write each into `folder`."""
    networks = pd.DataFrame(
        [{**name_of(path)._asdict(), "clean_accuracy": read_metrics(path).clean_accuracy} for path in metrics]
    )
    answers = read_answers(attacked)
    curves = curves_of(answers)
    budget = reference_budget(curves)
    robust = curves[curves["budget"] == budget][["condition", "seed", "robust_accuracy"]]
    networks = networks.merge(robust, on=["condition", "seed"], how="left")
    measures = read_measures(tables)
    family = asked(measures["analysis"].unique())
    explained = [Explaining(**gain) for gain in gains]
    bench = StudyBench(networks, measures, family, explained, answers_at(answers, budget))
    inputs = {"/".join(path.parts[-3:]): path for path in (*metrics, *attacked, *tables)}
    explain(bench, read_analyses(analyses), Job(folder, inputs))


class Trained(NamedTuple):
    """A network of a task and an architecture."""

    condition: str
    seed: int


def name_of(path: Path) -> Trained:
    """The network whose file it is."""
    condition, seed = path.parent.parts[-2:]
    return Trained(condition, int(seed.removeprefix("seed")))


def read_answers(attacked: Sequence[Path]) -> pd.DataFrame:
    """Whether each network reads each image rightly, and whether the image survives each budget: condition, seed,
    budget, image, correct, survived. An attack that failed has no rows."""
    parts = [pd.DataFrame(columns=["condition", "seed", "budget", "image", "correct", "survived"])]
    for path in attacked:
        frame, _ = read_attack_table(path)
        found = {"budget": frame["budget"], "image": frame["image"], "correct": frame["clean_correct"]}
        parts.append(
            pd.DataFrame(found | {"survived": ~frame["success"].astype(bool)}).assign(**name_of(path)._asdict())
        )
    return pd.concat([part for part in parts if len(part)] or parts[:1])


def curves_of(answers: pd.DataFrame) -> pd.DataFrame:
    """Robust accuracy of each network at each budget above 0: condition, seed, budget, robust_accuracy."""
    ahead = answers[answers["budget"] > 0].groupby(["condition", "seed", "budget"], sort=False)
    return ahead["survived"].agg(lambda part: 1 - (~part.astype(bool)).mean()).rename("robust_accuracy").reset_index()


def answers_at(answers: pd.DataFrame, budget: float) -> pd.DataFrame | None:
    """The answers at one budget; None where no table has it."""
    there = answers[answers["budget"] == budget].drop(columns="budget")
    return there if len(there) else None


def reference_budget(curves: pd.DataFrame) -> float:
    """The smallest budget at which `none` stands in the range of a reference, over its seeds; else the one at which it
    stands nearest to the middle of that; without `none`, all conditions. NaN without any."""
    own = curves[curves["condition"] == BASELINE]
    levels = (own if len(own) else curves).groupby("budget")["robust_accuracy"].mean()
    if levels.empty:
        return float("nan")
    seen = levels[levels.map(in_range)]
    return float(seen.index[0] if len(seen) else (levels - np.mean(IN_RANGE)).abs().idxmin())


def read_measures(tables: Sequence[Path]) -> pd.DataFrame:
    """Every number of every table: condition, seed, analysis, measure, layer, roi, value."""
    parts = []
    for path in tables:
        frame, record = read_explained(path)
        parts.append(frame.assign(**name_of(path)._asdict(), analysis=record.analysis))
    columns = ["condition", "seed", "analysis", "measure", "layer", "roi", "value"]
    return pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns)
