"""How fast a machine attacks a network: passes forward and backward, and forward alone, as attacks compute them."""

from __future__ import annotations

import torch
from torch import nn

from neurobust.attacks.images import exact_kernels
from neurobust.attacks.losses import loss_gradient
from neurobust.attacks.search import frozen
from neurobust.attacks.transfer import answers
from neurobust.core.timing import seconds_of
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
        gradient = seconds_of(lambda: loss_gradient(network, images, labels, "margin")[0].sum().item(), least / 2)
        look = seconds_of(lambda: answers(network, images).sum().item(), least / 2)
    return gradient / (2 * BATCH), look / BATCH
