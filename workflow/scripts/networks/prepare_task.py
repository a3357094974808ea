"""Write the images, labels and splits of a task."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.networks.tasks import prepare_task

run(
    snakemake,
    prepare_task,
    task=snakemake.wildcards.task,
    spec=json.loads(snakemake.params.spec),
    output=Path(snakemake.output.dataset),
    source=Path(snakemake.params.source) if snakemake.params.source else None,
)
