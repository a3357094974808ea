"""Checks that catch a defence that only hides its gradients. They mark a network; they never hide its results.

Source of the list: Athalye et al., ICML 2018; Carlini et al., arXiv 1902.06705; the flags of AutoAttack (Croce and
Hein, ICML 2020). Each check is a `files.checks.Check`. A check that does not apply (no budget in common, no
clean-correct image) is left out. Here: the network itself; `outcomes` compares the attacks' results, `probes` climbs
again on a few images.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from neurobust.attacks.check_plans import UNBOUNDED
from neurobust.attacks.losses import input_gradient, logits_of, loss_gradient, margin
from neurobust.attacks.noise import draw, noisy
from neurobust.attacks.norms import per_image
from neurobust.attacks.run import batch_of, run_attack
from neurobust.attacks.search import abstains, frozen, misread
from neurobust.files.checks import Check

# How much of the clean-correct images a check may lose before it speaks: room for a rounding accident, not for a trend.
TOLERANCE = 0.01

CHECKED = 64  # images that the checks of a network look at
PASSES = 5  # of the same batch, whose logits must agree
ALONE = 4  # images that also go through the network one by one
START = 8 / 255  # how far from the image the gradient is looked at again, L-infinity
TIES = 0.05  # share of points at which the two largest logits may be equal: half precision has some
STEP = 0.03  # of the largest logit: what a small step along the gradient is to change
ASTRAY = 0.5  # share of images on which it may change something else: activations jump, where a few compete
DIRECTIONS = 8  # random ones, along which the gradient is held against what changes
SIDEWAYS = 0.01  # of the largest logit: what a step along one of them is to change
UNTOLD = 1 / 3  # share of that change, of its square, that the gradient need not tell: without half its pixels, half


def check(name: str, passed: bool, value: float | None, note: str, attack: str = "") -> Check:
    """One check's record, with plain Python values."""
    return Check(name, bool(passed), attack, None if value is None else float(value), note)


def few(count: float, images: int, share: float = TOLERANCE) -> bool:
    """Whether so many images of all may be an accident: one always may."""
    return count <= max(1, share * images)


def flags(checks: Sequence[Check]) -> list[str]:
    """Labels of the checks that failed."""
    return [entry.label for entry in checks if not entry.passed]


# --- the network ---


def model_checks(model: nn.Module, images: Tensor, labels: Tensor, seed: int = 0) -> list[Check]:
    """Checks of the network itself on a batch of images (N, 3, H, W) in [0,1] with its labels (N,)."""
    with frozen(model), torch.no_grad():
        logits = logits_of(model, images)
        again = [logits_of(model, images) for _ in range(PASSES - 1)]
        alone = torch.cat([logits_of(model, image) for image in images[:ALONE].split(1)])
    note = f"largest relative difference of the logits of {PASSES} passes"
    found = [
        agreement("deterministic", logits, again, note, 1e-4),
        agreement("batch_size", logits[:ALONE], [alone], "the same, of an image in a batch and alone", 1e-3),
        *output_checks(logits),
    ]
    noise = torch.stack([draw("uniform", images.shape[1:], seed, row, 0) for row in range(len(images))]).to(images)
    beside = noisy(images, noise, START, "linf")
    with frozen(model), torch.no_grad():
        found += answer_checks(torch.cat([logits, logits_of(model, beside)]))
    correct = ~misread(logits, labels)
    if correct.any():
        found += gradient_checks(model, images[correct], beside[correct], labels[correct])
        found.append(directions(model, images[correct], labels[correct], seed))
    found.append(unbounded(model, images, labels, seed))
    return found


def agreement(name: str, logits: Tensor, others: list[Tensor], note: str, limit: float) -> Check:
    """Logits (N, K) that must not change between passes, relative to the largest of each image."""
    scale = logits.nan_to_num(0, 0, 0).abs().amax(1, keepdim=True).clamp_min(1e-12)
    spread = 0.0
    for other in others:
        same = (logits == other) | (logits.isnan() & other.isnan())
        spread = max(spread, torch.where(same, 0, (logits - other).abs() / scale).nan_to_num(torch.inf).max().item())
    return check(name, spread <= limit, spread, note)


def output_checks(logits: Tensor) -> list[Check]:
    """What the output (N, K) is: a probability distribution, or logits so large that cross-entropy underflows."""
    sums_to_one = bool(((logits.sum(1) - 1).abs() < 1e-4).all() and logits.min() > -1e-5 and logits.max() < 1 + 1e-5)
    saturated = ((logits.double().softmax(1) > 0).sum(1) == 1).double().mean().item()
    note = "share of images for which the softmax of every other class underflows to zero"
    return [
        check("logits", not sums_to_one, sums_to_one, "1 where the output is a probability distribution"),
        check("logit_scale", saturated <= TOLERANCE, saturated, note),
    ]


def answer_checks(logits: Tensor) -> list[Check]:
    """Whether logits (N, K), of images and of points beside them, name one class each.

    Where two are level at the top, the class is the order of the list.
    """
    silent, top = abstains(logits), logits.topk(2, dim=1).values
    level = top[:, 0] == top[:, 1]
    where = "of images, and of points 8/255 beside them,"
    shares = [mask.double().mean().item() for mask in (silent, level)]
    return [
        check("finite", shares[0] == 0, shares[0], f"share {where} whose logits are not finite; they count as errors"),
        check("ties", few(int(level.sum()), len(level), TIES), shares[1], f"share {where} with two largest logits"),
    ]


def gradient_checks(model: nn.Module, images: Tensor, beside: Tensor, labels: Tensor) -> list[Check]:
    """Whether clean-correct images have a gradient to follow, at the image and at a random point beside it, and whether
    it is that of the network's answer."""
    found = own_logit(model, images, labels)
    for points, place, name in ((images, "at the image", "gradient"), (beside, "8/255 beside it", "gradient_start")):
        for loss in ("ce", "margin"):
            with frozen(model):
                _, logits, gradient = loss_gradient(model, points, labels, loss)
            size = gradient.flatten(1).abs().amax(1)
            share = ((size == 0) | ~size.isfinite()).double().mean().item()
            note = f"share of clean-correct images whose {loss} gradient {place} is exactly zero or not finite"
            found.append(check(f"{name}_{loss}", share <= TOLERANCE, share, note))
            if (name, loss) == ("gradient", "margin"):
                found.append(slope(model, images, labels, logits, gradient))
    return found


def own_logit(model: nn.Module, images: Tensor, labels: Tensor) -> list[Check]:
    """Is there a graph from the image to the answer (Pintor et al., NeurIPS 2022), and does the true logit move?

    A logit that is clipped has no gradient where the others have one: an attack that climbs the others meets a tie.
    """
    points = images.detach().requires_grad_()
    with frozen(model), torch.enable_grad():
        own = logits_of(model, points).gather(1, labels[:, None]).squeeze(1)
        still = (input_gradient(own, points) == 0).flatten(1).all(1).double().mean().item()
    path = "1 where no graph leads from the image to the logits: attacks by gradient see nothing"
    note = "share of clean-correct images whose true logit has a gradient of exactly zero"
    return [
        check("gradient_path", own.requires_grad, not own.requires_grad, path),
        check("saturation", still <= TOLERANCE, still, note),
    ]


def slope(model: nn.Module, images: Tensor, labels: Tensor, logits: Tensor, gradient: Tensor) -> Check:
    """A small step along the gradient of the margin changes the margin by what the gradient promises.

    The step is to change it by STEP of the largest logit, within 8/255 and the box. Half and twice count as kept.
    """
    wide, rise = gradient.double(), STEP * logits.abs().amax(1).double()
    length = rise / wide.square().sum((1, 2, 3)).clamp_min(torch.finfo(torch.float64).tiny)
    moved = (images + (per_image(length, wide) * wide).clamp(-START, START).to(images)).clamp(0, 1)
    promised = (wide * (moved - images).double()).sum((1, 2, 3))
    with frozen(model), torch.no_grad():
        risen = (margin(logits_of(model, moved), labels) - margin(logits, labels)).double()
    kept = (promised > 0) & (risen >= promised / 2) & (risen <= 2 * promised)
    share = (~kept).double().mean().item()
    note = "share of clean-correct images on which a small step along the gradient does not do what it promises"
    return check("slope", share <= ASTRAY, share, note)


def directions(model: nn.Module, images: Tensor, labels: Tensor, seed: int) -> Check:
    """Small steps in random directions change the margin by what its gradient promises.

    Along a gradient that lacks some pixels all is as promised, and an ascent never finds what the others would do.
    Steps are signs, there and back, so that curvature cancels; of the size that is to change the margin by SIDEWAYS of
    the largest logit, at most 8/255, around the nearest image that lets them stay within the box. Per image: sum of
    (change - promise)^2 over sum of change^2.
    """
    with frozen(model):
        _, logits, gradient = loss_gradient(model, images, labels, "margin")
        length = torch.linalg.vector_norm(gradient.double().nan_to_num(0, 0, 0).flatten(1), dim=1)
        rise = SIDEWAYS * logits.abs().amax(1).double()
        size = per_image((rise / length.clamp_min(torch.finfo(torch.float64).tiny)).clamp_max(START), images).to(images)
        middle = torch.minimum(torch.maximum(images, size), 1 - size)
        wide = loss_gradient(model, middle, labels, "margin")[2].double().nan_to_num(0, 0, 0)
    untold, change = torch.zeros_like(rise), torch.zeros_like(rise)
    for repeat in range(DIRECTIONS):
        signs = torch.stack([draw("sign", images.shape[1:], seed, row, repeat) for row in range(len(images))])
        ends = [middle + way * size * signs.to(images) for way in (1, -1)]
        with frozen(model), torch.no_grad():
            there, back = (margin(logits_of(model, end), labels).double() for end in ends)
        untold += (there - back - (wide * (ends[0] - ends[1]).double()).sum((1, 2, 3))).square()
        change += (there - back).square()
    told = untold <= UNTOLD * change  # also where nothing changes, and not where an answer is missing
    share = (~told).double().mean().item()
    note = "share of clean-correct images on which the gradient does not tell what small steps in random directions do"
    return check("directions", share <= ASTRAY, share, note)


def unbounded(model: nn.Module, images: Tensor, labels: Tensor, seed: int) -> Check:
    """With the whole box as its ball, a sound attack leaves nothing standing."""
    result = run_attack(UNBOUNDED, batch_of(UNBOUNDED, model, images, labels, seed=seed, ids=range(len(images))))
    standing = (~result.success[:, -1]).double().mean().item()
    return check("unbounded", standing <= TOLERANCE, standing, "accuracy under PGD with an unbounded budget")
