"""Measure what regularisation changed inside one network."""

from pathlib import Path

from neurobust.core.script import run
from neurobust.explain.network import explain_network

run(
    snakemake,
    explain_network,
    dataset=Path(snakemake.input.dataset),
    model=Path(snakemake.input.model),
    predictors=dict(zip(snakemake.params.rois, map(Path, snakemake.input.predictors), strict=True)),
    n_images=snakemake.params.images,
    seed=int(snakemake.wildcards.seed),
    output=Path(snakemake.output.inside),
)
