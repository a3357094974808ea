"""Write the voxel table of a predictor as NIfTI volumes, one per subject and measure."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.predictors.maps import map_voxels

run(
    snakemake,
    map_voxels,
    voxels=Path(snakemake.input.voxels),
    rois=[Path(path) for path in snakemake.input.rois],
    measures=json.loads(snakemake.params.measures),
    folder=Path(snakemake.output[0]).parent,
)
