"""Puts the phantom together: scenes, planted cortex, and the files of a bucket of two subjects or more."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.io import replacing
from neurobust.core.progress import Progress
from neurobust.core.seeding import numpy_rng
from neurobust.files.prf_maps import STIMULUS_DEGREES
from neurobust.phantom import files, truth
from neurobust.phantom.annotations import write_annotations
from neurobust.phantom.cortex import Stimuli, Voxel, exact_noise, plant_subject
from neurobust.phantom.cue import draw_cues, draw_random, render_cued
from neurobust.phantom.design import Design, Sizes, make_design, responses_table, stim_info
from neurobust.phantom.labels import ATLASES, SURFACE_ATLASES
from neurobust.phantom.scenes import CATEGORIES, Scene, masks_of, render_all, sample_scenes
from neurobust.phantom.settings import CuedScenes, FaceTask, PlantedNSD, PlantedSubject, TaskImages
from neurobust.phantom.shapes import FACE_ATTRIBUTES

logger = logging.getLogger("neurobust")

# Which other atlases label a planted voxel: label of its own atlas -> {atlas: label}.
ALSO = {
    **{label: {"Kastner2015": label} for label in ("V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4")},
    "OFA": {"streams": "midlateral"}, "FFA-1": {"streams": "ventral"}, "FFA-2": {"streams": "ventral"},
    "PPA": {"streams": "ventral"}, "EBA": {"streams": "lateral"}, "LO1": {"streams": "lateral"},
    "LO2": {"streams": "lateral"}, "VO1": {"streams": "ventral"}, "VO2": {"streams": "ventral"},
}  # fmt: skip
HCP = {"V1v": "V1", "V1d": "V1", "V2v": "V2", "V2d": "V2", "LO1": "LO1", "LO2": "LO2"}
SATURATED, INVALID = 2, 3  # voxels per subject


class Brain:
    """Where a subject's planted voxels lie on a small, non-cubic grid.

    shape (X, Y, Z); index (V,) C-order flat index of each planted voxel; mask (X, Y, Z) brain; left (X, Y, Z) left
    hemisphere.
    """

    def __init__(self, grid: tuple[int, int, int], voxels: Sequence[Voxel]):
        self.shape = grid
        axes = [(np.arange(n) + 0.5) / n * 2 - 1 for n in grid]
        x, y, z = np.meshgrid(*axes, indexing="ij")
        self.mask = x**2 + y**2 + z**2 < 1
        self.left = x < 0  # the grid runs from left to right
        self.index = np.zeros(len(voxels), np.int64)
        for hemisphere, side in (("lh", self.left), ("rh", ~self.left)):
            wanted = [i for i, voxel in enumerate(voxels) if voxel.hemisphere == hemisphere]
            places = np.flatnonzero(self.mask & side)
            places = places[np.argsort(y.ravel()[places], kind="stable")]  # from posterior to anterior
            if len(places) < len(wanted):
                raise InputError(f"phantom grid {grid}: room for {len(places)} of {len(wanted)} voxels; make it larger")
            self.index[wanted] = places[: len(wanted)]

    def labels(self, atlas: str, voxels: Sequence[Voxel]) -> tuple[np.ndarray, np.ndarray]:
        """The lh and rh label volumes of an atlas: -1 outside, 0 unlabelled cortex, 1..N."""
        names = ATLASES[atlas]
        background = -1 if atlas in SURFACE_ATLASES else 0
        volumes = []
        for hemisphere, side in (("lh", self.left), ("rh", ~self.left)):
            volume = np.where(self.mask & side, 0, background).astype(np.float64)
            for voxel, place in zip(voxels, self.index, strict=True):
                name = label_in(atlas, voxel)
                if voxel.hemisphere == hemisphere and name is not None:
                    volume.ravel()[place] = names.index(name) + 1
            volumes.append(volume)
        return volumes[0], volumes[1]


def label_in(atlas: str, voxel: Voxel) -> str | None:
    """The name that an atlas gives to a planted voxel, or None."""
    if atlas == voxel.atlas:
        return voxel.label
    if atlas == "nsdgeneral":
        return None if voxel.noise else "nsdgeneral"
    if atlas == "HCP_MMP1":
        return HCP.get(voxel.label)
    if atlas == "prf-eccrois" and voxel.atlas == "prf-visualrois":
        eccentricity = np.hypot(voxel.x, voxel.y) * STIMULUS_DEGREES / 2
        return ATLASES[atlas][int(np.searchsorted([0.5, 1, 2, 4], eccentricity))]
    if atlas == "streams" and voxel.label[:2] in ("V1", "V2", "V3"):
        return "early"
    return ALSO.get(voxel.label, {}).get(atlas)


def planted_betas(
    rng: np.random.Generator, image_of_trial: np.ndarray, signals: np.ndarray, ncsnr: np.ndarray, trials: int
) -> np.ndarray:
    """Percent signal change (all trials, V): signal and noise in the planted ratio, times a gain and plus an offset
    that change with the session (so that a missing per-session z-score shows)."""
    noise = exact_noise(rng, image_of_trial, len(ncsnr))
    clean = (ncsnr * signals[image_of_trial] + noise) / np.sqrt(1 + ncsnr**2)
    sessions = len(image_of_trial) // trials
    gain = np.repeat(rng.uniform(0.6, 1.6, (sessions, 1)), trials, 0)
    offset = np.repeat(rng.normal(0.3, 0.5, (sessions, 1)), trials, 0)
    return clean * gain * rng.uniform(0.8, 2.0, len(ncsnr)) + offset


def published_ncsnr(betas: np.ndarray, image_of_trial: np.ndarray, trials: int) -> np.ndarray:
    """ncsnr of (all trials, V) by the published algorithm, written plainly; NaN for constant voxels."""
    sessions = betas.reshape(-1, trials, betas.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (sessions - sessions.mean(1, keepdims=True)) / sessions.std(1, ddof=1, keepdims=True)
        z = z.reshape(betas.shape)
        images, counts = np.unique(image_of_trial, return_counts=True)
        variances = [z[image_of_trial == image].var(0, ddof=1) for image in images[counts == 3]]
        noise = np.sqrt(np.nanmean(variances, 0)) if variances else np.full(betas.shape[1], np.nan)
        return np.sqrt(np.maximum(0, 1 - noise**2)) / noise


@dataclass(frozen=True)
class Planted:
    """One subject as it is written: betas (all trials, V) in percent signal change, what each trial showed, and the
    numbers of the voxels that saturate and of those that are out of the field of view in session 2."""

    brain: Brain
    voxels: list[Voxel]
    betas: np.ndarray
    image_of_trial: np.ndarray
    trials: int  # per session
    saturated: np.ndarray
    invalid: np.ndarray

    @property
    def sessions(self) -> int:
        """Sessions that the subject ran."""
        return len(self.image_of_trial) // self.trials

    @property
    def speaks(self) -> np.ndarray:
        """(V,) whether a voxel is of a kind that answers to images."""
        return np.array([not voxel.noise for voxel in self.voxels])

    def of_voxels(self, name: str) -> np.ndarray:
        """(V,) one part of the voxels' truth."""
        return np.array([getattr(voxel, name) for voxel in self.voxels])


def plant(
    subject: str, spec: PlantedSubject, design: Design, stimuli: Stimuli, rows: np.ndarray, rng: np.random.Generator
) -> Planted:
    """The betas of one subject. rows (pool,) gives the row of `stimuli` that it answers to for each
    0-based pool id."""
    trials = design.sizes.trials_per_session
    image_of_trial = rows[design.nsd_ids(subject_number(subject), spec.sessions)]
    voxels, signals = plant_subject(subject, design.seed, stimuli, spec.missing)
    # Variance 1 over this subject's own trials is what makes ncsnr the ratio that it says.
    shown = signals[image_of_trial]
    spread = shown.std(0)
    signals = (signals - shown.mean(0)) / np.where(spread > 0, spread, 1)
    brain = Brain(spec.grid, voxels)
    ncsnr = np.array([voxel.ncsnr for voxel in voxels])
    betas = np.empty((len(image_of_trial), len(voxels)))
    noise = np.array([voxel.noise for voxel in voxels])  # its own stream: the other voxels are the same without it
    for part, stream in ((~noise, rng), (noise, numpy_rng(design.seed, "phantom", subject, "noise"))):
        betas[:, part] = planted_betas(stream, image_of_trial, signals[:, part], ncsnr[part], trials)
    special = rng.permutation(np.flatnonzero(~noise))[: SATURATED + INVALID]
    saturated, invalid = special[:SATURATED], special[SATURATED:]
    betas[:, saturated] *= 60
    betas[trials : 2 * trials, invalid] = 0
    return Planted(brain, voxels, betas, image_of_trial, trials, saturated, invalid)


def subject_number(subject: str) -> int:
    """1..8 for "subj01".."subj08"."""
    return int(subject.removeprefix("subj"))


def write_subject(
    root: Path, subject: str, planted: Planted, design: Design, formats: Sequence[str], rng: np.random.Generator
) -> None:
    """All files of one subject; `rng` gives the noise of the voxels that hold nothing."""
    write_sessions(root, subject, planted, formats, rng)
    write_maps(root, subject, planted)
    for atlas in ATLASES:
        files.write_roi(root, subject, atlas, *planted.brain.labels(atlas, planted.voxels))
    files.write_ctabs(root, subject)
    table = responses_table(design, subject_number(subject), planted.sessions, design.seed)
    files.write_responses(root, subject, table)


def write_sessions(
    root: Path, subject: str, planted: Planted, formats: Sequence[str], rng: np.random.Generator
) -> None:
    """The betas of every session, their mean over its trials, and where they are valid."""
    brain, trials = planted.brain, planted.trials
    grid = brain.shape
    quiet = np.setdiff1d(np.flatnonzero(brain.mask), brain.index[planted.speaks])
    progress = Progress(planted.sessions, f"phantom {subject} sessions")
    for session in range(1, planted.sessions + 1):
        volume = np.zeros((int(np.prod(grid)), trials), np.float32)
        volume[quiet] = rng.normal(0, 0.7, (len(quiet), trials))
        volume[brain.index] = planted.betas[(session - 1) * trials : session * trials].T
        stored = files.to_int16(volume.reshape(*grid, trials))
        files.write_session(root, subject, session, stored, formats)
        files.write_volume(root, subject, f"meanbeta_session{session:02d}", stored.mean(-1))  # x 300 too
        valid = np.ones(grid, np.int16)
        if session == 2:
            valid.ravel()[brain.index[planted.invalid]] = 0
        files.write_volume(root, subject, f"valid_session{session:02d}", valid * brain.mask)
        progress.step()


def write_maps(root: Path, subject: str, planted: Planted) -> None:
    """The summary volumes of a subject: ncsnr and its halves, validity, brain mask, mean, pRF maps."""
    brain, image_of_trial = planted.brain, planted.image_of_trial
    stored = files.to_int16(planted.betas) / 300.0

    def volume(values: np.ndarray, fill: float = np.nan) -> np.ndarray:
        out = np.full(int(np.prod(brain.shape)), fill)
        out[brain.index] = values
        return out.reshape(brain.shape)

    thrice = np.flatnonzero(np.bincount(image_of_trial) == 3)
    halves = {"ncsnr": thrice, "ncsnr_split1": thrice[::2], "ncsnr_split2": thrice[1::2]}
    for name, images in halves.items():
        keep = np.where(np.isin(image_of_trial, images), image_of_trial, -1 - np.arange(len(image_of_trial)))
        files.write_volume(root, subject, name, volume(published_ncsnr(stored, keep, planted.trials)))
    fraction = np.ones(len(planted.voxels))
    fraction[planted.invalid] = 1 - 1 / planted.sessions
    files.write_volume(root, subject, "valid", volume(fraction, 1.0) * brain.mask)
    files.write_volume(root, subject, "brainmask", brain.mask)
    files.write_volume(root, subject, "meanbeta", volume(files.to_int16(planted.betas).mean(0), 0))
    x, y, size = (planted.of_voxels(name) * STIMULUS_DEGREES / 2 for name in ("x", "y", "sigma"))
    maps = {"angle": np.degrees(np.arctan2(-y, x)) % 360, "eccentricity": np.hypot(x, y), "size": size}
    for name, values in maps.items():
        path = files.func_folder(root, subject) / f"prf_{name}.nii.gz"
        files.write_nifti(path, volume(values).astype(np.float32), files.BETA_TR)


def build_phantom(root: Path, settings: PlantedNSD) -> None:
    """Write a miniature NSD under `root`, in the bucket's layout."""
    seed = settings.seed
    sizes = Sizes(
        settings.shared_images, settings.unique_images, settings.planned_sessions, settings.trials_per_session
    )
    design = make_design(sizes, seed)
    seen = [design.nsd_ids(subject_number(name), spec.sessions) for name, spec in settings.subjects.items()]
    used = np.unique(np.concatenate(seen))
    rows = np.full(sizes.pool, -1)
    rows[used] = np.arange(len(used))
    scenes = sample_scenes(len(used), seed, "phantom scenes", faces=settings.faces)
    cues = None if settings.cue is None else draw_random(len(used), seed, "phantom scenes")
    images = stimuli_images(scenes, cues, settings)
    answers = np.arange(len(used)) if settings.responses == "own" else partners(len(used), seed)
    logger.info("phantom: %d images of %d pixels rendered", len(images), settings.stimulus_size)
    files.write_expdesign(root, design)
    info = stim_info(design)
    files.write_stim_info(root, info)
    write_annotations(root, info, dict(zip(used.tolist(), scenes, strict=True)))
    blank = np.full(images.shape[1:], 127, np.uint8)  # never shown: the gray of an empty screen
    files.write_stimuli(root, (images[row] if row >= 0 else blank for row in rows), sizes.pool)
    stimuli = Stimuli(scenes, images)
    for subject, spec in settings.subjects.items():
        rng = numpy_rng(seed, "phantom", subject, "betas")
        planted = plant(subject, spec, design, stimuli, np.where(rows >= 0, answers[rows], -1), rng)
        write_subject(root, subject, planted, design, settings.formats, rng)
        parts = {"voxel_index": planted.brain.index, "saturated": planted.saturated, "invalid": planted.invalid}
        truth.write_voxels(root, subject, planted.voxels, parts)
    truth.write_world(root, settings)
    truth.write_stimuli(root, used, scenes, cues, answers)


def stimuli_images(scenes: list[Scene], cues: np.ndarray | None, settings: PlantedNSD) -> np.ndarray:
    """The images that subjects see, uint8 (N, S, S, 3); cues (N,): the classes whose cues they bear, if any."""
    if settings.cue is None or cues is None:
        return render_all(scenes, settings.stimulus_size)
    return render_cued(scenes, cues, settings.cue, settings.stimulus_size, settings.seed, "phantom scenes")


def partners(count: int, seed: int) -> np.ndarray:
    """For each of `count` images another one, whose response it gets: one cycle through all, in an order of chance."""
    order = numpy_rng(seed, "phantom", "permuted responses").permutation(count)
    found = np.empty(count, np.int64)
    found[order] = np.roll(order, 1)
    return found


def build_scene_task(output: Path, settings: CuedScenes) -> None:
    """Labelled scenes that no subject saw: an .npz with images (N, S, S, 3), labels, split (0, 1, 2) and classes.

    `mask` (N, S, S) is where each shows its object. Where they bear a cue, also `cue` (N,), the class whose cue an
    image bears, and the same scenes with other cues: `random_cue`, `conflict` and the class of the latter's cue,
    `conflict_cue`, as `files.dataset.Twins` has them.
    """
    stream = (settings.seed, "phantom task")
    scenes = sample_scenes(sum(settings.counts), *stream, faces=0.0)
    labels = np.array([CATEGORIES.index(scene.category) for scene in scenes])
    arrays: dict[str, np.ndarray] = {}
    if settings.cue is None:
        arrays["images"] = render_all(scenes, settings.size)
    else:
        cues = draw_cues(labels, settings.cue.reliability, *stream)
        arrays |= {"cue": cues.shown, "conflict_cue": cues.conflict}
        for name, shown in (("images", cues.shown), ("random_cue", cues.random), ("conflict", cues.conflict)):
            arrays[name] = render_cued(scenes, shown, settings.cue, settings.size, *stream)
    arrays |= {"labels": labels, "split": split_of(settings), "classes": np.array(CATEGORIES)}
    arrays["mask"] = masks_of(scenes, settings.size)
    with replacing(output) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # its stub takes the values for `allow_pickle`


def split_of(settings: TaskImages) -> np.ndarray:
    """(N,) uint8 split of a task's pictures: 0 train, 1 validation, 2 test, one after the other."""
    return np.repeat(np.arange(3, dtype=np.uint8), settings.counts)


def build_face_task(output: Path, settings: FaceTask) -> None:
    """Labelled faces that no subject saw: as `build_scene_task`, the labels being identities.

    `attributes` (N, 4) are 0 or 1, `attribute_names` what they are. Every split has each person equally often. With
    `aligned` the faces fill the frame, upright, as in aligned photographs, so that a few pixels show their attributes.
    """
    scenes = sample_scenes(sum(settings.counts), settings.seed, "phantom faces", faces=1.0)
    labels = np.concatenate([np.arange(count) % settings.identities for count in settings.counts])
    scenes = [replace(scene, identity=int(person)) for scene, person in zip(scenes, labels, strict=True)]
    if settings.aligned:
        scenes = [align(scene) for scene in scenes]
    attributes = np.array([[scene.attributes[name] for name in FACE_ATTRIBUTES] for scene in scenes], np.uint8)
    classes = np.array([f"person {k:02d}" for k in range(settings.identities)])
    with replacing(output) as temporary, temporary.open("wb") as file:
        np.savez(file, images=render_all(scenes, settings.size), labels=labels, classes=classes,
                 split=split_of(settings), attributes=attributes,
                 attribute_names=np.array(FACE_ATTRIBUTES))  # fmt: skip


def align(scene: Scene) -> Scene:
    """The scene with its object in the middle, about as large as the frame; what was chance keeps a tenth of it."""
    return replace(scene, x=scene.x / 10, y=scene.y / 10, size=0.8 + scene.size / 10, angle=scene.angle / 3)
