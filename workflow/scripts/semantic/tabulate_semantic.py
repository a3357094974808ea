"""Collect the results of semantic attacks into tables."""

from pathlib import Path

from neurobust.report.semantic_section import tabulate_semantic
from neurobust.script import run

run(
    snakemake,
    tabulate_semantic,
    paths=[Path(path) for path in snakemake.input.tables],
    semantic=Path(snakemake.output.semantic),
    gates=Path(snakemake.output.gates),
)
