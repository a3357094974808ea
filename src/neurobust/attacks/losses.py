"""Losses that an attack maximises: each is (logits (N, K), labels (N,)) -> (N,); positive margin means broken."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurobust.core.errors import InputError


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy. Its gradient underflows once the margin is near 100 (of `uphill`: 700): never use it alone."""
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


def uphill(logits: Tensor, labels: Tensor, loss: str, targets: Tensor | None = None) -> Tensor:
    """What has the direction of a loss's gradient for each image, (N,): the loss, or cross-entropy over its own slope.

    The latter is float64 and neither underflows in float32 where a network is sure, nor in half precision anywhere.
    """
    if loss != "ce" or targets is not None:
        return loss_values(logits, labels, loss, targets)
    wide = logits.double()
    wrong = wide.detach().softmax(1).scatter(1, labels[:, None], 0).sum(1)  # how fast it rises: 1 - p(label)
    return cross_entropy(wide, labels) / wrong.clamp_min(torch.finfo(torch.float64).tiny)


def logits_of(model: nn.Module, points: Tensor) -> Tensor:
    """Logits (N, K) of the points (N, 3, H, W); half precision as float32, which holds it exactly and adds better."""
    logits: Tensor = model(points)
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def input_gradient(values: Tensor, points: Tensor) -> Tensor:
    """The gradient of the sum of `values` (N,) with respect to the points; zero where no graph leads there.

    A comparison, a detour over another library or `detach` ends the graph. Only the input's gradient is computed:
    `autograd.grad` leaves `param.grad` alone.
    """
    gradient = None
    if values.requires_grad:
        (gradient,) = torch.autograd.grad(values.sum(), points, allow_unused=True)
    return torch.zeros_like(points) if gradient is None else gradient


def loss_gradient(
    model: nn.Module, points: Tensor, labels: Tensor, loss: str, targets: Tensor | None = None, draws: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss (N,), logits (N, K) and the gradient of what is `uphill` by the `points` (N, 3, H, W), all detached.

    Each is the mean over `draws` passes. The gradient's direction is the loss's; its length is that of the margin, the
    ratio, or cross-entropy over its own slope.
    """
    points = points.detach().requires_grad_()
    passes = []
    for _ in range(draws):
        with torch.enable_grad():
            logits = logits_of(model, points)
            gradient = input_gradient(uphill(logits, labels, loss, targets), points)
        values = loss_values(logits.detach(), labels, loss, targets)
        passes.append((values, logits.detach(), gradient))
    return passes[0] if draws == 1 else tuple(sum(parts) / draws for parts in zip(*passes, strict=True))
