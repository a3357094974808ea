"""One network under one semantic attack: every image at every strength, beside its baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from neurobust.attacks.engine.run import Arrays, Cells, evaluate
from neurobust.attacks.engine.subject import Bench, Outputs, Subject
from neurobust.attacks.engine.table import attributes, rows_of
from neurobust.attacks.images import exact_kernels
from neurobust.attacks.search import frozen
from neurobust.attacks.semantic.data import read_task
from neurobust.attacks.semantic.fit import load_auxiliary
from neurobust.attacks.semantic.measured import COUNTS, Attack, Judge, Measured
from neurobust.attacks.semantic.plan import SemanticPlan
from neurobust.core.places import load
from neurobust.core.progress import Progress
from neurobust.core.training import pick_device
from neurobust.files.auxiliary import NetworkGate, all_passed, read_auxiliary_record
from neurobust.files.semantic_table import (
    ATTACK,
    SemanticExamples,
    SemanticRecord,
    write_semantic_examples,
    write_semantic_table,
)
from neurobust.networks.architectures import load_network

CELL_IMAGES = 64  # part of what the names of finished cells stand for
EXAMPLES = 4


@dataclass(frozen=True)
class Auxiliary:
    """The files of an attack's auxiliary networks: weights by name, and the records of their gates."""

    weights: Mapping[str, Path]
    records: Sequence[Path]

    def gates(self) -> list[NetworkGate]:
        """The gates of all of them, each with its network's name."""
        found = [read_auxiliary_record(path) for path in self.records]
        return [gate.of(record.network) for record in found for gate in record.gates]


def attack_semantic(
    subject: Subject, plan: SemanticPlan, auxiliary: Auxiliary, outputs: Outputs, attack_batch: int = 32
) -> None:
    """Attack one network and write a row per (image, strength, variant) and a few images for the gallery.

    The images are the first of those that the other attacks take. Nothing in an attack depends on the network's seed,
    so all networks meet the same hints, textures and edits; `attack_batch` changes no result beyond float32 rounding.
    Raises InputError on files that cannot be used.
    """
    paths = {name: auxiliary.weights[name] for name in plan.attack.helpers}
    gates = auxiliary.gates()
    data, device = read_task(subject.dataset, attributes=plan.attack.faces), pick_device()
    helpers = {name: load_auxiliary(path, name).to(device) for name, path in paths.items()}
    network = load_network(subject.model).to(device)
    bench = Bench(network, data, data.examined(subject.n_images), device, attack_batch)
    cells = Cells(outputs.cells, CELL_IMAGES, EXAMPLES, subject.origin(**paths))
    with exact_kernels(), frozen(network):
        run: Attack = cast(Any, load(plan.attack.run))(helpers, data, plan.attack)
        method = Measured(plan, network, run, Judge(network, helpers))
        cell = evaluate(method, bench, cells, Progress(cells.number(bench), plan.name))
    record = SemanticRecord(
        **attributes(subject, bench, plan.name, plan.settings(), cell, COUNTS), axis=plan.attack.axis,
        gates=gates, gates_passed=all_passed(gates),
        provenance=subject.provenance(**paths) | {"params": plan.settings()},
    )  # fmt: skip
    write_semantic_table(outputs.tables[plan.name], to_frame(bench.rows, plan.strengths, cell), record)
    write_semantic_examples(outputs.examples, pictures(bench, plan, cell))


def pictures(bench: Bench, plan: SemanticPlan, cell: Arrays) -> SemanticExamples:
    """What the gallery shows: the first images with every variant of them."""
    return SemanticExamples(
        image=bench.rows[:EXAMPLES],
        label=bench.labels[:EXAMPLES],
        strengths=np.array(plan.strengths, np.float64),
        first=cell["first"][:EXAMPLES],
        clean_correct=cell["clean_correct"][:EXAMPLES],
        clean=bench.clean(EXAMPLES),
        variants={name.partition("/")[2]: found for name, found in cell.items() if name.startswith("example/")},
    )


def to_frame(rows: np.ndarray, strengths: Sequence[float], cell: Arrays) -> pd.DataFrame:
    """One row per variant, image and strength, the attack first; a baseline costs the one pass that judges it.

    What an attack notes of an image (`descent.Attempt.notes`) is a column of every variant.
    """
    variants = [key.partition("/")[2] for key in cell if key.startswith("success/")]
    notes = {key.partition("/")[2]: values for key, values in cell.items() if key.startswith("note/")}
    shape, frames = (len(rows), len(strengths)), []
    for variant in sorted(variants, key=lambda name: name != ATTACK):
        own = {key.partition("/")[0]: cell[key] for key in cell if key.partition("/")[2] == variant}
        own.pop("example")
        cost = {"n_forward": np.ones(shape), "n_backward": np.zeros(shape)}
        if variant == ATTACK:
            cost = {name: cell[name] for name in cost}
        first = {"variant": np.full(shape, variant, dtype=object), **notes, "clean_correct": cell["clean_correct"]}
        frames.append(rows_of(rows, "strength", strengths, first | own | cost))
    return pd.concat(frames, ignore_index=True)
