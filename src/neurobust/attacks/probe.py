"""How fast a machine attacks a network: passes forward and backward, and forward alone, as attacks compute them."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import nn

from neurobust.attacks.images import exact_kernels
from neurobust.attacks.losses import loss_gradient
from neurobust.attacks.search import frozen
from neurobust.attacks.transfer import answers
from neurobust.core.training import pick_device

BATCH = 128


def pass_seconds(network: nn.Module, side: int, least: float) -> tuple[float, float]:
    """Wall seconds of an image's pass in a gradient, of which there are two, and of a pass without one.

    Images of `side` pixels. Each over passes that take half of `least` seconds, after one that does not count.
    """
    device = pick_device()
    network = network.to(device)
    images, labels = (
        torch.rand(BATCH, 3, side, side, device=device),
        torch.zeros(BATCH, dtype=torch.long, device=device),
    )
    images = images.contiguous(memory_format=torch.channels_last)
    with frozen(network), exact_kernels():
        gradient = _seconds(lambda: loss_gradient(network, images, labels, "margin")[0].sum().item(), least / 2)
        look = _seconds(lambda: answers(network, images).sum().item(), least / 2)
    return gradient / (2 * BATCH), look / BATCH


def _seconds(run: Callable[[], object], least: float) -> float:
    run()
    count, start = 0, time.perf_counter()
    while count == 0 or time.perf_counter() - start < least:
        count += 1
        run()
    return (time.perf_counter() - start) / count
