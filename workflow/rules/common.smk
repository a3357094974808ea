# Names, paths and sources that all rules share. No rules here, and nothing heavy is imported: every job parses this.
import json
import os
import re
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.enums import RerunTrigger

from neurobust.study.config import (
    PHANTOM_TASKS,
    attack_settings,
    check_config,
    chosen_conditions,
    predictor_seed,
    recipe_of,
    task_size,
    with_sweeps,
)
from neurobust.core.errors import InputError
from neurobust.core.io import canonical_json
from neurobust.core.sources import source_files

# Snakemake puts Python's path into shell commands as it is; where it has a space, a job would not start. `exists`: a path
# that is quoted already, as when the same process reads the rules twice, is left alone.
if Path(sys.executable).exists():
    sys.executable = shlex.quote(sys.executable)


class ByContent(type(workflow)):
    """This workflow, where all triggers but `code` make a job run again, whatever profile is used or none.

    `code` looks at the date of a script, which a fresh checkout or a copy changes. Here scripts are inputs, compared by
    content. Who names other triggers on the command line gets them.
    """

    @property
    def rerun_triggers(self):
        triggers = super().rerun_triggers
        return triggers - {RerunTrigger.CODE} if triggers == RerunTrigger.all() else triggers


# Snakemake has no directive for this, and hands over its settings only after the rules were read.
workflow.__class__ = ByContent

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


def sources(script, *modules):
    """The files behind workflow/scripts/{script}.py and `modules` that it looks up by name, as inputs.

    They are compared by checksum, so a fresh checkout re-runs nothing.
    """
    files = source_files(Path(workflow.basedir) / "workflow" / "scripts" / f"{script}.py", *modules)
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
