"""Cut one ROI out of a subject's betas: responses, repeats, split and noise ceilings."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.nsd.responses import extract_roi

run(
    snakemake,
    extract_roi,
    root=Path(snakemake.params.root),
    betas=Path(snakemake.input.betas),
    subject=snakemake.wildcards.subject,
    roi=snakemake.wildcards.roi,
    spec=json.loads(snakemake.params.spec),
    splits=json.loads(snakemake.params.splits),
    output=Path(snakemake.output.roi),
)
