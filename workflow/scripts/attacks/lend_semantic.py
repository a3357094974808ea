"""Make the semantic adversarials of one undefended network, for the others."""

import json
from pathlib import Path

from neurobust.attacks.engine.subject import Subject
from neurobust.attacks.helpers import Helpers
from neurobust.attacks.semantic.plan import read_semantic
from neurobust.attacks.semantic.transfer import LentOutputs, lend_adversarials
from neurobust.attacks.semantic.transfer_settings import SemanticTransfer
from neurobust.core.script import by_stem, run
from neurobust.core.settings import read

run(
    snakemake,
    lend_adversarials,
    subject=Subject.of_job(snakemake, snakemake.params.images),
    plan=read_semantic(snakemake.wildcards.semantic, json.loads(snakemake.params.settings)),
    transfer=read(SemanticTransfer, json.loads(snakemake.params.transfer), "semantic.transfer"),
    helpers=Helpers(by_stem(snakemake.input.helpers), {}),
    outputs=LentOutputs(
        adversarials=Path(snakemake.output.adversarials),
        pictures=Path(snakemake.output.pictures),
        cells=Path(snakemake.params.cells) / ".cells",
    ),
)
