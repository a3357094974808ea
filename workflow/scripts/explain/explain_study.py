"""What goes with robustness over all networks of a task and an architecture: a table per analysis."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.explain.study import explain_study

run(
    snakemake,
    explain_study,
    metrics=list(map(Path, snakemake.input.metrics)),
    attacked=list(map(Path, snakemake.input.attacked)),
    tables=list(map(Path, snakemake.input.tables)),
    gains=json.loads(snakemake.params.gains),
    analyses=json.loads(snakemake.params.analyses),
    folder=Path(snakemake.params.folder),
)
