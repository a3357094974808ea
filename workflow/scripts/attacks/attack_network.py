"""Attack one network with every configured attack."""

import json
from pathlib import Path

from neurobust.attacks.evaluate import attack_network
from neurobust.core.script import run

run(
    snakemake,
    attack_network,
    dataset=Path(snakemake.input.dataset),
    model=Path(snakemake.input.model),
    attacks=json.loads(snakemake.params.attacks),
    outputs={Path(path).stem: Path(path) for path in snakemake.output.tables},
    examples=Path(snakemake.output.examples),
    checks=Path(snakemake.output.checks),
    cells=Path(snakemake.params.cells) / ".cells",
    seed=int(snakemake.wildcards.seed),
    n_images=snakemake.params.images,
    transfer=json.loads(snakemake.params.transfer),
    adversarials=Path(dict(snakemake.output.items()).get("adversarials", "")),
    names={name: snakemake.wildcards[name] for name in ("task", "architecture", "condition")},
)
