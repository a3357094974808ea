"""COCO's categories of every NSD image, inside the crop that subjects saw."""

from pathlib import Path

from neurobust.core.script import run
from neurobust.nsd.coco import build_labels

run(
    snakemake,
    build_labels,
    stim_info=Path(snakemake.input.table),
    annotations=Path(snakemake.input.annotations),
    output=Path(snakemake.output.labels),
)
