"""Train the identity network of a task of faces."""

import json
from pathlib import Path

from neurobust.attacks.semantic.fit import train_auxiliary
from neurobust.attacks.semantic.identity import IdentityTrainer
from neurobust.script import run

run(
    snakemake,
    train_auxiliary,
    kind=IdentityTrainer,
    dataset=Path(snakemake.input.dataset),
    settings=json.loads(snakemake.params.settings),
    weights=Path(snakemake.output.weights),
    record=Path(snakemake.output.record),
    checkpoint=Path(snakemake.params.checkpoint) / ".identity.checkpoint.pt",
)
