"""Draw the report's figures from its tables."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.report.draw import draw_figures
from neurobust.study.read import read_study

run(
    snakemake,
    draw_figures,
    study=read_study(json.loads(snakemake.params.study)),
    tables=Path(snakemake.input.tables[0]).parent,
    outputs={name: Path(path) for name, path in snakemake.output.items()},
)
