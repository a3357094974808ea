"""Losses that an attack maximises: each is (logits (N, K), labels (N,)) -> (N,); positive margin means broken."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurobust.core.errors import InputError


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


def towards(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """The targets' logits minus the right ones."""
    return (logits.gather(1, targets[:, None]) - logits.gather(1, labels[:, None])).squeeze(1)


def dlr_towards(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """`towards` over (first - mean of third and fourth logit); with 3 classes over (first - third), with 2 over 1.

    Source: Croce and Hein, ICML 2020, equation 7, which needs 4 classes.
    """
    difference, classes = towards(logits, labels, targets), logits.shape[1]
    if classes < 3:
        return difference  # no third logit: nothing is left to divide by
    top = logits.topk(min(classes, 4), dim=1).values
    return difference / (top[:, 0] - top[:, 2:].mean(1) + 1e-12)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"ce": cross_entropy, "margin": margin, "dlr": dlr}
# the same, towards one wrong class per image: (logits (N, K), labels (N,), targets (N,)) -> (N,)
TARGETED: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "ce": lambda logits, labels, targets: -cross_entropy(logits, targets),
    "margin": towards,
    "dlr": dlr_towards,
}


def loss_values(logits: Tensor, labels: Tensor, loss: str, targets: Tensor | None = None) -> Tensor:
    """The loss by its name, away from `labels` or, where there are `targets`, towards them: (N,)."""
    return LOSSES[loss](logits, labels) if targets is None else TARGETED[loss](logits, labels, targets)


def loss_gradient(
    model: nn.Module, points: Tensor, labels: Tensor, loss: str, targets: Tensor | None = None, draws: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss (N,), logits (N, K) and the loss's gradient with respect to the `points` (N, 3, H, W), all detached.

    Each is the mean over `draws` passes. Only the input's gradient is computed: `autograd.grad` leaves `param.grad`
    alone.
    """
    points = points.detach().requires_grad_()
    passes = []
    for _ in range(draws):
        with torch.enable_grad():
            logits = model(points)
            values = loss_values(logits, labels, loss, targets)
            (gradient,) = torch.autograd.grad(values.sum(), points)
        passes.append((values.detach(), logits.detach(), gradient))
    return passes[0] if draws == 1 else tuple(sum(parts) / draws for parts in zip(*passes, strict=True))
