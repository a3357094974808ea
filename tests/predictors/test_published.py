"""One step of the published schedule against an independent slow one, and what its trials and blocks are."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from neurobust.core.errors import InputError
from neurobust.predictors.fitting import FitContext
from neurobust.predictors.gnet import GNet
from neurobust.predictors.loss import LossTerms
from neurobust.predictors.published import blocks, build_optimisers, single_trials, two_pass_step
from neurobust.predictors.train import fit_kind


def phi(x):
    return torch.log(1 + torch.abs(x)) * torch.tanh(x)


class SlowGNet:
    """The published network on a plain dictionary of tensors: batch statistics by hand, voxels one at a time."""

    def __init__(self, model, subject):
        self.p = {n: t.detach().clone().requires_grad_() for n, t in model.named_parameters()}
        self.running = {n: b.detach().clone() for n, b in model.named_buffers()}
        self.subject, self.width = subject, model.trunk.width

    def block(self, name, x, padding):
        mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        count = x.numel() / x.shape[1]
        for key, value in (("running_mean", mean), ("running_var", var * count / (count - 1))):
            old = self.running[f"trunk.{name}.0.{key}"]
            self.running[f"trunk.{name}.0.{key}"] = 0.75 * old + 0.25 * value.detach()
        x = (x - mean[:, None, None]) / torch.sqrt(var + 1e-5)[:, None, None]
        x = x * self.p[f"trunk.{name}.0.weight"][:, None, None] + self.p[f"trunk.{name}.0.bias"][:, None, None]
        return torch.relu(
            F.conv2d(x, self.p[f"trunk.{name}.2.weight"], self.p[f"trunk.{name}.2.bias"], padding=padding)
        )

    def predict(self, images):
        p, w = self.p, self.width
        x = F.conv2d(images - self.running["mean"], p["prefilter.0.weight"], p["prefilter.0.bias"], stride=4, padding=2)
        x = F.max_pool2d(torch.relu(x), 3, 2)
        x = torch.relu(F.conv2d(x, p["prefilter.3.weight"], p["prefilter.3.bias"], padding=2))
        c3 = self.block("conv3", x, 0)
        c4a = self.block("conv4a", c3, 1)
        c4b = self.block("conv4b", c4a, 1)
        c5a = self.block("conv5a", F.max_pool2d(c4b, 3, 2, padding=1), 1)
        c5b = self.block("conv5b", c5a, 1)
        c6a = self.block("conv6a", c5b, 1)
        c6b = self.block("conv6b", c6a, 1)
        scales = [torch.cat([c3, c4a[:, :w], c4b[:, :w]], 1), torch.cat([c5a[:, :w], c5b[:, :w], c6a[:, :w], c6b], 1)]
        head = f"readouts.{self.subject}."
        columns = []
        for v, bias in enumerate(p[head + "bias"]):
            features = []
            for k, maps in enumerate(scales):
                field = p[f"{head}fields.{k}"][v]
                field = (torch.exp(field) / torch.exp(field).sum()).reshape(maps.shape[-2:])
                features.append((phi(maps) * field).sum((2, 3)))
            columns.append(phi(torch.cat(features, 1)) @ p[head + "weight"][v] + bias)
        return torch.stack(columns, 1)

    def loss(self, images, target):
        predicted = self.predict(images)
        r = [np.corrcoef(a, b)[0, 1] for a, b in zip(predicted.detach().T, target.T, strict=True)]
        omega = torch.tensor(np.clip(np.square(r), 0.1, 1.0))
        squared = ((predicted - target) ** 2).sum(0)
        l1 = self.p[f"readouts.{self.subject}.weight"].abs().sum()
        return (omega * squared).sum() / omega.mean() + 0.1 * l1

    def adam_step(self, names, images, target, moments, t, lr=1e-3):
        gradients = torch.autograd.grad(self.loss(images, target), [self.p[n] for n in names])
        for name, g in zip(names, gradients, strict=True):
            m, v = moments.get(name, (0.0, 0.0))
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            moments[name] = (m, v)
            step = lr * (m / (1 - 0.9**t)) / (torch.sqrt(v / (1 - 0.999**t)) + 1e-8)
            self.p[name] = (self.p[name] - step).detach().requires_grad_()


@pytest.mark.parametrize("voxels", [1, 4])
def test_two_published_steps_equal_the_slow_implementation(subject_maker, voxels):
    """Core first, then the readout with the moved core and new batch statistics; float64, 1e-6."""
    data = subject_maker(voxels=voxels, images=40)
    torch.manual_seed(1)
    model = GNet({"subj01": voxels}, input_size=48, prefilter_channels=(5, 8), trunk_width=3, dropout=0.0).double()
    for parameter in model.readouts["subj01"].parameters():
        nn.init.normal_(parameter, std=0.5)
    model.prefilter.requires_grad_(False)
    model.train()
    slow = SlowGNet(model, "subj01")
    core_names = [n for n in slow.p if n.startswith("trunk.")]
    head_names = [n for n in slow.p if n.startswith("readouts.")]
    optimisers = build_optimisers(model, 1e-3)
    trials, moments = single_trials(data), {}
    trials.weight[:] = 1
    for t, block in ((1, slice(0, 12)), (2, slice(12, 24))):
        images = torch.from_numpy(data.images[trials.picture[block]]).permute(0, 3, 1, 2).double() / 255
        target = torch.from_numpy(trials.response[block]).double()
        two_pass_step(model, optimisers, trials, block, LossTerms(0.1, 0.1, 3), torch.device("cpu"))
        slow.adam_step(core_names, images, target, moments, t)
        slow.adam_step(head_names, images, target, moments, t)
    moved = 0.0
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), slow.p[name].detach(), rtol=0, atol=1e-6, msg=name)
        moved = max(moved, parameter.detach().abs().max().item())
    for name, buffer in model.named_buffers():
        if "running" in name:
            torch.testing.assert_close(buffer, slow.running[name], rtol=0, atol=1e-6, msg=name)
    assert moved > 0


def test_trials_are_single_where_the_file_has_them_and_weighted_averages_where_not(subject_maker):
    data = subject_maker(images=40)
    averages = single_trials(data)
    rows = np.flatnonzero(data.split != 2)
    assert np.array_equal(averages.picture, data.row[rows])
    assert np.array_equal(averages.weight, data.n_repeats[rows])
    data.trial_nsd_id = np.array([9, 0, 9, 3])
    data.trials = np.arange(4, dtype=np.float32)[:, None] + np.zeros(data.voxels, np.float32)
    trials = single_trials(data)
    assert trials.picture.tolist() == [3, 0, 3, 1], "in the order of time, an image once per trial"
    assert trials.weight.tolist() == [1, 1, 1, 1]
    training, held = trials.split(0.25)
    assert training.picture.tolist() == [3, 0, 3] and held.response[0, 0] == 3


def test_blocks_are_consecutive_and_of_one_subject(subject_maker):
    parts = [single_trials(subject_maker(name, images=count)) for name, count in (("a", 45), ("b", 33))]
    found = blocks(parts, 10)
    assert [(t.data.subject, b.start) for t, b in found] == [
        *(("a", s) for s in (0, 10, 20, 30)), *(("b", s) for s in (0, 10, 20)),
    ]  # fmt: skip


def test_too_few_trials_to_hold_out_are_one_line(subject_maker, settings, read):
    """Without two held-out trials every epoch would score 0, and the first one be kept."""
    published = {key: value for key, value in settings.items() if key != "patience"} | {"schedule": "published"}
    for images in (29, 30):  # 10 of them for testing
        context = FitContext([subject_maker(images=images)], 0)
        if images == 30:
            assert len(fit_kind(read(published), context).history) == 3
            continue
        with pytest.raises(
            InputError, match=r"^subj01: too few trials for the published schedule, which holds a tenth"
        ):
            fit_kind(read(published), context)
