"""Settings that say nothing beside others of the study: warnings, one line each. What says nothing beside a key of its
own entry is refused by the class that owns both."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import fields

from neurobust.core.names import one_of
from neurobust.explain.networks.settings import Humans, Perturbations
from neurobust.networks.registry import LOSSES
from neurobust.nsd.settings import Data
from neurobust.study.model import Study

OF_THE_BUCKET = ("endpoint", "region", "keep_betas", "stimuli")  # keys of `data` that say how a bucket is fetched


def of_data(study: Study) -> Iterator[str]:
    """How the bucket is fetched, where nothing is; and what is planted, where nothing is shown of it."""
    defaults = {field.name: field.default for field in fields(Data)}
    for key in OF_THE_BUCKET if study.phantom else ():
        given = getattr(study.data, key)
        if given != defaults[key]:
            yield f"config.data.{key}: {said(given)}: nothing is fetched for a phantom; remove it"
    shown = {task.task.phantom for task in study.tasks.values()}
    if study.planted is not None and not study.phantom and not any(shown):
        yield "config.phantom: data.source is nsd and no task shows phantom scenes or faces; remove it"
    elif study.planted is not None and study.planted.face_task is not None and "face_task" not in shown:
        yield "config.phantom.face_task: no task shows it; remove it, or add a task of kind phantom-faces"


def of_names(study: Study) -> Iterator[str]:
    """Entries of sections that no other section names, so that nothing is made of them."""
    tasks = study.tasks.values()
    trained = {name for task in tasks for name in task.conditions}
    built = {name for task in tasks for name in task.architectures}
    asked = {study.predictor, *(condition.predictor for condition in study.conditions.values())}
    for section, entries, used, says in (
        ("architectures", study.architectures, built, "no task trains it; list it in one's `architectures`"),
        ("conditions", study.conditions, trained, "no task trains it; list it in one's `conditions`"),
        ("predictors", study.predictors, asked, "no condition names it, and pages show the first; name it in one"),
    ):
        yield from (f"config.{section}.{name}: {says}, or remove it" for name in entries if name not in used)


def of_tasks(study: Study) -> Iterator[str]:
    """Sources of images that a kind of task does not read, and the precision of predictors that nothing asks."""
    for name, task in study.tasks.items():
        if task.source and not task.task.brings:
            yield (
                f"config.tasks.{name}.source: {task.source!r}: a task of kind {task.task.kind} reads none; remove it, "
                "or name another kind"
            )
        conditions = [study.conditions[condition] for condition in task.conditions]
        asks = any(c.on_task and c.loss is not None and not LOSSES[c.loss].by_class for c in conditions)
        if task.training.augment != "none" and task.training.predictor_precision != "float32" and not asks:
            own = study.config["tasks"][name].get("training") or {}
            where = f"config.tasks.{name}.training" if "predictor_precision" in own else "config.training"
            yield (
                f"{where}.predictor_precision: {task.training.predictor_precision}: no condition of the task {name} "
                "shows augmented images to a predictor; remove it"
            )


def of_attacks(study: Study) -> Iterator[str]:
    """Averages where nothing is random, and what is said of all budgets but the first where there is one."""
    for name, plan in study.attacks.items():
        where, draws = f"config.attacks.{name}", getattr(plan.attack, "eot", 1)
        if draws > 1 and not study.outside:
            yield (
                f"{where}.eot: {draws}: the networks of this study draw no random numbers, so that every pass gives "
                "the same; remove it"
            )
        attacks = (study.attacks_of(task).get(name) for task in study.tasks)
        budgets = max((len(attack.budgets) - 1 for attack in attacks if attack is not None), default=0)
        warm, order = getattr(plan.attack, "warm_steps", None), getattr(plan.attack, "order", "ascending")
        if budgets == 1 and warm is not None:
            yield f"{where}.warm_steps: {warm}: with one budget no climb is warm; remove it"
        if budgets == 1 and order != "ascending":
            yield f"{where}.order: {order}: there is one budget; remove it, or name more budgets"
    if study.transfer is not None and study.transfer.ensembles and all(len(t.seeds) == 1 for t in study.tasks.values()):
        yield "config.transfer.ensembles: true: every condition has one seed, itself a source; remove it, or add seeds"


def of_semantic(study: Study) -> Iterator[str]:
    """Semantic attacks without an attack, and settings of auxiliary networks that nothing needs."""
    given, semantic = study.config.get("semantic"), study.semantic
    if given is None:
        return
    if not semantic.asked:
        yield "config.semantic: names no attack and no verification; add one, or remove it"
    elif semantic.transfer is not None and not semantic.attacks:
        yield "config.semantic.transfer: there is no semantic attack that could travel; add one, or remove it"
    needed = helpers_of(study)
    for name in given.get("networks") or {}:
        if name not in needed:
            yield f"config.semantic.networks.{name}: no attack of this study needs this network; remove it"


def helpers_of(study: Study) -> set[str]:
    """The auxiliary networks that anything of a study needs."""
    found = {name for task in study.tasks for name in study.helpers_of(task)}
    found |= {name for plan in study.semantic.attacks.values() for name in plan.attack.helpers}
    if study.semantic.verification is not None:
        found |= {*study.semantic.verification.settings.helpers}
    return found | {name for helper in found for name in study.semantic.helpers[helper].reads}


def of_explain(study: Study) -> Iterator[str]:
    """Analyses that are asked for and get nothing to look at, or something else than is named."""
    for name, settings in study.explain.items():
        where = f"config.explain.{name}"
        if isinstance(settings, Humans) and settings.stimuli is None:
            yield f"{where}: without `stimuli` it has no numbers; name their folder, or remove it"
        known = ("transfer", *study.attacks)
        if isinstance(settings, Perturbations) and settings.attack not in known:
            yield (
                f"{where}.attack: {settings.attack!r}: no attack of this study, so that the numbers are of all that "
                f"are stored; name one of {one_of(settings.attack, known)}"
            )


def said(value: object) -> str:
    """A value as YAML has it."""
    return str(value).lower() if isinstance(value, bool) else repr(value)


OF_NO_EFFECT = (of_data, of_names, of_tasks, of_attacks, of_semantic, of_explain)
