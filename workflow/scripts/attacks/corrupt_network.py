"""Show one network its task's corrupted images."""

from pathlib import Path

from neurobust.attacks.corruptions.evaluate import corrupt_network
from neurobust.core.script import run

run(
    snakemake,
    corrupt_network,
    dataset=Path(snakemake.input.dataset),
    model=Path(snakemake.input.model),
    corruptions=Path(snakemake.input.corruptions),
    output=Path(snakemake.output.table),
    names={name: snakemake.wildcards[name] for name in ("task", "architecture", "condition")}
    | {"seed": int(snakemake.wildcards.seed)},
)
