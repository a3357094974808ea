# Names, paths and sources that all rules share. No rules here, and nothing heavy is imported: every job parses this.
import json
import os
import re
from pathlib import Path

from snakemake.exceptions import WorkflowError

from neurobust.config import (
    PHANTOM_TASKS,
    attack_settings,
    check_config,
    chosen_conditions,
    predictor_seed,
    recipe_of,
    task_size,
    with_sweeps,
)
from neurobust.errors import InputError
from neurobust.io import canonical_json
from neurobust.sources import source_files

try:
    check_config(config, Path(workflow.basedir) / "config" / "schema.yaml")
except InputError as error:
    raise WorkflowError(str(error)) from None
config["conditions"] = with_sweeps(config)["conditions"]

RESULTS = config["results"]
LOGS = RESULTS.replace("results", "logs", 1)
BENCHMARKS = f"{RESULTS}/benchmarks"
DATA = config["data"]["root"]
SUBJECTS = list(config["data"]["subjects"])
ROIS = list(config["rois"])
TASKS = list(config["tasks"])
ARCHITECTURES = list(config["architectures"])
CONDITIONS = list(config["conditions"])
SEEDS = config["seeds"]
ATTACKS = list(config["attacks"])
NETWORK = "{task}/{architecture}/{condition}/seed{seed}"


def one_of(names):
    """A wildcard constraint: exactly these names."""
    return "|".join(re.escape(str(name)) for name in names)


wildcard_constraints:
    subject=one_of(SUBJECTS),
    roi=one_of(ROIS),
    size=r"\d+",
    predictor=one_of(config["predictors"]),
    task=one_of(TASKS),
    architecture=one_of(ARCHITECTURES),
    condition=one_of(CONDITIONS),
    seed=r"\d+",


def sources(script):
    """The files behind workflow/scripts/{script}.py, as inputs: compared by checksum, so a checkout re-runs nothing."""
    files = source_files(Path(workflow.basedir) / "workflow" / "scripts" / f"{script}.py")
    return [os.path.relpath(path) for path in files]


def trained(task):
    """The conditions that networks are trained with on a task."""
    return chosen_conditions(config, config["tasks"][task])


def networks_of(conditions, tasks=TASKS, architectures=ARCHITECTURES):
    """The folders of all networks of some conditions, below a stage's folder."""
    found = []
    for task in tasks:
        here = set(trained(task))
        chosen = [name for name in conditions if name in here]
        found += expand(NETWORK, task=task, architecture=architectures, condition=chosen, seed=SEEDS)
    return found
