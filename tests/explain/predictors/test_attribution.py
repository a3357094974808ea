"""Attribution: closed forms, and the place that planted predictors look at."""

import numpy as np
import pytest
import torch

from neurobust.explain.predictors import attribution

SIDE, DEGREES = 32, 8.4


def textures(count, seed=0):
    """Random pictures with structure everywhere."""
    return torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def fields():
    """60 pRFs in degrees: x, y, size."""
    rng = np.random.default_rng(0)
    return np.column_stack([rng.uniform(-2.5, 2.5, (60, 2)), rng.uniform(0.5, 1.2, 60)])


def looking_at(fields):
    """A predictor whose voxels pool contrast energy through Gaussian fields."""
    x, y = attribution.grid_degrees(SIDE, DEGREES)
    windows = np.exp(-((x - fields[:, 0, None, None]) ** 2 + (y - fields[:, 1, None, None]) ** 2)
                     / (2 * fields[:, 2, None, None] ** 2))  # fmt: skip
    windows = torch.from_numpy((windows / windows.sum((1, 2), keepdims=True)).reshape(len(fields), -1)).float()
    return lambda images: (images.mean(1) - 0.5).square().flatten(1) @ windows.T


def everywhere(fields):
    """One that pools over the whole image, each voxel with weights of its own at random."""
    weights = torch.rand(len(fields), SIDE * SIDE, generator=torch.Generator().manual_seed(3))
    return lambda images: (images.mean(1) - 0.5).square().flatten(1) @ weights.T / SIDE**2


def test_integrated_gradients_are_complete_and_exact_for_a_linear_score():
    images, weights = textures(5), torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    baseline = torch.full((1, 3, 1, 1), 0.4).expand(1, 3, SIDE, SIDE)
    found = attribution.integrated_gradients(lambda x: (x * weights).sum((1, 2, 3)), images, baseline, 3, batch=2)
    assert torch.allclose(found, (images - baseline) * weights, atol=1e-5)
    curved = lambda x: (x * weights).sum((1, 2, 3)).tanh()  # noqa: E731
    found = attribution.integrated_gradients(curved, images * 0.02, baseline * 0.02, 64)
    gap = curved(images * 0.02) - curved(baseline * 0.02)
    assert torch.allclose(found.sum((1, 2, 3)), gap, atol=1e-3)


def test_an_rois_attribution_sums_to_what_the_image_evokes_beyond_the_mean_colour(fields):
    respond, images = looking_at(fields), textures(4, 2)
    mean, scale = respond(images).mean(0), respond(images).std(0)
    found = attribution.roi_attribution(respond, images, mean, scale, steps=8, batch=3)
    score = attribution.own_pattern(respond, images, mean, scale)
    flat = images.mean((0, 2, 3), keepdim=True).expand_as(images)
    gap = score(images, slice(0, 4)) - score(flat, slice(0, 4))
    assert torch.allclose(found.sum((1, 2, 3)), gap, rtol=0.02, atol=0.05)
    z = (respond(images) - mean) / scale
    assert torch.allclose(score(images, slice(0, 4)), z.norm(dim=1), rtol=1e-4)


def test_occlusion_of_one_pixel_cells_is_their_weight():
    """A linear voxel, patches of one cell, a black and white image: |weight x (pixel - mean)| summed over the cell."""
    images, weights = textures(1), torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    found = attribution.occlusion(lambda x: x.flatten(1) @ weights.flatten(1).T, images, SIDE, patch=1.0)
    change = ((images - images.mean((2, 3), keepdim=True)) * weights).sum(1).abs()
    assert torch.allclose(found, change, atol=1e-3)


def test_maps_lie_inside_planted_fields_and_those_of_no_field_do_not(fields):
    images = textures(6)
    near = attribution.occlusion(looking_at(fields), images, 16).numpy()
    share = attribution.mass_inside(near, fields, DEGREES)
    ratio, low, high = attribution.mass_ratio(near, fields, DEGREES, np.random.default_rng(0))
    assert np.median(share) > 0.7 and ratio > 2 and low < 1 < high < ratio
    far = attribution.occlusion(everywhere(fields), images, 16).numpy()
    ratio, low, high = attribution.mass_ratio(far, fields, DEGREES, np.random.default_rng(0))
    assert abs(ratio - 1) < 0.15
    dealt = fields[np.random.default_rng(5).permutation(60)]
    ratio, low, high = attribution.mass_ratio(near, dealt, DEGREES, np.random.default_rng(0))
    assert 0.8 * low < ratio < 1.25 * high  # fields of other voxels: within what deals give


def test_gradient_maps_lie_inside_planted_fields_too(fields):
    respond, images = looking_at(fields), textures(3)
    baseline = torch.full((1, 3, SIDE, SIDE), 0.5)
    maps = np.stack([
        attribution.integrated_gradients(lambda x, v=v: respond(x)[:, v], images, baseline, 4).abs().mean((0, 1))
        for v in range(12)
    ])  # fmt: skip
    share = attribution.mass_inside(maps, fields[:12], DEGREES)
    assert np.median(share) > 0.8  # a Gaussian has 86 % within two sizes
    assert np.median(attribution.mass_inside(maps, fields[12:24], DEGREES)) < 0.5


def test_place_and_size_are_read_off_the_maps(fields):
    """What the moments of a pooling field cannot tell, the maps do: r of size above .8."""
    maps = attribution.occlusion(looking_at(fields), textures(24), 16, patch=2.0).numpy()
    found = attribution.map_fields(maps, DEGREES, floor=0.3)
    r = [np.corrcoef(found[:, k], fields[:, k])[0, 1] for k in range(3)]
    assert min(r[:2]) > 0.95 and r[2] > 0.8
    assert np.isnan(attribution.map_fields(np.zeros((1, 4, 4)), DEGREES)).all()
