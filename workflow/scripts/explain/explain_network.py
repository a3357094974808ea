"""What guidance changed in one network: a table per analysis."""

import json
from pathlib import Path

from neurobust.core.script import run
from neurobust.explain.network import compared_files, explain_network

run(
    snakemake,
    explain_network,
    dataset=Path(snakemake.input.dataset),
    model=Path(snakemake.input.model),
    compared=compared_files(snakemake.params.rois, snakemake.input),
    analyses=json.loads(snakemake.params.analyses),
    n_images=snakemake.params.images,
    seed=int(snakemake.wildcards.seed),
    folder=Path(snakemake.params.folder),
)
