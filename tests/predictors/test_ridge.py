"""The Gram solver against scikit-learn and himalaya."""

import logging

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from neurobust.core.errors import InputError
from neurobust.predictors import ridge
from neurobust.predictors.fit_fwrf import fit_fwrf
from neurobust.predictors.fit_ridge import fit_ridge
from neurobust.predictors.fitting import FitContext
from neurobust.predictors.registry import read_predictor
from neurobust.predictors.ridge import RidgePath, consecutive_folds, edge_shares, ridge_cv

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


WIDE = [0.1, 1.0, 10.0, 100.0, 1000.0, 1e4]


def wide_problem(n=60, features=150, voxels=9, seed=0):
    """Fewer rows than features, with an offset."""
    x, y = problem(n, features, voxels, seed)
    return torch.from_numpy(x), torch.from_numpy(y)


@pytest.mark.parametrize("n", [20, 60])
def test_more_features_than_rows(n):
    """The dual form: alphas, losses and weights of scikit-learn."""
    x, y = (part.numpy() for part in wide_problem(n))
    fit = ridge_cv(torch.from_numpy(x), torch.from_numpy(y), WIDE, folds=4, voxel_batch=4, feature_batch=40)
    losses = np.zeros((len(WIDE), y.shape[1]))
    for train, test in KFold(4).split(x):
        for i, alpha in enumerate(WIDE):
            losses[i] += ((Ridge(alpha).fit(x[train], y[train]).predict(x[test]) - y[test]) ** 2).mean(0) / 4
    assert np.allclose(fit.losses, losses) and len(set(fit.alpha.tolist())) > 1
    model = Ridge(fit.alpha.numpy()).fit(x, y)
    assert np.allclose(fit.weights.T, model.coef_) and np.allclose(fit.intercept, model.intercept_)


def test_both_forms_are_one_fit(monkeypatch):
    """The dual form on a problem that the primal one is for, and the other way round."""
    for x, y in (wide_problem(), tuple(torch.from_numpy(part) for part in problem())):
        fits = []
        for form in (ridge.Primal, ridge.Dual):
            monkeypatch.setattr(ridge, "Primal", form)
            monkeypatch.setattr(ridge, "Dual", form)
            fits.append(ridge_cv(x, y, ALPHAS, folds=5, feature_batch=7))
            monkeypatch.undo()
        for name in ("weights", "intercept", "alpha", "losses", "r"):
            torch.testing.assert_close(getattr(fits[0], name), getattr(fits[1], name), rtol=1e-6, atol=1e-8)


def test_the_dual_form_has_himalaya_s_penalties():
    himalaya = pytest.importorskip("himalaya.ridge")
    x, y = (part.numpy() for part in wide_problem(80, 120, 20, seed=1))
    theirs = himalaya.RidgeCV(alphas=WIDE, cv=KFold(5), fit_intercept=True, solver_params={"warn": False}).fit(x, y)
    fit = ridge_cv(torch.from_numpy(x), torch.from_numpy(y), WIDE, folds=5)
    assert np.allclose(fit.alpha, theirs.best_alphas_) and len(fit.alpha.unique()) > 1
    assert np.allclose(fit.weights, theirs.coef_)


def test_single_precision_of_the_dual_form_survives_a_large_offset():
    x, y = wide_problem(100, 300)
    wanted = ridge_cv(x, y, WIDE)
    given = ridge_cv((x + 1000).float(), y.float(), WIDE)
    assert torch.equal(given.alpha, wanted.alpha.float())
    torch.testing.assert_close(given.weights, wanted.weights.float(), rtol=0.02, atol=0.02)


def test_no_matrix_of_features_by_features_is_made(monkeypatch):
    """40,000 features would be 6.4 GB a Gram matrix: nothing that is decomposed or held has more entries than x."""
    largest = []
    decompose = torch.linalg.eigh
    monkeypatch.setattr(torch.linalg, "eigh", lambda m: largest.append(max(m.shape)) or decompose(m))
    x = torch.randn(30, 40_000, generator=torch.Generator().manual_seed(0))
    y = x[:, :2] + 1
    fit = ridge_cv(x, y, [10.0, 1000.0], folds=3, feature_batch=5000)
    assert max(largest) == 30 and fit.weights.shape == (40_000, 2)
    assert (x @ fit.weights + fit.intercept - y).abs().max() < 0.1, "as many weights fit any responses"


def test_r_is_out_of_sample():
    """It is what a fit to the other folds says of each; noise that the fit itself learns by heart scores nothing."""
    x, y = wide_problem(60, 150, 6)
    fit = ridge_cv(x, y, [10.0], folds=4)
    wanted = np.zeros(6)
    for train, test in KFold(4).split(x):
        predicted = Ridge(10.0).fit(x[train], y[train]).predict(x[test])
        wanted += [np.corrcoef(predicted[:, v], y[test, v])[0, 1] / 4 for v in range(6)]
    assert np.allclose(fit.r, wanted)
    rng = np.random.default_rng(2)
    x, noise = (torch.from_numpy(rng.normal(size=(200, k))) for k in (500, 400))
    fit = ridge_cv(x, noise, [1.0], folds=5)
    learned = x @ fit.weights + fit.intercept
    assert np.corrcoef(learned[:, 0], noise[:, 0])[0, 1] > 0.99
    # mean over 400 voxels of r over 40 rows, five folds: its standard error is 1 / sqrt(39 * 5 * 400) = 0.0036
    assert abs(float(fit.r.mean())) < 0.02
    constant = ridge_cv(x, torch.zeros(200, 2, dtype=x.dtype), [1.0], folds=5)
    assert not constant.r.any() and torch.isfinite(constant.weights).all()


def ridge_settings(**changes):
    given = {"kind": "ridge", "input_size": 48, "features": "pixels", "folds": 3, "map_size": 8, "alphas": [10.0, 1e3]}
    return read_predictor("own", given | changes)


def test_validation_r_of_a_predictor_is_not_of_what_it_was_fitted_to(subject_maker):
    """Responses to other images: 40 + 10 images, 192 pixels. In sample r was near 1."""
    data = subject_maker(voxels=60)
    data.responses = np.random.default_rng(0).normal(size=data.responses.shape).astype(np.float32)
    fitted = fit_ridge(ridge_settings(alphas=[1.0]), FitContext([data], 0))
    assert abs(fitted.history[0]["validation_r"]) < 0.2


def test_too_many_folds_are_one_line(subject):
    with pytest.raises(InputError, match="folds: 26: too many for 50 images, each has at least 2"):
        fit_ridge(ridge_settings(folds=26), FitContext([subject], 0))


def test_voxels_at_an_edge_of_the_penalties_are_counted():
    alpha = torch.tensor([0.1, 1.0, 100.0, 100.0], dtype=torch.float32)
    shares = edge_shares(alpha, [0.1, 1.0, 10.0, 100.0])
    assert shares == {"share_smallest_penalty": 0.25, "share_largest_penalty": 0.5}
    assert edge_shares(alpha, [100.0, 0.1, 1.0]) == shares, "in whatever order they stand"
    assert set(edge_shares(torch.ones(3), [1.0]).values()) == {0.0}, "of one penalty there is no choice"


FIELDS = {"kind": "gabor-fwrf", "frequencies": [4], "orientations": 1, "input_size": 48, "map_size": 4,
          "field_sizes": [2.0], "field_spacing": 1.0}  # fmt: skip


@pytest.mark.parametrize("kind", ["ridge", "fwrf"])
def test_penalties_at_the_edge_are_stored_and_warned_of(subject, caplog, kind):
    def fit(alphas):
        caplog.clear()
        if kind == "ridge":
            return fit_ridge(ridge_settings(alphas=alphas, map_size=2), FitContext([subject], 0)).history[0]
        return fit_fwrf(read_predictor("own", FIELDS | {"alphas": alphas}), FitContext([subject], 0)).history[0]

    with caplog.at_level(logging.WARNING, "neurobust"):
        small = fit([1e-9, 1e-8])
        assert small["share_smallest_penalty"] + small["share_largest_penalty"] == pytest.approx(1)
        assert "of `alphas`" in caplog.text and "subj01: " in caplog.text
        if kind == "fwrf":
            return  # its one feature says nothing here: any penalty is as good
        subject.responses += np.random.default_rng(0).normal(size=subject.responses.shape).astype(np.float32)
        wide = fit([1e-9, *np.geomspace(1e-2, 1e4, 7).tolist(), 1e15])
        assert wide == wide | {"share_smallest_penalty": 0.0, "share_largest_penalty": 0.0}
        assert "of `alphas`" not in caplog.text


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
