"""Print what the study costs."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.study.plan import plan_study
from neurobust.study.read import read_study

run(
    snakemake,
    plan_study,
    study=read_study(json.loads(snakemake.params.config)),
    folder=Path(),
    configs=Path(snakemake.params.configs),
    submitted=snakemake.params.submitted,
    output=Path(snakemake.output.plan),
)
