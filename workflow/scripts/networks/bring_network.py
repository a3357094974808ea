"""Bring one network that others trained."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.core.settings import read
from neurobust.networks.outside import bring_network
from neurobust.networks.outside_settings import OutsideNetwork

run(
    snakemake,
    bring_network,
    dataset=Path(snakemake.input.dataset),
    wanted=read(OutsideNetwork, json.loads(snakemake.params.settings), "outside"),
    name=snakemake.wildcards.condition,
    output=Path(snakemake.output.model),
    metrics=Path(snakemake.output.metrics),
)
