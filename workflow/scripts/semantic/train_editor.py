"""Train the editor of a task of faces."""

import json
from pathlib import Path

from neurobust.attacks.semantic.editor import EditorTrainer
from neurobust.attacks.semantic.fit import train_auxiliary
from neurobust.script import run

run(
    snakemake,
    train_auxiliary,
    kind=EditorTrainer,
    dataset=Path(snakemake.input.dataset),
    settings=json.loads(snakemake.params.settings),
    weights=Path(snakemake.output.weights),
    record=Path(snakemake.output.record),
    checkpoint=Path(snakemake.params.checkpoint) / ".editor.checkpoint.pt",
    others={"oracle": Path(snakemake.input.oracle)},
)
