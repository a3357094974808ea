"""References: what they train on, and that they leave alone what is not theirs."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from neurobust.files.dataset import read_dataset
from neurobust.networks.architectures import build_network
from neurobust.networks.references import blurred, kl_penalty, noisy, pgd_examples, trades_examples
from neurobust.networks.references_settings import Ascent, Blur, GaussianNoise
from neurobust.networks.registry import REFERENCES

LIMIT = Ascent(kind="adversarial", epsilon=4.0, steps=10, step=1.0)


class Linear(nn.Module):
    """Two classes, the logit of the second being the mean of the red channel times 20."""

    def forward(self, pixels):
        red = pixels[:, 0].mean((1, 2))
        return torch.stack([torch.zeros_like(red), 20 * (red - 0.5)], 1)


def images(count=6):
    return 0.2 + 0.6 * torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_pgd_finds_the_worst_corner_of_a_linear_network():
    """Closed form: red moves by the whole budget against the label, and pixels stay in [0, 1] and in the ball."""
    pixels, labels = images(), torch.tensor([0, 1, 0, 1, 0, 1])
    found = pgd_examples(Linear(), pixels, labels, LIMIT)
    sign = 1.0 - 2 * labels.float()[:, None, None]
    torch.testing.assert_close(found[:, 0] - pixels[:, 0], (sign * 4 / 255).expand(6, 8, 8))
    assert (found - pixels).abs().max() <= 4 / 255 + 1e-6
    bright = pgd_examples(Linear(), torch.full((2, 3, 8, 8), 0.999), torch.tensor([0, 0]), LIMIT)
    assert bright.max() <= 1


def test_trades_leaves_the_clean_distribution():
    torch.manual_seed(0)
    network, pixels = Linear(), images()
    found = trades_examples(network, pixels, torch.zeros(6, dtype=torch.long), LIMIT)
    assert (found - pixels).abs().max() <= 4 / 255 + 1e-6
    clean = network(pixels)
    random = network(pixels + torch.empty_like(pixels).uniform_(-4 / 255, 4 / 255))
    assert kl_penalty(clean, network(found)) > 20 * kl_penalty(clean, random)


def test_attacks_leave_mode_statistics_and_gradients_alone(tiny, dataset):
    network = build_network(tiny, 4).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    data = read_dataset(dataset)
    pixels = torch.tensor(data.images[:8]).permute(0, 3, 1, 2) / 255
    for attack in (pgd_examples, trades_examples):
        found = attack(network, pixels, torch.tensor(data.labels[:8]), LIMIT)
        assert not found.requires_grad and network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_pgd_raises_the_cross_entropy_more_than_its_random_start(tiny, dataset):
    torch.manual_seed(0)
    network, data = build_network(tiny, 4).eval(), read_dataset(dataset)
    pixels, labels = torch.tensor(data.images[:32]).permute(0, 3, 1, 2) / 255, torch.tensor(data.labels[:32])
    random = (pixels + torch.empty_like(pixels).uniform_(-1, 1) * 4 / 255).clamp(0, 1)
    worst = pgd_examples(network, pixels, labels, LIMIT)
    losses = [functional.cross_entropy(network(part), labels).item() for part in (pixels, random, worst)]
    assert losses[2] - losses[0] > 3 * abs(losses[1] - losses[0])


def test_noise_has_its_size_and_stays_a_picture():
    torch.manual_seed(0)
    pixels = torch.full((8, 3, 32, 32), 0.5)
    found = noisy(None, pixels, None, GaussianNoise(kind="gaussian-noise", sigma=8.0))
    assert (found - pixels).std().item() == pytest.approx(8 / 255, rel=0.03)
    edges = noisy(None, torch.ones(2, 3, 8, 8), None, GaussianNoise(kind="gaussian-noise", sigma=8.0))
    assert edges.max() == 1 and edges.min() < 1


def test_blur_is_a_gaussian_of_its_size():
    from scipy.ndimage import gaussian_filter

    pixels = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = blurred(None, pixels, None, Blur(kind="blur", sigma=1.5))
    expected = gaussian_filter(pixels.numpy(), (0, 0, 1.5, 1.5), mode="mirror", truncate=3.0)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert blurred(None, torch.full((1, 3, 8, 8), 0.3), None, Blur(kind="blur", sigma=2.0)).std() < 1e-6


def test_kl_is_the_mean_over_images():
    clean, perturbed = torch.randn(5, 4, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
    p, q = clean.softmax(1).numpy(), perturbed.softmax(1).numpy()
    assert kl_penalty(clean, perturbed).item() == pytest.approx((p * np.log(p / q)).sum(1).mean())


def test_the_references_are_the_documented_ones():
    assert set(REFERENCES) == {
        "adversarial",
        "trades",
        "gaussian-noise",
        "blur",
        "weight-decay",
        "oracle-cue",
        "low-pass",
    }
