"""A control: images get the responses of the images in reverse order, within each split."""

from __future__ import annotations

import numpy as np

from neurobust.networks.description import Control


def reversed_partners(split: np.ndarray, seed: int) -> np.ndarray:
    """Row (N,) whose target each image gets."""
    partners = np.arange(len(split))
    for part in np.unique(split):
        rows = np.flatnonzero(split == part)
        partners[rows] = rows[::-1]
    return partners


REVERSED = Control(partners="outside.control:reversed_partners", help="which image evokes which response, in reverse")
