"""Collect the results of face verification into tables."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.report.verification_tables import tabulate_verification
from neurobust.study.read import read_study

run(
    snakemake,
    tabulate_verification,
    study=read_study(json.loads(snakemake.params.study)),
    paths=[Path(path) for path in snakemake.input.tables],
    outputs={name: Path(path) for name, path in snakemake.output.items()},
)
