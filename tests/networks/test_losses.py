"""Losses against slow float64 references written from their definitions, gradients, bias and precision."""

import numpy as np
import pytest
import torch

from neurobust.core.similarity import debiased_cka, linear_cka
from neurobust.networks.losses import similarity
from neurobust.networks.manifolds import ClassTarget, Manifolds
from neurobust.networks.registry import LOSSES


def slow_mse(x, y):
    return np.mean([(x[i, j] - y[i, j]) ** 2 for i in range(x.shape[0]) for j in range(x.shape[1])])


def slow_correlation(x, y):
    return 1 - np.mean([np.corrcoef(x[:, j], y[:, j])[0, 1] for j in range(x.shape[1])])


def slow_linear_cka(x, y):
    """Feature form: ||Yc' Xc||^2 / (||Xc' Xc|| ||Yc' Yc||), Kornblith et al. 2019, equation 4."""
    x, y = x - x.mean(0), y - y.mean(0)
    return np.linalg.norm(y.T @ x) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))


def slow_hsic(k, l):
    """Unbiased HSIC as a U-statistic: the mean over all ordered 4-tuples of distinct images (Song et al. 2012)."""
    n, total, count = len(k), 0.0, 0
    for i in range(n):
        for j in range(n):
            for q in range(n):
                for r in range(n):
                    if len({i, j, q, r}) == 4:
                        total += k[i, j] * (l[i, j] + l[q, r] - 2 * l[i, q])
                        count += 1
    return total / count


def slow_debiased_cka(x, y):
    k, l = x @ x.T, y @ y.T
    return slow_hsic(k, l) / np.sqrt(slow_hsic(k, k) * slow_hsic(l, l))


def slow_rsa(x, y):
    upper = np.triu_indices(len(x), 1)
    return 1 - np.corrcoef(np.corrcoef(x)[upper], np.corrcoef(y)[upper])[0, 1]


def slow_similarity(x, y):
    """Over all pairs of images, the squared difference of arctanh of their cosines."""

    def score(z, i, j):
        cosine = z[i] @ z[j] / np.sqrt((z[i] @ z[i]) * (z[j] @ z[j]))
        return np.arctanh(np.clip(cosine, -(1 - 1e-4), 1 - 1e-4))

    pairs = [(i, j) for i in range(len(x)) for j in range(i)]
    return np.mean([(score(x, i, j) - score(y, i, j)) ** 2 for i, j in pairs])


def slow_radius(x, y):
    classes = sorted(set(y.labels.tolist()))
    excess = []
    for c in classes:
        distances = [np.sum((z - y.manifolds.centres[c].numpy()) ** 2) for z in x[y.labels.numpy() == c]]
        excess.append(max(0, np.sqrt(np.mean(distances)) - y.manifolds.radii[c].item()))
    return np.mean(excess)


def slow_dimension(x, y):
    """By least squares: the part of z - centre that no combination of the class's axes gives."""
    by_class = []
    for c in sorted(set(y.labels.tolist())):
        basis, shares = y.manifolds.bases[c].numpy(), []
        for z in x[y.labels.numpy() == c] - y.manifolds.centres[c].numpy():
            fitted = basis @ np.linalg.lstsq(basis, z, rcond=None)[0]
            shares.append(np.linalg.norm(z - fitted) / np.linalg.norm(z))
        by_class.append(np.mean(shares))
    return np.mean(by_class)


REFERENCES = {
    "mse": slow_mse,
    "correlation": slow_correlation,
    "cka": lambda x, y: np.log(1 - slow_linear_cka(x, y)),
    "cka-debiased": lambda x, y: np.log(1 - slow_debiased_cka(x, y)),
    "rsa": slow_rsa,
    "similarity": slow_similarity,
    "manifold-radius": slow_radius,
    "manifold-dimension": slow_dimension,
    "manifold": lambda x, y: (0.3 * slow_radius(x, y) + 0.62 * slow_dimension(x, y)) / 0.92,
}


def pair(loss, n=9, d=7, v=5, seed=0):
    """x (n, d) and a related y; of equal width where the loss compares columns; manifolds of 3 classes where it needs
    them, two axes each."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    if LOSSES[loss].by_class:
        bases = np.linalg.qr(rng.normal(size=(3, d, 2)))[0]
        manifolds = Manifolds(*(torch.tensor(p) for p in (rng.normal(size=(3, d)), np.array([0.5, 1.0, 9.0]), bases)))
        return x, ClassTarget(torch.arange(n) % 3, manifolds)
    y = x @ rng.normal(size=(d, d if LOSSES[loss].needs_head else v)) + rng.normal(size=(n, 1))
    return x, y


def cast(y, to=lambda part: part):
    """A target as tensors, converted by `to`."""
    return y if isinstance(y, ClassTarget) else to(torch.tensor(y))


def test_every_loss_has_a_reference():
    assert set(REFERENCES) == set(LOSSES)


@pytest.mark.parametrize("loss", LOSSES)
def test_value_is_the_definition(loss):
    x, y = pair(loss)
    value = LOSSES[loss].function(torch.tensor(x), cast(y)).item()
    assert value == pytest.approx(REFERENCES[loss](x, y), rel=1e-6)
    single = LOSSES[loss].function(torch.tensor(x).float(), cast(y, torch.Tensor.float)).item()
    assert single == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient(loss):
    x, y = pair(loss, n=6, d=4, v=3)
    x = torch.tensor(x, requires_grad=True)
    if LOSSES[loss].by_class:
        assert torch.autograd.gradcheck(lambda x: LOSSES[loss].function(x, y), (x,))
    else:
        assert torch.autograd.gradcheck(LOSSES[loss].function, (x, torch.tensor(y, requires_grad=True)))


@pytest.mark.parametrize("loss", LOSSES)
def test_descends_and_is_finite_in_bfloat16(loss):
    """A step against the gradient lowers the loss; half precision is raised before any sum."""
    x, y = pair(loss, n=16)
    x, y = torch.tensor(x, requires_grad=True), cast(y)
    before = LOSSES[loss].function(x, y)
    (gradient,) = torch.autograd.grad(before, x)
    assert LOSSES[loss].function(x - 1e-3 * gradient / gradient.norm(), y) < before
    half = LOSSES[loss].function(x.detach().bfloat16(), y if LOSSES[loss].by_class else y.bfloat16())
    assert half.dtype == torch.float32 and half.item() == pytest.approx(before.item(), rel=0.1, abs=0.1)


@pytest.mark.parametrize("loss", LOSSES)
def test_constant_input_gives_finite_value_and_gradient(loss):
    """Dead units and silent voxels must not turn the weights into NaN."""
    x = torch.ones(8, 4, requires_grad=True)
    y = pair(loss, n=8, d=4)[1] if LOSSES[loss].by_class else torch.ones(8, 4)
    value = LOSSES[loss].function(x, y)
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(x.grad).all()


def test_bias_of_cka_at_64_images():
    """Independent data: the biased form gives about 0.936, the debiased one about 0."""
    generator = torch.Generator().manual_seed(0)
    draws = [(torch.randn(64, 512, generator=generator), torch.randn(64, 4627, generator=generator)) for _ in range(8)]
    assert np.mean([linear_cka(x, y).item() for x, y in draws]) == pytest.approx(0.936, abs=0.005)
    assert np.mean([debiased_cka(x, y).item() for x, y in draws]) == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize(("cka", "error"), [(linear_cka, 1e-4), (debiased_cka, 1e-3)])
def test_offset_does_not_cost_precision(cka, error):
    """Features at 1000 + noise in float32: centring the Gram matrix instead would give 0.59 for 0.96."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(64, 512, generator=generator, dtype=torch.float64)
    y = torch.cat([x[:, :256], torch.randn(64, 256, generator=generator, dtype=torch.float64)], 1)
    shifted = cka((x + 1000).float(), (y + 1000).float()).item()
    assert shifted == pytest.approx(cka(x, y).item(), abs=error)


def test_cka_of_the_same_features_is_one():
    x = torch.randn(16, 8, generator=torch.Generator().manual_seed(2))
    rotation = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(3)))[0]
    for cka in (linear_cka, debiased_cka):
        assert cka(x, 3 * x @ rotation + 5).item() == pytest.approx(1, abs=1e-5)


def test_similarity_of_identical_images_stays_finite():
    """arctanh is infinite at 1: two images with the same features must not blow up the weights."""
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(4))
    x[1] = x[0]
    x.requires_grad_(True)
    value = similarity(x, torch.randn(6, 9, generator=torch.Generator().manual_seed(5)))
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(x.grad).all()
    assert similarity(x.detach(), 3 * x.detach()).item() == pytest.approx(0, abs=1e-9)
