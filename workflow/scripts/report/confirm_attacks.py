"""Say whether each attack ran on every network."""

from pathlib import Path

from neurobust.core.script import run
from neurobust.report.confirm import confirm_attacks

run(
    snakemake,
    confirm_attacks,
    checks=[Path(path) for path in snakemake.input.checks],
    output=Path(snakemake.output.confirmed),
)
