"""A low-pass filter of images, as the first layer of a network."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class LowPass(nn.Module):
    """Images (N, C, H, W) without their fine detail: a Gaussian filter that halves the amplitude at `cutoff`.

    A wave of f cycles per image keeps 2^-(f / cutoff)^2 of its amplitude, in each direction. Images go on beyond their
    borders as in a mirror, so that opposite borders do not mix: the waves are those of the discrete cosine transform,
    cos(2 pi f x), x being the middle of a pixel in shares of the image and f a multiple of 1/2. What is kept of the
    mean is all, and gradients pass through. `side` (px) is that of the images to come; others are filtered alike.
    """

    matrix: Tensor

    def __init__(self, cutoff: float, side: int):
        super().__init__()
        self.cutoff = cutoff
        # no part of the weights: the cut-off says it all
        self.register_buffer("matrix", torch.from_numpy(filter_matrix(side, cutoff)).float(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """The filtered images, of the same shape; in their own precision, also under autocast."""
        with torch.autocast(images.device.type, enabled=False):
            rows, columns = (self._along(length).to(images) for length in images.shape[-2:])
            return rows @ images @ columns.T

    def _along(self, length: int) -> Tensor:
        """The filter along an axis of so many pixels."""
        if length == len(self.matrix):
            return self.matrix
        return torch.from_numpy(filter_matrix(length, self.cutoff))


def filter_matrix(side: int, cutoff: float) -> np.ndarray:
    """(side, side): C' diag(2^-(f / cutoff)^2) C, C being the orthonormal cosine transform, f in cycles per image."""
    waves = np.arange(side)[:, None]
    cosines = np.cos(np.pi * waves * (np.arange(side) + 0.5) / side)
    cosines /= np.linalg.norm(cosines, axis=1, keepdims=True)
    kept: np.ndarray = (cosines.T * 2.0 ** -np.square(waves[:, 0] / 2 / cutoff)) @ cosines
    return kept
