"""Time half a minute of a study's work on the machine that this job was sent to."""

import json
from pathlib import Path

import torch

from neurobust.attacks.probe import pass_seconds
from neurobust.core.script import run
from neurobust.core.timing import age, digest_seconds
from neurobust.core.training import pick_device, readers
from neurobust.networks.probe import fresh_network, reader_seconds, training_seconds
from neurobust.predictors.probe import gnet_seconds, untrained_gnet
from neurobust.study.probe import Node, Stopwatch, probe_machine
from neurobust.study.read import read_study

device = torch.zeros(1, device=pick_device()).device  # a GPU is ready from here on
run(
    snakemake,
    probe_machine,
    study=read_study(json.loads(snakemake.params.config)),
    timed=Stopwatch(
        node=Node(
            device=torch.cuda.get_device_name() if device.type == "cuda" else "a CPU",
            start=age(),
            threads=readers(device),
            memory=torch.cuda.mem_get_info()[0] if device.type == "cuda" else 0,
        ),
        training=training_seconds,
        network=fresh_network,
        write_gnet=untrained_gnet,
        gnet=gnet_seconds,
        passes=pass_seconds,
        reader=reader_seconds,
        digest=digest_seconds,
    ),
    output=Path(snakemake.output.probe),
)
