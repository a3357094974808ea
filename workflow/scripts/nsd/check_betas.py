"""Ask whether the betas of a subject are its own, in their place and in their order."""

from pathlib import Path

from neurobust.core.script import run
from neurobust.nsd.quality import check_subject

run(
    snakemake,
    check_subject,
    root=snakemake.params.root,
    betas=Path(snakemake.input.betas),
    subject=snakemake.wildcards.subject,
    output=Path(snakemake.output.quality),
)
