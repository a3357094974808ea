"""One network under every configured attack: a table per attack, example images and masking checks."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from neurobust.attacks.bounded import COUNTS, Bounded
from neurobust.attacks.checks import CHECKED, check, model_checks
from neurobust.attacks.engine.run import Arrays, Cells, evaluate
from neurobust.attacks.engine.subject import Bench, Outputs, Subject
from neurobust.attacks.engine.table import attributes, rows_of, verification
from neurobust.attacks.helpers import Helpers, own_networks
from neurobust.attacks.images import POOL_IMAGES, exact_kernels, to_batch, to_labels
from neurobust.attacks.outcomes import Outcome, outcome_of, table_checks
from neurobust.attacks.plan import AttackPlan
from neurobust.attacks.probes import probe_checks
from neurobust.attacks.search import seeded
from neurobust.attacks.transfer import Travelling, adversarials_of
from neurobust.attacks.transfer_settings import Transfer
from neurobust.attacks.twin import twin_checks
from neurobust.core.errors import InputError
from neurobust.core.io import Provenance, sha256_file
from neurobust.core.places import module_of
from neurobust.core.progress import Progress
from neurobust.core.training import pick_device
from neurobust.files.adversarials import Adversarials, write_adversarials
from neurobust.files.attack_table import AttackRecord, write_attack_table, write_failed_table
from neurobust.files.checks import Check, write_checks
from neurobust.files.dataset import Dataset, read_dataset
from neurobust.files.examples import Examples, write_examples
from neurobust.networks.architectures import load_network

logger = logging.getLogger("neurobust")

CELL_IMAGES = 256  # part of what the names of finished cells stand for
EXAMPLES = 6
PASSING = (
    MemoryError,
    OSError,
    torch.cuda.OutOfMemoryError,
)  # of the machine, not of the attack: the job is tried again


@dataclass(frozen=True)
class NetworkOutputs(Outputs):
    """The files of one network: also its checks and, where others will meet them, its adversarials."""

    checks: Path
    adversarials: Path | None = None


def attack_network(
    subject: Subject,
    plans: Mapping[str, AttackPlan],
    outputs: NetworkOutputs,
    transfer: Transfer | None = None,
    attack_batch: int = 128,
    twin: Path | None = None,
    helpers: Helpers | None = None,
) -> None:
    """Attack one network with every attack of `plans` and write what docs/design.md says.

    With `transfer`, the adversarials that other networks will meet go to `outputs.adversarials`. `attack_batch` images
    are attacked at once: it costs memory and changes no result beyond float32 rounding. `twin`: weights of an
    undefended network of the same task and architecture, whose adversarials the network is shown as a check. `helpers`:
    the auxiliary networks of the task that some attacks read; one that failed a gate is a failed check. An attack that
    raises has a table without rows that says why, and a failed check; the others go on. Raises InputError on files
    that cannot be used, and what an attack raises where all of them do.
    """
    if set(outputs.tables) != set(plans):
        raise InputError(f"attacks {sorted(plans)} and their outputs {sorted(outputs.tables)} differ; name each once")
    bench = set_up(subject, plans, attack_batch)
    cells = Cells(outputs.cells, CELL_IMAGES, EXAMPLES, subject.origin())
    with exact_kernels():
        given = helpers or Helpers({}, {})
        found, failed = attack_all(bench, plans, subject, cells, given)
        outcomes = {name: outcome_of(plans[name], cell, verification(cell, COUNTS)) for name, cell in found.items()}
        checks = all_checks(bench, outcomes, subject, twin)
        checks += [check("ran", False, None, said(error), name) for name, error in failed.items()]
        checks += gate_checks({name: plans[name] for name in found}, given)
        strong = None if transfer is None else travelling(bench, transfer, cells)
    origin = subject.provenance()
    for name, cell in found.items():
        record = record_of(subject, bench, plans[name], cell, origin)
        write_attack_table(outputs.tables[name], to_frame(bench.rows, plans[name], cell), record)
    for name, error in failed.items():
        write_failed_table(outputs.tables[name], failed_record(subject, bench, plans[name], error, origin))
    write_examples(outputs.examples, examples_of(bench, plans, found))
    if strong is not None and outputs.adversarials is not None:
        write_adversarials(outputs.adversarials, strong)
    write_checks(outputs.checks, checks)


def attack_all(
    bench: Bench, plans: Mapping[str, AttackPlan], subject: Subject, cells: Cells, helpers: Helpers
) -> tuple[dict[str, Arrays], dict[str, Exception]]:
    """What each attack found, and what those raised that could not be carried out; raises where no attack could be."""
    pool = None
    if any(plan.attack.pool for plan in plans.values()):
        pool = to_batch(bench.data, bench.data.shown(POOL_IMAGES), bench.device)
    found: dict[str, Arrays] = {}
    failed: dict[str, Exception] = {}
    progress = Progress(len(plans) * cells.number(bench), "attacks")
    for name, plan in plans.items():
        try:
            given = networks_of(plan, helpers, bench.device)
            method = Bounded(plan, bench.network, subject.seed, pool, bench.data, *given, bench.attack_batch)
            found[name] = evaluate(method, bench, cells, progress)
        except PASSING:
            raise
        except Exception as error:  # whatever an attack raises costs its own cell
            logger.error("%s: attack '%s' failed: %s", subject.model, name, error, exc_info=not expected(error))
            failed[name] = error
    if failed and not found:
        raise next(iter(failed.values()))
    return found, failed


def networks_of(
    plan: AttackPlan, helpers: Helpers, device: torch.device
) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """The networks that an attack is given, of the task and of the user's own files, and digests of these files."""
    names, brought = plan.attack.reads, own_networks(plan.attack, device)
    digests = {key: sha256_file(Path(path)) for key, path in plan.attack.files.items()}
    return {**helpers.networks(names, device), **brought}, {**helpers.digests(names), **digests}


def gate_checks(plans: Mapping[str, AttackPlan], helpers: Helpers) -> list[Check]:
    """Whether the auxiliary networks that attacks read passed their gates: else an attack is not what its name says."""
    found = []
    for name, plan in plans.items():
        if plan.attack.reads:
            failed = helpers.failed(plan.attack.reads)
            note = f"auxiliary networks that failed a gate{': ' if failed else ''}{', '.join(failed)}"
            found.append(check("auxiliary", not failed, len(failed), note, name))
    return found


def expected(error: Exception) -> bool:
    """Whether an error says in one line what is wrong: no trace is of use to its reader."""
    return isinstance(error, InputError)


def said(error: Exception) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    return text if expected(error) else f"{type(error).__name__}: {text}"


def set_up(subject: Subject, plans: Mapping[str, AttackPlan], attack_batch: int) -> Bench:
    """The network beside its images; for attacks on the neural head with that head and the images that they aim at."""
    device, data = pick_device(), read_dataset(subject.dataset)
    heads = [plan for plan in plans.values() if plan.attack.neural_head]
    network = load_network(subject.model, neural_head=bool(heads)).to(device)
    if heads:
        show_pool(network, heads[0], data, device)
    return Bench(network, data, data.examined(subject.n_images), device, attack_batch)


def show_pool(network: nn.Module, plan: AttackPlan, data: Dataset, device: torch.device) -> None:
    """Give a network the training images that an attack on its neural head aims at."""
    rows = data.shown(POOL_IMAGES)
    with exact_kernels():
        code_of(plan).show_pool(network, to_batch(data, rows, device), to_labels(data, rows, device))


def code_of(plan: AttackPlan) -> ModuleType:
    """The module of an attack's function.

    One of an attack on the neural head has `show_pool(network, images, labels)` and `describe(network)`, where it acts;
    one of an ensemble has MEMBERS, the names of its parts.
    """
    return import_module(module_of(plan.attack.run))


def all_checks(
    bench: Bench, outcomes: Mapping[str, Outcome], subject: Subject, twin: Path | None = None
) -> list[Check]:
    """The checks of a network, its attacks' tables and ascents, and by a twin; the failed ones go to the log."""
    images, labels = bench.batch(slice(CHECKED))
    with seeded(bench.device, subject.seed, "checks"):
        found = model_checks(bench.network, images, labels, subject.seed)
        found += table_checks(outcomes) + probe_checks(bench.network, images, labels, outcomes, subject.seed)
        if twin is not None:
            other = load_network(twin, neural_head=False).to(bench.device)
            found += twin_checks(bench.network, other, images, labels, outcomes)
    for entry in found:
        if not entry.passed:
            logger.warning(
                "%s: check '%s' failed (%s); robust accuracy may be too high",
                subject.model, entry.label, entry.note,
            )  # fmt: skip
    return found


def travelling(bench: Bench, transfer: Transfer, cells: Cells) -> Adversarials:
    """The network's adversarials for others, kept in cells as an attack's are."""
    few = Bench(bench.network, bench.data, bench.rows[: transfer.images], bench.device, bench.attack_batch)
    progress = Progress(cells.number(few), "adversarials for other networks")
    return adversarials_of(evaluate(Travelling(few.network, transfer), few, cells, progress))


def failed_record(
    subject: Subject, bench: Bench, plan: AttackPlan, error: Exception, origin: Provenance
) -> AttackRecord:
    """What an attack's parquet says where it could not be carried out."""
    names: dict[str, Any] = {"task": bench.data.task, "seed": subject.seed, **subject.names, "attack": plan.name}
    return AttackRecord(
        **names, norm=plan.norm, unit=plan.unit, settings=plan.settings(), failed=said(error),
        provenance={**origin, "params": plan.settings()},
    )  # fmt: skip


def record_of(subject: Subject, bench: Bench, plan: AttackPlan, cell: Arrays, origin: Provenance) -> AttackRecord:
    """What travels in an attack's parquet beside its rows; origin: the provenance of all attacks on this network."""
    return AttackRecord(
        **attributes(subject, bench, plan.name, plan.settings(), cell, COUNTS),
        norm=plan.norm, unit=plan.unit,
        space=code_of(plan).describe(bench.network)["space"] if plan.attack.neural_head else None,
        versions={package: version(package) for package in ("torch", "numpy", "foolbox")},
        provenance={**origin, "params": plan.settings()},
    )  # fmt: skip


def to_frame(rows: np.ndarray, plan: AttackPlan, cell: Arrays) -> pd.DataFrame:
    """One row per (image, budget), images in the order of attack, budgets ascending, distances in the budgets' unit.

    `abstained`: the image counts as broken because the network gives no finite logits.
    An ensemble's rows also name the `member` that broke the image, empty for clean errors and standing images.
    """
    success = cell["first"][:, None] <= np.arange(len(plan.budgets))
    columns = {
        "clean_correct": cell["clean_correct"],
        "success": success,
        "abstained": success & cell["abstained"][:, None],
        "distance": np.where(success, (cell["distance"] / plan.scale)[:, None], np.nan),
        "n_forward": cell["n_forward"],
        "n_backward": cell["n_backward"],
    }
    if members := getattr(code_of(plan), "MEMBERS", ()):
        names = np.array([*members, ""], dtype=object)
        columns["member"] = np.where(success, names[cell["member"]][:, None], "")
    return rows_of(rows, "budget", plan.budgets, columns)


def examples_of(bench: Bench, plans: Mapping[str, AttackPlan], found: Mapping[str, Arrays]) -> Examples:
    """The first images as each attack left them, and the smallest budgets that broke them; both NaN where none did."""
    shown = Examples(bench.rows[:EXAMPLES], bench.labels[:EXAMPLES], bench.clean(EXAMPLES), {}, {})
    for name, cell in found.items():
        count = len(shown.image)
        budgets = np.array([*plans[name].budgets, np.nan], dtype=np.float64)[cell["first"][:count]]
        adversarial = cell["adversarial"][:count].transpose(0, 2, 3, 1).astype(np.float32)
        adversarial[np.isnan(budgets)] = np.nan
        shown.adversarial[name], shown.budget[name] = adversarial, budgets
    return shown
