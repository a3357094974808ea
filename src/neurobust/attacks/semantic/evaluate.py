"""One network under one semantic attack: every image at every strength, beside its baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

from neurobust.attacks.engine.run import Arrays, Cells, evaluate
from neurobust.attacks.engine.subject import Bench, Outputs, Subject
from neurobust.attacks.engine.table import attributes, rows_of
from neurobust.attacks.helpers import Helpers
from neurobust.attacks.images import exact_kernels
from neurobust.attacks.search import frozen
from neurobust.attacks.semantic.bench import open_bench
from neurobust.attacks.semantic.measured import COUNTS, Attack, Judge, Measured
from neurobust.attacks.semantic.plan import SemanticPlan
from neurobust.core.places import load
from neurobust.core.progress import Progress
from neurobust.files.auxiliary import all_passed
from neurobust.files.semantic_table import (
    ATTACK,
    SemanticExamples,
    SemanticRecord,
    write_semantic_examples,
    write_semantic_table,
)

CELL_IMAGES = 64  # part of what the names of finished cells stand for
EXAMPLES = 4


def attack_semantic(
    subject: Subject, plan: SemanticPlan, helpers: Helpers, outputs: Outputs, attack_batch: int = 32
) -> None:
    """Attack one network and write a row per (image, strength, variant) and a few images for the gallery.

    The images are the first of those that the other attacks take. Nothing in an attack depends on the network's seed,
    so all networks meet the same hints, textures and edits; `attack_batch` changes no result beyond float32 rounding.
    Raises InputError on files that cannot be used.
    """
    names, gates = plan.attack.helpers, helpers.gates()
    paths = helpers.files(names)
    bench, networks = open_bench(subject, helpers, names, plan.attack.faces, attack_batch)
    cells = Cells(outputs.cells, CELL_IMAGES, EXAMPLES, subject.origin(**paths))
    with exact_kernels(), frozen(bench.network):
        run: Attack = cast(Any, load(plan.attack.run))(networks, bench.data, plan.attack)
        method = Measured(plan, bench.network, run, Judge(bench.network, networks))
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
        notes={
            name.partition("/")[2]: found[:EXAMPLES].astype(str)
            for name, found in cell.items()
            if name.startswith("note/")
        },
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
