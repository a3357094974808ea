"""Train one auxiliary network of a task."""

import json
from pathlib import Path

from neurobust.attacks.semantic.fit import train_helper
from neurobust.attacks.semantic.plan import read_helper
from neurobust.core.script import by_stem, run

run(
    snakemake,
    train_helper,
    name=snakemake.wildcards.helper,
    dataset=Path(snakemake.input.dataset),
    settings=read_helper(snakemake.wildcards.helper, json.loads(snakemake.params.settings)),
    weights=Path(snakemake.output.weights),
    record=Path(snakemake.output.record),
    checkpoint=Path(snakemake.params.checkpoint) / f".{snakemake.wildcards.helper}.checkpoint.pt",
    others=by_stem(snakemake.input.others),
)
