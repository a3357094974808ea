"""Write the pages of the whole study."""

import json
from pathlib import Path

from neurobust.core.script import by_stem, run
from neurobust.report.page import write_index
from neurobust.study.read import read_study

run(
    snakemake,
    write_index,
    study=read_study(json.loads(snakemake.params.study)),
    tables=Path(snakemake.input.tables[0]).parent,
    figures=by_stem(snakemake.input.figures),
    semantic=[Path(path) for path in snakemake.input.semantic],
    verification=[Path(path) for path in snakemake.input.verification],
    output=Path(snakemake.output.answer),
)
