"""Show one network a published test set."""

from pathlib import Path

from neurobust.attacks.shifted.evaluate import classify_shifted
from neurobust.core.script import run

run(
    snakemake,
    classify_shifted,
    dataset=Path(snakemake.input.dataset),
    model=Path(snakemake.input.model),
    shifted=Path(snakemake.input.shifted),
    output=Path(snakemake.output.table),
    names={name: snakemake.wildcards[name] for name in ("task", "architecture", "condition")}
    | {"seed": int(snakemake.wildcards.seed)},
)
