"""The border of predictors: a subject's data are such as can be fitted, or one line says what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from neurobust.core.errors import InputError
from neurobust.files.splits import TEST, TRAIN, VALIDATION
from neurobust.predictors.data import SubjectData


def checked_subjects(subjects: Sequence[SubjectData], input_size: int) -> list[SubjectData]:
    """Subjects with float32 responses.

    Raises InputError for data that cannot be fitted, or not together, or not by a predictor of this `input_size`.
    """
    checked = [checked_subject(data) for data in subjects]
    first, known = checked[0], [data.subject for data in checked]
    for name in known:
        if known.count(name) > 1 or "." in name or not name:
            raise InputError(f"subject {name!r}: give each subject a name of its own, without dots")
    for data in checked[1:]:
        if data.images.shape[1] != first.images.shape[1]:
            raise InputError(
                f"{name_of(data)}: images of {data.images.shape[1]} px, those of {first.subject} are of "
                f"{first.images.shape[1]} px; give all subjects images of one size"
            )
    if first.images.shape[1] != input_size:
        raise InputError(
            f"{name_of(first)}: images of {first.images.shape[1]} px for a predictor with input_size: {input_size}; "
            "give images of that size, or make it theirs"
        )
    return checked


def checked_subject(data: SubjectData) -> SubjectData:
    """The subject with float32 responses; InputError, beginning with file or subject, for what cannot be fitted."""
    where = name_of(data)
    shape = data.images.shape
    if data.images.dtype != np.uint8 or len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
        raise InputError(
            f"{where}: images are {data.images.dtype} {tuple(shape)}; give square uint8 colour images (M, S, S, 3)"
        )
    responses = as_float32(data.responses, f"{where}: responses")
    single_trials = as_float32(data.single_trials, f"{where}: single_trials")
    trials = None if data.trials is None else as_float32(data.trials, f"{where}: trials")
    check_rows(data, where)
    for split, name in ((TRAIN, "training"), (VALIDATION, "validation")):
        count = len(data.rows_of(split))
        if count < 2:
            raise InputError(f"{where}: {count} {name} images; a predictor needs at least 2: widen the split")
    return replace(data, responses=responses, single_trials=single_trials, trials=trials)


def check_rows(data: SubjectData, where: str) -> None:
    """Raise InputError where the rows of the responses are not each one image's, in the order of nsd_id."""
    count = len(data.responses)
    for name in ("row", "n_repeats", "split", "nsd_id"):
        if len(getattr(data, name)) != count:
            raise InputError(
                f"{where}: {len(getattr(data, name))} values of {name} for {count} responses; give as many"
            )
    if count and data.n_repeats.min() < 1:
        k = int(np.argmin(data.n_repeats))
        raise InputError(f"{where}: n_repeats is {data.n_repeats[k]} in row {k}; leave out images that were not shown")
    wrong = np.flatnonzero(np.diff(data.nsd_id.astype(np.int64)) <= 0)
    if len(wrong):
        k = int(wrong[0])
        raise InputError(
            f"{where}: nsd_id {data.nsd_id[k + 1]} in row {k + 1} follows {data.nsd_id[k]}; sort the rows by nsd_id, "
            "one row an image"
        )
    test, others = (data.nsd_id[rows] for rows in (data.rows_of(TEST), np.flatnonzero(data.split != TEST)))
    for name, given, ids in (
        ("single_trial_nsd_id", data.single_trial_nsd_id, test),
        ("trial_nsd_id", data.trial_nsd_id, others),
    ):
        strange = np.array([]) if given is None else np.setdiff1d(given, ids)
        if len(strange):
            kind = "a test image" if ids is test else "an image for training or validation"
            raise InputError(f"{where}: {name} {strange[0]} is not {kind}; leave its trials out")


def check_test_images(data: SubjectData) -> None:
    """Raise InputError where there are not enough test images for a correlation."""
    count = len(data.rows_of(TEST))
    if count < 2:
        raise InputError(
            f"{name_of(data)}: {count} test images; the accuracy of voxels needs at least 2: widen the split"
        )


def as_float32(values: np.ndarray, where: str) -> np.ndarray:
    """Real numbers (n, V) as float32; InputError, beginning with `where`, for others and for what is not finite."""
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
        raise InputError(f"{where}: {values.dtype} {values.shape}; give real numbers (n, voxels)")
    values = values.astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        n, v = np.argwhere(~np.isfinite(values))[0]
        bad = int((~np.isfinite(values)).any(0).sum())
        raise InputError(
            f"{where}: {values[n, v]} in row {n}, voxel {v} ({bad} of {values.shape[1]} voxels are not finite); "
            "leave such voxels or trials out"
        )
    return values


def name_of(data: SubjectData) -> str:
    """The subject's file, or the subject where there is none."""
    return data.source or data.subject
