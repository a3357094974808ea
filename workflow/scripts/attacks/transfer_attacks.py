"""Show every network the adversarials of all the others."""

import json
from pathlib import Path

from neurobust.attacks.transfer import transfer_attacks
from neurobust.attacks.transfer_settings import Transfer
from neurobust.core.script import run
from neurobust.core.settings import read

run(
    snakemake,
    transfer_attacks,
    dataset=Path(snakemake.input.dataset),
    models=[Path(path) for path in snakemake.input.models],
    adversarials=[Path(path) for path in snakemake.input.adversarials],
    settings=read(Transfer, json.loads(snakemake.params.settings), "transfer"),
    output=Path(snakemake.output.transfer),
    names={name: snakemake.wildcards[name] for name in ("task", "architecture")},
)
