"""Auxiliary networks from settings to files: trained, judged by their gates, written, and read again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from neurobust.attacks.semantic.data import read_task
from neurobust.attacks.semantic.description import Helper
from neurobust.attacks.semantic.registry import HELPERS
from neurobust.core.errors import InputError
from neurobust.core.io import canonical_json, load_weights, provenance, save_weights
from neurobust.core.places import load
from neurobust.core.settings import written
from neurobust.core.training import clear_checkpoint, pick_device, train_epochs
from neurobust.files.auxiliary import AuxiliaryRecord, Gate, all_passed, write_auxiliary_record

if TYPE_CHECKING:
    from neurobust.attacks.semantic.trainer import Trainer


def train_helper(
    name: str,
    dataset: Path,
    settings: Helper,
    weights: Path,
    record: Path,
    checkpoint: Path | None,
    others: Mapping[str, Path] | None = None,
) -> list[Gate]:
    """Train the auxiliary network `name` of a task; write its weights and, as JSON, its gates, history and provenance.

    `others`: weights of auxiliary networks that this one's training or gates read, by name. A killed run goes on from
    `checkpoint`. Raises InputError for files that cannot be used and for a loss that is not finite.
    """
    data, device = read_task(dataset, settings.attributes), pick_device()
    paths = dict(others or {})
    read = {other: load_auxiliary(path, other).to(device) for other, path in paths.items()}
    trainer: Trainer[Any, Any] = cast(Any, load(settings.trainer))(name, data, settings, read)
    origin = provenance({"dataset": dataset, **paths}, params=written(settings), seed=settings.seed)
    history = train_epochs(
        parts=trainer.parts,
        run_epoch=trainer.run_epoch,
        epochs=settings.epochs,
        seed=trainer.seed,
        checkpoint=checkpoint,
        fingerprint=canonical_json({"network": name, **origin}),
        label=f"{name} of {data.task}",
    )
    trainer.network.eval().requires_grad_(False)
    gates = trainer.gates()
    config = {"auxiliary": name, "arguments": trainer.network.arguments, "task": data.task, "provenance": origin}
    save_weights(weights, trainer.network.state_dict(), config)
    write_auxiliary_record(record, AuxiliaryRecord(
        network=name, task=data.task, gates=gates, passed=all_passed(gates), history=history,
        parameters=sum(p.numel() for p in trainer.network.parameters()), provenance=origin,
    ))  # fmt: skip
    clear_checkpoint(checkpoint)
    return gates


def load_auxiliary(path: Path, name: str) -> nn.Module:
    """Read the auxiliary network `name`: eval mode, frozen, on the CPU. Raises InputError if the file is none."""
    state, config = load_weights(path)
    if config.get("auxiliary") != name:
        raise InputError(
            f"{path}: holds the network {config.get('auxiliary')!r}, not '{name}'; delete it and run again"
        )
    try:
        with torch.random.fork_rng(devices=[]):
            network: nn.Module = cast(Any, load(HELPERS[name].network))(**config["arguments"])
        network.load_state_dict(state)
    except (KeyError, TypeError, RuntimeError) as error:
        text = " ".join(str(error).split())
        raise InputError(f"{path}: not the weights of a {name} ({text}); delete it and run again") from error
    return network.eval().requires_grad_(False)
