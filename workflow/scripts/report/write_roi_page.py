"""Write the page of one ROI."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.report.page import write_roi_page
from neurobust.study.read import read_study

run(
    snakemake,
    write_roi_page,
    study=read_study(json.loads(snakemake.params.study)),
    roi=snakemake.wildcards.roi,
    output=Path(snakemake.output.page),
)
