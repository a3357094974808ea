"""What the predictor of one ROI sees: a table per analysis."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.explain.predictor import explain_predictor, predictor_files

run(
    snakemake,
    explain_predictor,
    files=predictor_files(snakemake.params.rois, snakemake.input),
    roi=snakemake.wildcards.roi,
    analyses=json.loads(snakemake.params.analyses),
    most=snakemake.params.images,
    seed=int(snakemake.wildcards.seed),
    folder=Path(snakemake.params.folder),
)
