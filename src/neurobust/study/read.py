"""The border: a configuration becomes a `Study`, or lines that say where it is wrong, all at once.

Every key is checked by the class that owns it; here names are looked up and what must fit together is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Annotated, TypeVar

from msgspec.structs import replace

from neurobust.attacks.plan import read_plan
from neurobust.attacks.semantic.plan import read_helper, read_semantic
from neurobust.attacks.semantic.registry import HELPERS, SEMANTIC
from neurobust.attacks.semantic.transfer_settings import SemanticTransfer
from neurobust.attacks.semantic.verification_settings import read_verification
from neurobust.core.errors import InputError, error_of
from neurobust.core.faults import UNREAD, Faults
from neurobust.core.names import one_of
from neurobust.core.settings import (
    Count,
    FilePath,
    Given,
    Names,
    Seeds,
    Settings,
    about,
    field_names,
    read,
    read_partly,
)
from neurobust.explain.description import Analysis
from neurobust.explain.registry import read_analysis, usual_analyses
from neurobust.networks.conditions import (
    Condition,
    Training,
    check_augmented,
    read_condition,
    unaugmented,
    with_sweeps,
)
from neurobust.networks.registry import read_task
from neurobust.phantom.settings import Phantom, TaskImages
from neurobust.predictors.registry import read_predictor
from neurobust.study.claims import Claim, claims_of, with_claims
from neurobust.study.config import Config, as_written
from neurobust.study.fit import check_names, check_study
from neurobust.study.fit_data import described
from neurobust.study.model import Semantic, Study, TaskPlan

T = TypeVar("T", str, int)
V = TypeVar("V")


class TaskChoice(Settings, frozen=True):
    """What a study says of a task of any kind, beside its training."""

    source: Annotated[FilePath, about("folder or file of the images, where the user brings them")] = ""
    conditions: Annotated[Names | None, about("that are trained on this task; default: all")] = None
    architectures: Annotated[Names | None, about("that are trained on this task; default: all")] = None
    seeds: Annotated[Seeds | None, about("of this task's networks, some of the study's; default: all")] = None
    attack_images: Annotated[Count | None, about("test images to attack; default: the study's")] = None
    budgets: Annotated[
        dict[str, tuple[float, ...]] | None, about("of attacks on this task, by norm; default: each attack's own")
    ] = None


SEMANTIC_KEYS = ("images", "networks", "transfer", "verification")  # of `semantic`; the rest are attacks
TASK_KEYS = (*field_names(TaskChoice), "training")  # of every task; the rest is its kind's


def read_study(given: Given) -> Study:
    """The study that a configuration describes.

    Raises InputError with one line, `config.<path of the key>: <problem>`; with several, ManyFaults.
    """
    faults = Faults()
    study = read_what_can_be(given, faults)
    faults.refuse()
    return study


def read_what_can_be(given: Given, faults: Faults) -> Study:
    """The same, but what is wrong goes to `faults`, and UNREAD stands for each part that cannot be read.

    Every section is read alone, then every entry, then each is compared with those others that could be read. Raises
    InputError for what is no mapping at all.
    """
    given = as_written(given)
    known = field_names(Config)
    if isinstance(given, Mapping) and given.keys() - {"claims"} and not given.keys() & {*known} - {"claims"}:
        kinds = f"{', '.join(list(map(str, given))[:3])}: no configuration: a study has the keys {', '.join(known)}"
        raise InputError(f"config: {kinds}; config/demo.yaml shows one")
    config = read_partly(Config, given, "config", faults)
    if config is UNREAD:
        faults.refuse()
    conditions = faults.kept(lambda: read_conditions(config, faults))
    study = Study(
        name=config.study,
        results=config.results,
        data=config.data,
        planted=config.phantom,
        rois=config.rois,
        splits=config.splits,
        predictors=each(config.predictors, lambda name, s: read_predictor(name, s, "config.predictors"), faults),
        predictor_seeds=config.predictor_seeds,
        tasks=each(config.tasks, lambda name, s: task_plan(config, name, conditions, faults), faults),
        architectures=config.architectures,
        conditions=conditions,
        seeds=config.seeds,
        attacks=each(config.attacks, lambda name, s: read_plan(name, s, "config.attacks"), faults),
        primary_attack=config.primary_attack,
        corruptions=config.corruptions,
        semantic=faults.kept(lambda: semantic_of(config, conditions, faults)),
        transfer=config.transfer,
        config=dict(given),
        claims=faults.kept(lambda: ledger_of(config)),
        shifted=faults.kept(lambda: config.shifted or {}),
        outside=faults.kept(lambda: config.outside or {}),
        explain=faults.kept(lambda: explained(config, faults)),
    )
    check_study(study, faults)
    return study


def each(entries: Mapping[str, Given], make: Callable[[str, Given], V], faults: Faults) -> dict[str, V]:
    """Every entry of a section made, in its order; UNREAD for those in which something is wrong."""
    return faults.kept(lambda: {name: faults.kept(partial(make, name, given)) for name, given in entries.items()})


def explained(config: Config, faults: Faults) -> dict[str, Analysis]:
    """What is explained: the analyses that the configuration names, else those that cost little."""
    if config.explain is None:
        return usual_analyses()
    return each(config.explain, lambda name, s: read_analysis(name, s, "config.explain"), faults)


def ledger_of(config: Config) -> dict[str, Claim]:
    """The claims that the report tests, by name; a file that is named lies in the working directory."""
    claims = with_claims({"claims": config.claims})["claims"]
    return claims_of(claims, "config") if claims else {}


def read_conditions(config: Config, faults: Faults) -> dict[str, Condition]:
    """The conditions, each followed by its `weights` as conditions of their own: V1-w0.5 is V1 with that weight.

    They carry its name as `sweep`: together they are its curve of clean and robust accuracy, along which the report
    compares it at equal clean accuracy. The condition keeps its own weight and name.
    """
    found: dict[str, Condition] = {}
    for name in config.conditions:
        found[name] = UNREAD
        with faults.caught():
            found |= read_sweep(config, name)
    return found


def read_sweep(config: Config, name: str) -> dict[str, Condition]:
    """One condition, followed by its sweep."""
    where, given = f"config.conditions.{name}", config.conditions[name]
    if "sweep" in given:
        raise InputError(f"{where}: unknown key 'sweep'; list other weights as `weights`")
    condition = read_condition(name, given, "config.conditions")
    found = {name: replace(condition, weights=None)}
    for weight in condition.weights or ():
        swept = f"{name}-w{weight:g}"
        if swept in config.conditions or swept in found:
            raise InputError(f"{where}.weights: {weight:g} is there already, as the weight of a condition")
        found[swept] = replace(found[name], weight=weight, sweep=name)
    return found


def task_plan(config: Config, name: str, conditions: Mapping[str, Condition], faults: Faults) -> TaskPlan:
    """One task, with the training of its networks and the conditions that they are trained with."""
    where, given = f"config.tasks.{name}", config.tasks[name]
    task = faults.kept(lambda: read_task(given, where, beside=TASK_KEYS))
    choice = read_partly(
        TaskChoice, {key: given[key] for key in field_names(TaskChoice) if key in given}, where, faults
    )
    with faults.caught():
        if task.brings and not choice.source:
            raise InputError(f"{where}.source: missing: {task.brings}")
    shown = faults.kept(lambda: rendered(config.phantom, task.phantom, name) if task.phantom else None)
    cue = faults.kept(lambda: task.cue and (not task.phantom or described(config.phantom).cue is not None))
    return TaskPlan(
        name=name,
        task=task,
        source=choice.source,
        training=faults.kept(lambda: training_of(config, name)),
        conditions=faults.kept(lambda: trained_on(cue, conditions, choice.conditions, where)),
        architectures=faults.kept(
            lambda: picked(config.architectures, choice.architectures, where, "architecture", "architectures")
        ),
        seeds=faults.kept(lambda: picked(config.seeds, choice.seeds, where, "seed", "seeds")),
        side=faults.kept(lambda: shown.size if shown else task.side or 0),
        images=faults.kept(lambda: sum(shown.counts) if shown else task.images or 0),
        attack_images=faults.kept(lambda: choice.attack_images or config.attack_images),
        cue=cue,
        budgets=faults.kept(lambda: choice.budgets or {}),
    )


def training_of(config: Config, task: str) -> Training:
    """How networks are trained on a task: what is the same for all, with what it says itself."""
    where, own = f"config.tasks.{task}", config.tasks[task].get("training", {})
    faults = Faults()
    for given, place in ((config.training, "config.training"), (own, f"{where}.training")):
        with faults.caught():
            read(Training, given, place)
    faults.refuse()
    if "epochs" not in {**config.training, **own}:
        raise InputError(f"{where}.training.epochs: missing here and in `training`")
    training = read(Training, {**config.training, **own}, where)
    others = [given.get("training") for given in config.tasks.values()]
    elsewhere = any(isinstance(given, dict) and given.get("augment", "none") != "none" for given in others)
    if own.get("augment") == "none" or elsewhere:  # `training` says something, which this task takes the ground from
        usual = {"versions": "null", "predictor_precision": "float32"}
        lines = [
            f"{where}.training.augment: none: {problem}, and `training` asks for {given}; "
            f"write `{key}: {usual[key]}` beside it"
            for key, given, problem in unaugmented(training)
            if key not in own
        ]
        if lines:
            raise error_of(lines)
    check_augmented(training, lambda key: f"{where}.training.{key}" if key in own else f"config.training.{key}")
    return training


def rendered(planted: Phantom | None, section: str, task: str) -> TaskImages:
    """The section of the phantom that a task shows."""
    found: TaskImages | None = getattr(described(planted), section)
    if found is None:
        raise InputError(f"config.phantom.{section}: missing: the task {task} shows what it describes")
    return found


def trained_on(
    cue: bool, conditions: Mapping[str, Condition], listed: Iterable[str] | None, where: str
) -> tuple[str, ...]:
    """The conditions that a task lists; without a list all, but on a task without a cue those that need one."""
    names = chosen(conditions, listed, where)
    without = [name for name in names if conditions[name] is not UNREAD and conditions[name].twins and not cue]
    if without and listed is not None:
        raise InputError(f"{where}.conditions: '{without[0]}' needs images that bear a cue, which this task has not")
    return tuple(name for name in names if name not in without)


def chosen(conditions: Mapping[str, Condition], listed: Iterable[str] | None, where: str) -> tuple[str, ...]:
    """The conditions that a section lists as `conditions`, each with its sweep; all of them without such a list."""
    names = list(conditions) if listed is None else list(listed)
    check_names(names, conditions, f"{where}.conditions", "condition", "conditions")
    return with_sweeps({name: c for name, c in conditions.items() if name in names or c is not UNREAD}, names)


def picked(known: Iterable[T], listed: Iterable[T] | None, where: str, what: str, section: str) -> tuple[T, ...]:
    """Those of a section of the study that a task lists, in the section's order; all of them without such a list."""
    known = tuple(known)
    wanted = known if listed is None else tuple(listed)
    check_names(wanted, known, f"{where}.{section}", what, section)
    return tuple(name for name in known if name in wanted)


def semantic_of(config: Config, conditions: Mapping[str, Condition], faults: Faults) -> Semantic:
    """The semantic attacks of the configuration, in the order of their registry, and their auxiliary networks."""
    where, given = "config.semantic", dict(config.semantic or {})
    networks = given.pop("networks", {})
    images = given.pop("images", None)
    transfer = given.pop("transfer", None)
    verifies = "verification" in given
    verified = given.pop("verification", {})
    if config.semantic is not None and (type(images) is not int or images < 1):
        faults.messages.append(
            f"{where}.images: {images!r}: give how many images are attacked, a whole number >= 1"
        )  # fmt: skip
        images = None
    for name in given:
        if name not in SEMANTIC:
            known = one_of(name, [*SEMANTIC_KEYS, *SEMANTIC])
            faults.messages.append(f"{where}: unknown key '{name}'; known keys are {known}")
    if not isinstance(networks, Mapping):
        faults.messages.append(
            f"{where}.networks: {networks!r}: expected a mapping of auxiliary networks to settings"
        )  # fmt: skip
        networks = {}
    for name in networks:
        if name not in HELPERS:
            faults.messages.append(f"{where}.networks: unknown key '{name}'; known keys are {one_of(name, HELPERS)}")
    attacks = {
        name: faults.kept(partial(read_semantic, name, given[name], where)) for name in SEMANTIC if name in given
    }
    for name, plan in attacks.items():
        with faults.caught():
            check_names(plan.tasks or (), config.tasks, f"{where}.{name}.tasks", "task", "tasks")
        with faults.caught():
            chosen(conditions, plan.conditions, f"{where}.{name}")
    verification = None
    if verifies:
        verification = faults.kept(partial(read_verification, verified, f"{where}.verification"))
        with faults.caught():
            check_names(verification.tasks or (), config.tasks, f"{where}.verification.tasks", "task", "tasks")
        with faults.caught():
            chosen(conditions, verification.conditions, f"{where}.verification")
    helpers = {
        name: faults.kept(partial(read_helper, name, networks.get(name, {}), f"{where}.networks")) for name in HELPERS
    }
    travelling = None
    if transfer is not None:
        travelling = faults.kept(lambda: read(SemanticTransfer, transfer, f"{where}.transfer"))
    return Semantic(images or 0, attacks, helpers, travelling, verification)
