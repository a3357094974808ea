"""What of a study's data must fit together: subjects, sessions, splits, labels, and the phantom that brings them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from neurobust.core.errors import InputError, error_of
from neurobust.core.names import nearest, one_of
from neurobust.nsd.ctab import read_ctab
from neurobust.nsd.layout import PUBLISHED, ctab
from neurobust.nsd.settings import ROI, SESSIONS, WITHHELD, Region, most_images
from neurobust.phantom.labels import ATLASES, STAND_INS
from neurobust.phantom.settings import Phantom
from neurobust.study.model import Study

FEWEST = 2  # images that a correlation over validation images, and a training, cannot do without
MOST = 16 * 10**9  # bytes of memory; of NSD itself a session of 1 mm takes 12


def described(planted: Phantom | None) -> Phantom:
    """What is planted; InputError where the configuration does not say."""
    if planted is None:
        raise InputError("config.phantom: missing: data.source is phantom or a task shows phantom scenes")
    return planted


def check_trials(study: Study) -> None:
    """Raise InputError unless the phantom's sessions have three trials of each image."""
    if not study.phantom:
        return
    planted = described(study.planted)
    trials = planted.planned_sessions * planted.trials_per_session
    images = planted.shared_images + planted.unique_images
    if trials != 3 * images:  # as `phantom.design.Sizes`: a subject sees each of its images three times
        raise InputError(
            f"config.phantom.trials_per_session: {planted.trials_per_session} x planned_sessions are {trials} trials, "
            f"not 3 x (shared_images + unique_images) = {3 * images}; change one of the four"
        )


def check_stimuli(study: Study) -> None:
    """Raise InputError where the images that a phantom's subjects see are too large to be planted."""
    if study.planted is not None:
        planted, side = study.planted, study.planted.stimulus_size
        images = planted.shared_images + planted.unique_images * len(planted.subjects)
        check_memory("stimulus_size", side, f"{images} images", 3 * side**2 * images)


def check_pictures(study: Study) -> None:
    """Raise InputError where the pictures of a phantom's tasks are too large to be planted."""
    if study.planted is not None:
        for name, shown in (("scenes", study.planted.scenes), ("face_task", study.planted.face_task)):
            if shown is not None:
                count = sum(shown.counts)
                check_memory(f"{name}.size", shown.size, f"{count} pictures", 3 * shown.size**2 * count)


def check_grid(study: Study, subject: str) -> None:
    """Raise InputError where a phantom's brain is too large to be planted."""
    planted = described(study.planted)
    grid, trials = planted.subjects[subject].grid, planted.trials_per_session
    held = 4 * math.prod(grid) * trials  # a session in float32, before it is written
    check_memory(f"subjects.{subject}.grid", list(grid), f"a session of {trials} trials", held)


def check_memory(key: str, value: object, what: str, size: int) -> None:
    """Raise InputError for what would take more memory than anything that a phantom plants may take."""
    if size > MOST:
        raise InputError(
            f"config.phantom.{key}: {value}: {what} would take {size / 1e9:,.0f} GB of memory; a phantom is a "
            f"miniature, of at most {MOST / 1e9:.0f} GB: make it smaller, or take less of them"
        )


def check_prepared(study: Study) -> None:
    """Raise InputError where a study reads betas that its phantom is not planted as."""
    if not study.phantom:
        return
    for key, word in (("betas", "version"), ("space", "space")):
        given, only = getattr(study.data, key), getattr(PUBLISHED, word)
        if given != only:
            raise InputError(
                f"config.data.{key}: {given!r}: the phantom is planted as {only} alone; leave the key out"
            )  # fmt: skip


def check_cache(study: Study) -> None:
    """Raise InputError where a phantom is to be planted in two places."""
    if study.phantom and study.data.cache is not None:
        raise InputError(f"config.data.cache: '{study.data.cache}': a phantom is planted under data.root; write null")


def check_format(study: Study) -> None:
    """Raise InputError where a study reads sessions that its phantom does not write."""
    if study.phantom and study.data.format not in described(study.planted).formats:
        given = study.data.format
        raise InputError(f"config.data.format: the phantom is not written as {given}; add it to phantom.formats")


def check_subject(study: Study, subject: str) -> None:
    """Raise InputError where a subject has more sessions than it ran, or is no subject of the phantom."""
    where, count = f"config.data.subjects.{subject}", study.data.subjects[subject].sessions
    if study.phantom:
        planted = described(study.planted)
        if subject not in planted.subjects:
            raise InputError(f"{where}: the phantom has no such subject; add it to phantom.subjects")
        if count > planted.planned_sessions:
            raise InputError(f"{where}.sessions: {count} is more than phantom.planned_sessions; lower it")
    elif count > (ran := study.data.ran(subject)):
        raise InputError(f"{where}.sessions: {count}: {subject} ran {ran} sessions of NSD; lower it")


def check_split(study: Study, subject: str) -> None:
    """Raise InputError where a split of papers needs sessions that a subject lacks, or that the study leaves out."""
    test, count = study.splits.test, study.data.subjects[subject].sessions
    if test not in ("legacy37", "algonauts"):
        return
    ran = study.data.ran(subject)
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


def check_validation(study: Study) -> None:
    """Raise InputError where a share of validation images leaves none, or none for training."""
    share = study.splits.validation
    planted = described(study.planted) if study.phantom else None
    own = most_images(min(SESSIONS.values())) if planted is None else planted.unique_images + planted.shared_images
    for part, what in ((share, "validation"), (1 - share, "training")):
        if part * own < FEWEST:
            raise InputError(
                f"config.splits.validation: {share:g}: a share, of the at most {own} images of a subject, "
                f"which leaves {part * own:.1f} for {what}; write 0.1 for a tenth"
            )


def check_missing(study: Study) -> None:
    """Raise InputError for a label that planted subjects lack and that there is not."""
    if not study.phantom:
        return
    every = [label for labels in ATLASES.values() for label in labels]
    lines = [
        f"config.phantom.subjects.{subject}.missing: {label!r} is a label of no atlas{nearest(label, every)}"
        for subject, planted in described(study.planted).subjects.items()
        for label in planted.missing
        if label not in every
    ]
    if lines:
        raise error_of(lines)


def check_labels(study: Study, name: str) -> None:
    """Raise InputError for the labels of an ROI that their atlas has not."""
    lines = [
        f"{where}: {label!r} is not a label of {atlas}; it has {one_of(label, known)}{elsewhere(label)}"
        for where, label, atlas, known in unknown_labels(study, name, sure=True)
    ]
    if lines:
        raise error_of(lines)


def unknown_labels(study: Study, name: str, sure: bool = False) -> Iterator[tuple[str, str, str, list[str]]]:
    """Labels of an ROI that an atlas has not: the key, the label, the atlas and the labels that it has.

    A phantom's atlases are known. Those of the real data stand in the mirror; before it has them, they are taken to be
    the phantom's, which bear their names, unless one must be `sure`.
    """
    for where, region in regions(f"config.rois.{name}", study.rois[name]):
        known = ATLASES[region.atlas]
        if not study.phantom:
            table = ctab(study.data.mirror, study.subjects[0], region.atlas)
            if table.exists():
                known = list(read_ctab(table))
            elif sure or region.atlas in STAND_INS:
                continue
        yield from ((f"{where}.labels", label, region.atlas, known) for label in region.labels if label not in known)


def regions(where: str, roi: ROI) -> Iterator[tuple[str, Region]]:
    """Every region of an ROI that names labels, and where it stands."""
    yield where, roi
    for key, parts in (("plus", roi.plus or ()), ("within", () if isinstance(roi.within, str) else roi.within or ())):
        yield from ((f"{where}.{key}.{index}", part) for index, part in enumerate(parts))


def elsewhere(label: str) -> str:
    """The atlases that have a label, or what is meant by one that is written in another way, as a hint."""
    every = {name for labels in ATLASES.values() for name in labels}
    parts = re.split(r"[\s,;+]+", label.strip())
    if len(parts) > 1 and every.issuperset(parts):
        return f"; write them one by one: [{', '.join(parts)}]"
    if (plain := re.sub(r"^[LR]_|_ROI$", "", label)) != label and plain in every:  # of Glasser et al. (2016)
        return f"; write {plain}, and the hemisphere as `hemisphere`"
    having = [atlas for atlas, labels in ATLASES.items() if label in labels]
    return f"; {label} is one of {', '.join(having)}" if having else ""
