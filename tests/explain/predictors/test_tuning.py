"""Layerwise tuning, the readout of a frozen core, transfer and hierarchy, on planted layers and cores."""

import numpy as np
import pytest

from neurobust.core.correlation import pearson
from neurobust.explain.predictors.tuning import (
    hierarchy_index,
    layer_tuning,
    ridge_predict,
    seen_r,
    served_r,
    unique_share,
)


def test_only_images_that_were_seen_count():
    rng = np.random.default_rng(0)
    predicted, measured = rng.normal(size=(2, 50, 4))
    assert np.allclose(seen_r(predicted, measured), pearson(predicted, measured))
    measured[:20, 1], measured[2:, 2] = np.nan, np.nan
    found = seen_r(predicted, measured)
    assert found[1] == pytest.approx(np.corrcoef(predicted[20:, 1], measured[20:, 1])[0, 1]) and found[2] == 0


@pytest.fixture
def layers():
    """Three layers' contributions to 40 voxels over 300 images: half of the voxels rest on the first, the others on the
    second; the third adds nothing but noise."""
    rng = np.random.default_rng(1)
    parts = rng.normal(size=(3, 300, 40))
    parts[0][:, 20:] *= 0.05
    parts[1][:, :20] *= 0.05
    parts[2] *= 0.05
    measured = parts[0] + parts[1] + 0.5 * rng.normal(size=(300, 40))
    return dict(zip(("early", "late", "idle"), parts, strict=True)), measured


def test_planted_layers_are_found(layers):
    parts, measured = layers
    tuning = layer_tuning(parts, measured)
    r = seen_r(sum(parts.values()), measured)
    for name, own, other in (("early", slice(0, 20), slice(20, 40)), ("late", slice(20, 40), slice(0, 20))):
        alone, without = tuning[name]
        assert (alone[own] > 0.8).all() and (np.abs(without[own]) < 0.25).all()
        assert np.abs(np.median(alone[other])) < 0.15 and (without[other] > 0.8).all()
        assert (unique_share(tuning, r)[name][own] > 0.6).all()
    alone, without = tuning["idle"]
    assert np.abs(np.median(alone)) < 0.05 and np.abs(unique_share(tuning, r)["idle"]).max() < 0.03


def test_shuffled_images_leave_no_layer_anything(layers):
    """40 voxels of 300 images: the median r of independent columns has a standard error of about .011."""
    parts, measured = layers
    mixed = measured[np.random.default_rng(2).permutation(300)]
    for alone, without in layer_tuning(parts, mixed).values():
        assert abs(np.median(alone)) < 0.05 and abs(np.median(without)) < 0.05


def test_ridge_is_that_of_the_normal_equations():
    rng = np.random.default_rng(3)
    x, y, z = rng.normal(size=(60, 7)) * 3 + 1, rng.normal(size=(60, 2)), rng.normal(size=(5, 7)) * 3
    mean, std = x.mean(0), x.std(0)
    a, b = (x - mean) / std, (z - mean) / std
    penalty = 0.3 * np.square(a).sum() / 60
    wanted = y.mean(0) + b @ np.linalg.solve(a.T @ a + penalty * np.eye(7), a.T @ (y - y.mean(0)))
    assert np.allclose(ridge_predict(x, y, z, [0.3]), wanted)


def test_the_penalty_is_chosen_by_images_left_out_one_by_one():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(25, 40))
    y = np.stack([x @ rng.normal(size=40), rng.normal(size=25)], 1)
    alphas = [1e-2, 1.0, 1e3]
    errors = np.zeros((3, 2))
    mean, std = x.mean(0), x.std(0)
    a = (x - mean) / std
    for k, alpha in enumerate(alphas):
        penalty = alpha * np.square(a).sum() / 25
        for i in range(25):
            rest = np.arange(25) != i
            c, centre = a[rest].mean(0), y[rest].mean(0)  # an intercept of its own, columns scaled by all
            b = a[rest] - c
            w = np.linalg.solve(b.T @ b + penalty * np.eye(40), b.T @ (y[rest] - centre))
            errors[k] += np.square(y[i] - centre - (a[i] - c) @ w)
    best = errors.argmin(0)
    found = ridge_predict(x, y, x, alphas)
    for v in range(2):
        assert np.allclose(found[:, v], ridge_predict(x, y, x, [alphas[best[v]]])[:, v])


def cores(seed=0, images=400):
    """Features of four cores, a ladder: each has what the one below has and something of its own. ROIs are sums."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(4, images, 6))
    features = {f"R{k}": np.concatenate(own[: k + 1], 1) for k in range(4)}
    weights = rng.normal(size=(4, 6, 15))
    responses = {
        f"R{k}": sum(own[j] @ weights[j] for j in range(k + 1)) / (k + 1) ** 0.5 + rng.normal(size=(images, 15))
        for k in range(4)
    }
    return features, responses


def test_a_copied_roi_loses_nothing_and_a_ladder_is_a_hierarchy():
    features, responses = cores()
    features["copy"], responses["copy"] = features["R1"], responses["R1"]
    names = list(features)
    every = np.hstack([responses[roi] for roi in names])
    served = [served_r(features[core], every, rng=np.random.default_rng(5)) for core in names]
    medians = np.array([[np.median(part) for part in np.split(r, 5)] for r in served])
    losses = np.diag(medians) - medians
    one, copy = names.index("R1"), names.index("copy")
    assert losses[one, copy] == losses[copy, one] == 0 and (np.diag(losses) == 0).all()
    ladder = losses[:4, :4]
    assert ladder[0, 3] > 0.15 and abs(ladder[3, 0]) < 0.05  # the top serves the bottom, not the other way round
    assert hierarchy_index(ladder, range(4)) > 0.8
    assert hierarchy_index(ladder, range(3, -1, -1)) < -0.8


def test_unrelated_cores_serve_nothing_and_make_no_hierarchy():
    """Random features: r of 60 voxels around 0. Losses by distance alone: index 0."""
    rng = np.random.default_rng(6)
    r = served_r(rng.normal(size=(400, 20)), rng.normal(size=(400, 60)), rng=rng)
    assert abs(np.median(r)) < 0.06
    place = np.arange(5)
    assert hierarchy_index(0.1 * np.abs(place[:, None] - place), place) == pytest.approx(0)
    assert np.isnan(hierarchy_index(np.zeros((5, 5)), place))
