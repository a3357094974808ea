"""Every job of a study, with what its time grows with: known from the configuration alone, before anything runs.

What one thing costs is a fact of its own description (an attack's passes, a predictor's epochs, ...); here the jobs are
counted.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from neurobust.files.predictor_tables import RESAMPLES
from neurobust.networks.conditions import COSTS, Condition
from neurobust.networks.registry import LOSSES
from neurobust.nsd.layout import SPACES
from neurobust.nsd.settings import GRIDS, IMAGE_BYTES, TRIALS, most_images
from neurobust.study.explained import Explained
from neurobust.study.model import Study, TaskPlan
from neurobust.study.pairs import FRAGILITY, other_teachers

STAGES = {
    "nsd": ("make_phantom", "make_scenes", "make_faces", "build_labels", "extract_betas", "check_betas",
            "extract_roi", "build_stimuli"),
    "predictors": ("train_predictor",),
    "networks": ("prepare_task", "train_network", "bring_network"),
    "attacks": (
        "attack_network", "attack_canaries", "transfer_attacks", "make_corruptions", "corrupt_network",
        "prepare_shifted", "classify_shifted", "train_helper", "attack_semantic", "attack_verification",
        "lend_semantic", "transfer_semantic",
    ),
    "explain": (
        "explain_predictor", "explain_predictor_apart", "explain_network", "explain_network_apart", "explain_study",
    ),
    "report": (
        "tabulate_results", "tabulate_semantic", "tabulate_verification", "draw_figures", "write_index",
        "write_roi_page", "pack_report", "confirm_attacks",
    ),
}  # fmt: skip
STAGE_OF = {rule: stage for stage, rules in STAGES.items() for rule in rules}
# Jobs that digest the images of the task that comes first among their names.
ON_TASKS = (
    "train_network", "bring_network", "attack_network", "attack_canaries", "transfer_attacks", "make_corruptions",
    "corrupt_network", "prepare_shifted", "classify_shifted", "train_helper", "attack_semantic", "attack_verification",
    "lend_semantic", "transfer_semantic", "explain_network", "explain_network_apart",
)  # fmt: skip
CANARY_PASSES = 48 * 500  # images, and passes of all canaries under all attacks
LABELLED_VOXELS = 90000  # of a subject of NSD, over all atlases
ROI_VOXELS = 1500  # of a subject of NSD
PLANTED_ROI = 1 / 80  # of a phantom's grid
SESSION_BYTES = {"nii.gz": 467e6, "hdf5": 1094e6}
CUBE = math.prod(GRIDS["subj01"])  # voxels
SHARED_IMAGES = 1000  # that all subjects of NSD saw, for testing


@dataclass(frozen=True)
class Job:
    """One job of a study: its rule, the wildcards in the order of its benchmark's path, its work and its files.

    reads: thousands of pixels that threads read while it works. opened: bytes of inputs that are digested before.
    tail: work of one CPU that a device waits for, in the units of `rates.TAILS`.
    """

    rule: str
    names: tuple[str, ...]
    units: float
    output_bytes: float = 0.0
    rois: tuple[str, ...] = ()
    reads: float = 0.0
    opened: float = 0.0
    tail: float = 0.0


def study_jobs(study: Study) -> list[Job]:
    """Every job of the target `all`, in the order of the stages."""
    parts = (_phantom, _nsd, _predictors, _tasks, _networks, _outside, _transfer, _semantic, _explain, _report)
    return [_with_images(study, job) for part in parts for job in part(study)]


def _with_images(study: Study, job: Job) -> Job:
    """The same job, with the images of its task among what it digests, where it works on them."""
    if job.rule not in ON_TASKS:
        return job
    return replace(job, opened=job.opened + _stored(study.tasks[job.names[0]]))


def _phantom(study: Study) -> Iterator[Job]:
    planted = study.planted
    if planted is None:
        return
    if study.phantom:
        volume = sum(_trials(study, subject) * _volume(study, subject) for subject in study.subjects)
        trials = sum(_trials(study, subject) for subject in study.subjects)
        yield Job("make_phantom", (), trials, 2 * volume * len(planted.formats))
    shown = {task.task.phantom for task in study.tasks.values()}
    for rule, section in (("make_scenes", "scenes"), ("make_faces", "face_task")):
        if section in shown:
            spec = getattr(planted, section)
            count = spec.train + spec.validation + spec.test
            yield Job(rule, (), count, count * spec.size**2 * 3)


def _nsd(study: Study) -> Iterator[Job]:
    guided = (study.conditions[name] for task in study.tasks.values() for name in task.conditions)
    labelled = any(condition.on_stimuli and condition.removes.categories for condition in guided)
    if labelled or Explained(study).stimulus_labels(study.explain):
        images = sum(_images_seen(study, subject) for subject in study.subjects)
        yield Job("build_labels", (), images, 100 * images)
    for subject in study.subjects:
        trials, volume = _trials(study, subject), _volume(study, subject)
        voxels = LABELLED_VOXELS * volume / CUBE
        yield Job("extract_betas", (subject,), trials * volume / 1000, 2 * trials * voxels)
        yield Job("check_betas", (subject,), trials)
        for size in sorted(_sizes_of_stimuli(study)):
            images = _images_seen(study, subject)
            yield Job("build_stimuli", (subject, str(size)), images, images * size**2 * 3)
        for roi in study.rois:
            written = 4 * trials / 3 * _roi_voxels(study, subject)
            yield Job("extract_roi", (subject, roi), trials, written, (roi,))


def _sizes_of_stimuli(study: Study) -> set[int]:
    """Sides at which predictors see the stimuli, and networks that are guided on them."""
    sizes = {predictor.input_size for predictor in study.predictors.values()}
    for task in study.tasks.values():
        if any(study.conditions[name].on_stimuli for name in task.conditions):
            sizes.add(task.side)
    return sizes


def _trials(study: Study, subject: str) -> int:
    """Trials that a subject saw."""
    per_session = study.planted.trials_per_session if study.phantom and study.planted else TRIALS
    return study.data.subjects[subject].sessions * per_session


def _volume(study: Study, subject: str) -> float:
    """Voxels of a subject's functional grid."""
    if not study.phantom or study.planted is None:
        return CUBE * _finer(study)
    x, y, z = study.planted.subjects[subject].grid
    return x * y * z


def _roi_voxels(study: Study, subject: str) -> float:
    """Voxels of an ROI of a subject, about."""
    return _volume(study, subject) * (PLANTED_ROI if study.phantom else ROI_VOXELS / CUBE)


def read_out(study: Study) -> tuple[int, int]:
    """Voxels of an ROI of a subject, and images that all subjects saw, about: what a predictor is fitted to."""
    voxels = sum(_roi_voxels(study, subject) for subject in study.subjects) / len(study.subjects)
    return max(1, round(voxels)), round(sum(_images_seen(study, subject) for subject in study.subjects))


def _finer(study: Study) -> float:
    """Voxels of the functional space for each one of 1.8 mm."""
    return (SPACES["func1pt8mm"] / SPACES[study.data.space]) ** 3


def _images_seen(study: Study, subject: str) -> float:
    """Distinct images that a subject saw; of a phantom's about: each is shown three times."""
    return _trials(study, subject) / 3 if study.phantom else most_images(study.data.subjects[subject].sessions)


def _predictors(study: Study) -> Iterator[Job]:
    wanted = {(study.predictor, roi, seed) for roi in study.rois for seed in study.predictor_seeds}
    for condition in study.conditions.values():
        if condition.predictor is not None:
            seeds = {study.predictor_seed(seed) for seed in study.seeds}
            seeds |= set(study.predictor_seeds) if condition.ensemble else set()
            rois = (*(condition.target or ()), *(condition.match or ()))
            wanted |= {(condition.predictor, roi, seed) for roi in rois for seed in seeds}
    images = sum(_images_seen(study, subject) for subject in study.subjects)
    voxels = sum(_roi_voxels(study, subject) for subject in study.subjects)
    for name, roi, seed in sorted(wanted):
        predictor = study.predictors[name]
        units = images * predictor.passes() * predictor.input_size**2 / 1000
        yield Job(
            "train_predictor", (name, roi, f"seed{seed}"), units, 4 * (voxels * 1900 + 1e6), (roi,),
            reads=units, opened=4 * images / len(study.subjects) * voxels, tail=_tested(study) * voxels * RESAMPLES,
        )  # fmt: skip


def _tested(study: Study) -> float:
    """Images of a subject that predictors are tested on, about."""
    shown = study.planted.shared_images if study.phantom and study.planted else SHARED_IMAGES
    return min(shown, *(_images_seen(study, subject) for subject in study.subjects))


def _stored(task: TaskPlan) -> float:
    """Bytes of a task's images."""
    return float(task.images * task.side**2 * 3)


def _tasks(study: Study) -> Iterator[Job]:
    for name, task in study.tasks.items():
        pixels = task.side**2 / 1000
        yield Job("prepare_task", (name,), task.images, _stored(task))
        yield Job("attack_canaries", (name,), CANARY_PASSES * pixels)
        if study.corruptions is not None:
            units = study.corruptions.corrupted() * pixels
            yield Job("make_corruptions", (name,), units, 2500 * units)
        for shift, plan in study.shifted.items():
            if plan.task == name:
                yield Job("prepare_shifted", (name, shift), plan.shown() * pixels, 2500 * plan.shown() * pixels)


def _networks(study: Study) -> Iterator[Job]:
    met = {task: sum(attack.passes for attack in study.attacks_of(task).values()) for task in study.tasks}
    for task, architecture, name, seed in study.networks():
        plan, condition = study.tasks[task], study.conditions[name]
        where, rois, pixels = (task, architecture, name, f"seed{seed}"), condition.target or (), plan.side**2 / 1000
        cost = COSTS.get(architecture, 1.0)
        attacked = plan.attack_images * pixels
        read = plan.images * plan.training.epochs * pixels * (2 if condition.on_stimuli else 1)
        units = training_units(study, plan, condition, cost)
        yield Job("train_network", where, units, 45e6, rois, reads=read)
        yield Job(
            "attack_network", where, attacked * cost * (met[task] + 20), 2e6 * (plan.side / 32) ** 2, rois,
            tail=attacked * len(study.attacks_of(task)),
        )  # fmt: skip
        yield from _changed(study, where, pixels, cost, rois)


def _changed(
    study: Study, where: tuple[str, ...], pixels: float, cost: float, rois: tuple[str, ...] = ()
) -> Iterator[Job]:
    """One network's answers to corrupted images and to published test sets, which are unpacked before each pass."""
    if study.corruptions is not None:
        seen = study.corruptions.corrupted() * pixels
        yield Job("corrupt_network", where, seen * cost, 1e5, rois, opened=2500 * seen, tail=seen)
    for shift, shown in study.shifted.items():
        if shown.task == where[0]:
            seen = shown.shown() * pixels
            yield Job("classify_shifted", (*where, shift), seen * cost, 1e5, rois, opened=2500 * seen, tail=seen)


def _outside(study: Study) -> Iterator[Job]:
    """Networks that others trained: read, attacked, shown changed images; a pass is taken to cost a ResNet18's."""
    for task, architecture, name, seed in study.outsiders():
        plan, where = study.tasks[task], (task, architecture, name, f"seed{seed}")
        pixels = (study.outside[name].side or plan.side) ** 2 / 1000
        yield Job("bring_network", where, plan.images * pixels, 1e8)
        met = sum(attack.passes for attack in study.attacks_of(task).values())
        attacked = plan.attack_images * pixels
        yield Job(
            "attack_network", where, attacked * (met + 20), 2e6 * (plan.side / 32) ** 2,
            tail=attacked * len(study.attacks_of(task)),
        )  # fmt: skip
        yield from _changed(study, where, pixels, 1.0)
        for attack, met_by in study.semantic.attacks.items():
            if task in (met_by.tasks or study.tasks):
                units = study.semantic.images * met_by.attack.passes() * pixels
                yield Job("attack_semantic", (*where, attack), units, 1e6)


def training_units(study: Study, task: TaskPlan, condition: Condition, cost: float) -> float:
    """Image passes of a training, in thousands of pixels of a ResNet18; a predictor's pass costs a quarter of that.

    The predictor sees stimuli once, before the training, and the task's images as often as there are versions, or once
    where the loss acts on its responses by class."""
    read = 0.0
    if condition.predictor is not None:
        members = len(study.predictor_seeds) if condition.ensemble else 1
        read = members * len(condition.target or ()) * study.predictors[condition.predictor].input_size ** 2 / 4
    seen = sum(_images_seen(study, subject) for subject in study.subjects) if condition.on_stimuli else 0.0
    trained = task.training.epochs * task.side**2 * 3 * condition.passes * cost
    once = condition.loss is not None and LOSSES[condition.loss].by_class
    looks = condition.on_task * (1 if once else task.training.looks)
    return (task.images * (trained + looks * read) + seen * read) / 3000


def _transfer(study: Study) -> Iterator[Job]:
    """Every network sees the adversarials of each."""
    if study.transfer is None:
        return
    for name, architecture in study.blocks():
        task = study.tasks[name]
        guests, cost = sum(1 for _ in study.outsiders([name])), COSTS.get(architecture, 1.0)
        networks = len(task.conditions) * len(task.seeds) + guests
        units = study.transfer.passes(networks, task.attack_images) * task.side**2 / 1000 * cost
        yield Job("transfer_attacks", (name, architecture), units)


def _semantic(study: Study) -> Iterator[Job]:
    # an auxiliary network that two attacks need is trained once
    needed = {(task, helper) for task in study.tasks for helper in study.helpers_of(task)}
    for name, plan in study.semantic.attacks.items():
        for task in plan.tasks or tuple(study.tasks):
            pixels = study.tasks[task].side ** 2 / 1000
            needed |= {(task, helper) for helper in plan.attack.helpers}
            units = study.semantic.images * plan.attack.passes() * pixels
            for network in study.networks(study.with_sweeps(plan.conditions), [task]):
                where = (*network[:3], f"seed{network.seed}", name)
                yield Job("attack_semantic", where, units, 1e6, study.conditions[network.condition].target or ())
            yield from _semantic_transfer(study, name, task)
    if (verification := study.semantic.verification) is not None:
        for task in verification.tasks or tuple(study.tasks):
            needed |= {(task, helper) for helper in verification.settings.helpers}
            passes = verification.settings.passes(study.tasks[task].task.attributes)
            units = verification.settings.pairs * passes * study.tasks[task].side ** 2 / 1000
            for network in study.networks(study.with_sweeps(verification.conditions), [task]):
                verifier = (*network[:3], f"seed{network.seed}")
                rois = study.conditions[network.condition].target or ()
                yield Job("attack_verification", verifier, units, 1e6, rois)
    for task, helper in sorted(needed):
        settings, pixels = study.semantic.helpers[helper], study.tasks[task].side ** 2 / 1000
        units = study.tasks[task].images * settings.epochs * settings.cost * pixels
        yield Job("train_helper", (task, helper), units, 2e6)


def _semantic_transfer(study: Study, name: str, task: str) -> Iterator[Job]:
    """One attack on each surrogate, and a pass of every other network over what it leaves."""
    transfer, plan = study.semantic.transfer, study.semantic.attacks[name]
    if transfer is None:
        return
    images, side = transfer.count(study.semantic.images), study.tasks[task].side
    seen, lenders = images * len(plan.strengths), set()
    for network in study.networks(study.with_sweeps(plan.conditions), [task]):
        lender, rois = study.surrogate(network), study.conditions[network.condition].target or ()
        if lender != network:
            lenders.add(lender)
            where = (*network[:3], f"seed{network.seed}", name)
            yield Job("transfer_semantic", where, seen * side**2 / 1000, 1e5, rois)
    for lender in sorted(lenders):
        units = images * plan.attack.passes() * side**2 / 1000
        yield Job("lend_semantic", (*lender[:3], f"seed{lender.seed}", name), units, 12 * seen * side**2)


def _explain_predictors(study: Study, explained: Explained) -> Iterator[Job]:
    """Of the predictor that pages show every analysis; of other teachers what comes with their fragility."""
    cheap, dear = explained.by_price("predictor")
    own = [(study.predictor, roi) for roi in study.rois]
    for (predictor, roi), seed in itertools.product([*own, *other_teachers(study)], study.predictor_seeds):
        looks = explained.most_stimuli * study.predictors[predictor].input_size ** 2 / 4000  # a quarter of a network's
        where, shown = (predictor, roi, f"seed{seed}"), predictor == study.predictor
        if cheap and (shown or FRAGILITY in cheap):
            passes = sum(settings.passes() for settings in cheap.values())
            yield Job("explain_predictor", where, looks * passes, 1e6, (roi,))
        for name, settings in dear.items():
            if shown or name == FRAGILITY:
                yield Job("explain_predictor_apart", (*where, name), looks * settings.passes(), 1e6, (roi,))


def _explain(study: Study) -> Iterator[Job]:
    """The cheap analyses of a predictor or a network are one job, each dear one its own."""
    explained = Explained(study)
    yield from _explain_predictors(study, explained)
    cheap, dear = explained.by_price("network")
    for network in study.networks():
        plan, rois = study.tasks[network.task], study.conditions[network.condition].target or ()
        names, cost = (*network[:3], f"seed{network.seed}"), COSTS.get(network.architecture, 1.0)
        looks = plan.attack_images * plan.side**2 / 1000 * cost
        if cheap:
            passes = sum(explained.network_passes(network, settings) for settings in cheap.values())
            yield Job("explain_network", names, looks * passes, 1e5, rois)
        for name, settings in dear.items():
            passes = explained.network_passes(network, settings)
            yield Job("explain_network_apart", (*names, name), looks * passes, 1e5, rois)
    if explained.analyses("study"):
        for name, architecture in study.blocks():
            plan = study.tasks[name]
            yield Job("explain_study", (name, architecture), len(plan.conditions) * len(plan.seeds), 1e5)


def _report(study: Study) -> Iterator[Job]:
    networks = sum(1 for _ in study.networks())
    yield Job("tabulate_results", (), networks, 1e4 * networks)
    if study.semantic.attacks:
        yield Job("tabulate_semantic", (), networks, 1e5)
    if study.semantic.verification is not None:
        yield Job("tabulate_verification", (), networks, 1e5)
    yield Job("draw_figures", (), networks, 1e6)
    yield Job("write_index", (), networks, 5e6)
    for roi in study.rois:
        yield Job("write_roi_page", (roi,), networks / len(study.rois), 3e6, (roi,))
    yield Job("pack_report", (), len(study.rois), 2e6)
    yield Job("confirm_attacks", (), networks)


def download_bytes(study: Study) -> float:
    """Bytes of NSD that the study reads: betas of its sessions and the images that its subjects saw."""
    if study.phantom:
        return 0.0
    sessions = sum(spec.sessions for spec in study.data.subjects.values())
    images = sum(_images_seen(study, subject) for subject in study.subjects)
    return sessions * SESSION_BYTES[study.data.format] * _finer(study) + images * IMAGE_BYTES


def disk_bytes(study: Study) -> float:
    """Bytes that the study writes, its downloads included."""
    return sum(job.output_bytes for job in study_jobs(study)) + download_bytes(study)
