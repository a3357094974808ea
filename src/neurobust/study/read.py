"""The border: a configuration becomes a `Study`, or one line that says where it is wrong.

Every key is checked by the class that owns it; here names are looked up and what must fit together is compared.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, TypeVar

from msgspec.structs import replace

from neurobust.attacks.plan import read_plan
from neurobust.attacks.semantic.plan import read_helper, read_semantics
from neurobust.attacks.semantic.registry import HELPERS, SEMANTIC
from neurobust.core.errors import InputError
from neurobust.core.settings import Count, Given, Names, Seeds, Settings, about, field_names, read
from neurobust.networks.conditions import Condition, Training, read_condition, with_sweeps
from neurobust.networks.registry import TASKS, read_task
from neurobust.phantom.settings import Phantom, TaskImages
from neurobust.predictors.description import Predictor
from neurobust.predictors.registry import read_predictor
from neurobust.study.claims import Claim, claims_of, with_claims
from neurobust.study.config import Config, as_written
from neurobust.study.model import Semantic, Study, TaskPlan

T = TypeVar("T", str, int)


class TaskChoice(Settings, frozen=True):
    """What a study says of a task of any kind, beside its training."""

    source: Annotated[str, about("folder or file of the images, where the user brings them")] = ""
    conditions: Annotated[Names | None, about("that are trained on this task; default: all")] = None
    architectures: Annotated[Names | None, about("that are trained on this task; default: all")] = None
    seeds: Annotated[Seeds | None, about("of this task's networks, some of the study's; default: all")] = None
    attack_images: Annotated[Count | None, about("test images to attack; default: the study's")] = None
    budgets: Annotated[
        dict[str, tuple[float, ...]] | None, about("of attacks on this task, by norm; default: each attack's own")
    ] = None


TASK_KEYS = (*field_names(TaskChoice), "training")  # of every task; the rest is its kind's


def read_study(given: Given) -> Study:
    """The study that a configuration describes.

    Raises InputError with one line, `config: <path of the key>: <problem>`, for the first fault.
    """
    given = as_written(given)
    config = read(Config, given, "config")
    conditions = read_conditions(config)
    study = Study(
        name=config.study,
        results=config.results,
        data=config.data,
        planted=config.phantom,
        rois=config.rois,
        splits=config.splits,
        predictors={name: read_predictor(name, s, "config.predictors") for name, s in config.predictors.items()},
        predictor_seeds=config.predictor_seeds,
        tasks={name: task_plan(config, name, conditions) for name in config.tasks},
        architectures=config.architectures,
        conditions=conditions,
        seeds=config.seeds,
        attacks={name: read_plan(name, s, "config.attacks") for name, s in config.attacks.items()},
        primary_attack=config.primary_attack,
        corruptions=config.corruptions,
        semantic=semantic_of(config, conditions),
        transfer=config.transfer,
        config=dict(given),
        claims=ledger_of(config),
    )
    check_study(study)
    return study


def ledger_of(config: Config) -> dict[str, Claim]:
    """The claims that the report tests, by name; a file that is named lies in the working directory."""
    claims = with_claims({"claims": config.claims})["claims"]
    return claims_of(claims, "config") if claims else {}


def read_conditions(config: Config) -> dict[str, Condition]:
    """The conditions, each followed by its `weights` as conditions of their own: V1-w0.5 is V1 with that weight.

    They carry its name as `sweep`: together they are its curve of clean and robust accuracy, along which the report
    compares it at equal clean accuracy. The condition keeps its own weight and name.
    """
    found: dict[str, Condition] = {}
    for name, given in config.conditions.items():
        where = f"config.conditions.{name}"
        if "sweep" in given:
            raise InputError(f"{where}: unknown key 'sweep'; list other weights as `weights`")
        condition = read_condition(name, given, "config.conditions")
        found[name] = replace(condition, weights=None)
        for weight in condition.weights or ():
            swept = f"{name}-w{weight:g}"
            if swept in config.conditions:
                raise InputError(f"{where}.weights: {weight:g} is there already, as the weight of a condition")
            found[swept] = replace(found[name], weight=weight, sweep=name)
    return found


def task_plan(config: Config, name: str, conditions: Mapping[str, Condition]) -> TaskPlan:
    """One task, with the training of its networks and the conditions that they are trained with."""
    where, given = f"config.tasks.{name}", config.tasks[name]
    task = read_task({key: value for key, value in given.items() if key not in TASK_KEYS}, where)
    choice = read(TaskChoice, {key: given[key] for key in field_names(TaskChoice) if key in given}, where)
    training = given.get("training", {})
    read(Training, config.training, "config.training")
    read(Training, training, f"{where}.training")
    if "epochs" not in {**config.training, **training}:
        raise InputError(f"{where}.training.epochs: missing here and in `training`")
    if task.brings and not choice.source:
        raise InputError(f"{where}.source: missing: {task.brings}")
    shown = rendered(config.phantom, task.phantom, name) if task.phantom else None
    cue = task.cue and (not task.phantom or described(config.phantom).cue is not None)
    return TaskPlan(
        name=name,
        task=task,
        source=choice.source,
        training=read(Training, {**config.training, **training}, where),
        conditions=trained_on(cue, conditions, choice.conditions, where),
        architectures=picked(config.architectures, choice.architectures, where, "architecture", "architectures"),
        seeds=picked(config.seeds, choice.seeds, where, "seed", "seeds"),
        side=shown.size if shown else task.side or 0,
        images=sum(shown.counts) if shown else task.images or 0,
        attack_images=choice.attack_images or config.attack_images,
        cue=cue,
        budgets=choice.budgets or {},
    )


def rendered(planted: Phantom | None, section: str, task: str) -> TaskImages:
    """The section of the phantom that a task shows."""
    found: TaskImages | None = getattr(described(planted), section)
    if found is None:
        raise InputError(f"config.phantom.{section}: missing: the task {task} shows what it describes")
    return found


def described(planted: Phantom | None) -> Phantom:
    """What is planted; InputError where the configuration does not say."""
    if planted is None:
        raise InputError("config.phantom: missing: data.source is phantom or a task shows phantom scenes")
    return planted


def trained_on(
    cue: bool, conditions: Mapping[str, Condition], listed: Iterable[str] | None, where: str
) -> tuple[str, ...]:
    """The conditions that a task lists; without a list all, but on a task without a cue those that need one."""
    names = chosen(conditions, listed, where)
    without = [name for name in names if conditions[name].twins and not cue]
    if without and listed is not None:
        raise InputError(f"{where}.conditions: '{without[0]}' needs images that bear a cue, which this task has not")
    return tuple(name for name in names if name not in without)


def chosen(conditions: Mapping[str, Condition], listed: Iterable[str] | None, where: str) -> tuple[str, ...]:
    """The conditions that a section lists as `conditions`, each with its sweep; all of them without such a list."""
    names = list(conditions) if listed is None else list(listed)
    check_names(names, conditions, f"{where}.conditions", "condition", "conditions")
    return with_sweeps(conditions, names)


def picked(known: Iterable[T], listed: Iterable[T] | None, where: str, what: str, section: str) -> tuple[T, ...]:
    """Those of a section of the study that a task lists, in the section's order; all of them without such a list."""
    known = tuple(known)
    wanted = known if listed is None else tuple(listed)
    check_names(wanted, known, f"{where}.{section}", what, section)
    return tuple(name for name in known if name in wanted)


def semantic_of(config: Config, conditions: Mapping[str, Condition]) -> Semantic:
    """The semantic attacks of the configuration, in the order of their registry, and their auxiliary networks."""
    where, given = "config.semantic", dict(config.semantic or {})
    networks = given.pop("networks", {})
    images = given.pop("images", None)
    if config.semantic is not None and (type(images) is not int or images < 1):
        raise InputError(f"{where}.images: {images!r}: give how many images are attacked, a whole number >= 1")
    for name in given:
        if name not in SEMANTIC:
            raise InputError(f"{where}: unknown key '{name}'; known keys are images, networks, {', '.join(SEMANTIC)}")
    if not isinstance(networks, Mapping):
        raise InputError(f"{where}.networks: {networks!r}: expected a mapping of auxiliary networks to settings")
    for name in networks:
        if name not in HELPERS:
            raise InputError(f"{where}.networks: unknown key '{name}'; known keys are {', '.join(HELPERS)}")
    attacks = read_semantics(given, where)
    for name, plan in attacks.items():
        check_names(plan.tasks or (), config.tasks, f"{where}.{name}.tasks", "task", "tasks")
        chosen(conditions, plan.conditions, f"{where}.{name}")
    helpers = {name: read_helper(name, networks.get(name, {}), f"{where}.networks") for name in HELPERS}
    return Semantic(images or 0, attacks, helpers)


def check_names(names: Iterable[T], known: Collection[T], where: str, what: str, section: str) -> None:
    """Raise InputError for the first name that is not known."""
    for name in names:
        if name not in known:
            raise InputError(f"{where}: unknown {what} '{name}'; `{section}` has {', '.join(map(str, known))}")


def check_study(study: Study) -> None:
    """Raise InputError where sections do not fit together."""
    check_phantom(study)
    for name, condition in study.conditions.items():
        check_condition(study, name, condition)
    check_attacks(study)
    for name, plan in study.semantic.attacks.items():
        for task in plan.tasks or study.tasks:
            if plan.attack.faces and not study.tasks[task].task.faces:
                kinds = ", ".join(kind for kind in TASKS if TASKS[kind].faces)
                raise InputError(
                    f"config.semantic.{name}.tasks: '{task}' has no attributes; name tasks of kind {kinds}"
                )


def check_attacks(study: Study) -> None:
    """Raise InputError unless the primary attack is one of the attacks, and every attack has a task to meet."""
    primary, attacks = study.primary_attack, study.attacks
    if primary not in attacks:
        raise InputError(f"config.primary_attack: {primary!r} is not one of `attacks`: {', '.join(attacks)}")
    norms = tuple(dict.fromkeys(plan.norm for plan in attacks.values()))
    for name, task in study.tasks.items():
        check_names(task.budgets, norms, f"config.tasks.{name}.budgets", "norm", "attacks")
    without = [name for name in study.tasks if primary not in study.attacks_of(name)]
    if without and len(without) < len(study.tasks):
        raise InputError(f"config.primary_attack: '{primary}' needs a cue, which the task '{without[0]}' has not")
    for name, plan in attacks.items():
        if not any(name in study.attacks_of(task) for task in study.tasks):
            kinds = ", ".join(kind for kind in TASKS if TASKS[kind].cue)
            raise InputError(
                f"config.attacks.{name}: {plan.method} needs a task whose images bear a cue, and there is none; "
                f"name a task of kind {kinds} and set phantom.cue"
            )


def check_phantom(study: Study) -> None:
    """Raise InputError unless the phantom has the subjects, sessions and formats that the study reads."""
    if not study.phantom:
        return
    data, planted = study.data, described(study.planted)
    trials = planted.planned_sessions * planted.trials_per_session
    images = planted.shared_images + planted.unique_images
    if trials != 3 * images:  # as `phantom.design.Sizes`: a subject sees each of its images three times
        raise InputError(
            f"config.phantom.trials_per_session: {planted.trials_per_session} x planned_sessions are {trials} trials, "
            f"not 3 x (shared_images + unique_images) = {3 * images}; change one of the four"
        )
    for subject, spec in data.subjects.items():
        where = f"config.data.subjects.{subject}"
        if subject not in planted.subjects:
            raise InputError(f"{where}: the phantom has no such subject; add it to phantom.subjects")
        if spec.sessions > planted.planned_sessions:
            raise InputError(f"{where}.sessions: {spec.sessions} is more than phantom.planned_sessions; lower it")
    if data.format not in planted.formats:
        raise InputError(f"config.data.format: the phantom is not written as {data.format}; add it to phantom.formats")


def check_condition(study: Study, name: str, condition: Condition) -> None:
    """Raise InputError where a condition names what the study lacks, or a predictor that does not go with it."""
    where = f"config.conditions.{name}"
    check_names(condition.target or (), study.rois, f"{where}.target", "ROI", "rois")
    check_names(condition.match or (), study.rois, f"{where}.match", "ROI", "rois")
    check_names(condition.subjects or (), study.subjects, f"{where}.subjects", "subject", "data.subjects")
    matched = None if condition.reference is None else condition.reference.matched
    if matched is not None:
        check_names([matched], study.conditions, f"{where}.reference.match", "condition", "conditions")
        if study.conditions[matched].target is None:
            raise InputError(f"{where}.reference.match: '{matched}' has no target; name a guided condition")
        for task in study.tasks.values():
            if name in task.conditions and matched not in task.conditions:
                raise InputError(
                    f"config.tasks.{task.name}.conditions: '{name}' is matched with '{matched}', which this task lacks"
                )
    if condition.twins and not any(task.cue for task in study.tasks.values()):
        kinds = ", ".join(kind for kind in TASKS if TASKS[kind].cue)
        raise InputError(
            f"{where}.reference: it needs a task whose images bear a cue, and there is none; name a task of kind "
            f"{kinds} and set phantom.cue"
        )
    if condition.target is None or condition.pairs:
        return
    predictor: Predictor | None = study.predictors.get(condition.predictor or "")
    if predictor is None:
        known = ", ".join(study.predictors)
        raise InputError(f"{where}.predictor: {condition.predictor!r} is not one of `predictors`: {known}")
    if predictor.shuffle_pairing != condition.removes.shuffled_predictor:
        both = "predictor-shuffled goes with a predictor of `shuffle_pairing: true`, and such a one with it"
        raise InputError(f"{where}.control: {both}")
    known_categories = study.phantom or study.data.coco_annotations
    if condition.on_stimuli and condition.removes.categories and not known_categories:
        needs = "on stimuli needs their categories: give COCO's annotations as `data.coco_annotations`"
        raise InputError(f"{where}.control: '{condition.control}' {needs}")
