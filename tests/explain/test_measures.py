"""Measures against closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from torch import nn

from neurobust.core.correlation import ranks
from neurobust.core.similarity import debiased_cka, linear_cka
from neurobust.explain import measures


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.head = nn.Linear(3 * 8 * 8, 2)

    def forward(self, x):
        return self.head(x.flatten(1))


@pytest.mark.parametrize("image_batch", [1, 3, 64])
def test_linear_distance_is_exact_for_a_linear_network(image_batch):
    network, images = Linear(), torch.rand(12, 3, 8, 8)
    labels = network(images).argmax(1)
    labels[::4] = 1 - labels[::4]  # a wrong answer has no distance
    margin, gradient = measures.margin_gradients(network, images, labels, image_batch)
    difference = (network.head.weight[0] - network.head.weight[1]).norm()
    correct = margin > 0
    assert correct.sum() == 9
    wanted = (margin[correct] / difference).median()
    assert measures.linear_distance(margin, gradient) == pytest.approx(wanted.item(), rel=1e-5)
    assert measures.linear_distance(margin * 1e3, gradient * 1e3) == pytest.approx(wanted.item(), rel=1e-5)
    assert measures.linear_distance(-margin.abs(), gradient) is None


def test_low_frequency_share():
    axis = torch.arange(32) * 2 * math.pi / 32
    slow, fast = torch.cos(2 * axis), torch.cos(10 * axis)
    image = (slow + 2 * fast)[None, None, None, :].expand(1, 3, 32, 32)
    assert measures.low_frequency_share(image) == pytest.approx(1 / 5, rel=1e-4)
    noise = torch.randn(50, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert measures.low_frequency_share(noise) == pytest.approx(math.pi * 0.25**2 / 4, abs=0.015)
    assert measures.low_frequency_share(torch.zeros(1, 3, 8, 8)) is None


def test_cka_is_invariant_to_rotation_and_scale():
    torch.manual_seed(0)
    x = torch.randn(40, 10, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(10, 10, dtype=torch.float64))[0]
    assert linear_cka(x, 3 * x @ rotation).item() == pytest.approx(1)
    assert debiased_cka(x, 3 * x @ rotation).item() == pytest.approx(1)


def test_ranks_are_scipys():
    for values in ([3.0, 1, 2, 1, 1], [], [5.0], np.random.default_rng(0).integers(0, 9, 200).astype(float)):
        assert ranks(np.asarray(values)).tolist() == rankdata(values).tolist()
