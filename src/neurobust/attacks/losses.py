"""Losses that an attack maximises: each is (logits (N, K), labels (N,)) -> (N,); positive margin means broken."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurobust.errors import InputError


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy. Its gradient underflows to zero once the margin is near 100 (float32): never use it alone."""
    return functional.cross_entropy(logits, labels, reduction="none")


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Largest wrong logit minus the right one: its gradient does not vanish with the scale of the logits."""
    rows = labels[:, None]
    right = logits.gather(1, rows).squeeze(1)
    wrong = logits.scatter(1, rows, float("-inf")).amax(1)
    return wrong - right


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """Difference of logits ratio: the margin over (first - third logit), free of shift and scale.

    Source: Croce and Hein, ICML 2020, equation 6. Needs at least 3 classes.
    """
    if logits.shape[1] < 3:
        raise InputError(f"attack loss 'dlr' needs at least 3 classes, the model has {logits.shape[1]}; use 'margin'")
    top = logits.topk(3, dim=1).values
    return margin(logits, labels) / (top[:, 0] - top[:, 2] + 1e-12)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"ce": cross_entropy, "margin": margin, "dlr": dlr}


def check_loss(name: str) -> None:
    """Refuse an unknown loss."""
    if name not in LOSSES:
        raise InputError(f"attack loss '{name}' is unknown; use one of {sorted(LOSSES)}")


def loss_gradient(model: nn.Module, points: Tensor, labels: Tensor, loss: str) -> tuple[Tensor, Tensor, Tensor]:
    """Loss (N,), logits (N, K) and the loss's gradient with respect to the `points` (N, 3, H, W), all detached.

    Only the input's gradient is computed: `autograd.grad` leaves `param.grad` alone.
    """
    points = points.detach().requires_grad_()
    with torch.enable_grad():
        logits = model(points)
        values = LOSSES[loss](logits, labels)
        (gradient,) = torch.autograd.grad(values.sum(), points)
    return values.detach(), logits.detach(), gradient
