"""Write the images, labels and splits of a task."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.networks.registry import read_task
from neurobust.networks.tasks.prepare import prepare_task

run(
    snakemake,
    prepare_task,
    task=snakemake.wildcards.task,
    settings=read_task(json.loads(snakemake.params.spec), f"tasks.{snakemake.wildcards.task}"),
    output=Path(snakemake.output.dataset),
    source=Path(snakemake.params.source) if snakemake.params.source else None,
)
