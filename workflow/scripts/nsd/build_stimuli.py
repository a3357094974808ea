"""Resize the images that a subject saw, once for all predictors."""

from pathlib import Path

from neurobust.core.script import run
from neurobust.nsd.stimuli import build_stimuli

run(
    snakemake,
    build_stimuli,
    root=snakemake.params.root,
    subject=snakemake.wildcards.subject,
    n_sessions=snakemake.params.sessions,
    size=int(snakemake.wildcards.size),
    source=Path(snakemake.input.images),
    output=Path(snakemake.output.images),
)
