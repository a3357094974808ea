"""Bring a published test set to a task."""

import json
from pathlib import Path

from neurobust.attacks.shifted.make import prepare_shifted
from neurobust.attacks.shifted.settings import ShiftedSet
from neurobust.core.script import run
from neurobust.core.settings import read

run(
    snakemake,
    prepare_shifted,
    dataset=Path(snakemake.input.dataset),
    settings=read(ShiftedSet, json.loads(snakemake.params.settings), "shifted"),
    resize=json.loads(snakemake.params.resize),
    output=Path(snakemake.output.shifted),
)
