"""Training of one network: cross-entropy, and the pull of its features towards a target.

    L = (1 - w) CE(head(f), label) + w loss(neural_head(f) or f, target)        (Shao et al. 2024)

The condition `none` has the same L without its second term: the same CE weight, optimiser and random streams. It is bit
for bit what a condition gives whose neural gradient is zero. A reference has another first term, other images or a
filter, and no second term.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pandas as pd
from msgspec.structs import replace

from neurobust.core.architecture_names import check_architecture
from neurobust.core.io import canonical_json, provenance, save_weights
from neurobust.core.settings import written
from neurobust.core.training import clear_checkpoint, train_epochs
from neurobust.files.dataset import read_dataset
from neurobust.files.network_history import write_history
from neurobust.files.network_metrics import write_metrics
from neurobust.networks.architectures import ARCHITECTURES
from neurobust.networks.conditions import Recipe
from neurobust.networks.inputs import NetworkInputs, NetworkOutputs
from neurobust.networks.stores import SHARE
from neurobust.networks.trainer import Trainer


def train_network(
    inputs: NetworkInputs,
    recipe: Recipe,
    seed: int,
    outputs: NetworkOutputs,
    names: Mapping[str, Any],
    eval_batch: int = 256,
    share: float = SHARE,
) -> None:
    """Train one network of a task and write its weights, its metrics and its history (one row per epoch).

    `names` (task, architecture, condition) go into the metrics as they are. A killed run goes on from the checkpoint,
    which is removed at the end. `eval_batch` images bound the memory of evaluation; `share` of a GPU's free memory may
    be taken by the task's images. Neither changes a number. Raises InputError for a recipe, dataset or predictor that
    cannot be used, and if the loss is no longer finite.
    """
    start = time.monotonic()
    check_architecture(recipe.architecture, recipe.stem, recipe.pretrained, "recipe", sorted(ARCHITECTURES))
    data = read_dataset(inputs.dataset)
    inputs.check(recipe.condition)
    record = provenance(inputs.by_name(), params=written(recipe), seed=seed)
    trainer = Trainer(inputs, data, recipe, seed, eval_batch, share)
    prepared = time.monotonic() - start
    rows = train_epochs(
        parts={"model": trainer.network, "optimiser": trainer.optimiser, "schedule": trainer.schedule},
        run_epoch=trainer.run_epoch,
        epochs=recipe.training.epochs,
        seed=seed,
        checkpoint=outputs.checkpoint,
        fingerprint=canonical_json(record),
        label=f"{names.get('condition', 'network')} seed{seed}",
    )
    network = trainer.network
    made = {**names, "seed": seed, "provenance": record}
    # over all sessions of a resumed run: the time of each epoch travels with the checkpoint
    seconds = prepared + sum(row["seconds"] for row in rows)
    rebuild = {
        "architecture": recipe.architecture,
        "stem": recipe.stem,
        "num_classes": len(data.classes),
        "image_size": data.side,
        "classes": data.classes,
        "mean": network.mean.flatten().tolist(),
        "std": network.std.flatten().tolist(),
    }
    if network.low_pass is not None:
        rebuild["low_pass"] = network.low_pass.cutoff
    metrics = replace(trainer.summary(), **made, seconds=seconds)
    save_weights(outputs.model, network.state_dict(), {**rebuild, **made})
    # without the time that each epoch took: the same inputs give the same bytes
    write_history(outputs.history, pd.DataFrame(rows).drop(columns="seconds"), made)
    write_metrics(outputs.metrics, metrics)
    clear_checkpoint(outputs.checkpoint)
