"""Which classes a network gives to images that are shown to it as they are."""

from __future__ import annotations

import numpy as np
import torch

from neurobust.attacks.search import abstains
from neurobust.files.pixels import to_pixels


def classify(
    network: torch.nn.Module,
    images: np.ndarray,
    image_batch: int,
    device: torch.device,
    among: np.ndarray | None = None,
) -> np.ndarray:
    """The classes (n,) that a network gives to images uint8 (n, H, W, 3); -1 where it gives no answer (`abstains`).

    among: the classes (k,) that it may choose from, as for a test set that has some of them alone; default: all.
    """
    found = []
    classes = None if among is None else torch.from_numpy(among).to(device)
    with torch.no_grad():
        for start in range(0, len(images), image_batch):
            logits = network(to_pixels(images[start : start + image_batch], device))
            logits = logits if classes is None else logits[:, classes]
            best = logits.argmax(1) if classes is None else classes[logits.argmax(1)]
            found.append(torch.where(abstains(logits), -1, best).cpu())
    return torch.cat(found).numpy()
