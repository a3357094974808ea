"""Which layers explain an ROI, and how well a core trained for one ROI serves another.

Source: St-Yves, Allen, Wu, Kay & Naselaris 2023, Nat. Commun. 14:3329: layerwise tuning, inclusive (a layer alone) and
exclusive (all but it), and the transfer of a frozen core to another ROI with its index of hierarchy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from neurobust.core.correlation import pearson


def seen_r(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Correlation of matching columns (voxels,) over the rows where measured (n, voxels) is known; 0 below three."""
    seen = np.isfinite(measured)
    if seen.all():
        return pearson(predicted, measured)
    count = seen.sum(0)
    parts = [np.where(seen, part, 0.0).astype(np.float64) for part in (predicted, measured)]
    centred = [np.where(seen, part - part.sum(0) / np.maximum(count, 1), 0.0) for part in parts]
    found = pearson_of_centred(*centred)
    return np.where(count >= 3, found, 0.0)


def pearson_of_centred(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of matching columns, which are centred over the rows that count and 0 elsewhere."""
    norm = np.sqrt((a * a).sum(0) * (b * b).sum(0))
    return np.divide((a * b).sum(0), norm, out=np.zeros(a.shape[1]), where=norm > 1e-12)


def layer_tuning(
    contributions: Mapping[str, np.ndarray], measured: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Inclusive and exclusive r of each layer: name -> (r of the layer alone, r of all but it), each (voxels,).

    contributions: what each layer adds to the response, (n, voxels), so that their sum is the prediction but for a
    constant per voxel; measured (n, voxels), NaN where unknown. Nothing is fitted again: the layer is left out of a
    readout that was fitted to all, so layers that say the same share what both explain.
    """
    total = np.sum([part.astype(np.float64) for part in contributions.values()], axis=0)
    return {
        name: (seen_r(part, measured), seen_r(total - part, measured)) for name, part in contributions.items()
    }  # fmt: skip


def unique_share(tuning: Mapping[str, tuple[np.ndarray, np.ndarray]], r: np.ndarray) -> dict[str, np.ndarray]:
    """What a layer alone explains: r^2 of all less r^2 without it, signs kept, per voxel."""
    signed = lambda value: np.sign(value) * value**2  # noqa: E731
    return {name: signed(r) - signed(without) for name, (_, without) in tuning.items()}


ALPHAS = tuple(float(value) for value in np.logspace(-3, 5, 9))


def served_r(
    features: np.ndarray, responses: np.ndarray, *, folds: int = 5, alphas: Sequence[float] = ALPHAS,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """How well a linear readout of a core predicts responses of images that it was not fitted to: r per voxel.

    features (n, d), responses (n, voxels) of one set of images, split into folds at random; the penalty of each voxel
    is chosen on the fitted folds alone, by leave-one-out. From the Gram matrix: d may be large. Both sides are centred
    within each fold: the mean of the others falls as a fold's own rises, which would look like r below 0.
    """
    n = len(features)
    fold = rng.permutation(n) % folds
    predicted, measured = np.empty((2, *responses.shape))
    for k in range(folds):
        fit, held = fold != k, fold == k
        guess = ridge_predict(features[fit], responses[fit], features[held], alphas)
        predicted[held], measured[held] = guess - guess.mean(0), responses[held] - responses[held].mean(0)
    return pearson(predicted, measured)


def ridge_predict(
    features: np.ndarray, responses: np.ndarray, others: np.ndarray, alphas: Sequence[float]
) -> np.ndarray:
    """Ridge with an intercept and a penalty per voxel, predictions (m, voxels) for other images' features (m, d).

    Columns are standardised by the fitted images; penalties are in units of the mean squared norm of a row, chosen by
    leave-one-out residuals: those of the fit over 1 - its leverage (Golub, Heath & Wahba 1979).
    """
    mean, std = features.mean(0), features.std(0)
    keep = std > 1e-8 * max(float(std.max()), 1e-30)
    x, z = ((part[:, keep] - mean[keep]) / std[keep] for part in (features, others))
    centre = responses.mean(0)
    values, vectors = np.linalg.eigh(x @ x.T)
    values = np.maximum(values, 0)
    unit = max(float(values.sum()) / len(x), 1e-30)
    rotated = vectors.T @ (responses - centre)
    best, chosen = np.full(responses.shape[1], np.inf), np.zeros(rotated.shape)
    for alpha in alphas:
        shrink = values / (values + alpha * unit)
        leverage = (vectors**2) @ shrink + 1 / len(x)
        residual = (responses - centre - vectors @ (shrink[:, None] * rotated)) / np.maximum(1 - leverage, 1e-9)[
            :, None
        ]
        error = np.square(residual).sum(0)
        better = error < best
        best = np.where(better, error, best)
        chosen[:, better] = (rotated / (values + alpha * unit)[:, None])[:, better]
    return centre + z @ (x.T @ (vectors @ chosen))


def hierarchy_index(losses: np.ndarray, order: Sequence[float]) -> float:
    """(a_up - a_down) / (|a_up| + |a_down|): 1 where cores serve what lies below them and not what lies above, -1 the
    other way round, 0 where distance alone counts. NaN where nothing is lost in any direction.

    losses (cores, ROIs): how much less a core predicts of an ROI than the ROI's own; order: each ROI's place in the
    hierarchy. The slopes are of the loss against the distance, least squares through 0, over all pairs whose ROI lies
    above, and below, the core's.
    """
    place = np.asarray(order, float)
    step = place[None, :] - place[:, None]  # of the ROI above the core
    slopes = []
    for side in (step > 0, step < 0):
        distance = np.abs(step[side])
        slopes.append(float((distance * losses[side]).sum() / np.square(distance).sum()) if side.any() else np.nan)
    up, down = slopes
    size = abs(up) + abs(down)
    return (up - down) / size if size > 1e-9 else float("nan")
