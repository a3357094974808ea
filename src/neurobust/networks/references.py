"""References: known ways to a robust network, without any target, beside which guided networks are placed.

The functions behind `references_settings`, which says what each is. Attacks run in eval mode, so they leave the batch
statistics alone, and take gradients with respect to the pixels only.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurobust.core.blur import gaussian_blur
from neurobust.networks.description import Reference, load_function
from neurobust.networks.references_settings import Ascent, Blur, GaussianNoise


def pgd_examples(network: nn.Module, pixels: Tensor, labels: Tensor, settings: Ascent) -> Tensor:
    """Pixels within `epsilon`/255 that raise the cross-entropy: random start, `steps` steps of `step`/255."""
    start = torch.empty_like(pixels).uniform_(-1, 1) * (settings.epsilon / 255)
    return _ascend(network, pixels, start, settings, lambda logits: functional.cross_entropy(logits, labels))


def trades_examples(network: nn.Module, pixels: Tensor, labels: Tensor, settings: Ascent) -> Tensor:
    """Pixels within `epsilon`/255 whose predicted distribution is far (KL) from that of the clean pixels."""
    with torch.no_grad():
        clean = _in_eval(network, pixels).float().softmax(1)

    def divergence(logits: Tensor) -> Tensor:
        return functional.kl_div(logits.log_softmax(1), clean, reduction="sum")

    return _ascend(network, pixels, 1e-3 * torch.randn_like(pixels), settings, divergence)


def noisy(network: nn.Module, pixels: Tensor, labels: Tensor, settings: GaussianNoise) -> Tensor:
    """Pixels plus normal noise of SD `sigma`/255, kept in [0, 1]."""
    return (pixels + torch.randn_like(pixels) * (settings.sigma / 255)).clamp(0, 1)


def blurred(network: nn.Module, pixels: Tensor, labels: Tensor, settings: Blur) -> Tensor:
    """Pixels under a Gaussian blur of SD `sigma` pixels, borders reflected."""
    return gaussian_blur(pixels, settings.sigma)


def _in_eval(network: nn.Module, pixels: Tensor) -> Tensor:
    training = network.training
    logits = network.eval()(pixels)
    network.train(training)
    return logits


def _ascend(
    network: nn.Module, pixels: Tensor, start: Tensor, settings: Ascent, objective: Callable[[Tensor], Tensor]
) -> Tensor:
    radius, step = settings.epsilon / 255, settings.step / 255
    current = (pixels + start.clamp(-radius, radius)).clamp(0, 1)
    for _ in range(settings.steps):
        current.requires_grad_(True)
        (gradient,) = torch.autograd.grad(objective(_in_eval(network, current).float()), current)
        moved = current.detach() + step * gradient.sign()
        current = torch.clamp(torch.max(torch.min(moved, pixels + radius), pixels - radius), 0, 1)
    return current.detach()


def reference_loss(network: nn.Module, pixels: Tensor, labels: Tensor, reference: Reference) -> tuple[Tensor, Tensor]:
    """Logits (n, C) of what a reference trains on, and the loss that takes the place of the cross-entropy."""
    shown = pixels
    if reference.perturb:
        shown = load_function(reference.perturb)(network, pixels, labels, reference)
    if not reference.penalty:
        logits = network(shown)
        return logits, functional.cross_entropy(logits.float(), labels)
    logits, perturbed = network(pixels), network(shown)
    penalty = reference.penalty * kl_penalty(logits.float(), perturbed.float())
    return logits, functional.cross_entropy(logits.float(), labels) + penalty


def kl_penalty(clean: Tensor, perturbed: Tensor) -> Tensor:
    """Mean over images of KL(softmax(clean) || softmax(perturbed)) of logits (n, C)."""
    return functional.kl_div(perturbed.log_softmax(1), clean.log_softmax(1), reduction="batchmean", log_target=True)
