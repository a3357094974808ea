"""Cue conflict as an attack: from an image towards the same image with the cue of another class."""

from __future__ import annotations

import torch

from neurobust.attacks.cue_settings import CueConflict
from neurobust.attacks.search import AttackResult, Batch, Search
from neurobust.core.errors import InputError


def cue_conflict(batch: Batch, settings: CueConflict) -> AttackResult:
    """The image and its conflict twin mixed, at a share of the twin for each budget; 1 is the twin itself.

    Gradient-free, without a random part, one pass per budget and standing image. `distance` is the share that broke it.
    Raises InputError where the batch has no twins of its images.
    """
    twins = batch.twins
    if twins is None or twins.shape != batch.images.shape:
        found = "none" if twins is None else str(tuple(twins.shape))
        raise InputError(
            f"attack cue-conflict: twins of images {tuple(batch.images.shape)} are missing (found {found}); "
            "only a task that bears a cue has them"
        )
    search = Search(batch)
    reached = torch.zeros(len(batch.images), dtype=torch.float64, device=batch.images.device)
    for index, share in search.positive():
        rows = search.standing(index)
        if not len(rows):
            break
        search.test(rows, torch.lerp(batch.images[rows], twins[rows], share).clamp(0, 1), index)
        reached[rows] = share
    return search.result(reached)
