"""How little changes a predictor's response: smallest changes of an image, and the spectrum of the Jacobian.

A response (n, voxels) is looked at in units of `scale` (voxels,), the standard deviation of each voxel's response over
natural images. An ROI has moved by one standard deviation where the change's root mean square over its voxels is 1.
For a linear predictor r = W x all is closed form: one voxel moves by s under an L2 change of s / |w|_2 and an
L-infinity change of s / |w|_1, and the ROI under an L2 change of sqrt(voxels) / s_max(W / s).

Sources: Berardino, Ballé, Laparra & Simoncelli 2017 (eigendistortions: the directions of most change, by power
iteration on J'J); Hutchinson 1990 (E |v'J|^2 = |J|_F^2 for v of zero mean and unit covariance).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Respond = Callable[[Tensor], Tensor]  # images (n, 3, H, W) in [0, 1] -> responses (n, voxels)
Norm = Literal["l2", "linf"]

TINY = 1e-12
REACH = 0.05  # L2 length of the step of a directional derivative, in pixel units


@dataclass(frozen=True)
class Spectrum:
    """Of the Jacobian at each image (n,), responses in units of their scale: largest singular value, and the sum of the
    squares of all (`energy`). `direction` (n, 3, H, W): of most change, unit length."""

    largest: Tensor
    energy: Tensor
    direction: Tensor

    @property
    def rank(self) -> Tensor:
        """Stable rank energy / largest^2: 1 where one direction does all, at most the number of voxels."""
        return self.energy / self.largest.square().clamp_min(TINY)


def pull_back(respond: Respond, images: Tensor, weights: Tensor, scale: Tensor) -> Tensor:
    """weights' J (n, 3, H, W) of responses in units of `scale`; weights (n, voxels)."""
    x = images.detach().clone().requires_grad_()
    gradient: Tensor = torch.autograd.grad((respond(x) / scale * weights).sum(), x)[0]
    return gradient


def push_forward(respond: Respond, images: Tensor, directions: Tensor, scale: Tensor) -> Tensor:
    """J d (n, voxels) of responses in units of `scale`, as a central difference of `REACH` along directions of any
    length: some predictors have no forward-mode derivative."""
    step = directions * (REACH / length(directions, "l2").clamp_min(TINY))
    with torch.no_grad():
        change = (respond(images + step) - respond(images - step)) / scale
    grown: Tensor = change * (length(directions, "l2") / (2 * REACH)).flatten(1)
    return grown


def spectrum(
    respond: Respond, images: Tensor, scale: Tensor, generator: torch.Generator, probes: int = 8, steps: int = 10
) -> Spectrum:
    """Largest singular value by `steps` of power iteration, |J|_F^2 as the mean over `probes` of |v'J|^2.

    respond must take pixels a little outside [0, 1]. Both are of the Jacobian with respect to pixels.
    """
    shape = (len(images), len(scale))
    energy = torch.zeros(len(images), device=images.device)
    for _ in range(probes):
        probe = torch.randint(0, 2, shape, generator=generator).to(images) * 2 - 1
        energy += pull_back(respond, images, probe, scale).flatten(1).square().sum(1) / probes
    direction = torch.randn(images.shape, generator=generator).to(images)
    largest = torch.zeros(len(images), device=images.device)
    for _ in range(steps):
        direction = direction / length(direction, "l2").clamp_min(TINY)
        forward = push_forward(respond, images, direction, scale)
        largest = forward.norm(dim=1)
        direction = pull_back(respond, images, forward, scale)
    return Spectrum(largest, energy, direction / length(direction, "l2").clamp_min(TINY))


def length(change: Tensor, norm: Norm) -> Tensor:
    """The norm of each image's change, shaped (n, 1, 1, 1)."""
    flat = change.flatten(1)
    value = flat.norm(dim=1) if norm == "l2" else flat.abs().amax(1)
    return value[:, None, None, None]


def steepest(gradient: Tensor, norm: Norm) -> Tensor:
    """The change of unit norm along which a gradient rises most."""
    return gradient / length(gradient, "l2").clamp_min(TINY) if norm == "l2" else gradient.sign()


def moved(respond: Respond, images: Tensor, change: Tensor, before: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """How far responses have moved from `before` (n, voxels), in standard deviations: root mean square over voxels
    (n,); and its gradient with respect to the change."""
    x = (images + change).detach().requires_grad_()
    far = ((respond(x) - before) / scale).square().mean(1).clamp_min(TINY).sqrt()
    gradient: Tensor = torch.autograd.grad(far.sum(), x)[0]
    return far.detach(), gradient


def smallest_change(
    respond: Respond, images: Tensor, scale: Tensor, norm: Norm, start: Tensor, steps: int = 20, target: float = 1.0
) -> Tensor:
    """The smallest change that moves responses by `target` standard deviations: (n, 3, H, W), pixels stay in [0, 1].

    start (n, 3, H, W): a first direction, such as that of most change (at no change the gradient is 0). A power
    iteration: the change becomes the steepest one of the gradient where it leads, its size that which would have moved
    the response by just the target; the smallest that did is kept. For a linear predictor and L2 this is the power
    iteration of the Jacobian. NaN where none moved it that far.
    """
    with torch.no_grad():
        before = respond(images)
    size = torch.full((len(images), 1, 1, 1), 1e-2 if norm == "linf" else 0.5, device=images.device)
    direction, best = start / length(start, norm).clamp_min(TINY), torch.full_like(images, torch.nan)
    for _ in range(steps):
        change = within(images, size * direction)
        far, gradient = moved(respond, images, change, before, scale)
        best = smaller(best, change, far >= target * (1 - 1e-3), norm)
        size = size * (target / far.clamp_min(TINY))[:, None, None, None].clamp(0.25, 4)
        direction = steepest(gradient, norm)
        trial = within(images, size * direction)
        best = shrunk(respond, images, trial, before, scale, norm, target, best)
    return best


def shrunk(
    respond: Respond, images: Tensor, change: Tensor, before: Tensor, scale: Tensor, norm: Norm, target: float,
    best: Tensor,
) -> Tensor:  # fmt: skip
    """The smaller of `best` and of a change that is scaled by one secant step to move responses by the target."""
    with torch.no_grad():
        far = ((respond(images + change) - before) / scale).square().mean(1).sqrt()
        change = within(images, change * (1.0005 * target / far.clamp_min(TINY))[:, None, None, None].clamp(0, 4))
        far = ((respond(images + change) - before) / scale).square().mean(1).sqrt()
    return smaller(best, change, far >= target * (1 - 1e-3), norm)


def within(images: Tensor, change: Tensor) -> Tensor:
    """The part of a change that keeps pixels in [0, 1]."""
    return (images + change).clamp(0, 1) - images


def smaller(best: Tensor, change: Tensor, enough: Tensor, norm: Norm) -> Tensor:
    """Each image's smaller change of two, the second only where it moved enough (n,); NaN is larger than all."""
    old = torch.nan_to_num(length(best, norm), nan=torch.inf)
    return torch.where(enough[:, None, None, None] & (length(change, norm) < old), change, best)


def random_change(
    respond: Respond, images: Tensor, scale: Tensor, norm: Norm, generator: torch.Generator, target: float = 1.0,
    steps: int = 12,
) -> Tensor:  # fmt: skip
    """What chance needs: a random direction (white noise, or random signs), scaled by bisection in the logarithm until
    responses move by the target: (n, 3, H, W). NaN where noise that fills the range of pixels does not."""
    noise = torch.randn(images.shape, generator=generator).to(images)
    direction = steepest(noise, norm)
    most = 1.0 if norm == "linf" else float(images[0].numel()) ** 0.5
    low = torch.full((len(images), 1, 1, 1), most * 1e-5, device=images.device)
    high, best = torch.full_like(low, most), torch.full_like(images, torch.nan)
    with torch.no_grad():
        before = respond(images)
        for k in range(steps):
            size = high if k == 0 else (low * high).sqrt()
            change = within(images, size * direction)
            enough = ((respond(images + change) - before) / scale).square().mean(1).sqrt() >= target
            best = smaller(best, change, enough, norm)
            passed = enough[:, None, None, None]
            low, high = torch.where(passed, low, size), torch.where(passed, size, high)
    return best
