"""Transfer: what one network's adversarials do to the others, and what an ensemble's do.

A white-box attack that finds less than an adversarial from elsewhere was fooled (Carlini et al., arXiv 1902.06705,
section 4.5). Adversarials that travel use the whole budget and the highest loss they can reach, not the first success.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.attacks.images import exact_kernels, to_batch
from neurobust.attacks.losses import check_loss, loss_gradient
from neurobust.attacks.norms import check_norm, lengths, per_image, project, steepest
from neurobust.attacks.run import UNITS
from neurobust.attacks.search import frozen
from neurobust.attacks.verify import ABSOLUTE, RELATIVE
from neurobust.core.errors import InputError
from neurobust.core.io import memmap_dataset, provenance, replacing, write_parquet
from neurobust.core.progress import Progress
from neurobust.core.training import pick_device

TRANSFER_ARRAYS = {"image", "label", "clean_correct", "adversarial"}
DEFAULTS = {"method": "pgd", "norm": "linf", "steps": 10, "loss": "margin", "images": None, "ensembles": False}
ENSEMBLE = -1  # the seed of a source that is all seeds of its condition together


def resolve_transfer(settings: dict[str, Any]) -> dict[str, Any]:
    """The configured settings with their defaults and the `unit`; a bad one is an InputError.

    method pgd, norm, budget (linf in 1/255, l2 in pixel units), steps, loss, images (the first of the attacked ones;
    None: all), ensembles (whether the seeds of a condition together are a source too).
    """
    if unknown := sorted(set(settings) - {*DEFAULTS, "budget"}):
        raise InputError(f"transfer: setting '{unknown[0]}' is unknown; it takes {sorted({*DEFAULTS, 'budget'})}")
    resolved = {**DEFAULTS, **settings}
    check_norm(resolved["norm"])
    check_loss(resolved["loss"])
    if resolved["method"] != "pgd" or not resolved.get("budget", 0) > 0 or resolved["steps"] < 1:
        raise InputError(f"transfer: {settings}: give method pgd, a budget over 0 and at least one step")
    return {**resolved, "unit": "1/255" if resolved["norm"] == "linf" else "1"}


def radius_of(settings: dict[str, Any]) -> float:
    """The budget in pixel units."""
    return settings["budget"] * UNITS[settings["unit"]]


def ascend(model: nn.Module, images: Tensor, labels: Tensor, settings: dict[str, Any]) -> Tensor:
    """The points (N, 3, H, W) of highest loss on a fixed-step ascent over the whole budget, from the clean images.

    No image leaves early. Steps are 2.5 / steps of the budget, each iterate is projected; there is no random part.
    """
    norm, steps, radius = settings["norm"], settings["steps"], radius_of(settings)
    points, best = images, images
    highest = torch.full((len(images),), -torch.inf, device=images.device)
    with frozen(model):
        for _ in range(steps + 1):
            values, _, gradient = loss_gradient(model, points, labels, settings["loss"])
            better = values > highest
            highest, best = torch.where(better, values, highest), torch.where(per_image(better, images), points, best)
            points = project(points + 2.5 / steps * radius * steepest(gradient, norm), images, radius, norm)
    return best


def answers(model: nn.Module, images: Tensor) -> Tensor:
    """Predicted classes (N,) without gradients; -1 where the logits are not finite."""
    with frozen(model), torch.no_grad():
        logits = model(images)
    return torch.where(logits.isfinite().all(1), logits.argmax(1), -1)


def transfer_cell(
    model: nn.Module,
    pixels: np.ndarray,
    ids: np.ndarray,
    labels: np.ndarray,
    settings: dict[str, Any],
    attack_batch: int,
    device: torch.device,
) -> dict[str, np.ndarray]:
    """Adversarials (n, H, W, 3) float32 for the images `ids`, batch by batch; a clean error stays the clean image.

    float32, since half precision or 8 bits move a pixel by as much as small budgets do.
    """
    adversarial, correct = [], []
    for place in range(0, len(ids), attack_batch):
        images = to_batch(pixels, ids[place : place + attack_batch], device)
        targets = torch.from_numpy(labels[place : place + attack_batch]).to(device)
        right = answers(model, images) == targets
        points = images.clone()
        if right.any():
            points[right] = ascend(model, images[right], targets[right], settings)
        adversarial.append(points.permute(0, 2, 3, 1).cpu())
        correct.append(right.cpu())
    return {
        "image": ids, "label": labels, "clean_correct": torch.cat(correct).numpy(),
        "adversarial": torch.cat(adversarial).contiguous().numpy(),
    }  # fmt: skip


def write_adversarials(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a network's adversarials for others as `transfer.npz`, atomically."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def read_adversarials(path: Path, pixels: np.ndarray, settings: dict[str, Any]) -> dict[str, np.ndarray]:
    """Read a `transfer.npz` and check it in float64: every pixel in [0,1], every image within the budget."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in TRANSFER_ARRAYS}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: not a readable file of adversarials ({error}); delete it and run again") from error
    points = torch.from_numpy(arrays["adversarial"]).permute(0, 3, 1, 2)
    clean = to_batch(pixels, arrays["image"], torch.device("cpu"))
    size = lengths(points.double() - clean.double(), settings["norm"]).max().item() if len(points) else 0.0
    if not size <= radius_of(settings) * (1 + RELATIVE) + ABSOLUTE or points.min() < 0 or points.max() > 1:
        raise InputError(
            f"{path}: an adversarial lies {size:.4g} from its image, beyond the budget; delete it, run again"
        )
    return arrays


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
    models: list[Path],
    adversarials: list[Path],
    settings: dict[str, Any],
    output: Path,
    names: dict[str, Any],
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
    import pandas as pd

    settings, device = resolve_transfer(settings), pick_device()
    pixels = memmap_dataset(dataset, "images")
    model_of = {network_name(path): Path(path) for path in models}
    source_of = {network_name(path): Path(path) for path in adversarials}
    if set(model_of) != set(source_of):
        raise InputError(f"transfer: networks {sorted(model_of)} and adversarials {sorted(source_of)} differ")
    rows, keys = [], sorted(model_of)
    with exact_kernels():
        ensembles = {}
        if settings["ensembles"]:
            ensembles = dict(attack_ensembles(model_of, source_of, pixels, settings, attack_batch, device))
        progress = Progress(len(keys) * (len(keys) + len(ensembles)), "transfer")
        for start in range(0, len(keys), networks_batch):
            group = [Target(model_of[key], key, device) for key in keys[start : start + networks_batch]]
            for target in group:
                target.meet(read_adversarials(source_of[target.key], pixels, settings), pixels, attack_batch)
            for source, arrays in sources(source_of, ensembles, pixels, settings):
                rows += [target.row(source, arrays, attack_batch) for target in group if takes_part(source, target.key)]
                progress.step(len(group))
    frame = pd.DataFrame(rows).sort_values(list(rows[0])[:4], kind="stable", ignore_index=True)
    inputs = {"dataset": dataset, **{f"model-{c}-{s}": path for (c, s), path in sorted(model_of.items())}}
    write_parquet(output, frame, {**names, "settings": settings, "provenance": provenance(inputs, params=settings)})


def network_name(path: Path) -> tuple[str, int]:
    """(condition, seed) of a network, read off the path of one of its files."""
    condition, seed = Path(path).parts[-3:-1]
    if not (seed.startswith("seed") and seed[4:].isdigit()):
        raise InputError(f"{path}: not <condition>/seed<n>/<file>; pass the pipeline's own")
    return condition, int(seed[4:])


def takes_part(source: tuple[str, int], target: tuple[str, int]) -> bool:
    """An ensemble is no stranger to the networks of its own condition."""
    return source[1] != ENSEMBLE or source[0] != target[0]


def sources(
    source_of: dict[tuple[str, int], Path],
    ensembles: dict[tuple[str, int], dict[str, np.ndarray]],
    pixels: np.ndarray,
    settings: dict[str, Any],
) -> Iterator[tuple[tuple[str, int], dict[str, np.ndarray]]]:
    """Every source with its adversarials, one at a time."""
    for key in sorted(source_of):
        yield key, read_adversarials(source_of[key], pixels, settings)
    yield from ensembles.items()


def attack_ensembles(
    model_of: dict[tuple[str, int], Path],
    source_of: dict[tuple[str, int], Path],
    pixels: np.ndarray,
    settings: dict[str, Any],
    attack_batch: int,
    device: torch.device,
) -> Iterator[tuple[tuple[str, int], dict[str, np.ndarray]]]:
    """The adversarials of all seeds of a condition together, for every condition of two or more."""
    from neurobust.networks.architectures import load_network

    for condition in sorted({condition for condition, _ in model_of}):
        twins = [key for key in sorted(model_of) if key[0] == condition]
        if len(twins) > 1:
            shown = read_adversarials(source_of[twins[0]], pixels, settings)
            together = Mean([load_network(model_of[key]) for key in twins]).to(device)
            arrays = transfer_cell(together, pixels, shown["image"], shown["label"], settings, attack_batch, device)
            yield (condition, ENSEMBLE), arrays


class Target:
    """A network that meets the others' adversarials, with its answers to the clean images and to its own."""

    def __init__(self, model: Path, key: tuple[str, int], device: torch.device):
        from neurobust.networks.architectures import load_network

        self.network, self.key, self.device = load_network(model).to(device), key, device

    def correct(self, images: np.ndarray, labels: np.ndarray, attack_batch: int) -> np.ndarray:
        """Whether each of the float images (n, H, W, 3) is read correctly."""
        points = torch.from_numpy(images).permute(0, 3, 1, 2)
        found = [answers(self.network, part.contiguous().to(self.device)).cpu() for part in points.split(attack_batch)]
        return torch.cat(found).numpy() == labels

    def meet(self, own: dict[str, np.ndarray], pixels: np.ndarray, attack_batch: int) -> None:
        """Answer to the clean images and to the network's own adversarials."""
        self.images = own["image"]
        clean = to_batch(pixels, own["image"], torch.device("cpu")).permute(0, 2, 3, 1).contiguous().numpy()
        self.clean = self.correct(clean, own["label"], attack_batch)
        self.standing = self.correct(own["adversarial"], own["label"], attack_batch)

    def row(self, source: tuple[str, int], arrays: dict[str, np.ndarray], attack_batch: int) -> dict[str, Any]:
        """What the adversarials of one source do to this network."""
        if not np.array_equal(arrays["image"], self.images):
            raise InputError(f"transfer: {source} and {self.key} hold other images; run attack_network again")
        shared = arrays["clean_correct"] & self.clean
        broken = shared & ~self.correct(arrays["adversarial"], arrays["label"], attack_batch)
        count = int(shared.sum())
        return {
            "source_condition": source[0], "source_seed": source[1],
            "target_condition": self.key[0], "target_seed": self.key[1],
            "n": len(self.images), "clean_accuracy": float(self.clean.mean()), "n_shared": count,
            "accuracy": 1 - broken.sum() / count if count else np.nan,
            "beyond_white_box": (broken & self.standing).sum() / count if count else np.nan,
        }  # fmt: skip
