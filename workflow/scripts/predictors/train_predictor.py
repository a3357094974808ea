"""Train one predictor of one ROI on all subjects."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.predictors.registry import read_predictor
from neurobust.predictors.train import Outputs, train_predictor

run(
    snakemake,
    train_predictor,
    rois=[Path(path) for path in snakemake.input.rois],
    stimuli=[Path(path) for path in snakemake.input.stimuli],
    settings=read_predictor(snakemake.wildcards.predictor, json.loads(snakemake.params.settings)),
    seed=int(snakemake.wildcards.seed),
    outputs=Outputs(
        model=Path(snakemake.output.model),
        metrics=Path(snakemake.output.metrics),
        voxels=Path(snakemake.output.voxels),
        checkpoint=Path(snakemake.params.checkpoint) / ".checkpoint.pt",
    ),
)
