"""Similarity of layers: itself 1, shuffled 0, ceilings against simulated signals."""

import math

import numpy as np
import pytest
import torch

from neurobust.core.similarity import debiased_cka
from neurobust.explain.networks import similarity


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_itself_is_one_and_the_kernel_form_is_the_debiased_cka():
    x, y = normal(60, 30), normal(60, 30)[:, :10] + normal(60, 10, seed=1)
    k, l = similarity.kernel(x), similarity.kernel(y)
    assert similarity.kernel_cka(k, k) == pytest.approx(1)
    assert similarity.kernel_cka(k, l) == pytest.approx(float(debiased_cka(x, y)))
    assert similarity.rsa(similarity.distances(x), similarity.distances(x)) == pytest.approx(1)


def test_shuffled_images_are_at_zero():
    """Forty shuffles of two representations that share all their signal: their mean is 0 within four errors."""
    x = normal(64, 20)
    y = x @ normal(20, 40, seed=1)
    found = []
    for seed in range(40):
        order = torch.randperm(64, generator=torch.Generator().manual_seed(seed))
        found.append(
            (
                similarity.kernel_cka(similarity.kernel(x), similarity.kernel(y[order])),
                similarity.rsa(similarity.distances(x), similarity.distances(y[order])),
            )
        )
    found = np.array(found)
    error = found.std(0, ddof=1) / math.sqrt(len(found))
    assert (np.abs(found.mean(0)) < 4 * error).all() and (error < 0.01).all()


def test_rsa_is_spearmans_correlation_of_all_pairs():
    from scipy.stats import spearmanr

    x, y = normal(12, 7), normal(12, 9, seed=3)
    slow = [
        [1 - float(np.corrcoef(part[i], part[j])[0, 1]) for i in range(12) for j in range(i + 1, 12)]
        for part in (x.numpy(), y.numpy())
    ]
    assert similarity.distances(x) == pytest.approx(np.array(slow[0]))
    wanted = spearmanr(*slow).statistic
    assert similarity.rsa(similarity.distances(x), similarity.distances(y)) == pytest.approx(wanted)
    flat = x.clone()
    flat[3] = 1.0
    assert np.isnan(similarity.distances(flat)).sum() == 11, "an image without a pattern has no distance"
    assert math.isfinite(similarity.rsa(similarity.distances(flat), similarity.distances(y)))


def test_the_interval_holds_the_value_that_many_images_give():
    """Of 40 samples of 100 images, 95 % should hold it; under 33 has a probability below 1 in 1000."""
    mix = normal(10, 15, seed=9)

    def sample(n, seed):
        x = normal(n, 10, seed=seed)
        return x, x @ mix + 2 * normal(n, 15, seed=seed + 1000)

    truth = similarity.kernel_cka(*map(similarity.kernel, sample(3000, 500)))
    held = 0
    for seed in range(40):
        found = similarity.cka_with_interval(*sample(100, seed))
        held += found.low <= truth <= found.high
    assert held >= 33
    few = similarity.cka_with_interval(*sample(12, 0))
    assert math.isnan(few.low) and math.isfinite(few.value)


def measured(n=400, voxels=40, seed=0, subjects=2):
    """Signal, responses and noise ceilings (percent) of subjects that share the signal's origin."""
    latent, signals, responses, ceilings = normal(n, 12, seed=seed), [], [], []
    for subject in range(subjects):
        signal = latent @ normal(12, voxels, seed=10 + subject)
        noise = torch.linspace(0.5, 6, voxels) * normal(n, voxels, seed=20 + subject + 100 * seed)
        signals.append(signal)
        responses.append(signal + noise)
        power = signal.var(0)
        ceilings.append(100 * power / (power + torch.linspace(0.5, 6, voxels) ** 2))
    names = [f"subj{k + 1:02d}" for k in range(subjects) for _ in range(voxels)]
    parts = [torch.cat(part, 1) for part in (signals, responses)]
    return *parts, torch.cat(ceilings).numpy(), names


def test_the_ceiling_is_what_the_true_signal_reaches():
    signal, responses, ceiling, _ = measured(subjects=1)
    reached = similarity.kernel_cka(similarity.kernel(signal), similarity.kernel(responses))
    assert reached < 0.9
    assert similarity.cka_ceiling(responses, ceiling) == pytest.approx(reached, abs=0.03)
    assert similarity.cka_ceiling(signal, np.full(40, 100.0)) == pytest.approx(1)
    assert not similarity.cka_ceiling(normal(100, 30), np.zeros(30)) > 0.3, "noise alone has next to none"


def test_measured_responses_are_compared_subject_by_subject():
    signal, responses, ceiling, names = measured(n=120)
    gaps = responses.numpy().copy()
    gaps[:20, 40:] = np.nan  # what the second subject did not see
    found = similarity.measured_similarity(signal[:, :40], gaps, names)
    parts = [(signal[:, :40], responses[:, :40]), (signal[20:, :40], responses[20:, 40:])]
    assert found["cka"] == pytest.approx(np.mean([float(debiased_cka(*part)) for part in parts]))
    limits = similarity.measured_ceiling(gaps, names, ceiling)
    assert 0 < limits["rsa_low"] < limits["rsa_high"] < 1
    assert found["cka"] < limits["cka"] + 0.1
    alone = similarity.measured_ceiling(responses[:, :40].numpy(), names[:40], ceiling[:40])
    assert math.isnan(alone["rsa_low"]) and alone["cka"] > 0
    nothing = similarity.measured_similarity(signal, np.full((120, 2), np.nan), ["subj01"] * 2)
    assert math.isnan(nothing["cka"]) and math.isnan(nothing["rsa"])
