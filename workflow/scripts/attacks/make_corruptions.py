"""Corrupt a task's test images."""

import json
from pathlib import Path

from neurobust.attacks.corruptions.make import make_corruptions
from neurobust.attacks.corruptions.settings import Corruptions
from neurobust.core.script import run
from neurobust.core.settings import read

run(
    snakemake,
    make_corruptions,
    dataset=Path(snakemake.input.dataset),
    settings=read(Corruptions, json.loads(snakemake.params.settings), "corruptions"),
    output=Path(snakemake.output.corruptions),
)
