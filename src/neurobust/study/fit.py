"""What of a study must fit together: sections that name each other, and counts. `study.read` asks for all of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeVar

from neurobust.attacks.corruptions.tables import too_fine, way_out
from neurobust.attacks.plan import with_budgets
from neurobust.core.architecture_names import check_architecture, check_layer, check_name, check_side, trainable
from neurobust.core.errors import Faults, InputError
from neurobust.core.names import nearest, one_of
from neurobust.core.sources import module_file
from neurobust.networks.conditions import Condition
from neurobust.networks.registry import LOSSES, TASKS
from neurobust.nsd.ctab import read_ctab
from neurobust.nsd.layout import PUBLISHED, ctab
from neurobust.nsd.settings import ROI, WITHHELD, Region
from neurobust.phantom.labels import ATLASES, STAND_INS
from neurobust.phantom.settings import Phantom
from neurobust.predictors.description import Predictor
from neurobust.study.model import BASELINE, Study, TaskPlan

T = TypeVar("T", str, int)
TAKEN = "corruptions"  # no name of an attack: `files.corruption_table` lies where its table would


def check_names(names: Iterable[T], known: Collection[T], where: str, what: str, section: str) -> None:
    """Raise InputError for the first name that is not known."""
    for name in names:
        if name not in known:
            raise InputError(f"{where}: unknown {what} {str(name)!r}; `{section}` has {one_of(name, known)}")


def described(planted: Phantom | None) -> Phantom:
    """What is planted; InputError where the configuration does not say."""
    if planted is None:
        raise InputError("config.phantom: missing: data.source is phantom or a task shows phantom scenes")
    return planted


def check_study(study: Study) -> None:
    """Raise InputError, with all that is wrong, where sections do not fit together."""
    faults = Faults()
    with faults.caught():
        check_phantom(study)
    with faults.caught():
        check_sessions(study)
    with faults.caught():
        check_splits(study)
    with faults.caught():
        check_labels(study)
    for name, condition in study.conditions.items():
        with faults.caught():
            check_condition(study, name, condition)
    for task in study.tasks.values():
        with faults.caught():
            check_task(study, task)
    with faults.caught():
        check_attacks(study)
    with faults.caught():
        check_semantic(study)
    for name, task in study.tasks.items():
        with faults.caught():
            check_corruptions(study, name, task.side)
    for name in study.shifted:
        with faults.caught():
            check_shifted(study, name)
    for name in study.outside:
        with faults.caught():
            check_outside(study, name)
    faults.refuse()


def check_outside(study: Study, name: str) -> None:
    """Raise InputError where a network from outside names a task, an architecture or a module that there is not."""
    wanted, where = study.outside[name], f"config.outside.{name}"
    check_names([wanted.task], study.tasks, f"{where}.task", "task", "tasks")
    if name in study.conditions:
        raise InputError(f"{where}: a condition is called so; rename the network")
    if wanted.kind == "architecture":
        check_name(wanted.network, trainable(), f"{where}.network")
        check_architecture(wanted.network, wanted.stem, False, where)
        check_side(wanted.network, wanted.side or study.tasks[wanted.task].side, f"{where}.side")
    module = wanted.network.partition(":")[0]
    if wanted.kind == "function" and module_file(module) is None:
        raise InputError(
            f"{where}.network: {wanted.network!r}: no module {module} is found; install its package, or name its "
            "folder in PYTHONPATH"
        )


def check_shifted(study: Study, name: str) -> None:
    """Raise InputError where a published test set does not show the classes of its task."""
    asked = study.shifted[name]
    where = f"config.shifted.{name}.task"
    check_names([asked.task], study.tasks, where, "task", "tasks")
    kind = study.tasks[asked.task].task.kind
    if kind != asked.layout.task:
        raise InputError(
            f"{where}: '{asked.task}' is of kind {kind}; {asked.kind} has the classes of a task of kind "
            f"{asked.layout.task}: name one"
        )


def check_corruptions(study: Study, task: str, side: int) -> None:
    """Raise InputError where a set of strengths cannot draw every severity of a type on a task's images."""
    asked = study.corruptions
    if asked is None:
        return
    strengths = asked.set_for(side)
    if fine := too_fine(strengths, asked.names, side):
        raise InputError(
            f"config.corruptions.set: '{strengths}': on the {side} px of the task '{task}' severities of "
            f"{', '.join(fine)} change nothing or get no stronger; {way_out(strengths, asked.names, side)}"
        )


def check_semantic(study: Study) -> None:
    """Raise InputError where a semantic attack meets a task whose images it cannot change."""
    for name, plan in study.semantic.attacks.items():
        for task in plan.tasks or study.tasks:
            if plan.attack.faces and not study.tasks[task].task.faces:
                kinds = ", ".join(kind for kind in TASKS if TASKS[kind].faces)
                raise InputError(
                    f"config.semantic.{name}.tasks: '{task}' has no attributes; name tasks of kind {kinds}"
                )
            if study.semantic.transfer is not None and BASELINE not in study.tasks[task].conditions:
                raise InputError(
                    f"config.semantic.transfer: the task '{task}' trains no '{BASELINE}', whose adversarials the "
                    f"others would meet; add it to tasks.{task}.conditions, or name other semantic.{name}.tasks"
                )


def check_baseline(conditions: Mapping[str, Condition]) -> None:
    """Raise InputError unless there is the condition that every other one is compared with, without a target."""
    found = conditions.get(BASELINE)
    if found is None:
        raise InputError(f"config.conditions: missing key '{BASELINE}'; it is what every other one is compared with")
    for key in ("target", "reference"):
        if getattr(found, key) is not None:
            where = f"config.conditions.{BASELINE}.{key}"
            raise InputError(f"{where}: '{BASELINE}' is trained without one; remove it, or rename the condition")


def check_task(study: Study, task: TaskPlan) -> None:
    """Raise InputError where networks of a task cannot be built for its images, its batches or its layers."""
    where = f"config.tasks.{task.name}"
    for name in task.architectures:
        check_side(name, task.side, where)
        for condition in task.conditions:
            owner = study.conditions[condition].sweep or condition
            for layer in study.conditions[condition].layers or ():
                check_layer(name, layer, f"config.conditions.{owner}.layers")
    for condition in task.conditions:
        loss = study.conditions[condition].loss
        if loss is not None and task.training.batch_size < LOSSES[loss].min_batch:
            raise InputError(
                f"{where}.training.batch_size: {task.training.batch_size}: the loss '{loss}' of {condition} needs at "
                f"least {LOSSES[loss].min_batch} images per batch"
            )


def check_labels(study: Study) -> None:
    """Raise InputError for a label that its atlas has not."""
    if study.phantom:
        every = [label for labels in ATLASES.values() for label in labels]
        for subject, planted in described(study.planted).subjects.items():
            for label in planted.missing:
                if label not in every:
                    where = f"config.phantom.subjects.{subject}.missing"
                    raise InputError(f"{where}: {label!r} is a label of no atlas{nearest(label, every)}")
    for where, label, atlas, known in unknown_labels(study, sure=True):
        raise InputError(
            f"{where}: {label!r} is not a label of {atlas}; it has {one_of(label, known)}{elsewhere(label)}"
        )


def unknown_labels(study: Study, sure: bool = False) -> Iterator[tuple[str, str, str, list[str]]]:
    """Labels that an atlas has not: the key, the label, the atlas and the labels that it has.

    A phantom's atlases are known. Those of the real data stand in the mirror; before it has them, they are taken to be
    the phantom's, which bear their names, unless one must be `sure`.
    """
    for name, roi in study.rois.items():
        for where, region in regions(f"config.rois.{name}", roi):
            table = ctab(study.data.mirror, study.subjects[0], region.atlas)
            known = ATLASES[region.atlas]
            if not study.phantom and table.exists():
                known = list(read_ctab(table))
            elif not study.phantom and (sure or region.atlas in STAND_INS):
                continue
            yield from (
                (f"{where}.labels", label, region.atlas, known) for label in region.labels if label not in known
            )


def regions(where: str, roi: ROI) -> Iterator[tuple[str, Region]]:
    """Every region of an ROI that names labels, and where it stands."""
    yield where, roi
    for key, parts in (("plus", roi.plus or ()), ("within", () if isinstance(roi.within, str) else roi.within or ())):
        yield from ((f"{where}.{key}.{index}", part) for index, part in enumerate(parts))


def elsewhere(label: str) -> str:
    """The atlases that have a label, as a hint."""
    having = [atlas for atlas, labels in ATLASES.items() if label in labels]
    return f"; {label} is one of {', '.join(having)}" if having else ""


def check_attacks(study: Study) -> None:
    """Raise InputError unless the primary attack is one of the attacks, and every attack has a task to meet."""
    primary, attacks = study.primary_attack, study.attacks
    if primary in study.semantic.attacks:
        raise InputError(f"config.primary_attack: {primary!r} is a semantic attack; name one of {', '.join(attacks)}")
    if primary not in attacks:
        raise InputError(f"config.primary_attack: {primary!r} is not one of `attacks`: {one_of(primary, attacks)}")
    if TAKEN in attacks:
        raise InputError(f"config.attacks.{TAKEN}: the table of common corruptions is called so; take another name")
    norms = tuple(dict.fromkeys(plan.norm for plan in attacks.values()))
    for name, task in study.tasks.items():
        where = f"config.tasks.{name}.budgets"
        check_names(task.budgets, norms, where, "norm", "attacks")
        for plan in attacks.values():
            if plan.norm in task.budgets:
                with_budgets(plan, task.budgets[plan.norm], f"{where}.{plan.norm}")
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
    for key in ("version", "space"):
        given, only = getattr(data.prepared, key), getattr(PUBLISHED, key)
        if given != only:
            where = "config.data.betas" if key == "version" else "config.data.space"
            raise InputError(f"{where}: {given!r}: the phantom is planted as {only} alone; leave the key out")
    if data.cache is not None:
        raise InputError(f"config.data.cache: '{data.cache}': a phantom is planted under data.root; write null")
    if data.format not in planted.formats:
        raise InputError(f"config.data.format: the phantom is not written as {data.format}; add it to phantom.formats")


def check_sessions(study: Study) -> None:
    """Raise InputError where a subject of NSD has more sessions than it ran."""
    for subject, count in study.data.sessions.items():
        if study.data.from_bucket and count > (ran := study.data.ran(subject)):
            raise InputError(
                f"config.data.subjects.{subject}.sessions: {count}: {subject} ran {ran} sessions of NSD; lower it"
            )


def check_splits(study: Study) -> None:
    """Raise InputError where a split of papers needs sessions that a subject lacks, or that the study leaves out."""
    test, data = study.splits.test, study.data
    if test not in ("legacy37", "algonauts"):
        return
    for subject, count in data.sessions.items():
        ran = data.ran(subject)
        needed = ran if test == "algonauts" else ran - WITHHELD
        if ran <= WITHHELD:
            raise InputError(
                f"config.splits.test: {test!r} sets the last {WITHHELD} sessions apart, but {subject} has {ran}; take "
                "shared or special"
            )
        if count < needed:
            raise InputError(
                f"config.data.subjects.{subject}.sessions: {count}: splits.test {test!r} is about the {needed} first "
                f"of the {ran} sessions of {subject}; set {needed} or more"
            )


def check_condition(study: Study, name: str, condition: Condition) -> None:
    """Raise InputError where a condition names what the study lacks, or a predictor that does not go with it."""
    where = f"config.conditions.{name}"
    check_names(condition.target or (), study.rois, f"{where}.target", "ROI", "rois")
    check_names(condition.match or (), study.rois, f"{where}.match", "ROI", "rois")
    check_names(condition.subjects or (), study.subjects, f"{where}.subjects", "subject", "data.subjects")
    if condition.features is not None:
        check_name(condition.features.architecture, trainable(), f"{where}.features.architecture")
        check_side(condition.features.architecture, condition.features.size, f"{where}.features.size")
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
        known, given = one_of(condition.predictor, study.predictors), condition.predictor
        problem = "missing; name one" if given is None else f"{given!r} is not one"
        raise InputError(f"{where}.predictor: {problem} of `predictors`: {known}")
    if predictor.shuffle_pairing != condition.removes.shuffled_predictor:
        both = "predictor-shuffled goes with a predictor of `shuffle_pairing: true`, and such a one with it"
        raise InputError(f"{where}.control: {both}")
    known_categories = study.phantom or study.data.coco_annotations
    if condition.on_stimuli and condition.removes.categories and not known_categories:
        needs = "on stimuli needs their categories: give COCO's annotations as `data.coco_annotations`"
        raise InputError(f"{where}.control: '{condition.control}' {needs}")
