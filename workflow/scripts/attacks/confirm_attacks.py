"""Say whether each attack ran on every network."""

from pathlib import Path

from neurobust.attacks.confirm import confirm_attacks
from neurobust.core.script import run

run(
    snakemake,
    confirm_attacks,
    checks=[Path(path) for path in snakemake.input.checks],
    output=Path(snakemake.output.confirmed),
)
