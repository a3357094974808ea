"""Check the machine that this job was sent to."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.study.jobs import disk_bytes
from neurobust.study.preflight import check_machine
from neurobust.study.read import read_study

study = read_study(json.loads(snakemake.params.config))
run(
    snakemake,
    check_machine,
    study=study,
    need=disk_bytes(study),
    lock=Path(snakemake.params.lock),
    output=Path(snakemake.output.machine),
)
