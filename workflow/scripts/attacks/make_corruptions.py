"""Corrupt a task's test images."""

import json
from pathlib import Path

from neurobust.attacks.corruptions.files import make_corruptions
from neurobust.core.script import run

run(
    snakemake,
    make_corruptions,
    dataset=Path(snakemake.input.dataset),
    settings=json.loads(snakemake.params.settings),
    output=Path(snakemake.output.corruptions),
)
