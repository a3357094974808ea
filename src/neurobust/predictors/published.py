"""The published training loop of G-net, for reproduction (St-Yves et al. 2023; the fast loop is in `fit_gnet`).

What is different from the fast loop: single trials are not averaged; the last tenth of them, in time, is held out, so
repeats of an image lie on both sides; a batch is a block of 100 consecutive trials of one subject, whose composition
never changes; the core's optimiser and the subject's take a step each, after a forward and backward pass of their own;
the rate is constant, and all epochs are run. The epoch with the best median held-out r is kept by both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neurobust.core.correlation import pearson
from neurobust.core.errors import InputError
from neurobust.core.seeding import numpy_rng
from neurobust.core.training import KeepBest, Stateful, finite_loss, train_epochs
from neurobust.files.pixels import to_pixels
from neurobust.files.splits import TEST
from neurobust.predictors.checks import name_of
from neurobust.predictors.data import SubjectData
from neurobust.predictors.fitting import FitContext
from neurobust.predictors.gnet import GNet
from neurobust.predictors.gnet_settings import Loop
from neurobust.predictors.loss import LossTerms, accumulate_gradients
from neurobust.predictors.predict import predict

HOLDOUT = 0.1  # share of the trials


@dataclass
class Trials:
    """Trials of one subject, in order: picture (row of its images), response and weight in the loss."""

    data: SubjectData
    picture: np.ndarray  # (T,)
    response: np.ndarray  # (T, V)
    weight: np.ndarray  # (T,)

    def split(self, share: float) -> tuple[Trials, Trials]:
        """Without and with the last `share` of the trials."""
        count = len(self.picture) - int(len(self.picture) * share)
        first, last = slice(count), slice(count, None)
        return self._part(first), self._part(last)

    def _part(self, rows: slice) -> Trials:
        return Trials(self.data, self.picture[rows], self.response[rows], self.weight[rows])


def single_trials(data: SubjectData) -> Trials:
    """All trials whose images are not for testing, in order of time.

    An ROI file without single trials (`splits.trials: all` keeps them) gives its averages instead, in order of nsd_id
    and weighted by their repeats: the squared errors of n repeats are n times that of their average, plus a constant.
    """
    if data.trials is not None and data.trial_nsd_id is not None:
        picture = data.row[np.searchsorted(data.nsd_id, data.trial_nsd_id)]
        return Trials(data, picture, data.trials, np.ones(len(picture), np.float32))
    rows = np.flatnonzero(data.split != TEST)
    return Trials(data, data.row[rows], data.responses[rows], data.n_repeats[rows].astype(np.float32))


def blocks(training: Sequence[Trials], batch_size: int) -> list[tuple[Trials, slice]]:
    """Consecutive trials of one subject; the same blocks every epoch."""
    return [
        (trials, slice(start, start + batch_size))
        for trials in training
        for start in range(0, len(trials.picture), batch_size)
    ]


@dataclass(frozen=True)
class Optimisers:
    """One for the core, and one for each subject's readout."""

    core: torch.optim.Optimizer
    readouts: dict[str, torch.optim.Optimizer]


def two_pass_step(
    model: GNet, optimisers: Optimisers, trials: Trials, block: slice, terms: LossTerms, device: torch.device
) -> Tensor:
    """One batch: a pass and a step for the core, then, with the core as it is now, for the readout. Its first loss."""
    subject = trials.data.subject
    dtype = next(model.parameters()).dtype
    images = to_pixels(trials.data.images[trials.picture[block]], device).to(dtype)
    response = torch.from_numpy(trials.response[block]).to(device, dtype)
    weight = torch.from_numpy(trials.weight[block]).to(device, dtype)
    losses = []
    for optimiser in (optimisers.core, optimisers.readouts[subject]):
        model.zero_grad(set_to_none=True)
        loss = accumulate_gradients(model, subject, images, response, weight, terms, core=optimiser is optimisers.core)
        losses.append(loss)
        optimiser.step()
    return losses[0]


def build_optimisers(model: GNet, learning_rate: float) -> Optimisers:
    """Adam for the core, and one for each subject's readout."""
    core = [p for part in (model.prefilter, model.trunk) for p in part.parameters() if p.requires_grad]
    readouts: dict[str, torch.optim.Optimizer] = {
        s: torch.optim.Adam(readout.parameters(), lr=learning_rate) for s, readout in model.readouts.items()
    }
    return Optimisers(torch.optim.Adam(core, lr=learning_rate), readouts)


def holdout_r(model: GNet, holdout: Sequence[Trials], image_batch: int, device: torch.device) -> float:
    """Median over the voxels of all subjects of the correlation over held-out trials; each image is passed once."""
    r = []
    for trials in holdout:
        pictures, inverse = np.unique(trials.picture, return_inverse=True)
        predicted = predict(model, trials.data.images, pictures, trials.data.subject, image_batch, device)
        r.append(pearson(predicted[inverse], trials.response))
    return float(np.median(np.concatenate(r)))


def train_published(model: GNet, loop: Loop, context: FitContext) -> list[dict[str, float]]:
    """Train in place by the published loop; return the history.

    Raises InputError where a subject has fewer than two trials to hold out: no epoch would be the best.
    """
    terms = LossTerms(loop.l1, loop.weight_floor, context.voxel_batch)
    optimisers = build_optimisers(model, loop.learning_rate)
    training, holdout = zip(*(single_trials(data).split(HOLDOUT) for data in context.subjects), strict=True)
    for trials in holdout:
        if len(trials.picture) < 2:
            raise InputError(
                f"{name_of(trials.data)}: too few trials for the published schedule, which holds a tenth of them out "
                "and needs 2 there; take schedule: fast"
            )
    batches = blocks(training, loop.batch_size)
    count = sum(len(trials.picture) for trials in training)

    def run_epoch(epoch: int) -> dict[str, float]:
        model.train()
        loss = 0.0
        for index in numpy_rng(context.seed, "order", epoch).permutation(len(batches)):
            trials, block = batches[index]
            batch_loss = two_pass_step(model, optimisers, trials, block, terms, context.device)
            loss += finite_loss(batch_loss.item(), f"gnet published, {trials.data.subject}, epoch {epoch}")
        score = holdout_r(model, holdout, context.image_batch, context.device)
        return {"loss": loss / count, "validation_r": score}

    readouts = {f"readout {subject}": part for subject, part in optimisers.readouts.items()}
    parts: dict[str, Stateful] = {"model": model, "core": optimisers.core, **readouts}
    return train_epochs(
        parts=parts, run_epoch=run_epoch, epochs=loop.epochs, seed=context.seed, checkpoint=context.checkpoint,
        fingerprint=context.fingerprint, label="gnet published", keep=KeepBest("validation_r"),
    )  # fmt: skip
