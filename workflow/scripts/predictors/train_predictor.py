"""Train one predictor of one ROI on all subjects."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.predictors.train import train_predictor

run(
    snakemake,
    train_predictor,
    rois=[Path(path) for path in snakemake.input.rois],
    stimuli=[Path(path) for path in snakemake.input.stimuli],
    settings=json.loads(snakemake.params.settings),
    seed=int(snakemake.wildcards.seed),
    model=Path(snakemake.output.model),
    metrics=Path(snakemake.output.metrics),
    voxels=Path(snakemake.output.voxels),
    checkpoint=Path(snakemake.params.checkpoint) / ".checkpoint.pt",
)
