"""Transfer: what one network's adversarials do to the others, and what an ensemble's do.

A white-box attack that finds less than an adversarial from elsewhere was fooled (Carlini et al., arXiv 1902.06705,
section 4.5). Adversarials that travel use the whole budget and the highest loss they can reach, not the first success.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from neurobust.attacks.engine.cells import Parts, cell_hash, cell_path, read_cell
from neurobust.attacks.engine.run import Arrays, Cells, evaluate
from neurobust.attacks.engine.subject import Bench
from neurobust.attacks.images import exact_kernels, to_batch
from neurobust.attacks.losses import loss_gradient
from neurobust.attacks.norms import lengths, per_image, project, steepest
from neurobust.attacks.search import abstains, frozen
from neurobust.attacks.transfer_settings import Transfer
from neurobust.attacks.verify import ABSOLUTE, RELATIVE
from neurobust.core import deadline
from neurobust.core.errors import InputError
from neurobust.core.io import canonical_json, provenance, sha256_file
from neurobust.core.progress import Progress
from neurobust.core.training import pick_device
from neurobust.files.adversarials import ARRAYS, Adversarials, read_adversarials
from neurobust.files.dataset import Dataset, read_dataset
from neurobust.files.pixels import to_images
from neurobust.files.records import write_arrays
from neurobust.files.transfer_table import ENSEMBLE, TransferRecord, write_transfer_table
from neurobust.networks.architectures import load_network

Name = tuple[str, int]  # condition and seed

CHECKED = 256  # adversarials whose distance is measured at a time: bounds the float64 copy
CELL_IMAGES = 256  # of a cell of an ensemble's adversarials
KEPT_EVERY = 64  # sources


class Met(NamedTuple):
    """What the adversarials of one source did to a network: how many images, and on those that both read rightly its
    accuracy and the share that its own adversarial leaves and theirs breaks."""

    n: int
    clean_accuracy: float
    n_shared: int
    accuracy: float
    beyond_white_box: float


NUMBERS = Met._fields


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
    def parts(self) -> Parts:
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
    size = 0.0
    for start in range(0, len(points), CHECKED):
        part = slice(start, start + CHECKED)
        clean = to_batch(data, found.image[part], torch.device("cpu"))
        size = max(size, lengths(points[part].double() - clean.double(), settings.norm).max().item())
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
    networks_bytes: float = 8e9,
) -> None:
    """Show every network of one task and architecture the adversarials of all of them; a row per source and target.

    models, adversarials: `<condition>/seed<n>/model.safetensors` and `.../transfer.npz` of the same networks, in any
    order; names: task and architecture. Columns: source_condition, source_seed (-1: all seeds of the condition, by the
    mean of their logits), target_condition, target_seed, n images, clean_accuracy of the target, n_shared images that
    source and target read correctly, `accuracy` of the target on these under attack (source = target: white-box),
    beyond_white_box (share of them that this attack breaks and the target's own adversarial does not).
    Networks of `networks_bytes` of weights are held in memory at once, and the adversarials of one source. Finished
    pairs are kept in `.cells/` beside the output, so that a killed job loses little and a network that is added is
    shown to the others alone. Raises InputError on files that do not fit together.
    """
    files = paired(models, adversarials)
    keys = {network_name(path): path for path in sorted(files)}
    record = provenance(
        {"dataset": dataset, **{f"model-{c}-{s}": keys[c, s] for c, s in sorted(keys)}}, params=settings.settings()
    )
    digests = {path: record["inputs"]["model-{}-{}".format(*network_name(path))]["sha256"] for path in files}
    digests |= {path: sha256_file(path) for path in files.values()} | {dataset: record["inputs"]["dataset"]["sha256"]}
    study = Transferred(
        read_dataset(dataset), files, settings, attack_batch, pick_device(), output.parent / ".cells", digests
    )
    rows: list[dict[str, str | float]] = []
    with exact_kernels():
        sources = list(study.sources())
        progress = Progress(len(keys) * len(sources), "transfer")
        for group in study.groups(networks_bytes):
            meet([Target(study, key) for key in group], sources, progress)
            rows += [row for key in group for row in Target(study, key).rows(sources)]
    frame = pd.DataFrame(rows).sort_values(list(rows[0])[:4], kind="stable", ignore_index=True)
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
class Origin:
    """Where adversarials are from: a network, or all seeds of a condition; what they are a function of, and they."""

    name: Name
    digest: str
    read: Callable[[], Adversarials]


@dataclass(frozen=True)
class Transferred:
    """The networks of one task and architecture, as files, and how they are shown each other's adversarials.

    digests: SHA-256 of the dataset and of every file; cells: the folder of finished work.
    """

    data: Dataset
    files: Mapping[Path, Path]
    settings: Transfer
    attack_batch: int
    device: torch.device
    cells: Path
    digests: Mapping[Path, str]
    checked: set[Path] = field(default_factory=set)

    @property
    def networks(self) -> dict[Name, Path]:
        """The weights of every network."""
        return {network_name(path): path for path in self.files}

    def parts(self, *files: Path) -> Mapping[str, object]:
        """What makes the numbers of some files, as a cell is named by it."""
        made = {"settings": self.settings.settings(), "sources": cell_hash("neurobust.attacks.transfer")}
        return {"transfer": made, "files": [self.digests[path] for path in (self.data.path, *files)]}

    def groups(self, most: float) -> Iterator[list[Name]]:
        """The networks in their order, as many at a time as have `most` bytes of weights, or one."""
        group: list[Name] = []
        held = 0.0
        for key in sorted(self.networks):
            size = self.networks[key].stat().st_size
            if group and held + size > most:
                yield group
                group, held = [], 0.0
            group.append(key)
            held += size
        yield group

    def adversarials(self, key: Name) -> Adversarials:
        """The adversarials of one network, checked when they are read for the first time."""
        path = self.files[self.networks[key]]
        if path in self.checked:
            return read_adversarials(path)
        found = checked_adversarials(path, self.data, self.settings)
        self.checked.add(path)
        return found

    def sources(self) -> Iterator[Origin]:
        """Every source: the networks, and the conditions of two or more seeds where ensembles are asked for."""
        for key in sorted(self.networks):
            yield Origin(key, self.digests[self.files[self.networks[key]]], partial(self.adversarials, key))
        for condition in sorted({condition for condition, _ in self.networks}) if self.settings.ensembles else ():
            twins = [key for key in sorted(self.networks) if key[0] == condition]
            if len(twins) > 1:
                digest = canonical_json([self.digests[self.networks[key]] for key in twins])
                yield Origin((condition, ENSEMBLE), digest, partial(self.together, twins))

    def together(self, twins: Sequence[Name]) -> Adversarials:
        """The adversarials of all seeds of a condition together, kept in cells as an attack's are."""
        rows = self.adversarials(twins[0]).image
        networks = [self.networks[key] for key in twins]
        together = Mean([load_network(path) for path in networks]).to(self.device)
        bench = Bench(together, self.data, rows, self.device, self.attack_batch)
        cells = Cells(self.cells, CELL_IMAGES, 0, self.parts(*networks))
        progress = Progress(cells.number(bench), f"{twins[0][0]}, all seeds together")
        return adversarials_of(evaluate(Travelling(together, self.settings), bench, cells, progress))


class Target:
    """A network that meets the others' adversarials, with what it has met before (`met`, by the source's digest)."""

    def __init__(self, study: Transferred, key: Name):
        self.study, self.key = study, key
        path = study.networks[key]
        self.cell = cell_path(study.cells, {"target": study.parts(path, study.files[path])})
        found = read_cell(self.cell, {"source", *NUMBERS}) or {"source": np.zeros(0, str)}
        self.met = {
            str(source): Met(*(found[name][row].item() for name in NUMBERS))
            for row, source in enumerate(found["source"])
        }

    @cached_property
    def network(self) -> nn.Module:
        """The network, on the device."""
        return load_network(self.study.networks[self.key]).to(self.study.device)

    @cached_property
    def reads(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The images' rows, and whether it reads each rightly: clean, and as its own adversarial."""
        own = self.study.adversarials(self.key)
        clean = to_images(to_batch(self.study.data, own.image, torch.device("cpu")))
        return own.image, self.correct(clean, own.label), self.correct(own.adversarial, own.label)

    def correct(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Whether each of the float images (n, H, W, 3) is read correctly."""
        points, device = torch.from_numpy(images).permute(0, 3, 1, 2), self.study.device
        parts = points.split(self.study.attack_batch)
        found = [answers(self.network, part.contiguous().to(device)) for part in parts]
        return torch.cat(found).cpu().numpy() == labels

    def lacks(self, source: Origin) -> bool:
        """Whether it has yet to meet a source."""
        return takes_part(source.name, self.key) and source.digest not in self.met

    def meet(self, source: Origin, found: Adversarials) -> None:
        """Note what the adversarials of one source do to this network."""
        images, clean, standing = self.reads
        if not np.array_equal(found.image, images):
            raise InputError(f"transfer: {source.name} and {self.key} hold other images; run attack_network again")
        shared = found.clean_correct & clean
        broken = shared & ~self.correct(found.adversarial, found.label)
        count = int(shared.sum())
        self.met[source.digest] = Met(
            n=len(images), clean_accuracy=float(clean.mean()), n_shared=count,
            accuracy=1 - broken.sum() / count if count else np.nan,
            beyond_white_box=(broken & standing).sum() / count if count else np.nan,
        )  # fmt: skip

    def keep(self) -> None:
        """Write what it has met."""
        numbers = {name: np.array([getattr(row, name) for row in self.met.values()]) for name in NUMBERS}
        write_arrays(self.cell, {"source": np.array(list(self.met)), **numbers})

    def rows(self, sources: Sequence[Origin]) -> Iterator[dict[str, str | float]]:
        """The rows of the table."""
        for source in sources:
            if takes_part(source.name, self.key):
                yield {
                    "source_condition": source.name[0], "source_seed": source.name[1],
                    "target_condition": self.key[0], "target_seed": self.key[1],
                    **self.met[source.digest]._asdict(),
                }  # fmt: skip


def meet(targets: Sequence[Target], sources: Sequence[Origin], progress: Progress) -> None:
    """Show networks the adversarials that they have not met, one source at a time; what they met is kept at any end.

    Raises deadline.OutOfTime before a source that the job's time limit leaves no room for.
    """
    changed: set[Name] = set()
    try:
        for number, source in enumerate(sources):
            waiting = [target for target in targets if target.lacks(source)]
            if waiting:
                deadline.check()
                found = source.read()
                for target in waiting:
                    target.meet(source, found)
                    changed.add(target.key)
            progress.step(len(targets))
            if number % KEPT_EVERY == KEPT_EVERY - 1:
                keep(targets, changed)
    finally:
        keep(targets, changed)


def keep(targets: Sequence[Target], changed: set[Name]) -> None:
    """Write what changed targets have met."""
    for target in targets:
        if target.key in changed:
            target.keep()
    changed.clear()
