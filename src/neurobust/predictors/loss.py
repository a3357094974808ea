"""The loss of G-net and its gradients, read out a few voxels at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from neurobust.predictors.gnet import Filtered, GNet, read_voxels


@dataclass(frozen=True)
class LossTerms:
    """l1: weight of the sum of absolute feature weights; floor: smallest weight of a voxel.

    voxel_batch: voxels that are read out at a time, which bounds the memory and does not change the result.
    """

    l1: float
    floor: float
    voxel_batch: int


def correlation_weights(predicted: Tensor, target: Tensor, floor: float) -> Tensor:
    """clamp(r^2, floor, 1) per voxel over the batch, without gradient: (N, V), (N, V) -> (V,)."""
    with torch.no_grad():
        p, t = predicted - predicted.mean(0), target - target.mean(0)
        r2 = (p * t).sum(0).square() / (p.square().sum(0) * t.square().sum(0)).clamp_min(1e-12)
        return r2.clamp(floor, 1)


def accumulate_gradients(
    model: GNet, subject: str, images: Tensor | Filtered, target: Tensor, image_weight: Tensor, terms: LossTerms,
    core: bool = True,
) -> Tensor:  # fmt: skip
    """Set the gradients of one batch of one subject; return its loss, float64 and still on the device.

    L = sum_v omega_v sum_n a_n (r_nv - t_nv)^2 / mean(omega) + l1 * sum |w|, omega = `correlation_weights`
    (St-Yves et al. 2023), a_n = `image_weight`, the repeats that image n's target averages. Voxels are read out
    `terms.voxel_batch` at a time against detached maps, so the memory of the readout does not grow with the ROI; the
    loss is separable except for mean(omega), which scales the sums at the end. Gradients equal those of the dense form.
    Without `core` the backward pass through the core is left out and the readout alone gets gradients.
    """
    readout = model.readout(subject)
    flat = model.flat_maps(images)
    leaves = [f.detach().requires_grad_() for f in flat]
    names = [*readout.fields, readout.weight, readout.bias]
    grads = [torch.empty_like(p) for p in names]
    total, weight_sum = torch.zeros(2, dtype=torch.float64, device=target.device)
    for start in range(0, target.shape[1], terms.voxel_batch):
        rows = slice(start, start + terms.voxel_batch)
        *fields, weight, bias = parts = [p.detach()[rows].requires_grad_() for p in names]
        predicted = read_voxels(leaves, fields, weight, bias)
        omega = correlation_weights(predicted, target[:, rows], terms.floor)
        loss = (omega * (image_weight[:, None] * (predicted - target[:, rows]).square())).sum()
        loss.backward()
        for whole, part in zip(grads, parts, strict=True):
            whole[rows] = part.grad
        total += loss.detach()
        weight_sum += omega.sum()
    scale = target.shape[1] / weight_sum.clamp_min(1e-12)  # all 0 without a floor: so is the loss
    for parameter, gradient in zip(names, grads, strict=True):
        parameter.grad = gradient.mul_(scale)
    cast(Tensor, readout.weight.grad).add_(readout.weight.detach().sign(), alpha=terms.l1)
    if core:
        torch.autograd.backward(flat, [cast(Tensor, leaf.grad).mul_(scale) for leaf in leaves])
    return total * scale + terms.l1 * readout.weight.detach().abs().sum().double()
