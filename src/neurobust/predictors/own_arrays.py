"""A predictor fitted to arrays of your own, without a study, files or a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from neurobust.core.errors import InputError, flat
from neurobust.core.io import save_weights
from neurobust.core.plain_torch import own_draws, plain_torch
from neurobust.core.seeding import numpy_rng
from neurobust.core.settings import field_names
from neurobust.core.training import pick_device
from neurobust.files.splits import TEST, TRAIN, VALIDATION
from neurobust.predictors.checks import check_test_images, checked_subject
from neurobust.predictors.data import SubjectData
from neurobust.predictors.description import Predictor
from neurobust.predictors.fitting import FitContext, Fitted
from neurobust.predictors.predict import predict
from neurobust.predictors.registry import PREDICTORS, read_predictor
from neurobust.predictors.train import accuracy_table, fit_kind
from neurobust.predictors.units import UNITS, Units

SUBJECT = "own"
LEAST_SPREAD = 1e-5  # of the largest value: less is rounded in single precision to steps of more than a hundredth
SMALLEST, LARGEST = 1e-30, 1e30  # spread and size of responses that single precision holds well
HELD_OUT = 10  # one image in so many validates, and one tests
COLUMNS = ("name", "r", "r_low", "r_high", "p", "p_fdr", "noise_ceiling", "r_normalised", "fev",
           "field_x", "field_y", "field_size")  # fmt: skip


@dataclass(frozen=True)
class OwnPredictor:
    """A fitted predictor.

    voxels: a row per column of the responses, with its `name` and how well it is predicted on test images that the fit
    has not seen; the columns are those of `voxels.parquet` (docs/design.md). split (N,): 0 training, 1 validation, 2
    test. fitted: the module, which answers in z-scores, what rebuilds it, and the history of the fit. units: of the
    responses as they were given, in which it predicts and is saved.
    """

    settings: Predictor
    fitted: Fitted
    voxels: pd.DataFrame
    split: np.ndarray
    units: Units

    def predict(self, images: np.ndarray, image_batch: int = 100) -> np.ndarray:
        """Responses (n, V) float32 to images uint8 (n, S, S, 3) of the size that it was fitted to."""
        images = own_images(images, self.settings.input_size)
        if not isinstance(image_batch, Integral) or image_batch < 1:
            raise InputError(f"image_batch: {image_batch!r}: give a whole number of images, at least 1")
        rows, cpu = np.arange(len(images)), torch.device("cpu")
        with plain_torch():
            found = predict(self.fitted.model, images, rows, SUBJECT, int(image_batch), cpu)
        return self.units.restored(found)

    def save(self, path: str | Path) -> None:
        """Write it as one file, which `load_target` reads; the names of the voxels travel with it."""
        names = {SUBJECT: list(self.voxels["name"])}
        config = {"kind": self.settings.kind, **self.fitted.config, "names": names}
        try:
            path = Path(path).expanduser()
            folder = path.is_dir()
        except (OSError, TypeError, RuntimeError) as error:
            raise InputError(f"save: {str(path)[:200]!r}: give the path of a file ({flat(error)})") from error
        if folder:
            raise InputError(f"{path}: a folder; name a file in it, such as {path / 'predictor.safetensors'}")
        units = {UNITS + name: torch.from_numpy(part) for name, part in self.units._asdict().items()}
        try:
            save_weights(path, {**self.fitted.model.state_dict(), **units}, config)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else flat(error)
            raise InputError(f"{path}: cannot be written ({reason}); name another place") from error


def fit_predictor(
    images: np.ndarray, responses: np.ndarray, kind: str = "gnet", *, names: Sequence[str] | None = None,
    split: np.ndarray | None = None, noise_ceiling: np.ndarray | None = None, seed: int = 0, **settings: Any,
) -> OwnPredictor:  # fmt: skip
    """Fit a predictor of a registered kind to responses (N, V) to square images uint8 (N, S, S, 3), row by row.

    Both are arrays or tensors; responses may have any unit that single precision holds, since their z-scores over
    training images are fitted. The global generators of random numbers are given back as they were.
    settings: keys of the kind (docs/configuration.md) in the place of its usual ones; `shuffle_pairing=True` is the
    shuffle control, fitted to permuted pairs and tested on the true ones. names: of the voxels, default the columns of
    a data frame, else "0", "1", ... split (N,): 0 training, 1 validation, 2 test; default: 8 : 1 : 1, drawn from the
    seed. Split by image: an image that was shown several times belongs to one split, so average its responses first.
    noise_ceiling (V,): percent of variance, default unknown. Raises InputError, in one line, for what cannot be fitted.
    """
    described = PREDICTORS.find(kind, "kind")
    images, columns = as_array(images, "images"), getattr(responses, "columns", None)
    side = images.shape[1] if images.ndim == 4 else 0
    if images.ndim == 0:
        raise InputError(f"images: {images.dtype}, no array; give uint8 (N, S, S, 3)")
    if not isinstance(seed, Integral):
        raise InputError(f"seed: {seed!r}: give a whole number")
    stated = {key: as_written(value) for key, value in settings.items()}
    given = {"kind": kind, "input_size": side, **usual(described), **stated}
    data = own_data(images, as_array(responses, "responses"), split, noise_ceiling, seed)
    chosen = own_names(columns if names is None else names, data.voxels)
    read = read_predictor(SUBJECT, given, "fit_predictor")
    data, units = in_z_scores(data)
    context = FitContext([data], int(seed), device=pick_device())
    with plain_torch(), own_draws():
        fitted = fit_kind(read, context)
        table = accuracy_table(read, fitted.model, context).assign(name=chosen)
    return OwnPredictor(read, fitted, table[list(COLUMNS)], data.split, units)


def as_array(values: Any, name: str) -> np.ndarray:
    """A caller's values as an array, whether they are one, a tensor, a list or a data frame; InputError otherwise."""
    if isinstance(values, torch.Tensor):
        if values.layout != torch.strided or values.is_meta:
            raise InputError(f"{name}: a tensor of {values.layout} on {values.device}; give a dense one with values")
        values = values.detach().cpu()
        return np.asarray(values.float() if values.dtype == torch.bfloat16 else values)
    if isinstance(values, pd.DataFrame) and any(map(pd.api.types.is_extension_array_dtype, values.dtypes)):
        values = without_missing(values)
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise InputError(f"{name}: {int(np.ma.count_masked(values))} values are masked; leave those rows or voxels out")
    try:
        return np.asarray(values)
    except ValueError as error:
        raise InputError(f"{name}: rows of several sizes ({flat(error)}); give one array") from error


def without_missing(frame: pd.DataFrame) -> Any:
    """A frame of pandas' own numbers as float64, NaN where one is missing; as it is where something is no number."""
    try:
        return frame.to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        return frame


def as_written(value: Any) -> Any:
    """A setting, or those in a list, as a configuration would have it: numbers and arrays of numpy or torch as plain
    ones, paths as text."""
    if isinstance(value, (np.ndarray, np.generic, torch.Tensor)):
        return value.tolist()
    if isinstance(value, (list, tuple, range)):
        return [as_written(part) for part in value]
    return str(value) if isinstance(value, Path) else value


def own_names(names: Any, voxels: int) -> list[str]:
    """A name for each voxel, default its number; InputError unless there are as many, all different."""
    try:
        if isinstance(names, (str, bytes, dict)):
            raise TypeError
        given = names.tolist() if isinstance(names, (np.ndarray, torch.Tensor)) else names
        chosen = [str(name) for name in (range(voxels) if given is None else given)]
    except TypeError:
        raise InputError(f"names: {names!r}: give a list with a name for each of {voxels} voxels") from None
    if len(chosen) != voxels or len(set(chosen)) != voxels:
        raise InputError(f"names: {len(set(chosen))} different ones for {voxels} voxels; give each voxel its own")
    return chosen


def in_z_scores(data: SubjectData) -> tuple[SubjectData, Units]:
    """Data whose voxels have mean 0 and SD 1 over training images, as those of a study have, and their units.

    What is trained by gradient from small weights does not reach responses far from 0, or far from 1 in spread.
    """
    units = Units.of(data.responses[data.rows_of(TRAIN)])
    responses, single_trials = units.removed(data.responses), units.removed(data.single_trials)
    return replace(data, responses=responses, single_trials=single_trials), units


def usual(described: type[Predictor]) -> Mapping[str, Any]:
    """The keys that a configuration must state, as this function fills them in: those of the kind's `usual`."""
    known = field_names(described)
    return {key: value for key, value in described.usual.items() if key in known}


def own_images(images: np.ndarray, side: int) -> np.ndarray:
    """Images as an array; InputError unless they are uint8 (n, side, side, 3)."""
    images = as_array(images, "images")
    if images.dtype != np.uint8 or images.shape[1:] != (side, side, 3):
        raise InputError(f"images: {images.dtype} {images.shape}; give uint8 (n, {side}, {side}, 3)")
    return images


def own_data(
    images: np.ndarray, responses: np.ndarray, split: np.ndarray | None, noise_ceiling: np.ndarray | None, seed: int
) -> SubjectData:
    """The arrays as one subject's data; InputError for what cannot be fitted or tested."""
    if responses.ndim != 2 or len(responses) != len(images) or responses.shape[1] == 0:
        raise InputError(f"responses: {responses.shape} for {len(images)} images; give (images, voxels)")
    check_units(responses)
    count, voxels = responses.shape
    split = own_split(count, seed) if split is None else as_array(split, "split")
    if split.shape != (count,) or not np.isin(split, (TRAIN, VALIDATION, TEST)).all():
        raise InputError(f"split: {split.shape} {split.dtype}; give {count} numbers, 0 training, 1 validation, 2 test")
    ceiling = np.full(voxels, np.nan) if noise_ceiling is None else own_ceiling(noise_ceiling, voxels)
    rows, test = np.arange(count), np.flatnonzero(split == TEST)
    data = SubjectData(
        subject=SUBJECT, images=images, row=rows, responses=responses, n_repeats=np.ones(count, np.int16), split=split,
        nsd_id=rows, voxel_index=np.arange(voxels), ncsnr=np.full(voxels, np.nan), noise_ceiling=ceiling,
        single_trials=responses[test], single_trial_nsd_id=test,
    )  # fmt: skip
    check_test_images(data)
    data = replace(checked_subject(data), source="")
    check_sides(images, split)
    return data


def check_sides(images: np.ndarray, split: np.ndarray) -> None:
    """Raise InputError where an image of uint8 (N, S, S, 3) has rows in two parts of the split (N,): what the fit has
    seen would be what it is tested on."""
    first: dict[bytes, int] = {}
    for row, image in enumerate(images):
        other = first.setdefault(blake2b(image.tobytes(), digest_size=16).digest(), row)
        if split[row] != split[other]:
            raise InputError(
                f"images: rows {other} and {row} are one image, in two parts of the split; average the responses to an "
                "image, or give a `split` that keeps its rows together"
            )


def check_units(responses: np.ndarray) -> None:
    """Raise InputError where real responses (N, V) would lose what they say in single precision, which predictors are
    in: a spread that is far smaller than the values, or that no such number can be."""
    if not np.issubdtype(responses.dtype, np.number) or np.iscomplexobj(responses) or not np.isfinite(responses).all():
        return  # `checks` says what is wrong
    values = responses.astype(np.float64)
    size, spread = np.abs(values).max(0), np.ptp(values, axis=0)
    constant = spread <= 4 * np.finfo(responses.dtype if responses.dtype.kind == "f" else np.float64).eps * size
    lost = ~constant & ((spread < LEAST_SPREAD * size) | (spread < SMALLEST) | (size > LARGEST))
    if lost.any():
        v = int(np.flatnonzero(lost)[0])
        raise InputError(
            f"responses: voxel {v} ({int(lost.sum())} of {len(lost)}) goes over {spread[v]:g} at values up to "
            f"{size[v]:g}, which single precision does not hold; take its mean away, or give it in another unit"
        )


def own_ceiling(noise_ceiling: Any, voxels: int) -> np.ndarray:
    """Noise ceilings (V,) in percent; InputError for what is none."""
    ceiling = as_array(noise_ceiling, "noise_ceiling")
    if ceiling.shape != (voxels,):
        raise InputError(f"noise_ceiling: {ceiling.shape} for {voxels} voxels; give one number a voxel, in percent")
    if not np.issubdtype(ceiling.dtype, np.number):
        raise InputError(f"noise_ceiling: {ceiling.dtype}; give one number a voxel, in percent")
    ceiling = ceiling.astype(float)
    known = ceiling[~np.isnan(ceiling)]
    if len(known) and not (known.min() >= 0 and known.max() <= 100):
        raise InputError(f"noise_ceiling: from {known.min():g} to {known.max():g}; give percent, 0 to 100")
    if len(known) and 0 < known.max() <= 1:
        raise InputError(f"noise_ceiling: {known.max():g} at most, which is a share; give percent: times 100")
    return ceiling


def own_split(count: int, seed: int) -> np.ndarray:
    """Which split each of so many images is of: 8 : 1 : 1, at least two each where there are enough, from the seed."""
    held = min(max(2, count // HELD_OUT), count)
    split = np.full(count, TRAIN, np.uint8)
    order = numpy_rng(seed, "own split").permutation(count)
    split[order[:held]], split[order[held : 2 * held]] = TEST, VALIDATION
    return split
