"""Checks that climb again on a few images: do the attacks' own ascents go up, end, and keep what they find?

Source: indicators of attack failure, Pintor et al., NeurIPS 2022 (silent success, incomplete optimisation, no ascent);
Carlini et al., arXiv 1902.06705 (twice the steps must change little). The records are those of `checks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from neurobust.attacks.checks import TOLERANCE, check, few
from neurobust.attacks.losses import logits_of, loss_gradient
from neurobust.attacks.noise import draw, noisy
from neurobust.attacks.norms import lengths, project, steepest
from neurobust.attacks.outcomes import Outcome, climb_of, half_way
from neurobust.attacks.plan import AttackPlan
from neurobust.attacks.run import batch_of, run_attack
from neurobust.attacks.search import frozen, misread
from neurobust.files.checks import Check

PROBE_IMAGES = 8  # per attack: one of them is 12 %, so a check speaks from the second on
MORE = 0.13  # share of the images that twice the steps may break in addition
OTHERWISE = (
    0.25  # share that an ascent by a loss of another kind may: cross-entropy itself leaves so many of an honest net
)
UNFINISHED = 0.1  # share of the whole gain that the last tenth of the steps may still bring, over images


def probe_checks(
    model: nn.Module, images: Tensor, labels: Tensor, outcomes: Mapping[str, Outcome], seed: int
) -> list[Check]:
    """Climb again on the first clean-correct images (N, 3, H, W), at the budget that breaks nearest to half of them.

    outcomes: as in `outcomes.table_checks`; their first N rows are these images. One cold ascent from a random point
    with twice the steps and no early end, and the attack itself on a network whose every answer is noted.
    """
    found = []
    for name, outcome in outcomes.items():
        plan, count = outcome.plan, len(images)
        rows = np.flatnonzero(outcome.clean_correct[:count])[:PROBE_IMAGES]
        place, success = half_way(outcome, rows), outcome.success[rows]
        if not plan.attack.probed or place is None:
            continue
        chosen = torch.from_numpy(rows).to(images.device)
        one = replace(plan, budgets=(0.0, plan.budgets[place]))
        values, broken = climb_again(model, images[chosen], labels[chosen], one, seed, climb_of(plan).loss)
        known = broken.any(0).numpy() | success[:, place]
        more = (known & ~success[:, place]).mean()
        note = "share of images that twice the steps from a random point break in addition"
        found.append(check("doubled_steps", more <= MORE, more, note, name))
        found += ascent_checks(values, name)
        found += other_loss(model, images[chosen], labels[chosen], one, seed, known)
        found.append(silent_success(model, images[chosen], labels[chosen], one, seed))
    return found


def climb_again(
    model: nn.Module, images: Tensor, labels: Tensor, plan: AttackPlan, seed: int, loss: str
) -> tuple[Tensor, Tensor]:
    """Loss and misclassification (iterates, N) of a fixed-step ascent with twice the steps, from a random point.

    The plan's largest budget is the ball.
    """
    radius, steps = plan.radii[-1], 2 * climb_of(plan).steps
    norm, kind = plan.norm, "uniform" if plan.norm == "linf" else "gaussian"
    noise = torch.stack([draw(kind, images.shape[1:], seed, row, 0) for row in range(len(images))]).to(images)
    points, values, broken = noisy(images, noise, radius, norm), [], []
    with frozen(model):
        for _ in range(steps + 1):
            value, logits, gradient = loss_gradient(model, points, labels, loss)
            values.append(value.double().cpu())
            broken.append(misread(logits, labels).cpu())
            points = project(points + 2.5 / steps * radius * steepest(gradient, norm), images, radius, norm)
    return torch.stack(values), torch.stack(broken)


def other_loss(
    model: nn.Module, images: Tensor, labels: Tensor, plan: AttackPlan, seed: int, known: np.ndarray
) -> Iterator[Check]:
    """The same ascent by a loss of another kind must break hardly more than is `known` to break, bool (N,).

    Logits whose scale follows the image lead the margin and cross-entropy astray: they fall fastest where the scale
    does. The ratio (`losses.dlr`) is free of it, and needs three classes.
    """
    with frozen(model), torch.no_grad():
        classes = logits_of(model, images[:1]).shape[1]
    if classes < 3:
        return
    loss = "margin" if climb_of(plan).loss == "dlr" else "dlr"
    _, broken = climb_again(model, images, labels, plan, seed, loss)
    more = int((broken.any(0).numpy() & ~known).sum())
    note = f"share of images that an ascent by the loss {loss} breaks in addition"
    yield check("other_loss", few(more, len(known), OTHERWISE), more / len(known), note, plan.name)


def ascent_checks(values: Tensor, attack: str) -> list[Check]:
    """The loss (iterates, N) rises, and has nearly ended to rise. Values that are not finite count as no rise."""
    values = values.nan_to_num(nan=-torch.inf, posinf=-torch.inf)
    best = values.cummax(0).values
    gain = best[-1] - best[0]
    flat = (~(gain > 0)).double().mean().item()
    note = "share of images on which the ascent never raises the loss above its start"
    found = [check("ascent", flat <= TOLERANCE, flat, note, attack)]
    rising = gain.isfinite() & (gain > 0)
    if rising.any():
        late = best[-1] - best[len(best) - 1 - (len(best) - 1) // 10]
        share = (late[rising].sum() / gain[rising].sum()).item()
        note = "share of the whole gain in loss that the last tenth of the steps brings"
        found.append(check("unfinished", share <= UNFINISHED, share, note, attack))
    return found


class Noted(nn.Module):
    """A network that notes which images it has misclassified within a ball around them, whoever asks.

    A point belongs to the nearest image: rows need no bookkeeping, and balls of half the distance between two images
    do not meet.
    """

    def __init__(self, model: nn.Module, images: Tensor, labels: Tensor, radius: float, norm: str):
        super().__init__()
        self.model, self.images, self.labels, self.radius, self.norm = model, images, labels, radius, norm
        self.broken = torch.zeros(len(images), dtype=torch.bool, device=images.device)

    def forward(self, points: Tensor) -> Tensor:
        """Logits of `points`."""
        logits = logits_of(self.model, points)
        with torch.no_grad():
            owner = torch.cdist(points.detach().flatten(1), self.images.flatten(1)).argmin(1)
            inside = lengths(points.detach() - self.images[owner], self.norm) <= self.radius
            self.broken[owner[inside & misread(logits, self.labels[owner])]] = True
        return logits


def silent_success(model: nn.Module, images: Tensor, labels: Tensor, plan: AttackPlan, seed: int) -> Check:
    """An image that an attack broke on its way, within its largest budget, must be broken in its result."""
    noted = Noted(model, images, labels, plan.radii[-1], plan.norm)
    result = run_attack(plan, batch_of(plan, noted, images, labels, seed=seed, ids=range(len(images))))
    lost = (noted.broken.cpu() & ~result.success[:, -1]).double().mean().item()
    note = "share of images that the attack broke on its way and reports as standing"
    return check("silent_success", lost <= TOLERANCE, lost, note, plan.name)
