"""One network as a verifier of faces under attack: every pair, attribute and false-positive rate, beside baselines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
import pandas as pd
import torch

from neurobust.attacks.engine.run import Arrays, Cells, evaluate
from neurobust.attacks.engine.subject import Bench, Outputs, Subject
from neurobust.attacks.engine.table import attributes
from neurobust.attacks.helpers import Helpers
from neurobust.attacks.images import exact_kernels, to_labels
from neurobust.attacks.search import frozen
from neurobust.attacks.semantic.bench import open_bench
from neurobust.attacks.semantic.editor import Editor
from neurobust.attacks.semantic.impersonation import VARIANTS
from neurobust.attacks.semantic.verification import Embed, embedded, measured, thresholds_of
from neurobust.attacks.semantic.verification_settings import VerificationPlan, chosen_attributes
from neurobust.attacks.semantic.verified import CLEAN, COLUMNS, COUNTS, Verified, Verifier
from neurobust.core.progress import Progress
from neurobust.core.settings import written
from neurobust.files.auxiliary import all_passed
from neurobust.files.dataset import Dataset
from neurobust.files.splits import VALIDATION
from neurobust.files.verification_table import (
    ATTACK,
    IDENTITY,
    NETWORK,
    Threshold,
    VerificationExamples,
    VerificationRecord,
    write_verification_examples,
    write_verification_table,
)

NAME = "verification"
CELL_IMAGES = 32  # part of what the names of finished cells stand for
EXAMPLES = 2
PICTURES = ("references", "edited", "attacked")


def attack_verification(
    subject: Subject, plan: VerificationPlan, helpers: Helpers, outputs: Outputs, attack_batch: int = 32
) -> None:
    """Attack one network as a verifier of faces; write a row per pair, attribute, variant and rate, and a few pictures.

    Thresholds are measured on pairs of held-out images: those of the network's own embeddings, and those of the
    identity network's, which judges the same images beside it. Where no rate can be measured the table has no rows.
    Pairs, edits and random edits are the same for every network; `attack_batch` changes no result beyond float32
    rounding. Raises InputError on files that cannot be used.
    """
    settings = plan.settings
    paths, gates = helpers.files(settings.helpers), helpers.gates()
    bench, networks = open_bench(subject, helpers, settings.helpers, True, attack_batch)
    data, network = bench.data, bench.network
    names = chosen_attributes(settings, data.attribute_names)
    cells = Cells(outputs.cells, CELL_IMAGES, EXAMPLES, subject.origin(**paths))
    with exact_kernels(), frozen(network):
        embeds: dict[str, Embed] = {NETWORK: cast(Embed, network.features), IDENTITY: networks["identity"]}
        limits = held_out_thresholds(embeds, bench, plan)
        verifiers = {name: verifier(embed, limits[name], bench) for name, embed in embeds.items()}
        method = Verified(
            settings, names, data, cast(Editor, networks["editor"]), networks["oracle"],
            verifiers[NETWORK], verifiers[IDENTITY],
        )  # fmt: skip
        rates = [found.rate for found in measured(limits[NETWORK])]
        cell = evaluate(method, bench, cells, Progress(cells.number(bench), NAME)) if rates else nothing(method, bench)
    record = VerificationRecord(
        **attributes(subject, bench, NAME, written(settings), cell, COUNTS),
        thresholds=[*limits[NETWORK], *limits[IDENTITY]], split="validation" if has_validation(data) else "test",
        gates=gates, gates_passed=all_passed(gates),
        provenance=subject.provenance(**paths) | {"params": written(settings)},
    )  # fmt: skip
    write_verification_table(outputs.tables[NAME], to_frame(bench.rows, plan, names, rates, cell), record)
    write_verification_examples(outputs.examples, pictures(bench, plan, names, cell))


def has_validation(data: Dataset) -> bool:
    """Whether a task has validation images, so that thresholds are not from the images that are attacked."""
    return bool(len(data.rows(VALIDATION)))


def held_out_thresholds(
    embeds: Mapping[str, Embed], bench: Bench, plan: VerificationPlan
) -> dict[str, list[Threshold]]:
    """The thresholds of each verifier, on all pairs of the held-out images."""
    rows = bench.data.held_out(plan.settings.threshold_images)
    people, found = to_labels(bench.data, rows, bench.device), {}
    for name, embed in embeds.items():
        vectors = embedded(embed, bench.data, rows, bench.device, 8 * bench.attack_batch)
        found[name] = thresholds_of(name, vectors, people, plan.settings.rates)
    return found


def verifier(embed: Embed, thresholds: list[Threshold], bench: Bench) -> Verifier:
    """An embedding with the thresholds that could be measured."""
    limits = [found.threshold for found in measured(thresholds)]
    return Verifier(embed, torch.tensor(limits, dtype=torch.float64, device=bench.device))


def nothing(method: Verified, bench: Bench) -> Arrays:
    """The arrays of no pair at no rate: there is no threshold to attack at."""
    side, goals, turned = bench.data.side, len(method.settings.goals), len(method.names)
    arrays = {name: np.zeros((0, goals, turned, len(VARIANTS), 0)) for name in COLUMNS}
    arrays |= {name: np.zeros((0, goals, 0)) for name in CLEAN}
    arrays |= {name: np.zeros((0, goals, turned, side, side, 3), np.float32) for name in ("edited", "attacked")}
    arrays |= {"references": np.zeros((0, goals, side, side, 3), np.float32), "counts": np.zeros((1, len(COUNTS)), int)}
    return arrays | {"reference": np.zeros((0, goals), np.int64), "seconds": np.zeros(1)}


def to_frame(
    rows: np.ndarray, plan: VerificationPlan, names: list[str], rates: list[float], cell: Arrays
) -> pd.DataFrame:
    """One row per pair, goal, attribute, variant and rate, in this order; without a rate, none."""
    goals = np.array(plan.settings.goals)
    pair, goal, name, variant, rate = (part.ravel() for part in np.indices(cell["success"].shape))
    frame = {
        "image": rows[pair],
        "reference": cell["reference"][pair, goal],
        "goal": goals[goal],
        "attribute": np.array(names)[name],
        "variant": np.array(VARIANTS)[variant],
        "rate": np.array(rates, np.float64)[rate],
        **{column: cell[column][pair, goal, rate] for column in CLEAN},
        **{column: cell[column].ravel() for column in COLUMNS},
    }
    return pd.DataFrame(frame)


def pictures(bench: Bench, plan: VerificationPlan, names: list[str], cell: Arrays) -> VerificationExamples:
    """What the gallery shows: the first pairs, each with every attribute turned, at the strictest rate."""
    kept = {name: cell[name] for name in PICTURES}
    count, rates = len(kept["edited"]), cell["success"].shape[-1]
    won = cell["success"][:count, :, :, VARIANTS.index(ATTACK), -1] if rates else np.zeros((0, 0, 0), bool)
    return VerificationExamples(
        image=bench.rows[:count], reference=cell["reference"][:count], goals=np.array(plan.settings.goals),
        attributes=np.array(names), clean=bench.clean(count) if count else np.zeros((0, 0, 0, 3), np.float32),
        success=won, **kept,
    )  # fmt: skip
