"""Attack one network as a verifier of faces."""

import json
from pathlib import Path

from neurobust.attacks.engine.subject import Outputs, Subject
from neurobust.attacks.semantic.evaluate import Auxiliary
from neurobust.attacks.semantic.verification_settings import read_verification
from neurobust.attacks.semantic.verify_faces import NAME, attack_verification
from neurobust.core.script import run

plan = read_verification(json.loads(snakemake.params.settings))

run(
    snakemake,
    attack_verification,
    subject=Subject(
        dataset=Path(snakemake.input.dataset),
        model=Path(snakemake.input.model),
        seed=int(snakemake.wildcards.seed),
        n_images=plan.settings.pairs,
        names={name: snakemake.wildcards[name] for name in ("task", "architecture", "condition")},
    ),
    plan=plan,
    auxiliary=Auxiliary(
        weights={Path(path).stem: Path(path) for path in snakemake.input.helpers},
        records=[Path(path) for path in snakemake.input.records],
    ),
    outputs=Outputs(
        tables={NAME: Path(snakemake.output.table)},
        examples=Path(snakemake.output.examples),
        cells=Path(snakemake.params.cells) / ".cells",
    ),
)
