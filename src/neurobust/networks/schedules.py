"""The optimisers and the schedules that a recipe can name: `Training.optimizer`, `.schedule`, `Condition.schedule`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import nn

from neurobust.networks.conditions import Training


def one_cycle(progress: float) -> float:
    """Factor of the learning rate at `progress` in [0, 1]: cosine from 1/25 up to 1 at 0.3, then down to 0."""
    if progress < 0.3:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * progress / 0.3)) / 2
    return (1 + math.cos(math.pi * (progress - 0.3) / 0.7)) / 2


def steps(progress: float) -> float:
    """Factor of the learning rate: divided by 10 after each third of the training (Shao et al. 2024)."""
    return 0.1 ** min(2, int(3 * progress + 1e-9))


SCHEDULES: dict[str, Callable[[float], float]] = {
    "onecycle": one_cycle,
    "step": steps,
    "constant": lambda progress: 1.0,
}

# Share of the condition's weight that the neural loss has at `progress` in [0, 1]; cross-entropy keeps 1 - weight.
WEIGHT_SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "ramp": lambda progress: min(1.0, 2 * progress),
    "late": lambda progress: float(progress >= 0.25),
    "early": lambda progress: float(progress < 0.5),
}

# Every optimiser acts on each parameter by itself (no norm over all of them), so a neural head cannot reach the
# backbone through momentum, weight decay or clipping.
OPTIMIZERS: dict[str, Callable[[Iterable[nn.Parameter], Training], torch.optim.Optimizer]] = {
    "sgd": lambda parameters, training: torch.optim.SGD(
        parameters, training.learning_rate, training.momentum, weight_decay=training.weight_decay, fused=True
    ),
    "adamw": lambda parameters, training: torch.optim.AdamW(
        parameters,
        training.learning_rate,
        betas=(training.momentum, 0.999),
        weight_decay=training.weight_decay,
        fused=True,
    ),
}
