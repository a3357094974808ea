"""Pooling fields of a G-net."""

import numpy as np
import pytest
import torch

from neurobust.predictors.gnet import GNet, field_centres
from neurobust.predictors.gnet_fields import pooling_fields


def planted(strength, size=119):
    """Three voxels whose first field is raised at one cell, the second field left uniform."""
    model = GNet({"a": 3}, input_size=size, prefilter_channels=(4, 4), trunk_width=2)
    side = int(model.readouts["a"].fields[0].shape[1] ** 0.5)
    cells = [(1, 2), (side - 2, side // 2), (side // 2, side - 1)]
    with torch.no_grad():
        for v, (row, column) in enumerate(cells):
            model.readouts["a"].fields[0][v, row * side + column] += strength
    axis = field_centres(size)[0].double().numpy()
    wanted = [(axis[column] * 4.2, -axis[row] * 4.2) for row, column in cells]
    return model, np.array(wanted)


@pytest.mark.parametrize("strength", [0.2, 8.0])
def test_a_raised_place_is_found_however_little_it_is_raised(strength):
    """The mean of the whole softmax field would lie at the screen's centre while the field is nearly uniform."""
    model, wanted = planted(strength)
    fields = pooling_fields(model, "a")
    assert np.allclose(fields[:, :2], wanted, atol=1e-3)
    assert np.allclose(fields[:, 2], 0, atol=1e-3)


def test_a_field_that_was_never_trained_has_no_centre():
    model = GNet({"a": 2}, input_size=64, prefilter_channels=(4, 4), trunk_width=2)
    assert np.isnan(pooling_fields(model, "a")).all()


def test_size_is_the_standard_deviation_of_the_raised_part():
    """A Gaussian field loses its tails with the uniform part, so its size is a little too small, never too large."""
    model, _ = planted(0.0)
    axis = field_centres(119)[0].double().numpy()
    gaussian = np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / (2 * 0.2**2))
    with torch.no_grad():
        model.readouts["a"].fields[0][:] = torch.from_numpy(np.log(gaussian)).flatten()
    raised = np.clip(gaussian / gaussian.sum() - 1 / gaussian.size, 0, None)
    wanted = np.sqrt((raised * axis**2).sum() / raised.sum()) * 4.2
    size = pooling_fields(model, "a")[:, 2]
    assert np.allclose(size, wanted, rtol=0.01) and 0.7 < wanted / (0.2 * 4.2) < 1
