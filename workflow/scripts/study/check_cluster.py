"""Print whether the machine that jobs run on, and this one that submits them, can run the study."""

from pathlib import Path

from neurobust.core.script import run
from neurobust.study.preflight import check_cluster

run(
    snakemake,
    check_cluster,
    machine=Path(snakemake.input.machine),
    status=snakemake.params.status,
    first_check=snakemake.params.first_check,
    output=Path(snakemake.output.table),
)
