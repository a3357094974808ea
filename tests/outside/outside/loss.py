"""A loss: one minus the cosine of what the neural head predicts and the target."""

from __future__ import annotations

from torch import Tensor, nn

from neurobust.networks.description import Loss


def cosine(x: Tensor, y: Tensor) -> Tensor:
    """Mean over images of 1 - cos(x, y)."""
    return (1 - nn.functional.cosine_similarity(x.float(), y.float(), dim=1)).mean()


COSINE = Loss(run="outside.loss:cosine", needs_head=True, min_batch=1, help="1 - cosine over the voxels of an image")
