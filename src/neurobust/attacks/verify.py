"""Every adversarial of a bounded attack is looked at again: bounds, distance and label."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from neurobust.attacks.engine.verify import logits_again, look_again
from neurobust.attacks.norms import MEASURED, lengths
from neurobust.attacks.search import AttackResult, abstains

# float32 pixels cannot hold a distance exactly: what rounding may add, relative and absolute (pixel units)
RELATIVE, ABSOLUTE = 1e-6, 1e-7


def verify(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    result: AttackResult,
    norm: str,
    draws: int = 1,
    measure: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> tuple[AttackResult, dict[str, int]]:
    """Check each adversarial of `result` in float64 and demote the images whose adversarial fails.

    Distance: within budget * (1 + 1e-6) + 1e-7, measured again for every norm, and where `measure` (images, others)
    says how; for other ranges the attack's own distance is compared. Bounds and label: see `engine.verify`. A demoted
    image counts as standing at every budget, and its distance is NaN. Returns the corrected result, with `abstained`,
    and the counts: checked, demoted, bounds, distance, label.
    """
    rows = (result.clean_correct & (result.first < len(result.budgets))).nonzero().squeeze(1)
    points, clean = result.adversarial[rows], images.cpu()[rows]
    distance = result.distance[rows]
    if norm in MEASURED:
        distance = lengths(points.double() - clean.double(), norm)
    elif measure is not None and len(rows):
        with torch.no_grad():
            distance = measure(images[rows.to(images.device)], points.to(images.device)).cpu()
    limit = torch.tensor(result.budgets, dtype=torch.float64)[result.first[rows]]
    near = distance <= limit * (1 + RELATIVE) + ABSOLUTE
    size, lost = len(images) // 2 + 1, (~result.clean_correct).nonzero().squeeze(1)
    good, counts, silent = look_again(model, points, labels[rows], ("distance", near), size, draws)
    abstained = torch.zeros_like(result.clean_correct)
    abstained[rows] = silent & good
    abstained[lost] = abstains(logits_again(model, images[lost.to(images.device)], size, draws))
    first, distances = result.first.clone(), result.distance.clone()
    first[rows[~good]], distances[rows] = len(result.budgets), torch.where(good, distance, math.nan)
    return replace(result, first=first, distance=distances, abstained=abstained), counts
