"""Similarity of two representations of the same images: linear CKA, biased and debiased, differentiable."""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 1e-8  # below any variance met in standardised targets; keeps constant columns and rows finite


def linear_cka(x: Tensor, y: Tensor) -> Tensor:
    """Linear CKA (Kornblith et al. 2019) in [0, 1] of x (n, d) and y (n, v), from n x n Gram matrices.

    Features are centred before the product: centring the Gram matrix instead loses float32's digits to the offset.
    Biased: independent data of n = 64 images and many columns give about 0.94.
    """
    k, l = gram(x), gram(y)
    norms: Tensor = (k.norm() * l.norm()).clamp_min(EPSILON)
    return (k * l).sum() / norms


def debiased_cka(x: Tensor, y: Tensor) -> Tensor:
    """Linear CKA from the unbiased HSIC (Song et al. 2012): about 0 for independent data, may be negative. n >= 4."""
    k, l = (g - torch.diag(g.diagonal()) for g in (gram(x), gram(y)))
    scale = (unbiased_hsic(k, k) * unbiased_hsic(l, l)).clamp_min(torch.finfo(k.dtype).tiny).sqrt()
    return unbiased_hsic(k, l) / scale


def unbiased_hsic(k: Tensor, l: Tensor) -> Tensor:
    """n (n - 3) times the unbiased HSIC of two Gram matrices with zero diagonals (the factor cancels in the CKA)."""
    n = len(k)
    return (k * l).sum() + k.sum() * l.sum() / ((n - 1) * (n - 2)) - 2 * (k.sum(0) @ l.sum(0)) / (n - 2)


def gram(x: Tensor) -> Tensor:
    """Gram matrix (n, n) of centred features of unit Frobenius norm; half precision is raised to float32."""
    x = centre(x)
    x = x / x.norm().clamp_min(EPSILON)
    return x @ x.T


def centre(x: Tensor) -> Tensor:
    """Columns with zero mean; half precision is raised to float32."""
    x = raise_precision(x)
    return x - x.mean(0)


def raise_precision(x: Tensor) -> Tensor:
    """Half precision as float32, anything else as it is."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
