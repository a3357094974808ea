"""Every adversarial is looked at again, apart from the attack that made it: bounds, label, and what it promised."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neurobust.attacks.search import abstains, frozen, mean_logits, misread


def look_again(
    model: nn.Module, points: Tensor, labels: Tensor, promise: tuple[str, Tensor], batch: int, draws: int = 1
) -> tuple[Tensor, dict[str, int], Tensor]:
    """Which of the adversarials `points` (n, 3, H, W) of images with these `labels` (n,) hold, bool (n,) on the CPU.

    Bounds: every pixel in [0,1]. Label: the model, run again on `batch` images at a time, gives another class (by the
    mean over `draws` passes) or none. `promise`: what else the attack promised, and bool (n,) where that is so.
    Also returns how many were checked and demoted and how many failed each of the three, and to which of them the model
    gives no answer (`search.abstains`), bool (n,).
    """
    inside = ((points >= 0) & (points <= 1)).flatten(1).all(1)
    logits = logits_again(model, points.to(labels.device), batch, draws)
    wrong = misread(logits, labels.cpu())
    name, kept = promise
    good = inside & kept & wrong
    masks = {"demoted": ~good, "bounds": ~inside, name: ~kept, "label": ~wrong}
    counts = {"checked": len(points)} | {key: int(mask.sum()) for key, mask in masks.items()}
    return good, counts, abstains(logits)


def logits_again(model: nn.Module, points: Tensor, batch: int, draws: int = 1) -> Tensor:
    """Mean logits of `draws` passes on the CPU, `batch` images at a time, in eval mode and without gradients."""
    if not len(points):
        return torch.zeros(0, 2)
    with frozen(model), torch.no_grad():
        return torch.cat([mean_logits(model, part, draws).cpu() for part in points.split(batch)])
