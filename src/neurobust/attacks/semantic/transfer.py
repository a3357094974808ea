"""Paired semantic transfer: adversarials made once on an undefended network, and what they do to every other one.

Every network of a seed meets the very same images, so conditions are compared in pairs, and no network's gradients have
had a part in them: that separates a change that is resisted from an optimiser that is blocked (Carlini et al., arXiv
1902.06705, section 4.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from neurobust.attacks.engine.cells import Parts, cell_hash
from neurobust.attacks.engine.run import Arrays, Cells, evaluate
from neurobust.attacks.engine.subject import Bench, Subject
from neurobust.attacks.engine.table import rows_of
from neurobust.attacks.helpers import Helpers
from neurobust.attacks.images import exact_kernels, to_batch
from neurobust.attacks.search import frozen
from neurobust.attacks.semantic.bench import open_bench
from neurobust.attacks.semantic.measured import Attack, verify
from neurobust.attacks.semantic.plan import SemanticPlan
from neurobust.attacks.semantic.registry import semantic_modules
from neurobust.attacks.semantic.transfer_settings import SemanticTransfer
from neurobust.attacks.transfer import answers
from neurobust.core.errors import InputError
from neurobust.core.io import provenance
from neurobust.core.places import load
from neurobust.core.progress import Progress
from neurobust.core.training import pick_device
from neurobust.files.dataset import read_dataset
from neurobust.files.pixels import to_images
from neurobust.files.semantic_adversarials import (
    LentPictures,
    SemanticAdversarials,
    read_semantic_adversarials,
    write_lent_pictures,
    write_semantic_adversarials,
)
from neurobust.files.semantic_transfer_table import SemanticTransferRecord, write_semantic_transfer
from neurobust.networks.architectures import load_network

CELL_IMAGES = 64  # part of what the names of finished cells stand for
PER_IMAGE = ("image", "label", "clean_correct", "first", "adversarial")
PICTURES = 4  # for readers


def surely(plan: SemanticPlan, transfer: SemanticTransfer) -> SemanticPlan:
    """The attack as it is made on a surrogate: an image is left at the transfer's lead and not at the attack's."""
    return replace(plan, attack=replace(plan.attack, confidence=transfer.confidence))


@dataclass(frozen=True)
class Lent:
    """A surrogate's semantic adversarials as the engine makes them: attacked and looked at again, not measured."""

    plan: SemanticPlan
    network: nn.Module
    run: Attack

    @property
    def parts(self) -> Parts:
        """Name, settings and sources."""
        sources = cell_hash("neurobust.attacks.semantic.transfer", *semantic_modules(self.plan.name))
        return {"semantic-transfer": self.plan.name, "settings": self.plan.settings(), "sources": sources}

    @property
    def arrays(self) -> frozenset[str]:
        """What every cell has."""
        return frozenset(PER_IMAGE)

    def attack(self, images: Tensor, labels: Tensor, ids: tuple[int, ...], keep: int) -> Arrays:
        """The images that the attack tried at each strength, (n, S, H, W, 3); what does not hold stands."""
        attempt = self.run(self.network, images, labels, list(ids))
        attempt, _ = verify(self.network, images, labels, attempt, self.plan.attack.keeps_lightness)
        tried = torch.stack(attempt.tried, 1).clamp(0, 1)
        return {
            "image": np.array(ids, dtype=np.int64), "label": labels.cpu().numpy(),
            "clean_correct": attempt.clean_correct.numpy(), "first": attempt.first.numpy(),
            "adversarial": tried.permute(0, 1, 3, 4, 2).numpy().astype(np.float32),
        }  # fmt: skip


@dataclass(frozen=True)
class LentOutputs:
    """Where a surrogate's adversarials go, a few of them for readers, and the folder of finished cells."""

    adversarials: Path
    pictures: Path
    cells: Path


def lend_adversarials(
    subject: Subject,
    plan: SemanticPlan,
    transfer: SemanticTransfer,
    helpers: Helpers,
    outputs: LentOutputs,
    attack_batch: int = 32,
) -> None:
    """Attack one undefended network and write its adversarials for others.

    helpers: the attack's auxiliary networks; their gates are not asked. Raises InputError on files that cannot be used.
    """
    plan = surely(plan, transfer)
    paths = helpers.files(plan.attack.helpers)
    bench, networks = open_bench(subject, helpers, plan.attack.helpers, plan.attack.faces, attack_batch)
    finished = Cells(outputs.cells, CELL_IMAGES, 0, subject.origin(**paths))
    with exact_kernels(), frozen(bench.network):
        run: Attack = cast(Any, load(plan.attack.run))(networks, bench.data, plan.attack)
        found = evaluate(Lent(plan, bench.network, run), bench, finished, Progress(finished.number(bench), plan.name))
        strengths = np.array(plan.strengths, np.float64)
        lent = SemanticAdversarials(strengths=strengths, **{name: found[name] for name in PER_IMAGE})
        shown = pictures_of(bench, lent)
    write_semantic_adversarials(outputs.adversarials, lent)
    write_lent_pictures(outputs.pictures, shown)


def pictures_of(bench: Bench, lent: SemanticAdversarials) -> LentPictures:
    """The first images that the surrogate read rightly and that the attack broke, as its largest strength left them."""
    chosen = np.flatnonzero(lent.clean_correct & (lent.first < len(lent.strengths)))[:PICTURES]
    adversarial = lent.adversarial[chosen, -1]
    clean, answer = adversarial, np.zeros(0, np.int64)
    if len(chosen):
        clean = to_images(to_batch(bench.data, lent.image[chosen], torch.device("cpu")))
        points = torch.from_numpy(adversarial).permute(0, 3, 1, 2).to(bench.device)
        answer = answers(bench.network, points).cpu().numpy()
    return LentPictures(lent.image[chosen], lent.label[chosen], clean, adversarial, answer, lent.strengths[-1])


def meet_adversarials(
    subject: Subject, plan: SemanticPlan, adversarials: Path, source: tuple[str, int], output: Path, batch: int = 128
) -> None:
    """Show a network a surrogate's adversarials, once; a row per image and strength.

    plan: the attack as it was made on the surrogate (`surely`); source: the surrogate's condition and seed. Columns:
    image, strength, source_correct and clean_correct (whether surrogate and network read the clean image rightly),
    source_broken (whether the surrogate misreads the adversarial), success (whether the network does; clean errors
    count), answer (its class for the adversarial, -1 for none). Raises InputError for files that do not fit together.
    """
    found, data, device = read_semantic_adversarials(adversarials), read_dataset(subject.dataset), pick_device()
    network = load_network(subject.model).to(device)
    shape = (found.adversarial.shape[0], found.adversarial.shape[2:])
    fits = shape == (len(found.image), (data.side, data.side, 3)) and found.image.max(initial=-1) < len(data.labels)
    if not fits or not np.array_equal(data.labels[found.image], found.label):
        raise InputError(f"{adversarials}: made for other images than {subject.dataset}; delete it and run again")
    if found.strengths.tolist() != list(plan.strengths):
        raise InputError(
            f"{adversarials}: made at strengths {found.strengths.tolist()}, not {list(plan.strengths)}; delete it and "
            "run again"
        )

    def answered(points: Tensor) -> np.ndarray:
        return torch.cat([answers(network, part.to(device)).cpu() for part in points.split(batch)]).numpy()

    with exact_kernels():
        clean = answered(to_batch(data, found.image, torch.device("cpu"))) == found.label
        answer = np.stack([
            answered(torch.from_numpy(np.ascontiguousarray(found.adversarial[:, place])).permute(0, 3, 1, 2))
            for place in range(len(found.strengths))
        ], 1)  # fmt: skip
    columns = {
        "source_correct": found.clean_correct,
        "source_broken": found.first[:, None] <= np.arange(len(found.strengths)),
        "clean_correct": clean,
        "success": (answer != found.label[:, None]) | ~clean[:, None],
        "answer": answer,
    }
    frame: pd.DataFrame = rows_of(found.image, "strength", found.strengths.tolist(), columns)
    inputs = {"dataset": subject.dataset, "model": subject.model, "adversarials": adversarials}
    names: dict[str, Any] = {"task": data.task, "seed": subject.seed, **subject.names}
    write_semantic_transfer(output, frame, SemanticTransferRecord(
        **names, attack=plan.name, axis=plan.attack.axis, source_condition=source[0], source_seed=source[1],
        settings=plan.settings(), provenance=provenance(inputs, params=plan.settings(), seed=subject.seed),
    ))  # fmt: skip
