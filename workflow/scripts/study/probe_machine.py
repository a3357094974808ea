"""Time half a minute of a study's work on the machine that this job was sent to."""

import json
from pathlib import Path

import torch

from neurobust.attacks.probe import pass_seconds
from neurobust.core.script import run
from neurobust.networks.probe import fresh_network, training_seconds
from neurobust.predictors.probe import gnet_seconds, untrained_gnet
from neurobust.study.probe import Stopwatch, probe_machine
from neurobust.study.read import read_study

run(
    snakemake,
    probe_machine,
    study=read_study(json.loads(snakemake.params.config)),
    timed=Stopwatch(
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "a CPU",
        training=training_seconds,
        network=fresh_network,
        write_gnet=untrained_gnet,
        gnet=gnet_seconds,
        passes=pass_seconds,
    ),
    output=Path(snakemake.output.probe),
)
