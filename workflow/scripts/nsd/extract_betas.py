"""Read every labelled visual voxel of a subject from its sessions, once."""

from pathlib import Path

from neurobust.core.script import run
from neurobust.nsd.extract import extract_betas

run(
    snakemake,
    extract_betas,
    root=snakemake.params.root,
    subject=snakemake.wildcards.subject,
    n_sessions=snakemake.params.sessions,
    betas=[Path(path) for path in snakemake.input.betas],
    output=Path(snakemake.output.betas),
    workers=snakemake.threads,
    results=Path(snakemake.output.betas).parents[2],
)
