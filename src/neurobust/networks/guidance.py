"""Guidance: what pulls the features of a network towards a target, and how near they come."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.core.architecture_names import PENULTIMATE
from neurobust.core.seeding import derive_seed
from neurobust.core.similarity import debiased_cka
from neurobust.files.dataset import Dataset
from neurobust.files.splits import TRAIN
from neurobust.networks.architectures import Classifier
from neurobust.networks.conditions import Recipe
from neurobust.networks.inputs import NetworkInputs
from neurobust.networks.layers import LayerMixture, Layers
from neurobust.networks.manifolds import ClassTarget, Manifolds, fit_manifolds
from neurobust.networks.pairs import PairBatch, Pairs, measured_blocks, predicted_blocks
from neurobust.networks.registry import LOSSES
from neurobust.networks.schedules import WEIGHT_SCHEDULES
from neurobust.networks.stores import Store
from neurobust.networks.targets import NeuralTarget
from neurobust.networks.versions import KeptTargets, Versions

CKA_ROWS = 2000  # images whose n x n Gram matrices measure the alignment

Goal = Tensor | ClassTarget | PairBatch  # what the features of one batch are compared with
Compared = tuple[Tensor, Tensor | ClassTarget]  # what a loss takes: what is compared, and with what
Shown = tuple[Tensor, Tensor | None]  # the layers (n, d) of some images, and what the neural head predicts from them


@dataclass(frozen=True)
class Both:
    """The goals of a condition that is guided on the task's images and on stimuli."""

    task: Goal
    stimuli: Goal


class Guidance:
    """The loss of a condition with a target, its target, and the layers and the head of the network that it acts on.

    `target` are a predictor's responses to the task's images (or a control's in their place), `pairs` stimuli with
    responses; `on: both` has both, with one neural head, each standardised on its own training images. `manifolds` are
    the target's where the loss acts by class. `attach` must be called before anything is compared.
    """

    network: Classifier
    layers: Layers

    def __init__(
        self, inputs: NetworkInputs, data: Dataset, recipe: Recipe, seed: int, eval_batch: int, device: torch.device
    ):
        condition = recipe.condition
        assert condition.loss is not None, "guidance is of conditions with a target"
        self.recipe, self.data, self.seed = recipe, data, seed
        self.loss = LOSSES[condition.loss]
        self.function = self.loss.function
        self.factor = WEIGHT_SCHEDULES[condition.schedule or "constant"]
        self.pairs: Pairs | None = None
        self.target: NeuralTarget | None = None
        self.manifolds: Manifolds | None = None
        self.kept: KeptTargets | None = None
        if condition.on_stimuli:
            if condition.pairs:
                blocks = measured_blocks(inputs, data.side, condition.removes, seed)
            else:
                blocks = predicted_blocks(inputs, data.side, condition, seed, eval_batch, device)
            self.pairs = Pairs(blocks, seed, recipe.training.batch_size, device, self.loss.min_batch)
        if condition.on_task:
            self.target = NeuralTarget(inputs, data, condition, seed, eval_batch, device)
            self.target.precision = getattr(torch, recipe.training.predictor_precision)
        if self.loss.by_class and self.target is not None:
            rows = data.rows(TRAIN)
            labels = torch.from_numpy(data.labels[rows])
            self.manifolds = fit_manifolds(self.target.cached(rows), labels, len(data.classes)).to(device)

    @property
    def dim(self) -> int:
        """Number of voxels of the target."""
        if self.pairs is not None:
            return self.pairs.dim
        assert self.target is not None
        return self.target.dim

    def attach(self, network: Classifier) -> None:
        """Watch the layers of a network from now on, and give it the neural head that the loss needs.

        The head comes after the backbone and from its own stream: `none` starts from the very same network.
        """
        condition = self.recipe.condition
        names, pool = condition.layers or (PENULTIMATE,), condition.pool or 1
        self.network = network
        self.layers = Layers(network, names, pool, self.recipe.architecture, self.data.side)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, "neural head"))
            if self.loss.needs_head:
                network.neural_head = nn.Linear(sum(self.layers.widths), self.dim)
            elif self.loss.mixes_layers:
                network.neural_head = LayerMixture(self.layers.widths)

    def keep(self, versions: Versions, store: Store, batch: int) -> None:
        """Look the targets of augmented images up from now on: there are so many versions of each and no more."""
        if self.target is not None and self.manifolds is None:
            self.kept = KeptTargets(versions, self.target, store, batch)

    def partners_of(self, rows: np.ndarray) -> np.ndarray | None:
        """Rows of the images that the predictor must see as augmented; None where it need not see them again."""
        known = self.target is None or self.manifolds is not None or self.kept is not None
        return None if known or self.target is None else self.target.partners[rows]

    def goal(self, place: tuple[int, int], rows: np.ndarray, partners: Tensor | None, labels: Tensor) -> Goal | Both:
        """What the loss compares the features of a batch with, at a place (epoch, step) of the training.

        `partners` are the augmented images of `partners_of(rows)`; None where images are shown as they are stored.
        """
        if self.pairs is None:
            return self._goal_on_task(place[0], rows, partners, labels)
        stimuli = self.pairs.draw(*place)
        return stimuli if self.target is None else Both(self._goal_on_task(place[0], rows, partners, labels), stimuli)

    def _goal_on_task(self, epoch: int, rows: np.ndarray, partners: Tensor | None, labels: Tensor) -> Goal:
        assert self.target is not None
        if self.manifolds is not None:
            return self.manifolds.of(labels)
        if self.kept is not None:
            return self.kept.of(epoch, rows)
        if partners is None:
            return self.target.cached(rows)
        return self.target.live(partners, self.target.partners[rows])

    def compare(self, features: Tensor, goal: Goal | Both) -> list[Compared]:
        """What the loss takes, once for each goal. `features` are of the pass over the task's images."""
        if isinstance(goal, Both):
            return self.compare(features, goal.task) + self.compare(features, goal.stimuli)
        columns = slice(None)
        if isinstance(goal, PairBatch):  # the network's second pass of this step, over the stimuli
            features, columns = self.network.features(goal.pixels), goal.columns
        layers = self.layers.collect(features)
        compared = layers if self.network.neural_head is None else self.network.neural_head(layers)
        wanted = goal.responses if isinstance(goal, PairBatch) else goal
        return [(compared[:, columns] if self.loss.needs_head else compared, wanted)]

    def neural_loss(self, compared: Sequence[Compared]) -> Tensor:
        """The loss of what `compare` gave: its mean over the goals."""
        losses = [self.function(x.float(), y) for x, y in compared]
        return losses[0] if len(losses) == 1 else torch.stack(losses).mean()

    def look(self, features: Tensor) -> Shown:
        """The layers of the pass that gave these penultimate `features`, and the prediction of a neural head."""
        layers = self.layers.collect(features)
        return layers, self.head(layers) if self.loss.needs_head else None

    def head(self, layers: Tensor) -> Tensor:
        """Responses (n, D) that the neural head predicts from the layers."""
        assert self.network.neural_head is not None
        return self.network.neural_head(layers)

    def agreement(self, rows: np.ndarray, shown: Sequence[Shown]) -> dict[str, float]:
        """`alignment` (mean r of neural head and target) and `cka` of what `look` gave for `rows`; NaN where undefined.

        On stimuli it is that of the stimuli of the split that the rows are of; on both it is the mean of the two.
        """
        found = []
        if self.target is not None:
            found.append(self._agreement_on_task(self.target, rows, shown))
        if self.pairs is not None:
            found.append(self._agreement_of_pairs(self.pairs, int(self.data.split[rows[0]])))
        return {name: float(np.mean([part[name] for part in found])) for name in found[0]}

    def _agreement_on_task(self, target: NeuralTarget, rows: np.ndarray, shown: Sequence[Shown]) -> dict[str, float]:
        found = {"alignment": math.nan, "cka": math.nan}
        if self.loss.needs_head:
            predictions = torch.cat([prediction for _, prediction in shown if prediction is not None])
            found["alignment"] = mean_correlation(predictions, target.cached(rows))
        if len(rows) >= 4:
            layers = torch.cat([part for part, _ in shown])[:CKA_ROWS]
            found["cka"] = debiased_cka(layers, target.cached(rows[:CKA_ROWS])).item()
        return found

    def _agreement_of_pairs(self, pairs: Pairs, split: int) -> dict[str, float]:
        """The same on held-out stimuli and the responses to them, averaged over blocks."""

        def correlation(layers: Tensor, responses: Tensor, columns: slice) -> float:
            return mean_correlation(self.head(layers)[:, columns], responses) if self.loss.needs_head else math.nan

        def cka(layers: Tensor, responses: Tensor, columns: slice) -> float:
            return debiased_cka(layers[:CKA_ROWS], responses[:CKA_ROWS]).item()

        def layers(pixels: Tensor) -> Tensor:
            return self.layers.collect(self.network.features(pixels))

        return pairs.compare(split, {"alignment": correlation, "cka": cka}, layers)


def mean_correlation(prediction: Tensor, target: Tensor) -> float:
    """Mean over columns of Pearson's r between two (N, D) tensors, in float64; constant columns are left out."""
    x, y = (part.double() - part.double().mean(0) for part in (prediction, target))
    scale = (x.square().sum(0) * y.square().sum(0)).sqrt()
    defined = scale > 1e-9 * len(x)
    if not defined.any():
        return math.nan
    return ((x * y).sum(0)[defined] / scale[defined]).mean().item()
