"""Collect every result of the study into tables."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.report.collect import tabulate_results
from neurobust.study.read import read_study

outputs = {name: Path(path) for name, path in snakemake.output.items()}
run(snakemake, tabulate_results, study=read_study(json.loads(snakemake.params.study)), outputs=outputs)
