"""How every auxiliary network learns: a kind says how it is built, its loss and its gates.

No auxiliary network sees a network under attack, and none has its seed: what is trained here serves every network of
the task alike, and adding one trains nothing again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.attacks.images import chunks, to_batch, to_codes, to_labels
from neurobust.attacks.semantic.description import Helper
from neurobust.core.errors import InputError
from neurobust.core.seeding import derive_seed, numpy_rng, seed_everything
from neurobust.core.training import Stateful, pick_device
from neurobust.files.auxiliary import Gate
from neurobust.files.dataset import Dataset
from neurobust.files.splits import TRAIN

N = TypeVar("N", bound=nn.Module)
S = TypeVar("S", bound=Helper)


@dataclass(frozen=True)
class Descent:
    """An optimiser and the schedule of its learning rate."""

    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler

    def step(self, loss: Tensor) -> None:
        """One step down the loss."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.schedule.step()


class Trainer(Generic[N, S]):
    """The auxiliary network `name` of a task in training, with its settings and the other networks that it reads."""

    def __init__(self, name: str, data: Dataset, settings: S, others: Mapping[str, nn.Module]):
        self.name, self.data, self.others, self.settings = name, data, others, settings
        self.device = pick_device()
        self.seed = derive_seed("auxiliary", name, data.task, settings.seed)
        self.rows = data.rows(TRAIN)
        seed_everything(self.seed, "network")
        self.network = self.build().to(self.device)
        steps = settings.epochs * math.ceil(len(self.rows) / settings.batch_size)
        self.descents = self.make_optimisers(steps)

    def build(self) -> N:
        """The untrained network; it keeps the arguments that it was made with in `arguments`."""
        raise NotImplementedError

    @property
    def parts(self) -> dict[str, Stateful]:
        """All that a checkpoint keeps, by name."""
        found: dict[str, Stateful] = {"model": self.network, **self.beside}
        for name, descent in self.descents.items():
            found |= {f"{name} optimiser".strip(): descent.optimiser, f"{name} schedule".strip(): descent.schedule}
        return found

    @property
    def beside(self) -> Mapping[str, nn.Module]:
        """Networks that are trained beside it and not kept, by name."""
        return {}

    def make_optimisers(self, steps: int) -> dict[str, Descent]:
        """The network's optimiser and its schedule over this many steps, under no name; of several each has one."""
        optimiser = torch.optim.AdamW(
            self.network.parameters(), self.settings.learning_rate, weight_decay=self.settings.weight_decay
        )
        return {"": Descent(optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, ramp(steps)))}

    def step(self, rows: np.ndarray, epoch: int) -> dict[str, Tensor]:
        """One step of the optimiser on the images `rows`; what is worth a line in the log, still on the device."""
        losses = self.losses(self.pixels(rows), rows, epoch)
        self.descents[""].step(losses["loss"])
        return {name: value.detach() for name, value in losses.items()}

    def losses(self, images: Tensor, rows: np.ndarray, epoch: int) -> dict[str, Tensor]:
        """`loss`, which is minimised, and what else is logged."""
        raise NotImplementedError

    def gates(self) -> list[Gate]:
        """The gates of the trained network, measured on held-out images."""
        raise NotImplementedError

    def pixels(self, rows: np.ndarray) -> Tensor:
        """The images of `rows`, float32 (n, 3, H, W) in [0,1]."""
        return to_batch(self.data, rows, self.device)

    def label(self, rows: np.ndarray) -> Tensor:
        """The labels of `rows`, int64 (n,)."""
        return to_labels(self.data, rows, self.device)

    def code(self, rows: np.ndarray) -> Tensor:
        """The attributes of `rows`, float32 (n, A)."""
        return to_codes(self.data, rows, self.device)

    def run_epoch(self, epoch: int) -> dict[str, float]:
        """Train one epoch; the means of what its steps log."""
        self.network.train()
        order = numpy_rng(self.seed, "order", epoch).permutation(self.rows)
        logs = [self.step(rows, epoch) for rows in chunks(order, self.settings.batch_size) if len(rows) > 1]
        means = {name: float(np.mean(torch.stack([log[name] for log in logs]).tolist())) for name in logs[0]}
        if not all(math.isfinite(value) for value in means.values()):
            raise InputError(
                f"{self.name}: the loss is not finite in epoch {epoch}; lower "
                f"semantic.networks.{self.name}.learning_rate"
            )
        return means


def ramp(steps: int) -> Callable[[int], float]:
    """Factor of the learning rate: up over the first tenth, then down to zero along a cosine."""

    def factor(step: int) -> float:
        progress = min(step / max(steps, 1), 1.0)
        return max(0.05, progress / 0.1) if progress < 0.1 else (1 + math.cos(math.pi * (progress - 0.1) / 0.9)) / 2

    return factor


def flipped(images: Tensor) -> Tensor:
    """Each image mirrored with probability 1/2 (torch's global generator)."""
    mirror = torch.rand(len(images)) < 0.5
    return torch.where(mirror.to(images.device)[:, None, None, None], images.flip(3), images)
