"""What of a study must fit together: sections that name each other, and counts. `study.read` asks for all of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from neurobust.attacks.corruptions.tables import too_fine, way_out
from neurobust.attacks.plan import with_budgets
from neurobust.attacks.semantic.description import HALVED
from neurobust.core.architecture_names import check_architecture, check_layer, check_name, check_side, trainable
from neurobust.core.errors import InputError, error_of
from neurobust.core.faults import Faults
from neurobust.core.names import one_of
from neurobust.core.reference_range import BASELINE
from neurobust.core.sources import module_file
from neurobust.core.timm_names import check_timm
from neurobust.networks.registry import LOSSES, TASKS
from neurobust.predictors.description import Predictor
from neurobust.study import fit_data
from neurobust.study.model import Study
from neurobust.study.paths import FOLDERS

T = TypeVar("T", str, int)
TAKEN = {  # no names of attacks: these tables lie where theirs would
    "corruptions": "the table of common corruptions", "verification": "the table of face verification",
}  # fmt: skip


def check_names(names: Iterable[T], known: Collection[T], where: str, what: str, section: str) -> None:
    """Raise InputError for each name that is not known."""
    if unknown := [name for name in names if name not in known]:
        raise error_of(
            f"{where}: unknown {what} {str(name)!r}; `{section}` has {one_of(name, known)}" for name in unknown
        )


def check_study(study: Study, faults: Faults) -> None:
    """Say in `faults` what does not fit together. Each question is asked alone, of what could be read."""
    for ask in OF_THE_STUDY:
        with faults.caught():
            ask(study)
    for entries, questions in OF_ENTRIES:
        with faults.caught():
            for name in entries(study):
                for about in questions:
                    with faults.caught():
                        about(study, name)


# --- the study ---


def check_results(study: Study) -> None:
    """Raise InputError for results in a folder that another study, of `results` itself, writes."""
    folder = study.results.partition("/")[2]
    if folder in FOLDERS:
        raise InputError(
            f"config.results: {study.results!r}: a study in results has a folder of this name; take another name"
        )


def check_baseline(study: Study) -> None:
    """Raise InputError unless there is the condition that every other one is compared with, without a target."""
    found = study.conditions.get(BASELINE)
    if found is None:
        raise InputError(f"config.conditions: missing key '{BASELINE}'; it is what every other one is compared with")
    for key in ("target", "reference"):
        if getattr(found, key) is not None:
            where = f"config.conditions.{BASELINE}.{key}"
            raise InputError(f"{where}: '{BASELINE}' is trained without one; remove it, or rename the condition")


def check_primary(study: Study) -> None:
    """Raise InputError unless the primary attack is one of the attacks, and meets every task or none."""
    primary, attacks = study.primary_attack, study.attacks
    if primary not in attacks and primary in study.semantic.attacks:
        raise InputError(f"config.primary_attack: {primary!r} is a semantic attack; name one of {', '.join(attacks)}")
    if primary not in attacks:
        raise InputError(f"config.primary_attack: {primary!r} is not one of `attacks`: {one_of(primary, attacks)}")
    without = [name for name in study.tasks if attacks[primary].attack.twins and not study.tasks[name].cue]
    if without and len(without) < len(study.tasks):
        raise InputError(f"config.primary_attack: '{primary}' needs a cue, which the task '{without[0]}' has not")


# --- conditions ---


def check_targets(study: Study, name: str) -> None:
    """Raise InputError where a condition names ROIs that the study lacks."""
    where, condition = f"config.conditions.{name}", study.conditions[name]
    check_names(condition.target or (), study.rois, f"{where}.target", "ROI", "rois")
    check_names(condition.match or (), study.rois, f"{where}.match", "ROI", "rois")


def check_subjects(study: Study, name: str) -> None:
    """Raise InputError where a condition names subjects that the study lacks."""
    listed = study.conditions[name].subjects or ()
    check_names(listed, study.data.subjects, f"config.conditions.{name}.subjects", "subject", "data.subjects")


def check_oracle(study: Study, name: str) -> None:
    """Raise InputError where the oracle of a condition cannot be built."""
    where, oracle = f"config.conditions.{name}.features", study.conditions[name].features
    if oracle is not None:
        check_name(oracle.architecture, trainable(), f"{where}.architecture")
        check_side(oracle.architecture, oracle.size, f"{where}.size")


def check_matched(study: Study, name: str) -> None:
    """Raise InputError where a reference is matched with a condition that is not guided, or not trained beside it."""
    where, reference = f"config.conditions.{name}.reference.match", study.conditions[name].reference
    matched = None if reference is None else reference.matched
    if matched is None:
        return
    check_names([matched], study.conditions, where, "condition", "conditions")
    if study.conditions[matched].target is None:
        raise InputError(f"{where}: '{matched}' has no target; name a guided condition")
    for task in study.tasks.values():
        if name in task.conditions and matched not in task.conditions:
            raise InputError(
                f"config.tasks.{task.name}.conditions: '{name}' is matched with '{matched}', which this task lacks"
            )


def check_twins(study: Study, name: str) -> None:
    """Raise InputError where a reference needs a cue and no task bears one."""
    if study.conditions[name].twins and not any(task.cue for task in study.tasks.values()):
        raise InputError(
            f"config.conditions.{name}.reference: it needs a task whose images bear a cue, and there is none; name a "
            f"task of kind {kinds_with('cue')} and set phantom.cue"
        )


def check_predictor(study: Study, name: str) -> None:
    """Raise InputError where a condition lacks its predictor, or names one that does not go with its control."""
    where, condition = f"config.conditions.{name}", study.conditions[name]
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
    if condition.ensemble and len(study.predictor_seeds) < 2:
        raise InputError(f"{where}.ensemble: a mean over 1 of `predictor_seeds`; give several, or remove it")


def check_categories(study: Study, name: str) -> None:
    """Raise InputError where a control needs categories of the stimuli that nobody gives."""
    condition = study.conditions[name]
    if not (condition.on_stimuli and condition.removes.categories) or condition.pairs:
        return
    if not (study.phantom or study.data.coco_annotations):
        needs = "on stimuli needs their categories: give COCO's annotations as `data.coco_annotations`"
        raise InputError(f"config.conditions.{name}.control: '{condition.control}' {needs}")


# --- architectures and tasks ---


def check_network(study: Study, name: str) -> None:
    """Raise InputError for an architecture that there is not, or not with its stem or weights."""
    given = study.architectures[name]
    check_architecture(name, given.stem, given.pretrained, f"config.architectures.{name}")


def check_sides(study: Study, name: str) -> None:
    """Raise InputError where an architecture cannot take the images of a task."""
    task = study.tasks[name]
    for architecture in task.architectures:
        if architecture in trainable():
            check_side(architecture, task.side, f"config.tasks.{name}")


def check_layers(study: Study, name: str) -> None:
    """Raise InputError where a condition acts on a layer that a network of its task has not."""
    faults = Faults()
    for condition in study.tasks[name].conditions:
        for architecture in study.tasks[name].architectures:
            with faults.caught():
                check_layers_of(study, condition, architecture)
    faults.refuse()


def check_layers_of(study: Study, name: str, architecture: str) -> None:
    """The same of one condition and one architecture; one that there is not has been named."""
    condition = study.conditions[name]
    for layer in condition.layers or ():
        if architecture in trainable():
            check_layer(architecture, layer, f"config.conditions.{condition.sweep or name}.layers")


def check_batches(study: Study, name: str) -> None:
    """Raise InputError where the batches of a task are too small for a loss."""
    task = study.tasks[name]
    for condition in task.conditions:
        loss = study.conditions[condition].loss
        if loss is not None and task.training.batch_size < LOSSES[loss].min_batch:
            raise InputError(
                f"config.tasks.{name}.training.batch_size: {task.training.batch_size}: the loss '{loss}' of "
                f"{condition} needs at least {LOSSES[loss].min_batch} images per batch"
            )


def check_budgets(study: Study, name: str) -> None:
    """Raise InputError where a task's own budgets are of a norm that no attack has, or none that it can use."""
    where, budgets, attacks = f"config.tasks.{name}.budgets", study.tasks[name].budgets, study.attacks
    if not budgets:
        return
    check_names(budgets, tuple(dict.fromkeys(plan.norm for plan in attacks.values())), where, "norm", "attacks")
    for plan in attacks.values():
        if plan.norm in budgets:
            with_budgets(plan, budgets[plan.norm], f"{where}.{plan.norm}")


def check_corruptions(study: Study, name: str) -> None:
    """Raise InputError where a set of strengths cannot draw every severity of a type on a task's images."""
    asked = study.corruptions
    if asked is None:
        return
    side = study.tasks[name].side
    strengths = asked.set_for(side)
    if fine := too_fine(strengths, asked.names, side):
        raise InputError(
            f"config.corruptions.set: '{strengths}': on the {side} px of the task '{name}' severities of "
            f"{', '.join(fine)} change nothing or get no stronger; {way_out(strengths, asked.names, side)}"
        )


# --- attacks and test sets ---


def check_attack(study: Study, name: str) -> None:
    """Raise InputError for an attack whose name is taken, or that no task's images can bear."""
    if name in TAKEN or name in study.semantic.attacks:
        whose = TAKEN.get(name, "a semantic attack of this study")
        raise InputError(f"config.attacks.{name}: {whose} is called so; take another name")
    plan = study.attacks[name]
    if plan.attack.twins and not any(task.cue for task in study.tasks.values()):
        raise InputError(
            f"config.attacks.{name}: {plan.method} needs a task whose images bear a cue, and there is none; "
            f"name a task of kind {kinds_with('cue')} and set phantom.cue"
        )


def check_distance(study: Study, name: str) -> None:
    """Raise InputError for an attack whose budgets are in another distance than those of one before it of its norm:
    attacks of a norm are merged."""
    plan = study.attacks[name]
    for other, before in study.attacks.items():
        if other == name:
            return
        if before.norm == plan.norm and before.attack.measure and before.attack.files != plan.attack.files:
            raise InputError(
                f"config.attacks.{name}: its budgets are {plan.attack.unit}, those of '{other}' {before.attack.unit}, "
                "and the worst case is one over both; give both the same backbone, weights and linear, or none"
            )


def kinds_with(what: str) -> str:
    """The kinds of task of which something is true (`cue`: images can bear one), as a list to choose from."""
    return ", ".join(kind for kind in TASKS if getattr(TASKS[kind], what))


def check_semantic(study: Study, name: str) -> None:
    """Raise InputError where a semantic attack meets a task whose images it cannot change."""
    plan = study.semantic.attacks[name]
    for task in plan.tasks or study.tasks:
        if plan.attack.faces and task in study.tasks and not study.tasks[task].task.faces:
            raise InputError(
                f"config.semantic.{name}.tasks: '{task}' has no attributes; name tasks of kind {kinds_with('faces')}"
            )
        if task in study.tasks and study.tasks[task].side % HALVED:
            raise InputError(
                f"config.semantic.{name}.tasks: images of '{task}' are {study.tasks[task].side} px, and its auxiliary "
                f"networks halve them three times; name tasks whose side is a multiple of {HALVED}"
            )


def check_lenders(study: Study, name: str) -> None:
    """Raise InputError where a semantic attack that travels meets a task that trains no undefended network."""
    plan = study.semantic.attacks[name]
    for task in () if study.semantic.transfer is None else plan.tasks or study.tasks:
        if task in study.tasks and BASELINE not in study.tasks[task].conditions:
            raise InputError(
                f"config.semantic.transfer: the task '{task}' trains no '{BASELINE}', whose adversarials the others "
                f"would meet; add it to tasks.{task}.conditions, or name other semantic.{name}.tasks"
            )


def check_verification(study: Study) -> None:
    """Raise InputError where face verification meets a task whose labels do not say who is shown."""
    verification = study.semantic.verification
    for task in () if verification is None else verification.tasks or study.tasks:
        if task in study.tasks and not study.tasks[task].task.people:
            raise InputError(
                f"config.semantic.verification.tasks: the labels of '{task}' do not say who is shown; name tasks of "
                f"kind {kinds_with('people')}"
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


# --- networks that others trained ---


def check_outside(study: Study, name: str) -> None:
    """Raise InputError where a network from outside is called as a condition is."""
    if name in study.conditions:
        raise InputError(f"config.outside.{name}: a condition is called so; rename the network")


def check_outside_task(study: Study, name: str) -> None:
    """Raise InputError where a network from outside meets the attacks of a task that there is not."""
    check_names([study.outside[name].task], study.tasks, f"config.outside.{name}.task", "task", "tasks")


def check_outside_architecture(study: Study, name: str) -> None:
    """Raise InputError where a network from outside has an architecture that there is not, or not with this stem; of
    timm where that is installed, else its job says so."""
    wanted = study.outside[name]
    if wanted.kind == "timm":
        check_timm(wanted.network, f"config.outside.{name}.network: {wanted.network!r}")
    if wanted.kind == "architecture":
        check_name(wanted.network, trainable(), f"config.outside.{name}.network")
        check_architecture(wanted.network, wanted.stem, False, f"config.outside.{name}")


def check_outside_side(study: Study, name: str) -> None:
    """Raise InputError where the architecture of a network from outside cannot take its task's images."""
    wanted, where = study.outside[name], f"config.outside.{name}.side"
    if wanted.kind != "architecture" or wanted.network not in trainable():
        return
    if wanted.side is not None:
        check_side(wanted.network, wanted.side, where)
    elif wanted.task in study.tasks:
        check_side(wanted.network, study.tasks[wanted.task].side, where)


def check_outside_module(study: Study, name: str) -> None:
    """Raise InputError where the module of a network from outside is not found."""
    wanted = study.outside[name]
    module = wanted.network.partition(":")[0]
    if wanted.kind == "function" and module_file(module) is None:
        raise InputError(
            f"config.outside.{name}.network: {wanted.network!r}: no module {module} is found; install its package, or "
            "name its folder in PYTHONPATH"
        )


OF_THE_STUDY: tuple[Callable[[Study], None], ...] = (
    fit_data.check_trials, fit_data.check_stimuli, fit_data.check_pictures, fit_data.check_missing,
    fit_data.check_validation,
    fit_data.check_prepared, fit_data.check_cache, fit_data.check_format, check_results, check_baseline,
    check_primary, check_verification,
)  # fmt: skip
OF_ENTRIES: tuple[tuple[Callable[[Study], Iterable[str]], tuple[Callable[[Study, str], None], ...]], ...] = (
    (lambda study: study.data.subjects, (fit_data.check_subject, fit_data.check_split)),
    (lambda study: study.planted.subjects if study.planted is not None else (), (fit_data.check_grid,)),
    (lambda study: study.rois, (fit_data.check_labels,)),
    (lambda study: study.architectures, (check_network,)),
    (lambda study: study.conditions,
     (check_targets, check_subjects, check_oracle, check_matched, check_twins, check_predictor, check_categories)),
    (lambda study: study.tasks, (check_sides, check_layers, check_batches, check_budgets, check_corruptions)),
    (lambda study: study.attacks, (check_attack, check_distance)),
    (lambda study: study.semantic.attacks, (check_semantic, check_lenders)),
    (lambda study: study.shifted, (check_shifted,)),
    (lambda study: study.outside,
     (check_outside, check_outside_task, check_outside_architecture, check_outside_side, check_outside_module)),
)  # fmt: skip
