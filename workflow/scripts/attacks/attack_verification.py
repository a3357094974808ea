"""Attack one network as a verifier of faces."""

import json
from pathlib import Path

from neurobust.attacks.engine.subject import Outputs, Subject
from neurobust.attacks.helpers import Helpers
from neurobust.attacks.semantic.verification_settings import read_verification
from neurobust.attacks.semantic.verify_faces import NAME, attack_verification
from neurobust.core.script import by_stem, run

plan = read_verification(json.loads(snakemake.params.settings))

run(
    snakemake,
    attack_verification,
    subject=Subject.of_job(snakemake, plan.settings.pairs),
    plan=plan,
    helpers=Helpers(by_stem(snakemake.input.helpers), by_stem(snakemake.input.records)),
    outputs=Outputs(
        tables={NAME: Path(snakemake.output.table)},
        examples=Path(snakemake.output.examples),
        cells=Path(snakemake.params.cells) / ".cells",
    ),
)
