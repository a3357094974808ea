"""z-scores, averages, ncsnr and ceilings against plain loops, planted truth and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from neurobust.core.errors import InputError
from neurobust.nsd.design import repeats_table
from neurobust.nsd.noise import ncsnr, noise_ceiling
from neurobust.nsd.zscore import average_repeats, zscore_sessions


def simulate(seed, images=700, sessions=14, voxels=300, truth=0.8):
    """int16 betas (trials, voxels) of images shown three times, ids, sessions; signal / noise is `truth`."""
    rng = np.random.default_rng(seed)
    ids = rng.permutation(np.repeat(np.arange(images), 3))
    session = np.repeat(np.arange(1, sessions + 1), len(ids) // sessions)
    betas = truth * rng.normal(size=(images, voxels))[ids] + rng.normal(size=(len(ids), voxels))
    gain, offset = rng.uniform(0.5, 3, sessions), rng.normal(0, 5, sessions)
    return np.rint((betas * gain[session - 1, None] + offset[session - 1, None]) * 300).astype(np.int16), ids, session


def slow_zscore(values, session):
    out = np.full(values.shape, np.nan)
    for s in np.unique(session):
        for v in range(values.shape[1]):
            x = values[session == s, v].astype(float)
            sd = np.sqrt(((x - x.mean()) ** 2).sum() / (len(x) - 1))
            if sd > 0:
                out[session == s, v] = (x - x.mean()) / sd
    return out


def slow_ncsnr(scores, ids):
    """Steps 2 to 4 of the published algorithm, one voxel and one image at a time."""
    out = []
    for v in range(scores.shape[1]):
        variances = []
        for image in np.unique(ids):
            x = scores[ids == image, v]
            if len(x) == 3 and not np.isnan(x).any():
                variances.append(((x - x.mean()) ** 2).sum() / 2)
        noise = np.sqrt(np.mean(variances))
        out.append(np.sqrt(max(0, 1 - noise**2)) / noise)
    return np.array(out)


def test_zscore_is_per_session_and_sample_deviation():
    betas, _, session = simulate(0, images=28, voxels=4)
    betas[session == 2, 1] = 7  # constant in one session
    scores = zscore_sessions(betas, session)
    np.testing.assert_allclose(scores, slow_zscore(betas, session), rtol=2e-6, atol=1e-6)
    assert np.isnan(scores[session == 2, 1]).all()
    assert np.isnan(scores).sum() == (session == 2).sum()


def test_train_statistics_do_not_see_test_trials():
    betas, _, session = simulate(1, images=28, voxels=4)
    train = np.random.default_rng(0).random(len(session)) < 0.7
    changed = betas.copy()
    changed[~train] += 999
    before, after = (zscore_sessions(b, session, train) for b in (betas, changed))
    np.testing.assert_array_equal(before[train], after[train])
    assert (zscore_sessions(betas, session)[train] != zscore_sessions(changed, session)[train]).any()
    rows = train & (session == 3)
    np.testing.assert_allclose(before[rows].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(before[rows].std(0, ddof=1), 1, rtol=1e-5)


def test_a_session_without_training_trials_is_nan():
    betas, _, session = simulate(2, images=28, voxels=2)
    scores = zscore_sessions(betas, session, session != 4)
    assert np.isnan(scores[session == 4]).all()
    assert not np.isnan(scores[session != 4]).any()


def test_average_leaves_out_invalid_trials():
    scores = np.array([[1.0, np.nan], [2.0, np.nan], [6.0, np.nan], [np.nan, 4.0]], np.float32)
    _, _, table = repeats_table(np.array([5, 9, 5, 5]))
    np.testing.assert_array_equal(average_repeats(scores, table), [[3.5, 4.0], [2.0, 0.0]])


def test_ncsnr_is_the_published_algorithm():
    betas, ids, session = simulate(3, images=42, sessions=6, voxels=5)
    ids = np.where(ids < 8, 1000 + np.arange(len(ids)), ids)  # some images are shown once
    betas[session == 2, 3] = 0
    scores = zscore_sessions(betas, session)
    _, _, table = repeats_table(ids)
    np.testing.assert_allclose(ncsnr(scores, table), slow_ncsnr(slow_zscore(betas, session), ids), rtol=1e-5)


def test_image_halves():
    betas, ids, session = simulate(4, images=42, sessions=6, voxels=5)
    scores = zscore_sessions(betas, session)
    _, _, table = repeats_table(ids)
    for half in (0, 1):
        keep = ids % 2 == half
        expected = slow_ncsnr(scores[keep].astype(float), ids[keep])
        np.testing.assert_allclose(ncsnr(scores, table, half=half), expected, rtol=1e-5)


@pytest.mark.parametrize("truth", [0.3, 0.8, 1.5])
def test_ncsnr_recovers_the_planted_value(truth):
    betas, ids, session = simulate(5, truth=truth)
    found = ncsnr(zscore_sessions(betas, session), repeats_table(ids)[2])
    assert abs(np.median(found) - truth) < 0.02


def test_without_session_zscore_it_would_not():
    """The gains and offsets of the simulation are large enough to make the pitfall visible."""
    betas, ids, _ = simulate(5)
    one = np.ones(len(ids))
    found = ncsnr(zscore_sessions(betas, one), repeats_table(ids)[2])
    assert abs(np.median(found) - 0.8) > 0.1


@pytest.mark.parametrize("change", ["shuffle", "shift"])
def test_ncsnr_vanishes_without_the_right_images(change):
    betas, ids, session = simulate(6, truth=1.5)
    wrong = np.random.default_rng(0).permutation(ids) if change == "shuffle" else np.roll(ids, 1)
    found = ncsnr(zscore_sessions(betas, session), repeats_table(wrong)[2])
    assert np.median(found) < 0.15


def test_ncsnr_without_repeats_or_values():
    scores = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    assert np.isnan(ncsnr(scores, repeats_table(np.arange(6))[2])).all()
    scores[:, 1] = np.nan
    found = ncsnr(scores, repeats_table(np.array([0, 0, 0, 1, 1, 1]))[2])
    assert np.isnan(found).tolist() == [False, True]


def test_noise_ceiling_formula():
    s = np.array([0.0, 0.5, 1.0, 3.0])
    np.testing.assert_allclose(noise_ceiling(s, [0, 0, 7]), 100 * s**2 / (s**2 + 1 / 3))
    np.testing.assert_allclose(noise_ceiling(s, [7]), 100 * s**2 / (s**2 + 1))
    k = (3 / 3 + 5 / 2 + 2 / 1) / 10
    np.testing.assert_allclose(noise_ceiling(s, [2, 5, 3]), 100 * s**2 / (s**2 + k))
    assert noise_ceiling(np.array([np.inf]), [1]).item() == 100
    with pytest.raises(InputError, match="no image"):
        noise_ceiling(s, [0, 0, 0])


def test_noise_ceiling_is_what_a_perfect_model_reaches():
    """Squared correlation of the true signal with averages over three noisy repeats."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=20000)
    average = signal + rng.normal(size=(3, 20000)).mean(0) / 0.6
    reached = 100 * np.corrcoef(signal, average)[0, 1] ** 2
    assert abs(reached - noise_ceiling(np.array(0.6), [0, 0, 20000])) < 1
