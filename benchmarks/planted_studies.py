"""Twenty planted studies end to end (small CNN): supported in the effect world, never in a null world?

    python benchmarks/planted_studies.py [--studies 20] [--seeds 5] [--cores 2] [--folder results/planted-studies]

Every second study is of the world `effect` (object shape, which LO holds, is robust; a fine pattern, the cue, is not),
the others of `no-brain` (the same, but each image gets the response to another). Each has its own brain, scenes, split
and networks, and runs through the pipeline itself, in a folder of its own, to its table of verdicts: a predictor of LO,
then `none`, LO, LO-shuffled and adversarial training under PGD and cue conflict. Prints a line per study, and how often
each verdict was given in each world, with Wilson's interval; writes both to studies.csv and counts.csv in the folder.

What is finished is kept: the same command goes on after a kill, and more studies or seeds add only what is missing.
"""

from __future__ import annotations

import argparse
import csv
import fcntl
import math
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from neurobust.core.io import replacing, write_text
from neurobust.statistics import CONTRADICTED, NOT_SUPPORTED, SUPPORTED, UNDETERMINED, wilson_interval

PROJECT = Path(__file__).resolve().parents[1]
WORLDS = {"effect": "own", "no-brain": "permuted"}  # which responses the brains give
WORDS = (SUPPORTED, CONTRADICTED, NOT_SUPPORTED, UNDETERMINED)
SPACING = 100  # between the seeds of two studies: no two share a network, and one may be given more seeds
ROI, TASK = "LO", "phantom-scenes"
TABLES = "results/report/tables"
SPENT = "core-seconds.txt"
Row = dict[str, Any]


class Study(NamedTuple):
    """One study: its number, which is also the seed of all that is planted, its world, seeds and epochs of networks."""

    number: int
    world: str
    seeds: int
    epochs: int

    @property
    def name(self) -> str:
        """Its folder."""
        return f"{self.world}-{self.number}"


# --- what a study is ---


def config_of(study: Study) -> Row:
    """The configuration of a study, whose paths lie in its own folder."""
    first = study.number * SPACING
    return {
        "study": study.name,
        "results": "results",
        "data": {"source": "phantom", "root": "phantom", "format": "nii.gz", "subjects": {"subj01": {"sessions": 12}}},
        "phantom": phantom_of(study),
        "rois": {ROI: {"atlas": "Kastner2015", "labels": ["LO1", "LO2"]}},
        "splits": {"test": "shared", "validation": 0.1, "seed": study.number, "zscore": "train"},
        "predictors": {"gnet": predictor()},
        "predictor_seeds": [study.number],
        "tasks": {TASK: {"kind": TASK}},
        "architectures": {"small": {"stem": "imagenet", "pretrained": False}},
        "training": {
            "epochs": study.epochs, "batch_size": 64, "optimizer": "sgd", "learning_rate": 0.4, "momentum": 0.9,
            "weight_decay": 5e-4, "schedule": "onecycle", "augment": "none",
        },
        "conditions": conditions(),
        "seeds": [first + seed for seed in range(study.seeds)],
        "attack_images": 200,
        "attacks": {
            "pgd-linf": {
                "method": "pgd", "norm": "linf", "budgets": [0, 0.6, 1.25, 2.5, 5], "steps": 10, "order": "bisection",
                "loss": "margin", "label": "PGD L∞",
            },
            "cue-conflict": {"method": "cue-conflict", "budgets": [0, 1], "label": "cue conflict"},
        },
        "primary_attack": "pgd-linf",
    }  # fmt: skip


def phantom_of(study: Study) -> Row:
    """The planted world: one brain that saw many images, and scenes whose cue is the easier way to the class."""
    return {
        "seed": study.number,
        "shared_images": 120,
        "unique_images": 1080,
        "planned_sessions": 15,
        "trials_per_session": 240,
        "stimulus_size": 128,
        "faces": 0.25,
        "formats": ["nii.gz"],
        "cue": {"kind": "pattern", "amplitude": 6, "reliability": 0.95},
        "responses": WORLDS[study.world],
        "subjects": {"subj01": {"grid": [18, 21, 16]}},
        "scenes": {"seed": study.number, "train": 1400, "validation": 100, "test": 300, "size": 32},
    }


def predictor() -> Row:
    """The G-net of config/calibration.yaml, with five epochs more for a subject that is alone."""
    return {
        "kind": "gnet", "input_size": 64, "prefilter": "gabor", "finetune_prefilter": False,
        "prefilter_channels": [48, 96], "trunk_width": 24, "dropout": 0.1, "learning_rate": 3e-3, "batch_size": 32,
        "epochs": 20, "patience": 8, "l1": 0.1, "weight_floor": 0.1,
    }  # fmt: skip


def conditions() -> dict[str, Row]:
    """What the verdict on LO compares, and the positive control of its gate."""
    guided = {"target": [ROI], "predictor": "gnet", "loss": "mse", "weight": 0.8}
    return {
        "none": {"weight": 0.8},
        ROI: guided,
        f"{ROI}-shuffled": {**guided, "control": "shuffled"},
        "adversarial": {"weight": 0.8, "reference": {"kind": "adversarial", "epsilon": 1.25, "steps": 1, "step": 1.25}},
    }


# --- running it ---


def run_study(study: Study, folder: Path, cores: int) -> bool:
    """Bring a study to its tables; whether that went well. What Snakemake says goes to snakemake.log in its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, "-m", "snakemake", "-s", str(PROJECT / "Snakefile"), "--directory", str(folder),
        "--profile", str(PROJECT / "profiles/local"), "--cores", str(cores), "--quiet", "rules", "--nolock",
        "--configfile", str(folder / "study.yaml"), "--", f"{TABLES}/verdicts.csv",
    ]  # fmt: skip
    environment = {"OMP_NUM_THREADS": "1", "GIT_PYTHON_REFRESH": "quiet", "PYTHONPATH": str(PROJECT / "src")}
    before = children_seconds()
    with only_one(folder) as lock, (folder / "snakemake.log").open("ab") as log:
        write_text(folder / "study.yaml", yaml.safe_dump(config_of(study), sort_keys=False))
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | environment, pass_fds=[lock])
        try:
            return process.wait() == 0
        finally:  # a kill of this program ends the study's jobs too
            if process.poll() is None:
                process.terminate()
                process.wait()
            total = core_seconds(folder) + children_seconds() - before
            write_text(folder / SPENT, f"{total:.1f}\n")


def children_seconds() -> float:
    """CPU seconds of all processes that this one started and that ended, with what those started."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def core_seconds(folder: Path) -> float:
    """CPU seconds that were spent on a study by all runs of this program; 0 before the first."""
    path = folder / SPENT
    return float(path.read_text(encoding="utf-8")) if path.exists() else 0.0


@contextmanager
def only_one(folder: Path) -> Iterator[int]:
    """No two runs of one study at a time. Snakemake holds this lock too, in place of its own, which outlives a kill."""
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.exit(f"{folder}: another run is at work here; wait for it or end it")
        yield file.fileno()


# --- what came out ---


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table of the report."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def number(text: str | None) -> float:
    """A number of a table, NaN where it has none."""
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def result_of(study: Study, folder: Path) -> Row:
    """The row of a finished study."""
    tables = folder / TABLES
    found = next(row for row in read_rows(tables / "verdicts.csv") if row["condition"] == ROI)
    failed = [row["gate"] for row in read_rows(tables / "gates.csv") if row["passed"] != "True"]
    predictors = read_rows(tables / "predictors.csv")
    row: Row = {"study": study.name, "world": study.world, "seed": study.number, "verdict": found["verdict"]}
    row |= {key: found[key] for key in ("contrast", "budget", "unit", "difference", "low", "high", "p", "reason")}
    row |= {"n_seeds": found["n_seeds"], "n_images": found["n_images"], "gates_failed": ", ".join(failed)}
    row |= {"predictor": predictors[0]["median_r_normalised"], "core_seconds": round(core_seconds(folder))}
    return row


def line_of(row: Row) -> str:
    """A finished study for readers."""
    points = [f"{100 * number(row[key]):+.1f}" for key in ("difference", "low", "high")]
    gates = f"gates failed: {row['gates_failed']}" if row["gates_failed"] else "gates passed"
    return (
        f"{row['study']:<12} {row['verdict']}: {row['contrast']} {points[0]} pp [{points[1]}, {points[2]}] at "
        f"{row['budget']} ({row['unit']}), {gates}; predictor {number(row['predictor']):.2f} of the ceiling; "
        f"{row['core_seconds']} core-seconds"
    )


def count_rows(found: Sequence[Row]) -> list[Row]:
    """How often each verdict was given in each world, with Wilson's interval of its share."""
    rows: list[Row] = []
    for world in WORLDS:
        given = [str(row["verdict"]).split(" (")[0] for row in found if row["world"] == world]
        for word in WORDS:
            low, high = wilson_interval(given.count(word), len(given))
            rows.append({"world": world, "verdict": word, "n": given.count(word), "of": len(given)})
            rows[-1] |= {"share_low": round(low, 4), "share_high": round(high, 4)}
    return rows


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """A table, renamed into place."""
    with replacing(path) as new, new.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=20, help="half of each world")
    parser.add_argument("--seeds", type=int, default=5, help="networks per condition")
    parser.add_argument("--epochs", type=int, default=12, help="of each network; fewer only to try the program")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="default: all")
    parser.add_argument("--folder", type=Path, default=PROJECT / "results/planted-studies")
    options = parser.parse_args()
    if not 1 <= options.seeds <= SPACING or options.studies < 1:
        parser.error(f"give 1 to {SPACING} seeds, and one study or more")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder, found, failed = options.folder.resolve(), [], []
    for index in range(options.studies):
        study = Study(index, list(WORLDS)[index % len(WORLDS)], options.seeds, options.epochs)
        if not run_study(study, folder / study.name, options.cores):
            failed.append(study.name)
            print(f"{study.name:<12} did not finish: see {folder / study.name}/snakemake.log", flush=True)
            continue
        found.append(result_of(study, folder / study.name))
        print(line_of(found[-1]), flush=True)
        write_rows(folder / "studies.csv", found)
    counts = count_rows(found)
    write_rows(folder / "counts.csv", counts)
    for row in counts:
        if row["of"]:
            ends = f"{100 * row['share_low']:.0f} to {100 * row['share_high']:.0f} %"
            print(f"{row['world']:<10}{row['verdict']:<15}{row['n']:>3} of {row['of']} ({ends})")
    if failed:
        sys.exit(f"{len(failed)} studies did not finish and are not counted: {', '.join(failed)}")


if __name__ == "__main__":
    main()
