"""Transfer: what one network's adversarials do to the others, and what an ensemble's do.

A white-box attack that finds less than an adversarial from elsewhere was fooled (Carlini et al., arXiv 1902.06705,
section 4.5). Adversarials that travel use the whole budget and the highest loss they can reach, not the first success.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from neurobust.attacks.engine.cells import cell_hash
from neurobust.attacks.engine.run import Arrays, compute_cell
from neurobust.attacks.engine.subject import Bench
from neurobust.attacks.images import exact_kernels, to_batch
from neurobust.attacks.losses import loss_gradient
from neurobust.attacks.norms import lengths, per_image, project, steepest
from neurobust.attacks.search import abstains, frozen
from neurobust.attacks.transfer_settings import Transfer
from neurobust.attacks.verify import ABSOLUTE, RELATIVE
from neurobust.core.errors import InputError
from neurobust.core.io import provenance
from neurobust.core.progress import Progress
from neurobust.core.training import pick_device
from neurobust.files.adversarials import ARRAYS, Adversarials, read_adversarials
from neurobust.files.dataset import Dataset, read_dataset
from neurobust.files.pixels import to_images
from neurobust.files.transfer_table import ENSEMBLE, TransferRecord, write_transfer_table
from neurobust.networks.architectures import load_network

Name = tuple[str, int]  # condition and seed


def ascend(model: nn.Module, images: Tensor, labels: Tensor, settings: Transfer) -> Tensor:
    """The points (N, 3, H, W) of highest loss on a fixed-step ascent over the whole budget, from the clean images.

    No image leaves early. Steps are 2.5 / steps of the budget, each iterate is projected; there is no random part.
    """
    norm, steps, radius = settings.norm, settings.steps, settings.radius
    points, best = images, images
    highest = torch.full((len(images),), -torch.inf, device=images.device)
    with frozen(model):
        for _ in range(steps + 1):
            values, _, gradient = loss_gradient(model, points, labels, settings.loss)
            better = values > highest
            highest, best = torch.where(better, values, highest), torch.where(per_image(better, images), points, best)
            points = project(points + 2.5 / steps * radius * steepest(gradient, norm), images, radius, norm)
    return best


def answers(model: nn.Module, images: Tensor) -> Tensor:
    """Predicted classes (N,) without gradients; -1 where the logits are not finite."""
    with frozen(model), torch.no_grad():
        logits = model(images)
    return torch.where(abstains(logits), -1, logits.argmax(1))


@dataclass(frozen=True)
class Travelling:
    """A network's adversarials for others, as the engine makes them; a clean error stays the clean image."""

    network: nn.Module
    settings: Transfer

    @property
    def parts(self) -> Mapping[str, Any]:
        """Settings and sources."""
        return {"transfer": self.settings.settings(), "sources": cell_hash("neurobust.attacks.transfer")}

    @property
    def arrays(self) -> frozenset[str]:
        """Those of `transfer.npz`."""
        return frozenset(ARRAYS)

    def attack(self, images: Tensor, labels: Tensor, ids: tuple[int, ...], keep: int) -> Arrays:
        """Adversarials (n, H, W, 3) float32 of a batch: half precision moves a pixel by as much as small budgets do."""
        right = answers(self.network, images) == labels
        points = images.clone()
        if right.any():
            points[right] = ascend(self.network, images[right], labels[right], self.settings)
        return {
            "image": np.array(ids, dtype=np.int64), "label": labels.cpu().numpy(),
            "clean_correct": right.cpu().numpy(), "adversarial": to_images(points),
        }  # fmt: skip


def adversarials_of(cell: Arrays) -> Adversarials:
    """What of a cell goes into `transfer.npz`."""
    return Adversarials(**{name: cell[name] for name in ARRAYS})


def checked_adversarials(path: Path, data: Dataset, settings: Transfer) -> Adversarials:
    """Read a `transfer.npz` and check it in float64: every pixel in [0,1], every image within the budget."""
    found = read_adversarials(path)
    points = torch.from_numpy(found.adversarial).permute(0, 3, 1, 2)
    clean = to_batch(data, found.image, torch.device("cpu"))
    size = lengths(points.double() - clean.double(), settings.norm).max().item() if len(points) else 0.0
    if not size <= settings.radius * (1 + RELATIVE) + ABSOLUTE or points.min() < 0 or points.max() > 1:
        raise InputError(
            f"{path}: an adversarial lies {size:.4g} from its image, beyond the budget; delete it, run again"
        )
    return found


class Mean(nn.Module):
    """Networks as one: the mean of their logits."""

    def __init__(self, members: Sequence[nn.Module]):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """Mean logits (N, K) of `images`."""
        return torch.stack([member(images) for member in self.members]).mean(0)


def transfer_attacks(
    dataset: Path,
    models: Sequence[Path],
    adversarials: Sequence[Path],
    settings: Transfer,
    output: Path,
    names: Mapping[str, str],
    attack_batch: int = 128,
    networks_batch: int = 32,
) -> None:
    """Show every network of one task and architecture the adversarials of all of them; a row per source and target.

    models, adversarials: `<condition>/seed<n>/model.safetensors` and `.../transfer.npz` of the same networks, in any
    order; names: task and architecture. Columns: source_condition, source_seed (-1: all seeds of the condition, by the
    mean of their logits), target_condition, target_seed, n images, clean_accuracy of the target, n_shared images that
    source and target read correctly, `accuracy` of the target on these under attack (source = target: white-box),
    beyond_white_box (share of them that this attack breaks and the target's own adversarial does not).
    `networks_batch` networks are held in memory at once. Raises InputError on files that do not fit together.
    """
    study = Transferred(read_dataset(dataset), paired(models, adversarials), settings, attack_batch, pick_device())
    rows, keys = [], sorted(study.networks)
    with exact_kernels():
        ensembles = dict(study.ensembles()) if settings.ensembles else {}
        progress = Progress(len(keys) * (len(keys) + len(ensembles)), "transfer")
        for start in range(0, len(keys), networks_batch):
            group = [Target(study, key) for key in keys[start : start + networks_batch]]
            for source, arrays in study.sources(ensembles):
                rows += [target.row(source, arrays) for target in group if takes_part(source, target.key)]
                progress.step(len(group))
    frame = pd.DataFrame(rows).sort_values(list(rows[0])[:4], kind="stable", ignore_index=True)
    inputs = {"dataset": dataset, **{f"model-{c}-{s}": study.networks[c, s] for c, s in keys}}
    record = provenance(inputs, params=settings.settings())
    write_transfer_table(output, frame, TransferRecord(**names, settings=settings.settings(), provenance=record))


def paired(models: Sequence[Path], adversarials: Sequence[Path]) -> dict[Path, Path]:
    """Networks and adversarials of the same condition and seed; raises InputError where one has no other."""
    model_of = {network_name(path): path for path in models}
    source_of = {network_name(path): path for path in adversarials}
    if set(model_of) != set(source_of):
        raise InputError(
            f"transfer: networks {sorted(model_of)} and adversarials {sorted(source_of)} differ; "
            "run attack_network again"
        )
    return {model_of[key]: source_of[key] for key in model_of}


def network_name(path: Path) -> Name:
    """(condition, seed) of a network, read off the path of one of its files."""
    condition, seed = path.parts[-3:-1]
    if not (seed.startswith("seed") and seed[4:].isdigit()):
        raise InputError(f"{path}: not <condition>/seed<n>/<file>; pass the pipeline's own")
    return condition, int(seed[4:])


def takes_part(source: Name, target: Name) -> bool:
    """An ensemble is not shown to the networks of its own condition, which are its parts."""
    return source[1] != ENSEMBLE or source[0] != target[0]


@dataclass(frozen=True)
class Transferred:
    """The networks of one task and architecture, as files, and how they are shown each other's adversarials."""

    data: Dataset
    files: Mapping[Path, Path]
    settings: Transfer
    attack_batch: int
    device: torch.device

    @property
    def networks(self) -> dict[Name, Path]:
        """The weights of every network."""
        return {network_name(path): path for path in self.files}

    def adversarials(self, key: Name) -> Adversarials:
        """The adversarials of one network."""
        return checked_adversarials(self.files[self.networks[key]], self.data, self.settings)

    def sources(self, ensembles: Mapping[Name, Adversarials]) -> Iterator[tuple[Name, Adversarials]]:
        """Every source with its adversarials, one at a time."""
        for key in sorted(self.networks):
            yield key, self.adversarials(key)
        yield from ensembles.items()

    def ensembles(self) -> Iterator[tuple[Name, Adversarials]]:
        """The adversarials of all seeds of a condition together, for every condition of two or more."""
        for condition in sorted({condition for condition, _ in self.networks}):
            twins = [key for key in sorted(self.networks) if key[0] == condition]
            if len(twins) > 1:
                rows = self.adversarials(twins[0]).image
                together = Mean([load_network(self.networks[key]) for key in twins]).to(self.device)
                bench = Bench(together, self.data, rows, self.device, self.attack_batch)
                cell = compute_cell(Travelling(together, self.settings), bench, slice(0, len(rows)), 0)
                yield (condition, ENSEMBLE), adversarials_of(cell)


class Target:
    """A network that meets the others' adversarials, with its answers to the clean images and to its own."""

    def __init__(self, study: Transferred, key: Name):
        self.study, self.key = study, key
        self.network = load_network(study.networks[key]).to(study.device)
        own = study.adversarials(key)
        self.images = own.image
        clean = to_images(to_batch(study.data, own.image, torch.device("cpu")))
        self.clean = self.correct(clean, own.label)
        self.standing = self.correct(own.adversarial, own.label)

    def correct(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Whether each of the float images (n, H, W, 3) is read correctly."""
        points, device = torch.from_numpy(images).permute(0, 3, 1, 2), self.study.device
        parts = points.split(self.study.attack_batch)
        found = [answers(self.network, part.contiguous().to(device)).cpu() for part in parts]
        return torch.cat(found).numpy() == labels

    def row(self, source: Name, found: Adversarials) -> dict[str, Any]:
        """What the adversarials of one source do to this network."""
        if not np.array_equal(found.image, self.images):
            raise InputError(f"transfer: {source} and {self.key} hold other images; run attack_network again")
        shared = found.clean_correct & self.clean
        broken = shared & ~self.correct(found.adversarial, found.label)
        count = int(shared.sum())
        return {
            "source_condition": source[0], "source_seed": source[1],
            "target_condition": self.key[0], "target_seed": self.key[1],
            "n": len(self.images), "clean_accuracy": float(self.clean.mean()), "n_shared": count,
            "accuracy": 1 - broken.sum() / count if count else np.nan,
            "beyond_white_box": (broken & self.standing).sum() / count if count else np.nan,
        }  # fmt: skip
