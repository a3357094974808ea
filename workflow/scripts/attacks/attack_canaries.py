"""Attack and check networks whose true answer is known."""

import json
from pathlib import Path

from neurobust.attacks.canaries import attack_canaries
from neurobust.core.script import run

run(
    snakemake,
    attack_canaries,
    dataset=Path(snakemake.input.dataset),
    attacks=json.loads(snakemake.params.attacks),
    output=Path(snakemake.output.canaries),
)
