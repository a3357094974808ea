"""The shape of a representation: how many directions it uses, how fast they fade, and how its classes lie in it.

Everything is from features (n, d) of n images. Sample moments of few images are biased: those here are U-statistics,
unbiased for any distribution, so that a network's number does not depend on how many images were looked at.

How many images make seeds agree: of small networks on the phantom's scenes, three seeds that had learned the cue and
three that could not, with 100 images the two conditions stood 3 (participation ratio), 3 (spectral exponent), 5 (class
radius) and 3 (signal-to-noise) standard deviations of seeds apart; with 32 images, of ten classes, one or none.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from neurobust.core.similarity import unbiased_hsic

FEWEST = 4  # images that moments of fourth order need
KEPT = 0.9  # share of the ratios that TwoNN believes


def squared_traces(features: Tensor) -> tuple[float, float]:
    """Unbiased estimates of tr(C)^2 and tr(C^2) of the covariance C of features (n, d); NaN below four images.

    Of tr(C)^2: the mean of D_ij D_kl over four different images, D_ij being half the squared distance. Of tr(C^2):
    the unbiased HSIC of the features with themselves (Song et al. 2012).
    """
    n = len(features)
    if n < FEWEST:
        return math.nan, math.nan
    x = features.flatten(1).double()
    k = _gram(x)
    square = k.diagonal()
    half = (square[:, None] + square[None, :]) / 2 - k
    rows = half.sum(1)
    trace = half.sum().square() - 4 * rows.square().sum() + 2 * half.square().sum()
    k = k - torch.diag(square)
    count = n * (n - 1) * (n - 2) * (n - 3)
    return float(trace) / count, float(unbiased_hsic(k, k)) / (n * (n - 3))


def participation_ratio(features: Tensor) -> float | None:
    """Effective dimensionality tr(C)^2 / tr(C^2), both without bias; None where the images are too few to say."""
    whole, square = squared_traces(features)
    return whole / square if square > 0 and whole > 0 else None


def spectral_exponent(features: Tensor, first: int = 3, last: int | None = None) -> float | None:
    """Exponent a of the eigenvalues ~ rank^-a of the covariance (Stringer et al. 2019): ranks `first` to `last`.

    `last` is by default a quarter of what is there: of eigenvalues, or of images, whichever are fewer; later ones of a
    sample fall too fast. Straight line in log-log, each rank weighted by 1 / rank. None for fewer than three ranks.
    """
    x = features.flatten(1).double()
    values = torch.linalg.eigvalsh(_gram(x) if len(x) <= x.shape[1] else _gram(x.T - x.mean(0)[:, None], False))
    values = values.flip(0).clamp_min(0).cpu().numpy()
    positive = int((values > values[0] * 1e-10).sum()) if len(values) and values[0] > 0 else 0
    last = min(positive, last or max(first + 2, min(positive, len(x)) // 4))
    if last - first < 2:
        return None
    ranks = np.arange(first, last + 1)
    return -float(np.polyfit(np.log(ranks), np.log(values[first - 1 : last]), 1, w=ranks**-0.5)[0])


class Dimension(NamedTuple):
    """An intrinsic dimension with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def two_nn(features: Tensor, kept: float = KEPT) -> Dimension | None:
    """Intrinsic dimension from the ratio of each image's second to its first neighbour's distance (Facco et al. 2017).

    The logarithm of the ratio is exponential with the dimension as its rate. The largest ratios, a share 1 - `kept`,
    are known only to be large: the estimate is the unbiased one of a censored exponential, its interval that of chi^2.
    Images that are equal are taken once. None for fewer than ten.
    """
    from scipy.special import chdtri

    x = torch.unique(features.flatten(1).double(), dim=0)
    n = len(x)
    if n < 10:
        return None
    near = torch.cdist(x, x).fill_diagonal_(torch.inf).topk(2, dim=1, largest=False).values
    ratios = (near[:, 1] / near[:, 0]).log().sort().values
    m = max(2, int(kept * n))
    total = float(ratios[:m].sum() + (n - m) * ratios[m - 1])
    if total <= 0:
        return None
    low, high = (float(chdtri(2 * m, p)) / (2 * total) for p in (0.975, 0.025))
    return Dimension((m - 1) / total, low, high)


class ClassGeometry(NamedTuple):
    """Means over classes, of pairs for the last one. radius: root of a class's total variance, as a share of the mean
    distance of its centre from the others; dimension: its participation ratio; snr: of telling an image's class from
    another's by the nearer of two prototypes, each the mean of `shots` images."""

    radius: float
    dimension: float
    snr: float


class _Class(NamedTuple):
    """centre (d,), rows around it (n, d), tr(C), and unbiased tr(C)^2 and tr(C^2)."""

    centre: Tensor
    around: Tensor
    trace: float
    whole: float
    square: float


def class_geometry(features: Tensor, labels: Tensor, shots: int = 5) -> ClassGeometry | None:
    """Radius, dimension and signal-to-noise ratio of the classes as manifolds (Sorscher et al. 2022).

    labels: (n,). A prototype learner errs on a pair with about probability H(snr), the normal tail. Of the noise all
    terms are kept; moments are unbiased: the squared distance of two centres is less what the variance of their means
    adds. Classes with fewer than five images are left out; None where fewer than two remain.
    """
    x = features.flatten(1).double()
    groups = [x[labels == label] for label in torch.unique(labels)]
    classes = [_class_of(rows) for rows in groups if len(rows) > FEWEST]
    if len(classes) < 2:
        return None
    squares = np.full((len(classes), len(classes)), math.nan)
    ratios = []
    for a, b in itertools.permutations(range(len(classes)), 2):
        squares[a, b], ratio = _pair(classes[a], classes[b], shots)
        ratios.append(ratio)
    radii, dimensions = [], []
    for own, part in zip(squares, classes, strict=True):
        apart = float(np.nanmean(own))
        radii.append(math.sqrt(part.trace / apart) if apart > 0 else math.nan)
        dimensions.append(part.whole / part.square if part.square > 0 else math.nan)
    return ClassGeometry(_mean(radii), _mean(dimensions), _mean(ratios))


def _class_of(rows: Tensor) -> _Class:
    whole, square = squared_traces(rows)
    centre = rows.mean(0)
    return _Class(centre, rows - centre, float(rows.var(0).sum()), whole, max(square, 0.0))


def _pair(a: _Class, b: _Class, shots: int) -> tuple[float, float]:
    """Squared distance of two centres, and the signal-to-noise ratio of an image of class a against class b.

    Means of few images add to each estimate what their own error gives: it is taken off again.
    """
    gap, counts = a.centre - b.centre, (len(a.around), len(b.around))
    square = float(gap.square().sum()) - a.trace / counts[0] - b.trace / counts[1]
    mixed = float((a.around @ b.around.T).square().sum()) / ((counts[0] - 1) * (counts[1] - 1))  # tr(Ca Cb)
    along = [
        max(float((p.around @ gap).square().sum()) / (n - 1) - p.square / n - mixed / other, 0.0)
        for p, n, other in ((a, *counts), (b, *counts[::-1]))
    ]
    noise = along[0] + (along[1] + a.square + mixed) / shots + (a.square + b.square) / (2 * shots**2)
    signal = max(square, 0.0) + (b.trace - a.trace) / shots
    return square, 0.5 * signal / math.sqrt(noise) if noise > 0 else math.nan


def _mean(values: list[float]) -> float:
    found = [value for value in values if math.isfinite(value)]
    return float(np.mean(found)) if found else math.nan


def _gram(x: Tensor, centred: bool = True) -> Tensor:
    """Inner products of rows, whose columns are centred first unless they are."""
    rows = x - x.mean(0) if centred else x
    return rows @ rows.T
