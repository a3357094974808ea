"""Train the oracle of a task."""

import json
from pathlib import Path

from neurobust.attacks.semantic.fit import train_auxiliary
from neurobust.attacks.semantic.oracle import OracleTrainer
from neurobust.script import run

run(
    snakemake,
    train_auxiliary,
    kind=OracleTrainer,
    dataset=Path(snakemake.input.dataset),
    settings=json.loads(snakemake.params.settings),
    weights=Path(snakemake.output.weights),
    record=Path(snakemake.output.record),
    checkpoint=Path(snakemake.params.checkpoint) / ".oracle.checkpoint.pt",
)
