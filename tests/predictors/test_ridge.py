"""The Gram solver against scikit-learn and himalaya."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from neurobust.predictors.ridge import RidgePath, consecutive_folds, ridge_cv

ALPHAS = [0.1, 1.0, 10.0, 100.0, 1000.0]


def problem(n=83, features=12, voxels=9, seed=0):
    """Correlated features with an offset; voxels from pure noise to pure signal."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, features)) @ rng.normal(size=(features, features)) + 5
    noise = np.linspace(0.1, 30, voxels)
    y = x @ rng.normal(size=(features, voxels)) + noise * rng.normal(size=(n, voxels)) - 3
    return x, y


def test_losses_alphas_and_weights_equal_scikit_learn():
    x, y = problem()
    fit = ridge_cv(torch.from_numpy(x), torch.from_numpy(y), ALPHAS, folds=5, voxel_batch=4)
    losses = np.zeros((len(ALPHAS), y.shape[1]))
    for train, test in KFold(5).split(x):
        for i, alpha in enumerate(ALPHAS):
            model = Ridge(alpha).fit(x[train], y[train])
            losses[i] += ((model.predict(x[test]) - y[test]) ** 2).mean(0) / 5
    assert np.allclose(fit.losses, losses)
    chosen = np.array(ALPHAS)[losses.argmin(0)]
    assert np.array_equal(fit.alpha, chosen) and len(set(chosen)) > 1
    model = Ridge(chosen).fit(x, y)
    assert np.allclose(fit.weights.T, model.coef_) and np.allclose(fit.intercept, model.intercept_)


def test_the_same_alphas_and_weights_as_himalaya():
    himalaya = pytest.importorskip("himalaya.ridge")
    x, y = problem(100, 15, 20, seed=1)
    theirs = himalaya.RidgeCV(alphas=ALPHAS, cv=KFold(5), fit_intercept=True).fit(x, y)
    fit = ridge_cv(torch.from_numpy(x), torch.from_numpy(y), ALPHAS, folds=5)
    assert np.allclose(fit.alpha, theirs.best_alphas_) and len(fit.alpha.unique()) > 2
    assert np.allclose(fit.weights, theirs.coef_)


def test_single_precision_survives_a_large_offset():
    x, y = problem(400)
    wanted = ridge_cv(torch.from_numpy(x), torch.from_numpy(y), ALPHAS)
    given = ridge_cv(torch.from_numpy(x + 1000).float(), torch.from_numpy(y).float(), ALPHAS)
    assert torch.equal(given.alpha, wanted.alpha.float())
    torch.testing.assert_close(given.weights, wanted.weights.float(), rtol=0.02, atol=0.02)


def test_more_features_than_rows():
    x, y = problem(20, 40, 3)
    fit = ridge_cv(torch.from_numpy(x), torch.from_numpy(y), [10.0], folds=4)
    assert np.allclose(fit.weights.T, Ridge(10.0).fit(x, y).coef_)


def test_folds_are_those_of_kfold():
    for count, folds in ((10, 3), (12, 4), (7, 7)):
        slices = [np.arange(count)[s].tolist() for s in consecutive_folds(count, folds)]
        assert slices == [test.tolist() for _, test in KFold(folds).split(np.zeros(count))]


def test_a_path_holds_every_solution():
    x, y = problem()
    x, y = torch.from_numpy(x - x.mean(0)), torch.from_numpy(y - y.mean(0))
    path = RidgePath.of(x.T @ x, x.T @ y)
    for alpha in (0.5, 50.0):
        direct = torch.linalg.solve(x.T @ x + alpha * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y)
        torch.testing.assert_close(path.weights(torch.full((y.shape[1],), alpha, dtype=x.dtype)), direct)
        loss = path.losses(x[:30], y[:30], torch.tensor([alpha], dtype=x.dtype))[0]
        torch.testing.assert_close(loss, (x[:30] @ direct - y[:30]).square().mean(0))
