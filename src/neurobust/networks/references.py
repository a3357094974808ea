"""References: known ways to a robust network, without any target, beside which guided networks are placed.

    adversarial     training on PGD examples (Madry et al. 2018)
    trades          cross-entropy plus beta KL(clean || adversarial) (Zhang et al. 2019)
    gaussian-noise  pixels plus normal noise of a given SD
    blur            pixels under a Gaussian blur of a given SD in pixels
    weight-decay    another weight decay, for networks as smooth as guided ones

Budgets are L-infinity in units of 1/255 of [0, 1] pixels. Attacks run in eval mode, so they leave the batch statistics
alone, and take gradients with respect to the pixels only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Perturb = Callable[[nn.Module, Tensor, Tensor, Mapping[str, Any]], Tensor]
ATTACK = {"epsilon": 4.0, "steps": 7, "step": 1.0}  # 1/255, count, 1/255


def pgd_examples(network: nn.Module, pixels: Tensor, labels: Tensor, options: Mapping[str, Any]) -> Tensor:
    """Pixels within `epsilon`/255 that raise the cross-entropy: random start, `steps` steps of `step`/255."""
    start = torch.empty_like(pixels).uniform_(-1, 1) * (options["epsilon"] / 255)
    return _ascend(network, pixels, start, options, lambda logits: functional.cross_entropy(logits, labels))


def trades_examples(network: nn.Module, pixels: Tensor, labels: Tensor, options: Mapping[str, Any]) -> Tensor:
    """Pixels within `epsilon`/255 whose predicted distribution is far (KL) from that of the clean pixels."""
    with torch.no_grad():
        clean = _in_eval(network, pixels).float().softmax(1)
    start = 1e-3 * torch.randn_like(pixels)
    return _ascend(
        network, pixels, start, options, lambda logits: functional.kl_div(logits.log_softmax(1), clean, reduction="sum")
    )


def noisy(network: nn.Module, pixels: Tensor, labels: Tensor, options: Mapping[str, Any]) -> Tensor:
    """Pixels plus normal noise of SD `sigma`/255, kept in [0, 1]."""
    return (pixels + torch.randn_like(pixels) * (options["sigma"] / 255)).clamp(0, 1)


def blurred(network: nn.Module, pixels: Tensor, labels: Tensor, options: Mapping[str, Any]) -> Tensor:
    """Pixels under a Gaussian blur of SD `sigma` pixels, its kernel cut at 3 SD, borders reflected."""
    sigma = options["sigma"]
    reach = min(max(1, round(3 * sigma)), min(pixels.shape[-2:]) - 1)
    axis = torch.arange(-reach, reach + 1, dtype=pixels.dtype, device=pixels.device)
    kernel = (-axis.square() / (2 * sigma**2)).exp()
    kernel = (kernel / kernel.sum()).expand(pixels.shape[1], 1, -1)
    padded = functional.pad(pixels, (reach,) * 4, mode="reflect")
    rows = functional.conv2d(padded, kernel[:, :, None, :], groups=pixels.shape[1])
    return functional.conv2d(rows, kernel[:, :, :, None], groups=pixels.shape[1])


def _in_eval(network: nn.Module, pixels: Tensor) -> Tensor:
    training = network.training
    logits = network.eval()(pixels)
    network.train(training)
    return logits


def _ascend(
    network: nn.Module, pixels: Tensor, start: Tensor, options: Mapping[str, Any], objective: Callable[[Tensor], Tensor]
) -> Tensor:
    radius, step = options["epsilon"] / 255, options["step"] / 255
    current = (pixels + start.clamp(-radius, radius)).clamp(0, 1)
    for _ in range(options["steps"]):
        current.requires_grad_(True)
        (gradient,) = torch.autograd.grad(objective(_in_eval(network, current).float()), current)
        moved = current.detach() + step * gradient.sign()
        current = torch.clamp(torch.max(torch.min(moved, pixels + radius), pixels - radius), 0, 1)
    return current.detach()


@dataclass(frozen=True)
class Reference:
    """Defaults of its options; the pixels that it trains on (None: the clean ones); whether it is a KL penalty.

    `training` names options that replace a key of the training instead.
    """

    defaults: Mapping[str, Any]
    perturb: Perturb | None = None
    penalty: bool = False
    training: tuple[str, ...] = ()


REFERENCES: dict[str, Reference] = {
    "adversarial": Reference(ATTACK, pgd_examples),
    "trades": Reference({**ATTACK, "beta": 6.0}, trades_examples, penalty=True),
    "gaussian-noise": Reference({"sigma": 8.0}, noisy),  # 1/255
    "blur": Reference({"sigma": 1.0}, blurred),  # pixels
    "weight-decay": Reference({"weight_decay": 5e-3}, training=("weight_decay",)),
}


def reference_loss(
    network: nn.Module, pixels: Tensor, labels: Tensor, reference: Mapping[str, Any]
) -> tuple[Tensor, Tensor]:
    """Logits (n, C) of what a reference trains on, and the loss that takes the place of the cross-entropy."""
    kind = REFERENCES[reference["kind"]]
    shown = pixels if kind.perturb is None else kind.perturb(network, pixels, labels, reference)
    if not kind.penalty:
        logits = network(shown)
        return logits, functional.cross_entropy(logits.float(), labels)
    logits, perturbed = network(pixels), network(shown)
    penalty = reference["beta"] * kl_penalty(logits.float(), perturbed.float())
    return logits, functional.cross_entropy(logits.float(), labels) + penalty


def kl_penalty(clean: Tensor, perturbed: Tensor) -> Tensor:
    """Mean over images of KL(softmax(clean) || softmax(perturbed)) of logits (n, C)."""
    return functional.kl_div(perturbed.log_softmax(1), clean.log_softmax(1), reduction="batchmean", log_target=True)
