"""How every auxiliary network is trained, judged and written: the shared engine, named seeds, gates beside the weights.

No auxiliary network sees a network under attack, and none has its seed: what is trained here serves every network of
the task alike, and adding one trains nothing again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.attacks.semantic.data import TRAIN, TaskImages, chunks, load_task
from neurobust.attacks.semantic.gates import Gate, all_passed
from neurobust.core.errors import InputError
from neurobust.core.io import canonical_json, load_weights, provenance, save_weights, write_json
from neurobust.core.seeding import derive_seed, numpy_rng, seed_everything
from neurobust.core.training import clear_checkpoint, pick_device, train_epochs

GENERAL = {"epochs": 10, "batch_size": 64, "learning_rate": 2e-3, "weight_decay": 1e-4, "seed": 0}


class Trainer:
    """An auxiliary network in training. A kind says its name and defaults, how it is built, its loss and its gates."""

    name = ""
    defaults: Mapping[str, Any] = {}
    attributes = False  # whether the task must have attributes

    def __init__(self, data: TaskImages, settings: Mapping[str, Any], others: Mapping[str, nn.Module]):
        self.data, self.others, self.settings = data, others, resolve_settings(self, settings)
        self.device = pick_device()
        self.seed = derive_seed("auxiliary", self.name, data.task, self.settings["seed"])
        self.rows = data.rows(TRAIN)
        seed_everything(self.seed, "network")
        self.network = self.build().to(self.device)
        steps = self.settings["epochs"] * math.ceil(len(self.rows) / self.settings["batch_size"])
        self.parts: dict[str, Any] = {"model": self.network} | self.make_optimisers(steps)

    def build(self) -> nn.Module:
        """The untrained network; it keeps the arguments that it was made with in `arguments`."""
        raise NotImplementedError

    def make_optimisers(self, steps: int) -> dict[str, Any]:
        """The network's optimiser and its schedule over so many steps."""
        optimiser = torch.optim.AdamW(
            self.network.parameters(), self.settings["learning_rate"], weight_decay=self.settings["weight_decay"]
        )
        return {"optimiser": optimiser, "schedule": torch.optim.lr_scheduler.LambdaLR(optimiser, ramp(steps))}

    def step(self, rows: np.ndarray, epoch: int) -> dict[str, float]:
        """One step of the optimiser on the images `rows`; what is worth a line in the log."""
        losses = self.losses(self.data.pixels(rows, self.device), rows, epoch)
        self.parts["optimiser"].zero_grad(set_to_none=True)
        losses["loss"].backward()
        self.parts["optimiser"].step()
        self.parts["schedule"].step()
        return {name: float(value.detach()) for name, value in losses.items()}

    def losses(self, images: Tensor, rows: np.ndarray, epoch: int) -> dict[str, Tensor]:
        """`loss`, which is minimised, and what else is logged."""
        raise NotImplementedError

    def gates(self) -> list[Gate]:
        """The gates of the trained network, measured on held-out images."""
        raise NotImplementedError

    def run_epoch(self, epoch: int) -> dict[str, float]:
        """Train one epoch; the means of what its steps log."""
        self.network.train()
        order = numpy_rng(self.seed, "order", epoch).permutation(self.rows)
        logs = [self.step(rows, epoch) for rows in chunks(order, self.settings["batch_size"]) if len(rows) > 1]
        means = {name: float(np.mean([log[name] for log in logs])) for name in logs[0]}
        if not all(math.isfinite(value) for value in means.values()):
            raise InputError(
                f"{self.name}: the loss is not finite in epoch {epoch}; lower semantic.networks's learning_rate"
            )
        return means


def resolve_settings(trainer: Trainer, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of one auxiliary network with every default filled in; an unknown key is an InputError."""
    defaults: Mapping[str, Any] = {**GENERAL, **trainer.defaults}
    unknown = sorted(set(settings) - set(defaults))
    if unknown:
        raise InputError(f"semantic.networks.{trainer.name}: unknown key '{unknown[0]}'; it takes {sorted(defaults)}")
    return {**defaults, **settings}


def ramp(steps: int):
    """Factor of the learning rate: up over the first tenth, then down to zero along a cosine."""

    def factor(step: int) -> float:
        progress = min(step / max(steps, 1), 1.0)
        return max(0.05, progress / 0.1) if progress < 0.1 else (1 + math.cos(math.pi * (progress - 0.1) / 0.9)) / 2

    return factor


def train_helper(
    name: str,
    dataset: Path,
    settings: Mapping[str, Any],
    weights: Path,
    record: Path,
    checkpoint: Path | None,
    others: Mapping[str, Path] | None = None,
) -> list[Gate]:
    """Train the auxiliary network `name` of a task; write its weights and, as JSON, its gates, history and provenance.

    `others`: weights of auxiliary networks that this one's training or gates read, by name. A killed run goes on from
    `checkpoint`. Raises InputError for settings or files that cannot be used and for a loss that is not finite.
    """
    from neurobust.attacks.semantic.kinds import TRAINERS

    kind = TRAINERS[name]
    data = load_task(Path(dataset), kind.attributes)
    paths = {name: Path(path) for name, path in (others or {}).items()}
    trainer = kind(data, settings, {name: load_auxiliary(path, name).to(pick_device()) for name, path in paths.items()})
    origin = provenance({"dataset": dataset, **paths}, params=trainer.settings, seed=trainer.settings["seed"])
    history = train_epochs(
        parts=trainer.parts,
        run_epoch=trainer.run_epoch,
        epochs=trainer.settings["epochs"],
        seed=trainer.seed,
        checkpoint=checkpoint,
        fingerprint=canonical_json({"network": kind.name, **origin}),
        label=f"{kind.name} of {data.task}",
    )
    trainer.network.eval().requires_grad_(False)
    gates = trainer.gates()
    config = {"auxiliary": kind.name, "arguments": trainer.network.arguments, "task": data.task, "provenance": origin}
    save_weights(weights, trainer.network.state_dict(), config)
    write_json(record, {
        "network": kind.name, "task": data.task, "gates": gates, "passed": all_passed(gates), "history": history,
        "parameters": sum(p.numel() for p in trainer.network.parameters()), "provenance": origin,
    })  # fmt: skip
    clear_checkpoint(checkpoint)
    return gates


def load_auxiliary(path: Path, name: str) -> nn.Module:
    """Read the auxiliary network `name`: eval mode, frozen, on the CPU. Raises InputError if the file is none."""
    from neurobust.attacks.semantic.kinds import NETWORKS

    state, config = load_weights(path)
    if config.get("auxiliary") != name:
        raise InputError(
            f"{path}: holds the network {config.get('auxiliary')!r}, not '{name}'; delete it and run again"
        )
    try:
        with torch.random.fork_rng(devices=[]):
            network = NETWORKS[name](**config["arguments"])
        network.load_state_dict(state)
    except (KeyError, TypeError, RuntimeError) as error:
        text = " ".join(str(error).split())
        raise InputError(f"{path}: not the weights of a {name} ({text}); delete it and run again") from error
    return network.eval().requires_grad_(False)
