"""Draw the report's figures from its tables."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.report.figures import draw_figures

run(
    snakemake,
    draw_figures,
    study=json.loads(snakemake.params.study),
    tables=Path(snakemake.input.tables[0]).parent,
    outputs={name: Path(path) for name, path in snakemake.output.items()},
)
