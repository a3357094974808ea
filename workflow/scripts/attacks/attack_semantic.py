"""Attack one network with one semantic attack."""

import json
from pathlib import Path

from neurobust.attacks.engine.subject import Outputs, Subject
from neurobust.attacks.semantic.evaluate import Auxiliary, attack_semantic
from neurobust.attacks.semantic.plan import read_semantic
from neurobust.core.script import run

run(
    snakemake,
    attack_semantic,
    subject=Subject(
        dataset=Path(snakemake.input.dataset),
        model=Path(snakemake.input.model),
        seed=int(snakemake.wildcards.seed),
        n_images=snakemake.params.images,
        names={name: snakemake.wildcards[name] for name in ("task", "architecture", "condition")},
    ),
    plan=read_semantic(snakemake.wildcards.semantic, json.loads(snakemake.params.settings)),
    auxiliary=Auxiliary(
        weights={Path(path).stem: Path(path) for path in snakemake.input.helpers},
        records=[Path(path) for path in snakemake.input.records],
    ),
    outputs=Outputs(
        tables={snakemake.wildcards.semantic: Path(snakemake.output.table)},
        examples=Path(snakemake.output.examples),
        cells=Path(snakemake.params.cells) / ".cells",
    ),
)
