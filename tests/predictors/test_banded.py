"""Banded ridge against himalaya's, and against plain ridge."""

import numpy as np
import pytest
import torch
from sklearn.model_selection import KFold

from neurobust.core.errors import InputError
from neurobust.predictors.banded import banded_cv, draw_shares
from neurobust.predictors.ridge import ridge_cv

WIDTHS = (30, 50)
ALPHAS = tuple(10.0**k for k in range(-1, 5))


def two_bands(count, seed=0):
    """x (count, 80) of two bands, and responses that read the first, the second, both or nothing."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, sum(WIDTHS))) * np.repeat([1.0, 2.0], WIDTHS) + 0.5
    w = rng.normal(size=(sum(WIDTHS), 12))
    w[: WIDTHS[0], 3:6], w[WIDTHS[0] :, :3], w[:, 9:] = 0, 0, 0
    y = x @ w / 6 + rng.normal(size=(count, 12))
    return tuple(torch.from_numpy(part).double() for part in (x, y))


@pytest.mark.parametrize("count", [60, 200])
def test_weights_are_those_of_himalaya_s_group_ridge_on_its_own_search_grid(count):
    """200 rows: the primal form; 60: the dual form."""
    ridge = pytest.importorskip("himalaya.ridge")
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import generate_dirichlet_samples

    set_backend("numpy")
    x, y = two_bands(count)
    grid = np.asarray(generate_dirichlet_samples(12, 2, concentration=[0.1, 1.0], random_state=0))
    theirs = ridge.GroupRidgeCV(
        groups=np.repeat([0, 1], WIDTHS), cv=KFold(5), fit_intercept=True, random_state=0,
        solver_params={"n_iter": grid, "alphas": np.array(ALPHAS), "progress_bar": False, "warn": False},
    ).fit(x.numpy(), y.numpy())  # fmt: skip
    ours = banded_cv(x, WIDTHS, y, grid, ALPHAS, folds=5, voxel_batch=5, feature_batch=7)
    deltas = np.log(ours.shares.numpy().T / ours.alpha.numpy())
    np.testing.assert_allclose(deltas, theirs.deltas_, atol=1e-6)
    np.testing.assert_allclose(ours.weights, theirs.coef_, atol=1e-4)
    np.testing.assert_allclose(ours.intercept, theirs.intercept_, atol=1e-4)
    np.testing.assert_allclose((x @ ours.weights + ours.intercept).numpy(), theirs.predict(x.numpy()), atol=1e-4)


def test_equal_shares_are_plain_ridge_and_one_band_is_too():
    x, y = two_bands(150)
    plain = ridge_cv(x, y, [2.0 * alpha for alpha in ALPHAS])
    banded = banded_cv(x, WIDTHS, y, np.full((1, 2), 0.5), ALPHAS)
    torch.testing.assert_close(banded.weights, plain.weights)
    torch.testing.assert_close(banded.r, plain.r)
    assert np.array_equal(draw_shares(1, 20, np.random.default_rng(0)), [[1.0]])
    alone = banded_cv(x, [80], y, draw_shares(1, 20, np.random.default_rng(0)), ALPHAS)
    torch.testing.assert_close(alone.weights, ridge_cv(x, y, ALPHAS).weights)


def test_the_shares_say_which_band_a_voxel_reads_and_predict_it_better():
    """What reads one band leaves the other out, and beats plain ridge on new rows."""
    x, y = two_bands(120)
    fit = banded_cv(x, WIDTHS, y, draw_shares(2, 20, np.random.default_rng(1)), ALPHAS)
    assert fit.shares[:3, 0].min() > 0.7 and fit.shares[3:6, 1].min() > 0.7
    plain = ridge_cv(x, y, ALPHAS)
    rng = np.random.default_rng(9)
    new = torch.from_numpy(rng.normal(size=(2000, 80)) * np.repeat([1.0, 2.0], WIDTHS) + 0.5)
    w = np.random.default_rng(0)
    w.normal(size=(120, 80))
    true = torch.from_numpy(w.normal(size=(80, 12)))
    true[30:, :3], true[:30, 3:6] = 0, 0
    truth = new @ true / 6
    errors = [(new @ part.weights + part.intercept - truth)[:, :6].square().mean() for part in (fit, plain)]
    assert errors[0] < 0.8 * errors[1]


def test_candidates_are_shares_and_too_many_folds_are_one_line():
    shares = draw_shares(3, 5, np.random.default_rng(0))
    assert shares.shape == (9, 3) and np.allclose(shares.sum(1), 1) and np.allclose(shares[0], 1 / 3)
    with pytest.raises(InputError, match="folds: 5: too many for 8 images"):
        banded_cv(torch.zeros(8, 2), [1, 1], torch.zeros(8, 1), shares[:, :2], ALPHAS)
