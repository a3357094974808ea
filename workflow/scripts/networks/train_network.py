"""Train one network: a task, an architecture, a condition, a seed."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.networks.conditions import read_recipe
from neurobust.networks.inputs import NetworkInputs, NetworkOutputs
from neurobust.networks.train import train_network

files = {name: paths for name, paths in snakemake.input.items() if name != "dataset"}
run(
    snakemake,
    train_network,
    inputs=NetworkInputs(
        dataset=Path(snakemake.input.dataset),
        **{name: tuple(Path(path) for path in paths) for name, paths in files.items()},
    ),
    recipe=read_recipe(json.loads(snakemake.params.recipe)),
    seed=int(snakemake.wildcards.seed),
    outputs=NetworkOutputs(
        model=Path(snakemake.output.model),
        metrics=Path(snakemake.output.metrics),
        history=Path(snakemake.output.history),
        checkpoint=Path(snakemake.params.checkpoint) / ".checkpoint.pt",
    ),
    names={name: snakemake.wildcards[name] for name in ("task", "architecture", "condition")},
    share=snakemake.resources.resident_percent / 100,
)
