"""Train one network: a task, an architecture, a condition, a seed."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.networks.train import train_network

run(
    snakemake,
    train_network,
    dataset=Path(snakemake.input.dataset),
    predictors=[Path(path) for path in snakemake.input.predictors],
    recipe=json.loads(snakemake.params.recipe),
    seed=int(snakemake.wildcards.seed),
    model=Path(snakemake.output.model),
    metrics=Path(snakemake.output.metrics),
    history=Path(snakemake.output.history),
    checkpoint=Path(snakemake.params.checkpoint) / ".checkpoint.pt",
    files={name: files for name, files in snakemake.input.items() if name not in ("dataset", "predictors", "code")},
    names={name: snakemake.wildcards[name] for name in ("task", "architecture", "condition")},
)
