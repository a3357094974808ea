"""Attack one network with one semantic attack."""

import json
from pathlib import Path

from neurobust.attacks.engine.subject import Outputs, Subject
from neurobust.attacks.helpers import Helpers
from neurobust.attacks.semantic.evaluate import attack_semantic
from neurobust.attacks.semantic.plan import read_semantic
from neurobust.core.script import by_stem, run

run(
    snakemake,
    attack_semantic,
    subject=Subject.of_job(snakemake, snakemake.params.images),
    plan=read_semantic(snakemake.wildcards.semantic, json.loads(snakemake.params.settings)),
    helpers=Helpers(by_stem(snakemake.input.helpers), by_stem(snakemake.input.records)),
    outputs=Outputs(
        tables={snakemake.wildcards.semantic: Path(snakemake.output.table)},
        examples=Path(snakemake.output.examples),
        cells=Path(snakemake.params.cells) / ".cells",
    ),
)
