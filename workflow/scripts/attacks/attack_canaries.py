"""Attack and check networks whose true answer is known."""

import json
from pathlib import Path

from neurobust.attacks.canaries import attack_canaries
from neurobust.attacks.plan import read_plans
from neurobust.core.script import run

run(
    snakemake,
    attack_canaries,
    dataset=Path(snakemake.input.dataset),
    plans=read_plans(json.loads(snakemake.params.attacks)),
    output=Path(snakemake.output.canaries),
)
