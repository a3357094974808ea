"""Layer by layer: how alike a network and a brain see the same images (debiased CKA and RSA), and how alike they could.

Everything works from n x n matrices of the images: a Gram matrix, or the distances of all pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from neurobust.core.correlation import ranks
from neurobust.core.similarity import centre, gram, unbiased_hsic

BLOCKS = 10  # of images, of which the jackknife leaves out one at a time
FEWEST_IMAGES = 4  # the unbiased HSIC needs as many


class Similarity(NamedTuple):
    """A similarity with the ends of its 95 % interval over images (NaN where there are too few of them)."""

    value: float
    low: float
    high: float


def kernel(x: Tensor) -> Tensor:
    """Gram matrix (n, n) of centred features (n, d) of unit norm, in float64, with a diagonal of zeros."""
    found = gram(x.flatten(1).double())
    return found - torch.diag(found.diagonal())


def kernel_cka(k: Tensor, l: Tensor) -> float:
    """Debiased linear CKA of two kernels (n, n) with zero diagonals (`kernel`): 1 with itself, about 0 where unrelated.

    NaN where a kernel has no unbiased norm: all images alike, or fewer than 4.
    """
    if len(k) < FEWEST_IMAGES:
        return math.nan
    norm = float(unbiased_hsic(k, k)), float(unbiased_hsic(l, l))
    return float(unbiased_hsic(k, l)) / math.sqrt(norm[0] * norm[1]) if min(norm) > 0 else math.nan


def distances(x: Tensor) -> np.ndarray:
    """One less the correlation of the rows of (n, d), for all pairs of images: (n (n - 1) / 2,).

    A row without any variation has no correlation: NaN.
    """
    rows = x.flatten(1).double()
    rows = rows - rows.mean(1, keepdim=True)
    norms = rows.norm(dim=1, keepdim=True)
    rows = rows / torch.where(norms > 0, norms, torch.nan)
    upper = torch.triu_indices(len(rows), len(rows), 1)
    return (1 - rows @ rows.T)[upper[0], upper[1]].cpu().numpy()


def rsa(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's correlation of two vectors of distances (Kriegeskorte et al. 2008), over the pairs that both have."""
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 3:
        return math.nan
    x, y = (ranks(part[both]) for part in (a, b))
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale > 0 else math.nan


def cka_with_interval(x: Tensor, y: Tensor, blocks: int = BLOCKS) -> Similarity:
    """Debiased CKA of (n, d) and (n, v), with the 95 % interval of a jackknife over blocks of images.

    A bootstrap would show an image twice, and an image resembles itself. Images are taken in the order given, block by
    block in turn, so that neighbours fall into different blocks.
    """
    k, l = kernel(x), kernel(y)
    value = kernel_cka(k, l)
    if len(k) < 2 * blocks:
        return Similarity(value, math.nan, math.nan)
    number = torch.arange(len(k), device=k.device) % blocks
    left_out = []
    for block in range(blocks):
        kept = torch.nonzero(number != block).squeeze(1)
        left_out.append(kernel_cka(k[kept][:, kept], l[kept][:, kept]))
    return Similarity(value, *jackknife_ends(value, left_out))


def jackknife_ends(value: float, left_out: Sequence[float]) -> tuple[float, float]:
    """Ends of Student's 95 % interval of a number from its values with one of the blocks left out (Tukey 1958)."""
    from scipy.special import stdtrit

    found = np.asarray(left_out)
    if not np.isfinite(found).all():
        return math.nan, math.nan
    error = math.sqrt((len(found) - 1) / len(found) * float(((found - found.mean()) ** 2).sum()))
    half = float(stdtrit(len(found) - 1, 0.975)) * error
    return value - half, value + half


def seen_by(responses: np.ndarray, subjects: Sequence[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Subject -> the images (m,) that it saw and the voxels (k,) that are its own, of responses (n, voxels).

    A subject without a response to some image has NaN there in every voxel; a voxel with a gap of its own is left out.
    """
    found, of_voxel = {}, np.asarray(subjects)
    for subject in dict.fromkeys(subjects):
        voxels = np.flatnonzero(of_voxel == subject)
        images = np.flatnonzero(np.isfinite(responses[:, voxels]).any(1))
        whole = np.isfinite(responses[np.ix_(images, voxels)]).all(0)
        if len(images) >= FEWEST_IMAGES and whole.any():
            found[subject] = images, voxels[whole]
    return found


def measured_similarity(features: Tensor, responses: np.ndarray, subjects: Sequence[str]) -> dict[str, float]:
    """Debiased CKA and RSA of features (n, d) with measured responses (n, voxels): means over subjects, each over the
    images that it saw. `subjects` names that of each voxel."""
    found: dict[str, list[float]] = {"cka": [], "rsa": []}
    for images, voxels in seen_by(responses, subjects).values():
        x = features.flatten(1)[torch.from_numpy(images).to(features.device)]
        y = torch.from_numpy(np.asarray(responses[np.ix_(images, voxels)], np.float64)).to(features.device)
        found["cka"].append(kernel_cka(kernel(x), kernel(y)))
        found["rsa"].append(rsa(distances(x), distances(y)))
    return {name: float(np.mean(values)) if values else math.nan for name, values in found.items()}


def cka_ceiling(responses: Tensor, noise_ceiling: np.ndarray) -> float:
    """The debiased CKA that the true signal itself would have with measured responses (n, voxels) of one subject.

    The signal's unbiased HSIC is that of the responses less what the noise adds: a voxel of variance y^2 of which the
    share c is signal adds y^4 (1 - c^2), where the noise of voxels is independent. Where it is not, the true ceiling
    lies lower. noise_ceiling: (voxels,) in percent. NaN where the noise leaves nothing.
    """
    y = centre(responses.double())
    n = len(y)
    if n < FEWEST_IMAGES:
        return math.nan
    k = y @ y.T
    k = k - torch.diag(k.diagonal())
    whole = float(unbiased_hsic(k, k)) / (n * (n - 3))
    variance = (y.square().sum(0) / (n - 1)).cpu().numpy()
    share = np.clip(noise_ceiling / 100, 0, 1)
    signal = whole - float((variance**2 * (1 - share**2)).sum())
    return math.sqrt(min(signal / whole, 1.0)) if whole > 0 and signal > 0 else math.nan


def measured_ceiling(responses: np.ndarray, subjects: Sequence[str], noise_ceiling: np.ndarray) -> dict[str, float]:
    """Ceilings of `measured_similarity`: of the CKA from the noise (`cka_ceiling`), of the RSA from other subjects.

    `rsa_low` and `rsa_high` are Nili et al.'s (2014): each subject's distances with the mean of the others', and with
    the mean of all, over images that all saw; NaN for one subject, or where no image was shown to all.
    """
    seen = seen_by(responses, subjects)
    ceilings, shared = [], None
    for images, voxels in seen.values():
        y = torch.from_numpy(np.asarray(responses[np.ix_(images, voxels)], np.float64))
        ceilings.append(cka_ceiling(y, noise_ceiling[voxels]))
        shared = images if shared is None else np.intersect1d(shared, images)
    found = {"cka": float(np.mean(ceilings)) if ceilings else math.nan, "rsa_low": math.nan, "rsa_high": math.nan}
    if shared is None or len(seen) < 2 or len(shared) < FEWEST_IMAGES:
        return found
    each = np.array([distances(torch.from_numpy(responses[np.ix_(shared, v)])) for _, v in seen.values()])
    each = (each - each.mean(1, keepdims=True)) / each.std(1, keepdims=True)
    others = (each.sum(0) - each) / (len(each) - 1)
    found["rsa_low"] = float(np.mean([rsa(own, other) for own, other in zip(each, others, strict=True)]))
    found["rsa_high"] = float(np.mean([rsa(own, each.mean(0)) for own in each]))
    return found
