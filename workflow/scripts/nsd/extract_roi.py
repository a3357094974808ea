"""Cut one ROI out of a subject's betas: responses, repeats, split and noise ceilings."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.core.settings import read
from neurobust.nsd.responses import extract_roi
from neurobust.nsd.settings import ROI, StudySplits

run(
    snakemake,
    extract_roi,
    root=snakemake.params.root,
    betas=Path(snakemake.input.betas),
    subject=snakemake.wildcards.subject,
    roi=snakemake.wildcards.roi,
    spec=read(ROI, json.loads(snakemake.params.spec), f"rois.{snakemake.wildcards.roi}"),
    splits=read(StudySplits, json.loads(snakemake.params.splits), "splits"),
    output=Path(snakemake.output.roi),
)
