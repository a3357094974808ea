"""Training of G-net: the published loss, one forward and backward pass a batch, memory independent of the voxels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurobust.errors import InputError
from neurobust.predictors.data import TRAIN, VALIDATION, SubjectData, channel_mean, to_float
from neurobust.predictors.evaluate import pearson
from neurobust.predictors.gabor import fill_prefilter
from neurobust.predictors.gnet import GNet, Prefilter, Readout, read_voxels
from neurobust.seeding import numpy_rng, seed_everything
from neurobust.training import pick_device, train_epochs


def correlation_weights(predicted: Tensor, target: Tensor, floor: float) -> Tensor:
    """clamp(r^2, floor, 1) per voxel over the batch, without gradient: (N, V), (N, V) -> (V,)."""
    with torch.no_grad():
        p, t = predicted - predicted.mean(0), target - target.mean(0)
        r2 = (p * t).sum(0).square() / (p.square().sum(0) * t.square().sum(0)).clamp_min(1e-12)
        return r2.clamp(floor, 1)


def accumulate_gradients(
    model: GNet, readout: Readout, images: Tensor, target: Tensor, image_weight: Tensor,
    *, l1: float, floor: float, voxel_batch: int,
) -> float:  # fmt: skip
    """Set the gradients of one batch of one subject; return its loss.

    L = sum_v omega_v sum_n a_n (r_nv - t_nv)^2 / mean(omega) + l1 * sum |w|, omega = `correlation_weights`
    (St-Yves et al. 2023), a_n = `image_weight`, the repeats that image n's target averages. Voxels are read out
    `voxel_batch` at a time against detached maps, so the memory of the readout does not grow with the ROI; the loss is
    separable but for mean(omega), which scales the sums at the end. Gradients equal those of the dense form.
    """
    flat = model.flat_maps(images)
    leaves = [f.detach().requires_grad_() for f in flat]
    names = [*readout.fields, readout.weight, readout.bias]
    grads = [torch.empty_like(p) for p in names]
    total, weight_sum = 0.0, 0.0
    for start in range(0, target.shape[1], voxel_batch):
        rows = slice(start, start + voxel_batch)
        *fields, weight, bias = parts = [p.detach()[rows].requires_grad_() for p in names]
        predicted = read_voxels(leaves, fields, weight, bias)
        omega = correlation_weights(predicted, target[:, rows], floor)
        loss = (omega * (image_weight[:, None] * (predicted - target[:, rows]).square())).sum()
        loss.backward()
        for whole, part in zip(grads, parts, strict=True):
            whole[rows] = part.grad
        total += loss.item()
        weight_sum += omega.sum().item()
    scale = target.shape[1] / weight_sum
    for parameter, gradient in zip(names, grads, strict=True):
        parameter.grad = gradient.mul_(scale)
    readout.weight.grad.add_(readout.weight.detach().sign(), alpha=l1)
    torch.autograd.backward(flat, [leaf.grad.mul_(scale) for leaf in leaves])
    return total * scale + l1 * readout.weight.detach().abs().sum().item()


def load_alexnet(prefilter: Prefilter, path: Path) -> None:
    """Fill a prefilter from torchvision's AlexNet weights (`features.0` and `features.3` of the state dict)."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        prefilter[0].load_state_dict({k: state[f"features.0.{k}"] for k in ("weight", "bias")})
        prefilter[3].load_state_dict({k: state[f"features.3.{k}"] for k in ("weight", "bias")})
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        message = f"{path}: not torchvision's AlexNet weights ({reason}); give alexnet-owt-7be5be79.pth"
        raise InputError(message) from error


def build_gnet(settings: dict[str, Any], subjects: list[SubjectData], seed: int) -> tuple[GNet, dict[str, Any]]:
    """A fresh G-net for these subjects, and the config that rebuilds its shape."""
    config = {
        "voxels": {data.subject: data.voxels for data in subjects},
        "input_size": subjects[0].images.shape[1],
        "prefilter_channels": settings["prefilter_channels"],
        "trunk_width": settings["trunk_width"],
        "dropout": settings["dropout"],
        "mean": channel_mean(subjects),
    }
    seed_everything(seed, "gnet")
    model = GNet(**config)
    if settings["prefilter"] == "gabor":
        fill_prefilter(model.prefilter, seed)
    else:
        load_alexnet(model.prefilter, Path(settings["prefilter"]))
    model.prefilter.requires_grad_(settings["finetune_prefilter"])
    return model, config


def predict(model: torch.nn.Module, images: np.ndarray, rows: np.ndarray, image_batch: int, device) -> np.ndarray:
    """Responses (len(rows), all voxels) of a model in eval mode to some rows of a uint8 image array."""
    model.eval()
    out = []
    with torch.inference_mode():
        for start in range(0, len(rows), image_batch):
            out.append(model(to_float(images[rows[start : start + image_batch]], device)).float().cpu().numpy())
    return np.concatenate(out) if out else np.zeros((0, sum(model.voxels.values())), np.float32)


def predict_subject(model: torch.nn.Module, data: SubjectData, split: int, image_batch: int, device) -> np.ndarray:
    """The columns of one subject's voxels, for the images of one split: (images, V)."""
    subjects = list(model.voxels)
    start = sum(model.voxels[s] for s in subjects[: subjects.index(data.subject)])
    predicted = predict(model, data.images, data.row[data.rows_of(split)], image_batch, device)
    return predicted[:, start : start + data.voxels]


def fit_gnet(
    settings: dict[str, Any], subjects: list[SubjectData], seed: int, checkpoint: Path | None, fingerprint: str,
    *, voxel_batch: int = 512, image_batch: int = 100,
) -> tuple[GNet, dict[str, Any], list[dict]]:  # fmt: skip
    """Train a G-net on all subjects at once: (model, config, history).

    Each unique image is passed once an epoch, with its repeat-averaged response weighted by its repeats; validation is
    on images that no training trial showed; the epoch with the best median validation r over all voxels is kept.
    """
    device = pick_device()
    model, config = build_gnet(settings, subjects, seed)
    model.to(device)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=settings["learning_rate"])
    steps = sum(-(-len(data.rows_of(TRAIN)) // settings["batch_size"]) for data in subjects) * settings["epochs"]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: max(0.0, min(1.0, 3 * (1 - step / steps))))

    def run_epoch(epoch: int) -> dict[str, float]:
        model.train()
        rng = numpy_rng(seed, "order", epoch)
        batches = []
        for data in subjects:
            rows = rng.permutation(data.rows_of(TRAIN))
            starts = range(0, len(rows), settings["batch_size"])
            batches += [(data, rows[start : start + settings["batch_size"]]) for start in starts]
        loss = 0.0
        for index in rng.permutation(len(batches)):
            data, rows = batches[index]
            optimiser.zero_grad(set_to_none=True)
            loss += accumulate_gradients(
                model, model.readouts[data.subject], to_float(data.images[data.row[rows]], device),
                torch.from_numpy(data.responses[rows]).to(device),
                torch.from_numpy(data.n_repeats[rows].astype(np.float32)).to(device),
                l1=settings["l1"], floor=settings["weight_floor"], voxel_batch=voxel_batch,
            )  # fmt: skip
            optimiser.step()
            schedule.step()
        r = [
            pearson(predict_subject(model, data, VALIDATION, image_batch, device),
                    data.responses[data.rows_of(VALIDATION)])
            for data in subjects
        ]  # fmt: skip
        images = sum(len(data.rows_of(TRAIN)) for data in subjects)
        return {"loss": loss / images, "validation_r": float(np.median(np.concatenate(r)))}

    history = train_epochs(
        parts={"model": model, "optimiser": optimiser, "schedule": schedule}, run_epoch=run_epoch,
        epochs=settings["epochs"], seed=seed, checkpoint=checkpoint, fingerprint=fingerprint,
        label="gnet", patience=settings["patience"], score="validation_r",
    )  # fmt: skip
    return model.cpu().eval(), config, history
