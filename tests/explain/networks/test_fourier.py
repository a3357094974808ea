"""Fourier maps and spectra: bases of known transform, band-pass networks, perturbations of known slope."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from neurobust.explain.networks import fourier

SHAPES = [(8, 8), (9, 9), (8, 6), (7, 10)]


@pytest.mark.parametrize("shape", SHAPES)
def test_each_wave_lies_on_its_pair_alone_and_all_pairs_are_there_once(shape):
    pairs = fourier.pairs_of(shape, max(shape))
    met = set()
    for pair in pairs:
        wave = fourier.basis(pair, shape)
        assert float(wave.norm()) == pytest.approx(1, rel=1e-5)
        power = torch.fft.fft2(wave.double()).abs().square()
        both = {pair, fourier.opposite(pair, shape)}
        there = {(u % shape[0], v % shape[1]) for u, v in both}
        found = {tuple(place) for place in torch.nonzero(power > 1e-4 * power.max()).tolist()}
        assert found == there
        assert not met & there, "no frequency in two pairs"
        met |= there
    assert len(met) == math.prod(shape), "and none is left out"


@pytest.mark.parametrize(("shape", "grid"), [((32, 32), 8), ((16, 16), 8), ((33, 33), 8), ((32, 24), 5)])
def test_a_thinned_grid_is_symmetric_and_small(shape, grid):
    pairs = fourier.pairs_of(shape, grid)
    assert (0, 0) in pairs and len(pairs) <= (grid + 1) ** 2 / 2 + grid + 2
    values = np.arange(len(pairs), dtype=float)
    table = fourier.mirrored(np.array(pairs), values, shape)
    assert np.isfinite(table).all()


class Band(nn.Module):
    """Reads an image as the sign of one wave in it: any other frequency is nothing to it."""

    def __init__(self, pair, shape):
        super().__init__()
        self.register_buffer("wave", fourier.basis(pair, shape))

    def forward(self, x):
        answer = (x.mean(1) * self.wave).sum((1, 2)) + 0.05
        return torch.stack([answer, -answer], 1)


@pytest.mark.parametrize("shape", [(16, 16), (15, 15)])
def test_a_band_pass_network_falls_to_its_band_alone(shape):
    pair = (3, -4)
    network, images = Band(pair, shape).eval(), torch.full((40, 3, *shape), 0.5)
    labels = network(images).argmax(1)
    found = fourier.fourier_map(network, images, labels, 1.0, max(shape), image_batch=70)
    at = {tuple(place): error for place, error in zip(found.frequencies.tolist(), found.error, strict=True)}
    own = at.pop(min(pair, fourier.opposite(pair, shape)))
    assert found.clean == 0 and own > 0.3, "the mean of three signs is against the answer in half of the images"
    assert max(at.values()) == 0
    summary = fourier.map_summary(found, shape, 0.25)
    assert summary["low"] == 0 and summary["high"] > 0
    assert summary["centre"] == pytest.approx(math.hypot(3, 4) / (shape[0] / 2))
    table = fourier.mirrored(found.frequencies, found.error, shape)
    place = shape[0] // 2
    assert table[place + 3, place - 4] == table[place - 3, place + 4] == pytest.approx(own)
    assert (table > 0).sum() == 2


def test_the_map_is_the_slow_one_for_any_batch():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)).eval()
    images, labels = torch.rand(7, 3, 8, 8), torch.arange(7) % 3
    maps = [fourier.fourier_map(network, images, labels, 2.0, 8, image_batch=batch).error for batch in (3, 7, 64)]
    assert (maps[0] == maps[1]).all() and (maps[0] == maps[2]).all()
    from neurobust.core.seeding import numpy_rng

    sign = torch.from_numpy(numpy_rng("fourier map", 0).choice([-1.0, 1.0], (7, 3, 1, 1))).float()
    for place, error in zip(fourier.pairs_of((8, 8), 8), maps[0], strict=True):
        shown = (images + 2 * sign * fourier.basis(place, (8, 8))).clamp(0, 1)
        assert error == pytest.approx(float((network(shown).argmax(1) != labels).float().mean()))


def test_a_network_that_guesses_has_a_flat_map():
    """Control: answers that no wave can change."""

    class Constant(nn.Module):
        def forward(self, x):
            return torch.tensor([1.0, 0.0]).expand(len(x), 2)

    found = fourier.fourier_map(Constant(), torch.rand(10, 3, 8, 8), torch.arange(10) % 2, 4.0, 8)
    assert (found.error == 0.5).all() and found.clean == 0.5
    summary = fourier.map_summary(found, (8, 8), 0.5)
    assert summary["low"] == summary["high"] == 0 and math.isnan(summary["centre"])


def shaped_noise(n, side, slope, seed=0):
    """Noise whose power falls as frequency^slope."""
    white = torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    axis = torch.fft.fftfreq(side, dtype=torch.float64) * side
    radius = torch.hypot(axis[:, None], axis[None, :]).clamp_min(1)
    return torch.fft.ifft2(torch.fft.fft2(white) * radius ** (slope / 2)).real


@pytest.mark.parametrize("side", [32, 31])
@pytest.mark.parametrize("slope", [0.0, -2.0, 1.0])
def test_the_slope_of_noise_is_the_planted_one(side, slope):
    found = fourier.spectrum(shaped_noise(40, side, slope))
    assert found.slope == pytest.approx(slope, abs=0.12)
    assert found.power.sum() == pytest.approx(1) and found.below[-1] == pytest.approx(1)


def test_shuffled_pixels_are_white():
    """Control: what no pixel's place tells has slope 0, and as much below a frequency as there are coefficients."""
    smooth = shaped_noise(60, 32, -2.0)
    order = torch.randperm(32 * 32, generator=torch.Generator().manual_seed(0))
    mixed = smooth.flatten(2)[..., order].reshape(smooth.shape)
    found = fourier.spectrum(mixed - mixed.mean((2, 3), keepdim=True))
    assert abs(found.slope) < 0.12
    assert fourier.share_below(found, 0.5) == pytest.approx(math.pi * 0.25 / 4, abs=0.03)
    assert fourier.share_below(fourier.spectrum(smooth), 0.5) > 0.7


@pytest.mark.parametrize("shape", [(16, 16), (15, 15), (16, 12)])
@pytest.mark.parametrize("pair", [(2, 1), (0, 3), (-5, 4)])
def test_a_wave_has_its_energy_at_its_two_places(shape, pair):
    wave = fourier.basis(pair, shape)
    found = fourier.spectrum(wave.expand(2, 3, *shape))
    middle = [side // 2 for side in shape]
    places = (
        found.power[middle[0] + pair[0], middle[1] + pair[1]],
        found.power[middle[0] - pair[0], middle[1] - pair[1]],
    )
    assert places == pytest.approx((0.5, 0.5), abs=1e-5)
    assert found.centre == pytest.approx(float(fourier.radius_of(np.array(pair), shape)), rel=1e-4)


def test_each_image_counts_alike_and_none_gives_none():
    loud, quiet = fourier.basis((1, 0), (8, 8)) * 1e3, fourier.basis((0, 3), (8, 8))
    delta = torch.stack([loud, quiet, torch.zeros(8, 8)])[:, None].expand(3, 3, 8, 8)
    found = fourier.spectrum(delta)
    assert found.power[5, 4] == pytest.approx(0.25, abs=1e-5) and found.power[4, 7] == pytest.approx(0.25, abs=1e-5)
    assert fourier.share_below(found, 0.25) == pytest.approx(0.5, abs=1e-5)
    assert fourier.spectrum(torch.zeros(2, 3, 8, 8)) is None


def test_a_network_that_no_wave_moves_has_errors_from_no_frequency():
    """7 of 10 images are misread with and without a wave: not a whole share in binary."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    nn.init.zeros_(network[1].weight)
    network[1].bias.data = torch.tensor([1.0, 0.0])
    found = fourier.fourier_map(network.eval(), torch.rand(10, 3, 8, 8), (torch.arange(10) < 7).long(), 1.0, 8)
    summary = fourier.map_summary(found, (8, 8), 0.25)
    assert summary["low"] == summary["high"] == 0 and math.isnan(summary["centre"])
