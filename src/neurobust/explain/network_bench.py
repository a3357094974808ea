"""What analyses of a network look at: the network with some images of its task, and what it is compared with.

Each part is computed when it is first asked for.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.core.architecture_names import PENULTIMATE
from neurobust.core.errors import InputError
from neurobust.explain.description import Need
from neurobust.explain.measured import Measured, SubjectFiles, read_measured
from neurobust.explain.measures import margin_gradients
from neurobust.files.adversarials import read_adversarials
from neurobust.files.attack_table import least_distances, read_attack_columns
from neurobust.files.dataset import Dataset
from neurobust.files.examples import read_examples
from neurobust.files.pixels import to_pixels
from neurobust.networks.architectures import Classifier
from neurobust.networks.layers import Layers
from neurobust.predictors.target import load_target

MOST_LAYERS = 8
POOL = 2  # a map is averaged over so many cells each way


class Pair(NamedTuple):
    """Images (k, 3, H, W) in [0, 1] and what an attack made of them, both on the network's device."""

    clean: Tensor
    adversarial: Tensor


@dataclass(frozen=True)
class Compared:
    """What a network is compared with, by ROI: the weights of its predictor, and its subjects' files; and what attacks
    stored: examples, adversarials that travel, and the tables of minimum-norm attacks in L2."""

    predictors: Mapping[str, Path] = field(default_factory=dict)
    responses: Mapping[str, Sequence[SubjectFiles]] = field(default_factory=dict)
    examples: Path | None = None
    transfer: Path | None = None
    minimal: Sequence[Path] = ()


@dataclass(frozen=True)
class NetworkBench:
    """network: in eval mode, frozen; dataset: of its task; rows: those of the images, ascending (n,); compared: files;
    seed: the network's; `image_batch` bounds the memory."""

    network: Classifier
    dataset: Dataset
    rows: np.ndarray
    compared: Compared
    seed: int
    device: torch.device
    image_batch: int = 64

    @cached_property
    def images(self) -> Tensor:
        """The images (n, 3, H, W) in [0, 1]: those that the attacks look at."""
        return to_pixels(self.dataset.images[self.rows], self.device)

    @cached_property
    def labels(self) -> Tensor:
        """Their labels, int64 (n,)."""
        return torch.from_numpy(self.dataset.labels[self.rows]).to(self.device)

    def over(self, images: Tensor, function: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """A function's rows for images (m, 3, H, W), default the network's logits; without gradients, in batches."""
        with torch.inference_mode():
            return torch.cat([(function or self.network)(batch) for batch in images.split(self.image_batch)])

    @cached_property
    def logits(self) -> Tensor:
        """Logits (n, classes) of the images."""
        return self.over(self.images)

    @cached_property
    def features(self) -> Tensor:
        """Activations (n, D) of the penultimate layer."""
        return self.over(self.images, self.network.features)

    @cached_property
    def layers(self) -> dict[str, Tensor]:
        """Activations (n, D) of up to `MOST_LAYERS` layers, from the first to the penultimate one: maps are averaged
        over 2 x 2 cells."""
        return self.layers_of(self.images)

    def layers_of(self, images: Tensor) -> dict[str, Tensor]:
        """The same of other images (m, 3, H, W)."""
        network, layers = self._read
        parts = self.over(images, lambda batch: layers.collect(network.features(batch)))
        return dict(zip(layers.names, parts.split(layers.widths, 1), strict=True))

    @cached_property
    def _read(self) -> tuple[Classifier, Layers]:
        """A copy of the network whose layers are read: those of the network itself keep nothing."""
        network = copy.deepcopy(self.network).cpu()
        names = [*layer_names(network.trunk), PENULTIMATE]
        layers = Layers(network, names, POOL, "this network", self.dataset.side)
        return network.to(self.device), layers

    @property
    def margin(self) -> Tensor:
        """Logit of the label less the largest other one (n,)."""
        return self._margin_gradients[0]

    @property
    def gradient(self) -> Tensor:
        """Gradient (n, 3, H, W) of each image's margin."""
        return self._margin_gradients[1]

    @cached_property
    def _margin_gradients(self) -> tuple[Tensor, Tensor]:
        return margin_gradients(self.network, self.images, self.labels, self.image_batch)

    @cached_property
    def predictors(self) -> dict[str, Tensor]:
        """ROI -> responses (n, V) of its predictor to the images, one predictor held at a time."""
        return {
            roi: self.over(self.images, load_target([path]).to(self.device))
            for roi, path in self.compared.predictors.items()
        }

    @cached_property
    def stimuli(self) -> dict[str, Measured]:
        """ROI -> held-out stimuli at the side of the network's images, at most as many as there are images, with the
        measured responses and the noise ceilings."""
        return {
            roi: read_measured(files, self.dataset.side, self.device, most=len(self.rows))
            for roi, files in self.compared.responses.items()
        }

    @property
    def twins(self) -> dict[str, Tensor] | None:
        """The images with another cue (n, 3, H, W): `random_cue` of any class, `conflict` of a class that is not the
        label's (`Dataset.conflict_cue`); None for a task without a cue."""
        if self.dataset.conflict is None or self.dataset.random_cue is None:
            return None
        found = {"random_cue": self.dataset.random_cue, "conflict": self.dataset.conflict}
        return {name: to_pixels(images[self.rows], self.device) for name, images in found.items()}

    @cached_property
    def adversarials(self) -> dict[str, Pair]:
        """Attack -> images and what it made of them, as far as the attacks stored them: a few of each attack
        (`examples.npz`), and as `transfer` all that other networks meet. Those that were not broken are left out."""
        found: dict[str, Pair] = {}
        if self.compared.examples is not None:
            kept = read_examples(self.compared.examples)
            for attack, images in kept.adversarial.items():
                there = np.isfinite(images).all((1, 2, 3))
                if there.any():
                    found[attack] = Pair(self._pixels(kept.clean[there]), self._pixels(images[there]))
        if self.compared.transfer is not None:
            stored = read_adversarials(self.compared.transfer)
            right = stored.clean_correct
            if right.any() and stored.image[right].max() >= len(self.dataset.images):
                path = self.compared.transfer
                raise InputError(f"{path}: of images that the task has not; delete it, run again")
            clean = to_pixels(self.dataset.images[stored.image[right]], self.device)
            found["transfer"] = Pair(clean, self._pixels(stored.adversarial[right]))
        return found

    @cached_property
    def minimal(self) -> np.ndarray | None:
        """The least L2 at which an attack found each image misread (n,), verified; NaN where none was found or the
        clean image is misread already. None without such attacks, or where all of them failed."""
        found = [_distances(path, self.rows) for path in self.compared.minimal]
        known = [distances for distances in found if distances is not None]
        return np.fmin.reduce(known) if known else None

    def _pixels(self, images: np.ndarray) -> Tensor:
        return torch.from_numpy(images).permute(0, 3, 1, 2).to(self.device)

    def lacks(self, need: Need) -> str | None:
        """Why an analysis that needs this cannot be made; None where it can."""
        if need == "predictors" and not self.compared.predictors:
            return "no ROI guides a network of the study"
        if need == "stimuli" and not self.compared.responses:
            return "no ROI guides a network of the study"
        if need == "twins" and self.dataset.conflict is None:
            return "the task's images bear no cue"
        if need == "adversarials" and not self.adversarials:
            return "no attack stored an image that it broke"
        if need == "minimal" and self.minimal is None:
            return "no minimum-norm attack in L2 met this network"
        return None


def _distances(table: Path, rows: np.ndarray) -> np.ndarray | None:
    """The sizes of an attack's adversarials of images `rows` (n,), NaN where there is none; None where it failed."""
    columns, record = read_attack_columns(table)
    if record.failed:
        return None
    images, first = np.unique(columns["image"], return_index=True)
    least = least_distances(columns, len(columns["image"]) // max(len(images), 1))
    if least is None:
        raise InputError(f"{table}: no column 'distance'; delete it, run again")
    there = np.isin(images, rows) & columns["clean_correct"][first].astype(bool) & np.isfinite(least)
    found = np.full(len(rows), np.nan)
    found[np.searchsorted(rows, images[there])] = least[there]
    return found


def layer_names(trunk: nn.Module) -> list[str]:
    """The parts of a trunk that have convolutions or linear layers, in its order, evenly chosen where there are many.

    A trunk of one such part is read part by part.
    """
    names, prefix = _weighted(trunk), ""
    while len(names) == 1:
        below = _weighted(trunk.get_submodule(f"{prefix}{names[0]}"))
        if not below:
            break
        prefix, names = f"{prefix}{names[0]}.", below
    most = MOST_LAYERS - 1  # the penultimate layer comes on top
    chosen = np.unique(np.linspace(0, len(names) - 1, min(len(names), most)).round().astype(int))
    return [f"{prefix}{names[index]}" for index in chosen]


def _weighted(module: nn.Module) -> list[str]:
    kinds = (nn.Conv2d, nn.Linear)
    return [name for name, part in module.named_children() if any(isinstance(m, kinds) for m in part.modules())]
