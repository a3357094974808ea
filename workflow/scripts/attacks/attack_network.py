"""Attack one network with every configured attack."""

import json
from pathlib import Path

from neurobust.attacks.engine.subject import Subject
from neurobust.attacks.evaluate import NetworkOutputs, attack_network
from neurobust.attacks.helpers import Helpers
from neurobust.attacks.plan import read_plans
from neurobust.attacks.transfer_settings import Transfer
from neurobust.core.script import run
from neurobust.core.settings import read

transfer = json.loads(snakemake.params.transfer)
run(
    snakemake,
    attack_network,
    subject=Subject(
        dataset=Path(snakemake.input.dataset),
        model=Path(snakemake.input.model),
        seed=int(snakemake.wildcards.seed),
        n_images=snakemake.params.images,
        names={name: snakemake.wildcards[name] for name in ("task", "architecture", "condition")},
    ),
    plans=read_plans(json.loads(snakemake.params.attacks)),
    outputs=NetworkOutputs(
        tables={Path(path).stem: Path(path) for path in snakemake.output.tables},
        examples=Path(snakemake.output.examples),
        checks=Path(snakemake.output.checks),
        cells=Path(snakemake.params.cells) / ".cells",
        adversarials=Path(snakemake.output.adversarials) if transfer else None,
    ),
    twin=Path(snakemake.input.twin[0]) if snakemake.input.twin else None,
    helpers=Helpers(
        weights={Path(path).stem: Path(path) for path in snakemake.input.helpers},
        records={Path(path).stem: Path(path) for path in snakemake.input.records},
    ),
    transfer=read(Transfer, transfer, "transfer") if transfer else None,
)
