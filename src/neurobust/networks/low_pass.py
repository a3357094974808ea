"""A low-pass filter of images, as the first layer of a network."""

from __future__ import annotations

from collections.abc import Callable

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


def matched_cutoff(network: Callable[[Tensor], Tensor], pixels: Tensor, labels: Tensor, batch: int = 32) -> float:
    """The cut-off of a filter that passes what a network of these images looks at, in cycles per image.

    It is sqrt(2) times the median frequency of its input gradients: the filter gives gradients without structure that
    median. The gradients are those of the logit margin, for `pixels` (n, C, S, S) and `labels` (n,), each image's with
    the same energy; their waves are those of the filter, and a wave's frequency is the root of the sum of the squares
    of both directions'. `batch` images are in memory at a time.
    """
    waves = torch.from_numpy(cosine_transform(pixels.shape[-1]))
    energy = np.zeros(pixels.shape[-1] ** 2)
    for shown, own in zip(pixels.split(batch), labels.split(batch), strict=True):
        spectra = (waves @ _margin_gradient(network, shown, own).double().cpu() @ waves.T).square().sum(1).flatten(1)
        energy += (spectra / spectra.sum(1, keepdim=True).clamp_min(1e-300)).sum(0).numpy()
    along = np.arange(pixels.shape[-1]) / 2
    frequency = np.hypot(along[:, None], along).ravel()
    order = np.argsort(frequency)
    median = frequency[order][(np.cumsum(energy[order]) >= energy.sum() / 2).argmax()]
    return float(np.sqrt(2) * max(median, 0.5))


def _margin_gradient(network: Callable[[Tensor], Tensor], pixels: Tensor, labels: Tensor) -> Tensor:
    shown = pixels.detach().clone().requires_grad_(True)
    logits = network(shown)
    own = nn.functional.one_hot(labels, logits.shape[1]).bool()
    margin = logits[own] - logits.masked_fill(own, -torch.inf).amax(1)
    return torch.autograd.grad(margin.sum(), shown)[0]


def filter_matrix(side: int, cutoff: float) -> np.ndarray:
    """(side, side): C' diag(2^-(f / cutoff)^2) C, C being the orthonormal cosine transform, f in cycles per image."""
    cosines = cosine_transform(side)
    kept: np.ndarray = (cosines.T * 2.0 ** -np.square(np.arange(side) / 2 / cutoff)) @ cosines
    return kept


def cosine_transform(side: int) -> np.ndarray:
    """(side, side): row k is the wave of k / 2 cycles per image, of unit length."""
    waves = np.cos(np.pi * np.arange(side)[:, None] * (np.arange(side) + 0.5) / side)
    orthonormal: np.ndarray = waves / np.linalg.norm(waves, axis=1, keepdims=True)
    return orthonormal
