"""Show one network the semantic adversarials of an undefended one."""

import json
from pathlib import Path

from neurobust.attacks.engine.subject import Subject
from neurobust.attacks.semantic.plan import read_semantic
from neurobust.attacks.semantic.transfer import meet_adversarials, surely
from neurobust.attacks.semantic.transfer_settings import SemanticTransfer
from neurobust.core.script import run
from neurobust.core.settings import read

run(
    snakemake,
    meet_adversarials,
    subject=Subject.of_job(snakemake, 0),
    plan=surely(
        read_semantic(snakemake.wildcards.semantic, json.loads(snakemake.params.settings)),
        read(SemanticTransfer, json.loads(snakemake.params.transfer), "semantic.transfer"),
    ),
    adversarials=Path(snakemake.input.adversarials),
    source=tuple(snakemake.params.source),
    output=Path(snakemake.output.table),
)
