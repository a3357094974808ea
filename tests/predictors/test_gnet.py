"""G-net against its published numbers and an independent, slow implementation."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from neurobust.predictors import gnet
from neurobust.predictors.gabor import fill_prefilter
from neurobust.predictors.gnet import GNet, Prefilter, field_centres, log_tanh, map_sizes
from neurobust.predictors.loss import LossTerms, accumulate_gradients, correlation_weights


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_published_parameter_counts():
    model = GNet({"subj01": 3, "subj02": 1})
    assert count(model.prefilter) == 330_688
    assert count(model.trunk) == 1_034_944
    assert count(model.readouts["subj01"]) == 3 * 1_307
    assert map_sizes(227) == [25, 13]
    assert model.eval()(torch.rand(2, 3, 227, 227)).shape == (2, 4)


def phi(x):
    return torch.log(1 + torch.abs(x)) * torch.tanh(x)


def slow_forward(model, images, subject, training=False):
    """The published formula, one voxel and one channel at a time, from functional pieces. No dropout."""

    def block(sequence, x, padding):
        norm, _, convolution, _ = sequence
        if training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        else:
            mean, var = norm.running_mean, norm.running_var
        x = (x - mean[:, None, None]) / torch.sqrt(var + norm.eps)[:, None, None]
        x = x * norm.weight[:, None, None] + norm.bias[:, None, None]
        return F.relu(F.conv2d(x, convolution.weight, convolution.bias, padding=padding))

    p, t = model.prefilter, model.trunk
    x = F.max_pool2d(F.relu(F.conv2d(images - model.mean, p[0].weight, p[0].bias, stride=4, padding=2)), 3, 2)
    x = F.relu(F.conv2d(x, p[3].weight, p[3].bias, padding=2))
    c3 = block(t.conv3, x, 0)
    c4a = block(t.conv4a, c3, 1)
    c4b = block(t.conv4b, c4a, 1)
    c5a = block(t.conv5a, F.max_pool2d(c4b, 3, 2, padding=1), 1)
    c5b = block(t.conv5b, c5a, 1)
    c6a = block(t.conv6a, c5b, 1)
    c6b = block(t.conv6b, c6a, 1)
    w = t.width
    scales = [torch.cat([c3, c4a[:, :w], c4b[:, :w]], 1), torch.cat([c5a[:, :w], c5b[:, :w], c6a[:, :w], c6b], 1)]
    readout = model.readouts[subject]
    columns = []
    for v in range(len(readout.bias)):
        pooled = []
        for maps, fields in zip(scales, readout.fields, strict=True):
            field = torch.softmax(fields[v], 0).reshape(maps.shape[-2:])
            pooled += [(phi(maps[:, c]) * field).sum((1, 2)) for c in range(maps.shape[1])]
        columns.append(sum(w * phi(x) for w, x in zip(readout.weight[v], pooled, strict=True)) + readout.bias[v])
    return torch.stack(columns, 1)


def small_model(voxels=5, **changes):
    torch.manual_seed(0)
    arguments = {"input_size": 64, "prefilter_channels": (6, 10), "trunk_width": 3, "dropout": 0.0} | changes
    model = GNet({"subj01": voxels}, **arguments).double()
    for field in model.readouts["subj01"].fields:
        nn.init.normal_(field)
    nn.init.normal_(model.readouts["subj01"].weight)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model


@pytest.mark.parametrize("voxels", [1, 5])
def test_forward_equals_the_slow_formula(voxels):
    model = small_model(voxels).eval()
    images = torch.rand(3, 3, 64, 64, dtype=torch.float64)
    fast = model(images)
    assert fast.shape == (3, voxels)
    torch.testing.assert_close(fast, slow_forward(model, images, "subj01"), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("at_once", [1, 120, 2**21])
def test_responses_without_a_gradient_are_the_same(monkeypatch, at_once):
    """Read a few voxels at a time, against the published formula and against what has a gradient."""
    monkeypatch.setitem(gnet.AT_ONCE, "cpu", at_once)
    monkeypatch.setattr(gnet, "FEWEST", 1)
    model, images = small_model().eval(), torch.rand(3, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        found = model(images)
    torch.testing.assert_close(found, slow_forward(model, images, "subj01"), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found, model(images).detach(), rtol=1e-12, atol=1e-12)


def test_log_tanh_values_and_gradient():
    x = torch.randn(50, dtype=torch.float64) * 3
    torch.testing.assert_close(log_tanh(x), phi(x))
    assert torch.autograd.gradcheck(log_tanh, x[x.abs() > 1e-3].requires_grad_())


@pytest.mark.parametrize("voxel_batch", [1, 2, 100])
def test_gradients_equal_the_dense_loss(voxel_batch):
    """Chunked, with its scale and its L1 term added by hand, against autograd of the loss as it is written."""
    model = small_model().train()
    images = torch.rand(6, 3, 64, 64, dtype=torch.float64)
    target, repeats = torch.randn(6, 5, dtype=torch.float64), torch.tensor([1.0, 2, 3, 1, 1, 2], dtype=torch.float64)
    readout = model.readouts["subj01"]
    predicted = slow_forward(model, images, "subj01", training=True)
    r = np.array([np.corrcoef(predicted[:, v].detach(), target[:, v])[0, 1] for v in range(5)])
    omega = torch.from_numpy(np.clip(r**2, 0.1, 1))
    errors = (repeats[:, None] * (predicted - target) ** 2).sum(0)
    loss = (omega * errors).sum() / omega.mean() + 0.1 * readout.weight.abs().sum()
    wanted = dict(zip(dict(model.named_parameters()), torch.autograd.grad(loss, list(model.parameters())), strict=True))
    given = accumulate_gradients(model, "subj01", images, target, repeats, LossTerms(0.1, 0.1, voxel_batch))
    assert given.item() == pytest.approx(loss.item(), rel=1e-10)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name], rtol=1e-8, atol=1e-9, msg=name)


@pytest.mark.parametrize("voxel_batch", [2, 5])
def test_a_step_reads_no_number_from_the_device(voxel_batch, answers):
    model = GNet({"subj01": 9}, 64, (4, 6), 3).train()
    images, target, weight = torch.rand(6, 3, 64, 64), torch.randn(6, 9), torch.ones(6)
    with answers() as asked:
        loss = accumulate_gradients(model, "subj01", images, target, weight, LossTerms(0.1, 0.1, voxel_batch))
    assert asked.count == 0 and loss.dtype == torch.float64
    with answers() as asked:
        assert loss.item() > 0
    assert asked.count == 1, "it would have been seen"


def test_correlation_weights_are_clamped_and_carry_no_gradient():
    target = torch.randn(20, 3)
    predicted = torch.stack([target[:, 0], -target[:, 1], torch.randn(20) * 1e-3], 1).requires_grad_()
    omega = correlation_weights(predicted, target, floor=0.1)
    assert omega[0] == pytest.approx(1) and omega[1] == pytest.approx(1) and 0.1 <= omega[2] < 1
    assert not omega.requires_grad


def test_gabor_bank_is_deterministic_and_prefers_its_orientation():
    first, second = Prefilter((48, 96)), Prefilter((48, 96))
    fill_prefilter(first, 1)
    fill_prefilter(second, 1)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    axis = torch.arange(11.0) - 5
    vertical = torch.cos(2 * torch.pi * axis / 7)[None, None, None, :].expand(1, 3, 11, 11)
    response = F.conv2d(vertical, first[0].weight)[0, :, 0, 0]
    along, across = response[:4].abs().max(), F.conv2d(vertical.mT, first[0].weight)[0, :4, 0, 0].abs().max()
    assert along > 5 * across, "the first four channels are 0 degrees at 7 pixels in four phases"


def test_field_centres_are_the_receptive_fields():
    """The gradient of one cell of each map, with respect to the input, is centred where `field_centres` says."""
    model = GNet({"a": 1}, input_size=119, prefilter_channels=(4, 4), trunk_width=2, dropout=0.0).double().eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1.0)
            nn.init.zeros_(module.bias)
    centres = field_centres(119)
    image = torch.full((1, 3, 119, 119), 1.0, dtype=torch.float64, requires_grad=True)
    maps = model.trunk(model.prefilter(image))
    for k, channel in ((0, 0), (1, 0)):
        cell = len(centres[k]) // 2
        (gradient,) = torch.autograd.grad(maps[k][0, channel, cell, cell], image, retain_graph=True)
        seen = torch.nonzero(gradient[0].abs().sum(0))
        middle = (seen.double().min(0).values + seen.double().max(0).values) / 2 + 0.5
        wanted = (centres[k][cell] + 1) / 2 * 119
        assert torch.allclose(middle, wanted.double().expand(2), atol=8.0 if k else 4.0)


@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_a_batch_of_one_image_has_a_finite_loss(floor):
    """It has no correlation: with a floor of 0 no voxel has a weight, and the loss is that of the weights alone."""
    torch.manual_seed(0)
    model = GNet({"a": 3}, input_size=64, prefilter_channels=(4, 6), trunk_width=2)
    images, target = torch.rand(1, 3, 64, 64), torch.randn(1, 3)
    loss = accumulate_gradients(model, "a", images, target, torch.ones(1), LossTerms(0.1, floor, 2))
    alone = 0.1 * model.readout("a").weight.detach().abs().sum().item()
    assert loss.item() == pytest.approx(alone, rel=1e-5) if floor == 0 else loss.item() > alone
    assert all(part.grad is None or part.grad.isfinite().all() for part in model.parameters())
