"""Training of a core's readout by gradient, with the core frozen, in part or all of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from neurobust.core.correlation import pearson
from neurobust.core.reading import read_ahead
from neurobust.core.training import KeepBest, finite_loss, readers, train_epochs
from neurobust.files.pixels import to_pixels
from neurobust.files.splits import VALIDATION
from neurobust.predictors.core_settings import GradientReadout
from neurobust.predictors.data import Batch, SubjectData, training_batches, training_images, with_pictures
from neurobust.predictors.feature_base import FeatureMaps
from neurobust.predictors.fitting import FitContext
from neurobust.predictors.fixed_features import cached_maps
from neurobust.predictors.predict import validation_r
from neurobust.predictors.trained_readouts import TrainedReadout

CACHE_BYTES = 8e9  # of the maps of a frozen core, kept in memory; larger ones are computed again in each epoch
BLOCK = re.compile(r"\d[a-z]?$")  # how the name of a block ends: blocks.11, layer4, stages.3, conv6b

logger = logging.getLogger("neurobust")


def block_of(parameter: str) -> str:
    """The block that a parameter belongs to by its name: all up to the first part that ends with a number."""
    parts = parameter.split(".")
    end = next((k for k, part in enumerate(parts) if BLOCK.search(part)), 0)
    return ".".join(parts[: end + 1])


def thaw(features: FeatureMaps, blocks: int | None, side: int) -> list[str]:
    """Let the last `blocks` blocks of a core be trained (None: all of it, 0: nothing); return their names.

    Only what its layers are computed from counts: what lies behind the last of them gets no gradient.
    """
    features.requires_grad_(blocks != 0)
    if blocks == 0:
        return []
    generator = torch.Generator().manual_seed(0)
    maps = features(torch.rand(2, 3, side, side, generator=generator))
    torch.stack([m.sum() for m in maps]).sum().backward()
    used = [name for name, parameter in features.named_parameters() if parameter.grad is not None]
    features.zero_grad(set_to_none=True)
    found = list(dict.fromkeys(block_of(name) for name in used))
    chosen = found if blocks is None else found[-blocks:]
    for name, parameter in features.named_parameters():
        parameter.requires_grad_(name in used and block_of(name) in chosen)
    return chosen


@torch.inference_mode()
def set_statistics(model: TrainedReadout, context: FitContext) -> None:
    """Mean and standard deviation of each channel over places and training images, in place."""
    count, total, squares = 0, None, None
    for images in training_images(context.subjects, context.image_batch):
        maps = model.features(to_pixels(images, context.device))
        mean = torch.cat([m.double().mean((0, 2, 3)) for m in maps]) * len(images)
        square = torch.cat([m.double().square().mean((0, 2, 3)) for m in maps]) * len(images)
        total = mean if total is None else total + mean
        squares = square if squares is None else squares + square
        count += len(images)
    assert total is not None and squares is not None
    mean = total / count
    std = (squares / count - mean**2).clamp_min(0).sqrt()
    model.centre.copy_(mean)
    # a constant channel, but for rounding, is 0 whatever its unit
    model.gain.copy_(torch.where(std > 1e-6 * mean.abs(), 1 / std, 0))


class Maps:
    """Standardised maps of a core for rows of a subject's responses: computed each time, or once where it is frozen and
    they fit into memory."""

    def __init__(self, model: TrainedReadout, context: FitContext, frozen: bool):
        self.model, self.context = model, context
        self.cache: dict[str, list[Tensor]] = {}
        places = sum(c * s * s for c, s in zip(model.features.channels, model.sides, strict=True))
        rows = sum(len(data.responses) for data in context.subjects)
        if frozen and 4 * places * rows <= CACHE_BYTES:
            for data in context.subjects:
                found = cached_maps(model.features, data, np.arange(len(data.responses)), context)
                self.cache[data.subject] = found

    def of(self, data: SubjectData, rows: np.ndarray, pictures: np.ndarray | None = None) -> list[Tensor]:
        """Maps (n, C, side * side) of some rows, on the device."""
        if self.cache:
            maps = [m[torch.from_numpy(rows)].to(self.context.device) for m in self.cache[data.subject]]
        else:
            shown = data.pictures(rows) if pictures is None else pictures
            maps = self.model.features(to_pixels(shown, self.context.device))
        return self.model.standardise(maps)

    @torch.inference_mode()
    def validation_r(self) -> float:
        """Median over the voxels of all subjects of the correlation on validation images."""
        if not self.cache:
            return validation_r(self.model, self.context.subjects, self.context.image_batch, self.context.device)
        found = []
        for data in self.context.subjects:
            rows = data.rows_of(VALIDATION)
            parts = np.array_split(rows, -(-len(rows) // self.context.image_batch))
            read = [
                self.model.read(self.model.encode(self.of(data, part)), data.subject, slice(None)) for part in parts
            ]
            found.append(pearson(torch.cat(read).cpu().numpy(), data.responses[rows]))
        return float(np.median(np.concatenate(found)))


def step_gradients(
    model: TrainedReadout, maps: list[Tensor], data: SubjectData, rows: np.ndarray, l1: float, voxel_batch: int
) -> float:
    """Add the gradients of one batch; return its loss.

    L = sum_v mean_n a_n (r_nv - t_nv)^2 + l1 sum |w|, a_n the repeats of image n over their mean. Voxels are read
    `voxel_batch` at a time against detached encodings, so the readout's memory does not grow with the ROI.
    """
    encoded = model.encode(maps)
    leaves = [part.detach().requires_grad_(part.requires_grad) for part in encoded]
    repeats = torch.from_numpy(data.n_repeats[rows].astype(np.float32)).to(leaves[0].device)
    weight = (repeats / repeats.mean())[:, None]
    target = torch.from_numpy(data.responses[rows]).to(leaves[0].device)
    total = 0.0
    for start in range(0, data.voxels, voxel_batch):
        part = slice(start, start + voxel_batch)
        error = model.read(leaves, data.subject, part) - target[:, part]
        loss = (weight * error.square()).mean(0).sum() + l1 * model.penalty(data.subject, part)
        loss.backward()
        total += loss.item()
    wanted = [(part, leaf.grad) for part, leaf in zip(encoded, leaves, strict=True) if part.requires_grad]
    if wanted:
        torch.autograd.backward([part for part, _ in wanted], [gradient for _, gradient in wanted])
    return total


def parameter_groups(model: TrainedReadout, settings: GradientReadout) -> list[dict]:
    """What Adam trains: the readout, its fields faster, the core slower."""
    fields = [p for name, p in model.named_parameters() if name.startswith("fields.")]
    core = [p for p in model.features.parameters() if p.requires_grad]
    known = {id(p) for p in (*fields, *model.features.parameters())}
    rest = [p for p in model.parameters() if id(p) not in known]
    groups = [
        {"params": rest, "lr": settings.learning_rate},
        {"params": fields, "lr": settings.learning_rate * settings.field_speed},
        {"params": core, "lr": settings.core_learning_rate},
    ]
    return [group for group in groups if group["params"]]


def train_readout(
    model: TrainedReadout, settings: GradientReadout, context: FitContext, blocks: int | None, label: str
) -> list[dict[str, float]]:
    """Train in place, the epoch with the best median validation r is kept; return the history.

    Adam, whose rate falls to 0 along half a cosine. blocks: last ones of the core that are trained too, None: all.
    """
    trained = thaw(model.features, blocks, context.input_size)
    if trained:
        logger.info("%s: trained of the core: %s", label, ", ".join(trained))
    model.to(context.device)
    set_statistics(model, context)
    maps = Maps(model, context, frozen=not trained)
    groups = parameter_groups(model, settings)
    optimiser = torch.optim.Adam(groups)
    steps = len(training_batches(context.subjects, settings.batch_size, context.seed, 0)) * settings.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: 0.5 * (1 + float(np.cos(np.pi * min(step / steps, 1))))
    )

    def run_epoch(epoch: int) -> dict[str, float]:
        model.train()
        loss, images = 0.0, 0
        batches = training_batches(context.subjects, settings.batch_size, context.seed, epoch)
        if maps.cache:
            ahead: Iterator[tuple[Batch, np.ndarray | None]] = ((batch, None) for batch in batches)
        else:
            ahead = read_ahead(with_pictures, batches, readers(context.device))
        for (data, rows), pictures in ahead:
            optimiser.zero_grad(set_to_none=True)
            found = step_gradients(
                model, maps.of(data, rows, pictures), data, rows, settings.l1, context.voxel_batch
            )  # fmt: skip
            optimiser.step()
            schedule.step()
            loss += finite_loss(found, f"{label}, {data.subject}, epoch {epoch}") * len(rows)
            images += len(rows)
        model.eval()
        return {"loss": loss / max(images, 1), "validation_r": maps.validation_r()}

    return train_epochs(
        parts={"model": model, "optimiser": optimiser, "schedule": schedule}, run_epoch=run_epoch,
        epochs=settings.epochs, seed=context.seed, checkpoint=context.checkpoint, fingerprint=context.fingerprint,
        label=label, keep=KeepBest("validation_r", settings.patience),
    )  # fmt: skip
