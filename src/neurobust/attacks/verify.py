"""Every adversarial is looked at again: bounds, distance and label, apart from the attack that made it."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from neurobust.attacks.norms import MEASURED, lengths
from neurobust.attacks.search import AttackResult, frozen

# float32 pixels cannot hold a distance exactly: what rounding may add, relative and absolute (pixel units)
RELATIVE, ABSOLUTE = 1e-6, 1e-7


def verify(
    model: nn.Module, images: Tensor, labels: Tensor, result: AttackResult, norm: str, draws: int = 1
) -> tuple[AttackResult, dict[str, int]]:
    """Check each adversarial of `result` in float64 and demote the images whose adversarial fails.

    Bounds: every pixel in [0,1]. Distance: within budget * (1 + 1e-6) + 1e-7, measured again for every norm; for other
    ranges the attack's own distance is compared. Label: the model, run again in batches of another size, gives finite
    logits (the mean over `draws` passes) and another class. A demoted image counts as standing at every budget, and its
    distance is NaN. Returns the corrected result and the counts: checked, demoted, bounds, distance, label.
    """
    rows = (result.clean_correct & (result.first < len(result.budgets))).nonzero().squeeze(1)
    points, clean = result.adversarial[rows], images.cpu()[rows]
    inside = ((points >= 0) & (points <= 1)).flatten(1).all(1)
    distance = lengths(points.double() - clean.double(), norm) if norm in MEASURED else result.distance[rows]
    limit = torch.tensor(result.budgets, dtype=torch.float64)[result.first[rows]]
    near = distance <= limit * (1 + RELATIVE) + ABSOLUTE
    logits = logits_again(model, points.to(images.device), len(images) // 2 + 1, draws)
    wrong = (logits.argmax(1) != labels.cpu()[rows]) & logits.isfinite().all(1)
    good = inside & near & wrong
    first, distances = result.first.clone(), result.distance.clone()
    first[rows[~good]], distances[rows] = len(result.budgets), torch.where(good, distance, math.nan)
    counts = {"checked": good, "demoted": ~good, "bounds": ~inside, "distance": ~near, "label": ~wrong}
    summary = {name: int(mask.sum()) for name, mask in counts.items()} | {"checked": len(rows)}
    return replace(result, first=first, distance=distances), summary


def logits_again(model: nn.Module, points: Tensor, batch: int, draws: int = 1) -> Tensor:
    """Mean logits of `draws` passes on the CPU, `batch` images at a time, in eval mode and without gradients."""
    if not len(points):
        return torch.zeros(0, 2)
    with frozen(model), torch.no_grad():
        return torch.cat([(sum(model(part) for _ in range(draws)) / draws).cpu() for part in points.split(batch)])
