"""The training loop that predictors and networks share: resumable epochs, seeded per epoch.

Each epoch draws its random numbers from (seed, epoch) alone, so a run that is killed and resumed at an epoch
boundary ends with the same weights, bit for bit, as one that was not.
"""

from __future__ import annotations

import io
import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypedDict

import torch

from neurobust.core import deadline
from neurobust.core.errors import InputError
from neurobust.core.io import replacing
from neurobust.core.progress import Progress
from neurobust.core.seeding import seed_everything

MOST_READERS = 8

logger = logging.getLogger("neurobust")


class Stateful(Protocol):
    """What a checkpoint keeps: a module, an optimiser, a schedule."""

    def state_dict(self) -> Any:
        """Its state, tensors and numbers by name."""

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Take a state up."""


class Best(TypedDict):
    """The best epoch so far: its number (-1: none), its score, and the model's state then."""

    epoch: int
    value: float
    state: dict[str, torch.Tensor] | None


class Checkpoint(TypedDict):
    """A training between two epochs: of which settings and inputs, the state of each part, and a record per epoch."""

    fingerprint: str
    parts: Mapping[str, object]
    history: list[dict[str, float]]
    best: Best


def pick_device() -> torch.device:
    """The first CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def readers(device: torch.device) -> int:
    """How many threads read for a device: the CPUs of this job for a GPU, at most 8; else what torch computes with."""
    if device.type == "cuda":
        return min(MOST_READERS, len(os.sched_getaffinity(0)))
    return torch.get_num_threads()


def save_checkpoint(path: Path, state: Checkpoint) -> None:
    """Write a checkpoint atomically; the one before it is kept as `<name>.previous`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(state, buffer)  # into memory: its own file writer hides a full disk behind another error
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
        if path.exists():
            path.replace(path.with_name(path.name + ".previous"))


def load_checkpoint(path: Path) -> Checkpoint | None:
    """Read the newest readable checkpoint (this one, else the previous one), or None. Never unpickles objects."""
    for candidate in (path, path.with_name(path.name + ".previous")):
        if not candidate.exists():
            continue
        try:
            state: Checkpoint = torch.load(candidate, map_location="cpu", weights_only=True)
            return state
        except Exception as error:
            logger.warning("%s: unreadable checkpoint (%s), passed over", candidate, error)
    return None


def finite_loss(loss: float, label: str) -> float:
    """The loss of a batch or an epoch; InputError where it is not finite."""
    if not math.isfinite(loss):
        raise InputError(f"{label}: the loss is {loss}; lower learning_rate, or look at the data that it is fitted to")
    return loss


def take_up(checkpoint: Path | None, fingerprint: str) -> Checkpoint | None:
    """The state that a training goes on from: of the same settings and inputs, and with losses that are all finite."""
    saved = load_checkpoint(checkpoint) if checkpoint else None
    if saved is None or saved["fingerprint"] != fingerprint:
        return None
    if not all(math.isfinite(row.get("loss", 0.0)) for row in saved["history"]):
        logger.warning("%s: a checkpoint whose loss is not finite, passed over", checkpoint)
        return None
    return saved


@dataclass(frozen=True)
class KeepBest:
    """Which epoch's state is kept: the one with the highest metric `score`. Training stops after `patience` epochs
    without a better one; None: never."""

    score: str
    patience: int | None = None


def train_epochs(
    *,
    parts: Mapping[str, Stateful],
    run_epoch: Callable[[int], dict[str, float]],
    epochs: int,
    seed: int,
    checkpoint: Path | None,
    fingerprint: str,
    label: str,
    keep: KeepBest | None = None,
) -> list[dict[str, float]]:
    """Run `run_epoch(epoch) -> metrics` for every epoch; return the history, one dict per epoch.

    `parts` are what a checkpoint keeps, `model` among them. With `checkpoint`, the state is
    saved after each epoch and taken up again if its `fingerprint` (settings and inputs) is the same. With `keep` the
    model's best state is restored at the end; without, its last one stays. Checkpoints must lie outside the declared
    outputs: Snakemake deletes those on retry.
    With `checkpoint`, deadline.OutOfTime is raised before an epoch that the job's time limit leaves no room for.
    InputError ends the training at an epoch whose `loss` is not finite, as does one that `run_epoch` raises (better, at
    the batch); no checkpoint is left then, from which a retry would fail alike.
    """
    history: list[dict[str, float]] = []
    best: Best = {"epoch": -1, "value": float("-inf"), "state": None}
    saved = take_up(checkpoint, fingerprint)
    if saved is not None:
        for name, part in parts.items():
            part.load_state_dict(saved["parts"][name])
        history, best = saved["history"], saved["best"]
        logger.info("%s: resumed after epoch %d from %s", label, len(history), checkpoint)
    progress = Progress(epochs, label, done=len(history))
    for epoch in range(len(history), epochs):
        if keep and keep.patience is not None and epoch - best["epoch"] > keep.patience and best["epoch"] >= 0:
            logger.info("%s: no better %s for %d epochs, stopped after %d", label, keep.score, keep.patience, epoch)
            break
        if checkpoint:
            deadline.check()
        seed_everything(seed, "epoch", epoch)
        start = time.monotonic()
        try:
            metrics = run_epoch(epoch)
            finite_loss(metrics.get("loss", 0.0), f"{label}, epoch {epoch}")
        except InputError:
            clear_checkpoint(checkpoint)
            raise
        history.append({"epoch": epoch, **metrics})
        if keep and metrics[keep.score] > best["value"]:
            state = {key: value.clone() for key, value in parts["model"].state_dict().items()}
            best = {"epoch": epoch, "value": metrics[keep.score], "state": state}
        if checkpoint:
            states = {name: part.state_dict() for name, part in parts.items()}
            save_checkpoint(checkpoint, {"fingerprint": fingerprint, "parts": states, "history": history, "best": best})
        note = ", ".join(f"{key} {value:.4g}" for key, value in metrics.items())
        progress.step(note=f"{note}, {time.monotonic() - start:.1f} s/epoch")
    if best["state"] is not None:
        parts["model"].load_state_dict(best["state"])
    return history


def clear_checkpoint(path: Path | None) -> None:
    """Remove a checkpoint and its predecessor once the outputs that it led to are in place."""
    if path is not None:
        path.unlink(missing_ok=True)
        path.with_name(path.name + ".previous").unlink(missing_ok=True)
