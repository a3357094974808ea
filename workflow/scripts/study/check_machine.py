"""Check the machine that this job was sent to."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.study.jobs import disk_bytes
from neurobust.study.preflight import check_machine

config = json.loads(snakemake.params.config)
run(
    snakemake,
    check_machine,
    config=config,
    need=disk_bytes(config),
    lock=Path(snakemake.params.lock),
    output=Path(snakemake.output.machine),
)
