# Names, paths and sources that all rules share. No rules here, and nothing heavy is imported: every job parses this.
import functools
import json
import os
import re
import shlex
import sys
from pathlib import Path

from msgspec.structs import replace
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.settings.enums import RerunTrigger

import neurobust
from neurobust.core.borrowed import borrow, borrowed
from neurobust.core.by_content import compare_content
from neurobust.core.errors import InputError, messages_of
from neurobust.core.io import canonical_json
from neurobust.core.large_dags import resolve_sooner
from neurobust.core.machine import note_machine
from neurobust.core.own_locks import keep_locks_of_others
from neurobust.core.settings import brief
from neurobust.core.sources import source_files, source_hash
from neurobust.core.spared import spare, spared
from neurobust.core.warm_groups import take_part
from neurobust.study.border import ready, study_of
from neurobust.study.mirror import Mirror
from neurobust.study.model import OUTSIDE
from neurobust.study.named_files import check_named_files
from neurobust.study.paths import NETWORK, Paths

# Snakemake puts Python's path into shell commands as it is; where it has a space, a job would not start. `exists`: a path
# that is quoted already, as when the same process reads the rules twice, is left alone.
if Path(sys.executable).exists():
    sys.executable = shlex.quote(sys.executable)

# Several jobs in one SLURM job start as forks of one process, where asked for (docs/slurm.md).
take_part(workflow)


class ByContent(type(workflow)):
    """This workflow, where all triggers but `code` make a job run again, whatever profile is used or none.

    `code` looks at the date of a script, which a fresh checkout or a copy changes. Here the content of scripts is a
    parameter. Triggers that the command line names are used.
    """

    @property
    def rerun_triggers(self):
        triggers = super().rerun_triggers
        return triggers - {RerunTrigger.CODE} if triggers == RerunTrigger.all() else triggers


# Snakemake has no directive for this, and hands over its settings only after the rules were read.
workflow.__class__ = ByContent

spare()
borrow()
keep_locks_of_others()
compare_content()
resolve_sooner()

# The folder of the Snakefile, also where another workflow uses this one as a module.
HOME = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parents[1]
# What envs/neurobust.yaml and its post-deploy script fill in.
os.environ.update(
    NEUROBUST_ENVS=str((HOME / "envs").absolute()), NEUROBUST_PACKAGE=str(Path(neurobust.__file__).parent.absolute())
)

try:
    # Jobs read what was checked before them.
    QUESTIONS = [check_named_files, lambda study: Mirror(study, HOME).check_root()] if workflow.is_main_process else []
    STUDY = study_of(config, workflow.configfiles, Path(), HOME, also=QUESTIONS)
except InputError as error:
    raise WorkflowError("\n".join(messages_of(error))) from None

config.update(STUDY.config)
MIRROR = Mirror(STUDY, HOME)
if workflow.is_main_process:
    for line in ready(STUDY, workflow.configfiles):
        logger.warning(f"warning: {line}")

PREFIXED = workflow.modifier.path_modifier.replace_prefix


def placed(path):
    """Where a path lies: under the prefix that another workflow gives to this one as a module.

    Snakemake sees to the files of rules; this is for parameters.
    """
    return path and PREFIXED(path)


FILES = Paths(STUDY)
# Must be there before anything is trained, and no script reads it: an input without a name. Another look at the same betas,
# or one more subject, trains nothing again.
GATE = ancient(borrowed(FILES.gate))
RESULTS, LOGS, BENCHMARKS = STUDY.results, FILES.logs, FILES.benchmarks
DATA = str(MIRROR.folder)  # where files of the bucket are fetched to, or the phantom is planted
ROOT = placed(DATA)
PLACED = replace(STUDY.data, root=placed(STUDY.data.root), cache=placed(STUDY.data.cache))
if not workflow.is_main_process:
    note_machine(placed(RESULTS))  # a job's process, on the machine that runs it
SUBJECTS = list(STUDY.subjects)
ROIS = list(STUDY.rois)


def at(path, *names):
    """A file of the contract: `path` is its function in neurobust.files, `names` are its names or their wildcards."""
    return str(path(RESULTS, *names))


def one_of(names, *more):
    """A wildcard constraint: exactly these names."""
    return "|".join(re.escape(str(name)) for name in (*names, *more))


wildcard_constraints:
    subject=one_of(SUBJECTS),
    roi=one_of(ROIS),
    size=r"\d+",
    predictor=one_of(STUDY.predictors),
    task=one_of(STUDY.tasks),
    architecture=one_of(STUDY.architectures, OUTSIDE),
    condition=one_of(STUDY.conditions, *STUDY.outside),
    seed=r"\d+",


@functools.cache
def sources(script, *modules):
    """As a parameter: the content of the files behind workflow/scripts/{script}.py and `modules` that it looks up by name.

    So a changed line re-runs what it may change, a fresh checkout nothing; and Snakemake, which looks at each input of
    each job, has a tenth as many to look at.
    """
    return source_hash(source_files(HOME / "workflow" / "scripts" / f"{script}.py", *modules))


def network_sources(script, wildcards, *modules):
    """As a parameter: the same of a job on one network, with what rebuilds it where it is from outside."""
    return sources(script, *modules, *FILES.outside_modules(wildcards))


def plans_of(attacks):
    """As a parameter: what makes the numbers of attacks, without what only pages show."""
    return canonical_json({name: plan.settings() for name, plan in attacks.items()})


PARAMETERS = {}


def parameters(settings):
    """Settings as a parameter of a rule: canonical JSON of what is not at its default.

    Written once for settings that thousands of jobs share, and known by what they are: they are kept, so no other object
    can come to have their identity.
    """
    if id(settings) not in PARAMETERS:
        PARAMETERS[id(settings)] = settings, canonical_json(brief(settings))
    return PARAMETERS[id(settings)][1]


@functools.cache
def recipe(task, architecture, condition):
    """As a parameter: what makes a network, but its seed and its files; written once for all seeds."""
    return canonical_json(STUDY.recipe(task, architecture, condition))


def of_bucket(files):
    """Inputs that are the bucket's: what somebody copied or fetched again is the same. Those of a phantom may change."""
    return ancient(borrowed(files)) if STUDY.data.from_bucket else files


def root_of_mirror(wildcards):
    """As a parameter: where files lie. An object and no text: Snakemake compares texts, and this is no change."""
    return PLACED.mirror
