"""What a study may say and its author hardly means: warnings, one line each, which keep nothing from running."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from neurobust.attacks.plan import UNITS, AttackPlan
from neurobust.core.names import one_of
from neurobust.core.reference_range import BASELINE
from neurobust.networks.conditions import Condition, Training
from neurobust.networks.tasks.image_folder_settings import ImageFolder
from neurobust.nsd.settings import fewest_sessions
from neurobust.study.fit_data import described, unknown_labels
from neurobust.study.idle import OF_NO_EFFECT
from neurobust.study.model import Study, TaskPlan

WHOLE = 255  # 1/255 of a pixel's range in it
SMALL = 0.5  # 1/255: budgets below half a grey level are mostly meant in [0, 1]
FAR = 0.25  # share of the largest l2 distance of two images, above which budgets are mostly meant in 1/255
RELIABLE = 3.0  # ncsnr: the best voxels of NSD are below; as a noise ceiling of 3 trials 96 %
DECAYED = 1.0  # weight decay above which weights go to nothing, whatever is learnt
LONG = 10_000  # epochs of a training, steps of an attack
FAST = {"sgd": 10.0, "adamw": 0.1}  # learning rates above which no network is known to train


def doubts(study: Study) -> list[str]:
    """Every warning about a study, as lines `config.<key>: <value>: <what seems wrong>; <way out>`, each once."""
    asked = (of_conditions, of_twins, of_tasks, of_labels, of_splits, of_attacks, of_counts, of_trainings, of_sources)
    return list(dict.fromkeys(line for about in (*asked, *OF_NO_EFFECT) for line in about(study)))


def of_conditions(study: Study) -> Iterator[str]:
    """Conditions that differ from `none` in more than one thing, or that are not trained to classify."""
    own = {name: condition for name, condition in study.conditions.items() if condition.sweep is None}
    plain = own.pop(BASELINE).weight
    alone = bool(own) and all(condition.weight != plain for condition in own.values())
    if alone:
        others = " and ".join(f"{weight:g}" for weight in sorted({condition.weight for condition in own.values()}))
        yield (
            f"config.conditions.{BASELINE}.weight: {plain:g}: every other condition has {others}, so that they differ "
            "in more than one thing; give them one weight"
        )
    for name, condition in own.items():
        where = f"config.conditions.{name}"
        if condition.weight != plain and not alone and not has_control(condition, own.values()):
            yield (
                f"{where}.weight: {condition.weight:g}: {BASELINE} has {plain:g}, so that the two differ in more than "
                "one thing; give them one weight, or list other weights as `weights`"
            )
        if condition.weight == 1:
            yield f"{where}.weight: 1: cross-entropy then has no weight, and no classes are learnt; lower it"
        yield from of_reference(where, condition)


def of_twins(study: Study) -> Iterator[str]:
    """Entries that say the same under two names, as a line that was copied and not changed."""
    sections: dict[str, dict[str, object]] = {
        "rois": dict(study.rois),
        "predictors": dict(study.predictors),
        "conditions": {name: condition for name, condition in study.conditions.items() if condition.sweep is None},
        "attacks": {name: plan.settings() for name, plan in study.attacks.items()},
    }
    for section, entries in sections.items():
        names = list(entries)
        for index, name in enumerate(names):
            twin = next((other for other in names[:index] if entries[other] == entries[name]), None)
            if twin is not None:
                yield f"config.{section}.{name}: says the same as '{twin}'; change or remove one"


def of_tasks(study: Study) -> Iterator[str]:
    """Tasks on which there is nothing to compare with, and an answer that is read from noise."""
    for name, task in study.tasks.items():
        if BASELINE not in task.conditions:
            yield (
                f"config.tasks.{name}.conditions: {', '.join(task.conditions)}: without '{BASELINE}' nothing is "
                f"compared on this task; add it"
            )
    primary = study.attacks[study.primary_attack]
    if primary.attack.noise:
        yield (
            f"config.primary_attack: {study.primary_attack!r}: {primary.method} draws noise and looks at no network; "
            "name an attack that does"
        )


def has_control(condition: Condition, others: Iterable[Condition]) -> bool:
    """Whether a condition, or that which it controls, is compared with a control of the same weight."""
    alike = [other for other in others if other.target == condition.target and other.weight == condition.weight]
    return condition.target is not None and len({other.control for other in alike}) > 1


def of_labels(study: Study) -> Iterator[str]:
    """Labels of real atlases whose colour tables are not there yet, that are not among the names known of them; and a
    least ncsnr that no voxel has."""
    for name, roi in study.rois.items():
        if roi.ncsnr_min is not None and roi.ncsnr_min > RELIABLE:
            yield (
                f"config.rois.{name}.ncsnr_min: {roi.ncsnr_min:g}: no voxel reaches it: ncsnr is a ratio, mostly below "
                "1, and no percentage; 0.38 is a noise ceiling of 30 % for 3 trials"
            )
    for name in () if study.phantom else study.rois:
        for where, label, atlas, known in unknown_labels(study, name):
            yield f"{where}: {label!r} is not among the labels known of {atlas}: {one_of(label, known)}; look it up"


def of_splits(study: Study) -> Iterator[str]:
    """Subjects with fewer sessions than those in which all eight saw the special images three times."""
    if study.splits.test == "special":
        most = described(study.planted).planned_sessions if study.phantom else None
        fewest = fewest_sessions() if most is None else fewest_sessions(most)
        for subject, count in study.data.sessions.items():
            if count < fewest:
                where = f"config.data.subjects.{subject}.sessions"
                yield (
                    f"{where}: {count}: special images (splits.test) had three trials in {fewest} sessions, and have "
                    "fewer in fewer; raise it, or test on shared"
                )


def of_reference(where: str, condition: Condition) -> Iterator[str]:
    """A reference whose budget seems to be in another unit."""
    reference = condition.reference
    if reference is not None and reference.reach:
        reach = getattr(reference, reference.reach)
        if not SMALL <= reach <= WHOLE:
            yield f"{where}.reference.{reference.reach}: {reach:g}: {of_unit('linf', reach, '1/255')}"


def of_attacks(study: Study) -> Iterator[str]:
    """Budgets of attacks and of the transfer that seem to be in another unit."""
    for task in study.tasks.values():
        for name, plan in study.attacks_of(task.name).items():
            own = plan.norm in task.budgets
            where = f"config.tasks.{task.name}.budgets.{plan.norm}" if own else f"config.attacks.{name}.budgets"
            if (steps := getattr(plan.attack, "steps", 0) or 0) > LONG:
                yield f"config.attacks.{name}.steps: {steps}: nobody waits for so many; lower it"
            if strange(plan.norm, plan.budgets[-1] * plan.scale, task.side):
                yield f"{where}: {plan.budgets[-1]:g}: {of_budget(plan, task)}"
    if study.transfer is not None:
        budget, norm, unit = study.transfer.budget, study.transfer.norm, study.transfer.unit
        if any(strange(norm, study.transfer.radius, task.side) for task in study.tasks.values()):
            yield f"config.transfer.budget: {budget:g}: {of_unit(norm, budget, unit)}"


def strange(norm: str, radius: float, side: int) -> bool:
    """Whether a largest budget, in pixel units, is hardly meant for images of this side."""
    pixels = 3 * side**2
    if norm == "linf":
        return not SMALL / WHOLE <= radius <= 1
    return radius > {"l2": FAR * math.sqrt(pixels), "l1": FAR * pixels, "l0": pixels}.get(norm, math.inf)


def of_budget(plan: AttackPlan, task: TaskPlan) -> str:
    """What is said of a strange budget."""
    farthest = f"; no two images of {task.side} px are further apart than {math.sqrt(3) * task.side:.0f}"
    return of_unit(plan.norm, plan.budgets[-1], plan.unit) + (farthest if plan.norm == "l2" else "")


def of_unit(norm: str, budget: float, unit: str) -> str:
    """In which unit a budget is, and what it would be in the other."""
    if unit == "1/255":
        other = f"{budget:g} of [0, 1] is {budget * WHOLE:.3g}" if budget < SMALL else f"{WHOLE} is the whole range"
        return f"{norm} is given in units of 1/255 here; {other}"
    if norm == "linf":
        return f"{norm} is given here in pixel units of [0, 1], where 8/255 is {8 * UNITS['1/255']:.3g}"
    return f"{norm} is given in pixel units of [0, 1] here; {budget:g}/255 is {budget / WHOLE:.3g}"


def of_counts(study: Study) -> Iterator[str]:
    """More images asked for than there are."""
    for name, task in study.tasks.items():
        shown = getattr(described(study.planted), task.task.phantom) if task.task.phantom else None
        tests, trainings = (shown.test, shown.train) if shown else (task.images, task.images)
        where = "config" if task.attack_images == study.config.get("attack_images") else f"config.tasks.{name}"
        batch = task.training.batch_size
        for key, asked in ((f"{where}.attack_images", task.attack_images), *others(study, name)):
            if asked > tests:
                yield f"{key}: {asked}: the task {name} has at most {tests} test images; its jobs will stop: lower it"
        if batch > trainings:
            key = training_key(study, name, "batch_size")
            yield f"{key}: {batch}: the task {name} has at most {trainings} training images; lower it"
    most = max(task.attack_images for task in study.tasks.values())
    if study.transfer is not None and study.transfer.images is not None and study.transfer.images > most:
        yield f"config.transfer.images: {study.transfer.images}: attacks look at {most} images; those are taken"


def others(study: Study, task: str) -> Iterator[tuple[str, int]]:
    """The other counts of test images of a task, by their keys."""
    if any(plan.tasks is None or task in plan.tasks for plan in study.semantic.attacks.values()):
        yield "config.semantic.images", study.semantic.images
    verification = study.semantic.verification
    if verification is not None and (verification.tasks is None or task in verification.tasks):
        yield "config.semantic.verification.pairs", verification.settings.pairs
    if study.corruptions is not None:
        yield "config.corruptions.images", study.corruptions.images


def of_trainings(study: Study) -> Iterator[str]:
    """Learning rates with which nothing is learnt, and trainings without an end."""
    for name, task in study.tasks.items():
        if task.training.epochs > LONG:
            yield f"config.tasks.{name}.training.epochs: {task.training.epochs}: nobody trains for so long; lower it"
        most = FAST[task.training.optimizer]
        if task.training.learning_rate > most:
            yield (
                f"{training_key(study, name, 'learning_rate')}: {task.training.learning_rate:g}: "
                f"above {most:g} networks do not train with {task.training.optimizer}; lower it"
            )
        if task.training.weight_decay > DECAYED:
            decay = f"{training_key(study, name, 'weight_decay')}: {task.training.weight_decay:g}"
            yield f"{decay}: above {DECAYED:g} weights go to nothing; lower it (usual: 1.0e-4 to 0.1)"
    for name, predictor in study.predictors.items():
        rate = getattr(predictor, "learning_rate", None)
        if rate is not None and rate > FAST["adamw"]:
            yield f"config.predictors.{name}.learning_rate: {rate:g}: above {FAST['adamw']:g} Adam diverges; lower it"


def training_key(study: Study, task: str, key: str) -> str:
    """Where a setting of a task's training stands: in the task or in what is the same for all."""
    assert key in Training.__struct_fields__
    own = study.config["tasks"][task].get("training") or {}
    return f"config.tasks.{task}.training.{key}" if key in own else f"config.training.{key}"


def of_sources(study: Study) -> Iterable[str]:
    """Images of tasks and test sets that are not there yet: a study may be planned before they are."""
    for name, task in study.tasks.items():
        if task.source and Path(task.source).is_file() and isinstance(task.task, ImageFolder):
            yield f"config.tasks.{name}.source: {task.source!r}: a file, not {task.task.brings}; name the folder"
        if task.source and task.task.brings and not Path(task.source).exists():
            where = f"config.tasks.{name}.source: {task.source!r}"
            yield f"{where}: not there yet: {task.task.brings}; its jobs will stop without it"
    for name, shown in study.shifted.items():
        if not Path(shown.source).exists():
            yield f"config.shifted.{name}.source: {shown.source!r}: not there yet; its jobs will stop without it"
