"""Attack one network with every configured attack."""

import json
from pathlib import Path

from neurobust.attacks.engine.subject import Subject
from neurobust.attacks.evaluate import NetworkOutputs, attack_network
from neurobust.attacks.helpers import Helpers
from neurobust.attacks.plan import read_plans
from neurobust.attacks.transfer_settings import Transfer
from neurobust.core.script import by_stem, run
from neurobust.core.settings import read

transfer = json.loads(snakemake.params.transfer)
run(
    snakemake,
    attack_network,
    subject=Subject.of_job(snakemake, snakemake.params.images),
    plans=read_plans(json.loads(snakemake.params.attacks)),
    outputs=NetworkOutputs(
        tables=by_stem(snakemake.output.tables),
        examples=Path(snakemake.output.examples),
        checks=Path(snakemake.output.checks),
        cells=Path(snakemake.params.cells) / ".cells",
        adversarials=Path(snakemake.output.adversarials) if transfer else None,
    ),
    twin=Path(snakemake.input.twin[0]) if snakemake.input.twin else None,
    helpers=Helpers(by_stem(snakemake.input.helpers), by_stem(snakemake.input.records)),
    transfer=read(Transfer, transfer, "transfer") if transfer else None,
)
