"""Most exciting images of planted predictors: their channel, their place, a face."""

import math

import pytest
import torch

from neurobust.explain.predictors.exciting import Ascent, components, frequencies, most_exciting, painted, spectrum_peak
from neurobust.phantom.scenes import render_all, sample_scenes
from neurobust.predictors.features import GaborEnergy

SIDE = 32
GRAY = torch.full((3,), 0.5)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def channel(frequency, orientation):
    """The energy of one Gabor channel of 2 x 6, pooled in the middle of the image."""
    bank = GaborEnergy(SIDE, 8, (4.0, 8.0), 6)
    index = {4.0: 0, 8.0: 6}[frequency] + orientation
    return lambda images: bank(images)[0][:, index, 2:6, 2:6].mean((1, 2))


@pytest.mark.parametrize(("frequency", "orientation"), [(4.0, 0), (4.0, 2), (8.0, 1), (8.0, 5)])
def test_the_spectrum_peaks_at_the_planted_channel(frequency, orientation):
    score = channel(frequency, orientation)
    images, values = most_exciting(score, SIDE, GRAY, generator(), Ascent(starts=3))
    found, angle = spectrum_peak(images)
    wanted = (-30 * orientation) % 180  # the bank's angles run downwards, as rows do
    off = abs((angle - wanted + 90) % 180 - 90)
    assert abs(math.log2(found / frequency)) < 0.5 and off < 20
    noise = painted(torch.randn(200, 3, SIDE, SIDE // 2 + 1, 2, generator=generator(1)), SIDE, 0.2, GRAY)
    assert (values > 1.5 * score(noise).max()).all() and (values[:-1] >= values[1:]).all()


def test_random_weights_have_no_planted_channel():
    """Twelve predictors of random weights on the same bank of 12 channels: more than 5 peaks at one channel have a
    chance below 1e-3, were it even 1 in 10."""
    bank, hits = GaborEnergy(SIDE, 8, (4.0, 8.0), 6), 0
    for seed in range(12):
        weights = torch.randn(12 * 64, generator=generator(seed))
        images, _ = most_exciting(
            lambda x, w=weights: bank(x)[0].flatten(1) @ w, SIDE, GRAY, generator(seed), Ascent(starts=2, steps=12)
        )
        found, angle = spectrum_peak(images)
        hits += abs(math.log2(found / 8.0)) < 0.5 and abs((angle + 30 + 90) % 180 - 90) < 20
    assert hits <= 5


def test_an_image_has_the_contrast_and_the_slope_that_were_asked_for():
    images = painted(torch.randn(40, 3, 64, 33, 2, generator=generator()), 64, 0.1, GRAY)
    assert (images - 0.5).square().mean((1, 2, 3)).sqrt() == pytest.approx(torch.full((40,), 0.1), rel=1e-3)
    power, f = torch.fft.rfft2(images - 0.5).abs().square().mean((0, 1)), frequencies(64)
    low, high = power[(f >= 2) & (f < 4)].mean(), power[(f >= 16) & (f < 32)].mean()
    assert low / high == pytest.approx(64, rel=0.4)  # 1 / f^2 over three octaves


def test_components_find_what_voxels_share():
    """Ten voxels of one cause, five of another, weaker one, and two of noise that cannot be predicted."""
    rng = generator(2)
    causes = torch.randn(300, 2, generator=rng)
    noise = 9 * torch.randn(300, 2, generator=rng)
    responses = torch.cat([causes[:, :1].expand(-1, 10), causes[:, 1:].expand(-1, 5), noise], 1)
    ceiling = torch.tensor([50.0] * 15 + [0.0] * 2)
    found = components(responses, 2, ceiling)
    assert found.norm(dim=1) == pytest.approx(torch.ones(3)) and (found[:, 15:] == 0).all()
    assert found[1, :10] == pytest.approx(torch.full((10,), 10**-0.5), abs=0.05)
    assert found[2, 10:15] == pytest.approx(torch.full((5,), 5**-0.5), abs=0.1)


def split(scenes):
    return torch.tensor([scene.category == "face" for scene in scenes])


def pixels(scenes):
    return torch.from_numpy(render_all(scenes, SIDE)).permute(0, 3, 1, 2).float() / 255


def detector(images, faces, side):
    """A ridge of the images at `side` pixels on whether they show a face."""
    shrink = lambda x: torch.nn.functional.interpolate(x, side, mode="area").flatten(1)  # noqa: E731
    x = shrink(images)
    mean, y = x.mean(0), faces.float() - faces.float().mean()
    weight = torch.linalg.solve((x - mean).T @ (x - mean) + 3.0 * torch.eye(x.shape[1]), (x - mean).T @ y)
    return lambda other: (shrink(other) - mean) @ weight


def test_a_face_predictors_image_looks_like_a_face_to_another_detector():
    """The predictor reads 16 x 16 pixels, the detector, of other scenes, 8 x 8: its score of the image is above that of
    19 of 20 objects and of images made for shuffled labels."""
    scenes, others = sample_scenes(500, "exciting", faces=0.5), sample_scenes(500, "detector", faces=0.5)
    images, faces = pixels(scenes), split(scenes)
    judge = detector(pixels(others), split(others), 8)
    objects = judge(images[~faces])
    predictor = detector(images, faces, 16)
    shuffled = detector(images, faces[torch.randperm(500, generator=generator(4))], 16)
    mean = images.mean((0, 2, 3))
    made, _ = most_exciting(predictor, SIDE, mean, generator(5), Ascent(starts=4, contrast=0.25))
    control, _ = most_exciting(shuffled, SIDE, mean, generator(5), Ascent(starts=4, contrast=0.25))
    assert judge(made).median() > objects.quantile(0.95)
    assert judge(control).median() < objects.quantile(0.95)
    assert judge(made).median() > judge(images[faces]).quantile(0.25)
