"""Collect the results of semantic attacks into tables."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.report.semantic_section import tabulate_semantic
from neurobust.study.read import read_study

run(
    snakemake,
    tabulate_semantic,
    study=read_study(json.loads(snakemake.params.study)),
    paths=[Path(path) for path in snakemake.input.tables],
    transfers=[Path(path) for path in snakemake.input.transfers],
    networks=Path(snakemake.input.networks),
    outputs={name: Path(path) for name, path in snakemake.output.items()},
)
