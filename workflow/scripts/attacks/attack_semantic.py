"""Attack one network with one semantic attack."""

import json
from pathlib import Path

from neurobust.attacks.semantic.evaluate import attack_semantic
from neurobust.core.script import run

run(
    snakemake,
    attack_semantic,
    dataset=Path(snakemake.input.dataset),
    model=Path(snakemake.input.model),
    attack=snakemake.wildcards.semantic,
    settings=json.loads(snakemake.params.settings),
    networks={Path(path).stem: Path(path) for path in snakemake.input.helpers},
    records=[Path(path) for path in snakemake.input.records],
    table=Path(snakemake.output.table),
    examples=Path(snakemake.output.examples),
    cells=Path(snakemake.params.cells) / ".cells",
    seed=int(snakemake.wildcards.seed),
    n_images=snakemake.params.images,
    names={name: snakemake.wildcards[name] for name in ("task", "architecture", "condition")},
)
