"""A trained predictor, read back as a frozen module: what networks are asked to resemble."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from numbers import Integral
from pathlib import Path
from typing import cast

import torch
from torch import nn

from neurobust.core.errors import InputError, flat
from neurobust.core.io import load_weights
from neurobust.core.places import load
from neurobust.core.plain_torch import own_draws, plain_torch
from neurobust.files.pixels import resized
from neurobust.predictors.ensemble import Ensemble
from neurobust.predictors.model import ResponseModel
from neurobust.predictors.registry import PREDICTORS
from neurobust.predictors.units import in_units, split_units

GIVE = "give the model.safetensors of a study's predictor, or what `save` of a fit wrote"
ROUNDING = 1e-3  # by which a resized image may leave [0, 1]


def load_predictor(path: Path) -> ResponseModel:
    """A trained predictor from its `model.safetensors`: eval mode, frozen, images (N, 3, size, size) -> (N, voxels).

    Its kind, which the file names, says what rebuilds it. Raises InputError for a file that is none, or not whole.
    """
    saved, config = load_weights(path)
    state, units = split_units(saved)
    names = config.pop("names", {})
    kind = config.pop("kind", None)
    if kind is None:
        raise InputError(f"{path}: not a predictor's file; {GIVE}")
    if kind not in PREDICTORS:
        raise InputError(
            f"{path}: predictor kind {kind!r} is not one of {', '.join(PREDICTORS)}; install the package that has it, "
            "or update neurobust"
        )
    build = cast(Callable[..., ResponseModel], load(PREDICTORS[kind].build))
    for name, value in saved.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise InputError(f"{path}: {name} is not finite; fit the predictor again")
    try:
        with own_draws(), plain_torch():
            module = build(**config)
            module.load_state_dict(state)
            module = in_units(module, units)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: no whole predictor of kind {kind} ({flat(error)}); fit it again") from error
    module.names = names
    count, named = sum(module.voxels.values()), len(module.column_names())
    if count != named:
        raise InputError(f"{path}: {named} names for {count} voxels; fit it again")
    return module.eval().requires_grad_(False)


class Target(nn.Module):
    """Frozen predictors side by side: images (N, 3, H, W) in [0, 1] of any size -> responses (N, D).

    Each predictor gets the image at its own input size and subtracts its own mean. `train()` is without effect: a
    frozen predictor whose BatchNorm follows the batch is not frozen (a flaw of published code).
    """

    def __init__(self, predictors: Sequence[ResponseModel]):
        super().__init__()
        self.predictors = nn.ModuleList(predictors)
        self.sizes = [predictor.input_size for predictor in predictors]
        self.requires_grad_(False)
        self.dimensions = sum(sum(predictor.voxels.values()) for predictor in predictors)
        super().train(False)

    @property
    def names(self) -> list[str]:
        """A name for each column (D,): the voxel's own where it was fitted with one, else subject and number."""
        return [
            name for predictor in self.predictors for name in cast(ResponseModel, predictor).column_names()
        ]  # fmt: skip

    @property
    def units(self) -> torch.Tensor:
        """Of each column (D,): `ResponseModel.units`."""
        return torch.cat([cast(ResponseModel, predictor).units() for predictor in self.predictors])

    def train(self, mode: bool = True) -> Target:
        """Nothing changes: it stays in eval mode."""
        return self

    def forward(self, images: torch.Tensor, bounded: bool = True) -> torch.Tensor:
        """Responses (N, D) of all predictors, in their order.

        Raises InputError for what is no batch of colour images in [0, 1]: a predictor would answer it too, with numbers
        that mean nothing. `bounded=False` takes pixels of any value, for images that are made to leave [0, 1].
        """
        images = self.prepared(images, bounded)
        if not len(images):
            return images.new_zeros(0, self.dimensions)
        parts = zip(self.predictors, self.sizes, strict=True)
        return torch.cat([predictor(resized(images, size)) for predictor, size in parts], 1)

    def prepared(self, images: torch.Tensor, bounded: bool = True) -> torch.Tensor:
        """Images in the precision of the predictors, once they are such as can be answered (`check_pixels`)."""
        check_pixels(images, bounded)
        values = chain(self.parameters(), self.buffers())
        return images.to(next(value.dtype for value in values if value.is_floating_point()))

    def contributions(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """What each layer adds to the responses (N, D) of a target of one predictor; empty for several, and for a kind
        whose responses are no sum over layers."""
        if len(self.predictors) > 1:
            return {}
        images = resized(self.prepared(images), self.sizes[0])
        return cast(ResponseModel, self.predictors[0]).contributions(images)

    def core_features(self, images: torch.Tensor) -> torch.Tensor | None:
        """What was trained for the voxels of a target of one predictor, (N, features); None where there is no such."""
        if len(self.predictors) > 1:
            return None
        images = resized(self.prepared(images), self.sizes[0])
        return cast(ResponseModel, self.predictors[0]).core_features(images)


def check_pixels(images: torch.Tensor, bounded: bool) -> None:
    """Raise InputError unless images are floats (N, 3, H, W), in [0, 1] (but for rounding) where `bounded`."""
    way = "give float pixels (N, 3, H, W) in [0, 1], as `files.pixels.to_pixels` makes them of uint8"
    if not isinstance(images, torch.Tensor):
        raise InputError(f"target: images are a {type(images).__name__}; {way}")
    if not images.is_floating_point() or images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape[2:]:
        raise InputError(f"target: images are {images.dtype} {tuple(images.shape)}; {way}")
    if bounded and images.numel():
        low, high = (float(value) for value in images.detach().aminmax())
        if not (low >= -ROUNDING and high <= 1 + ROUNDING):  # also refuses NaN
            raise InputError(f"target: pixels from {low:g} to {high:g}; {way}, without any normalisation")


def own_files(paths: str | Path | Sequence[str | Path]) -> list[Path]:
    """The files that a caller names; InputError where there is none, or something that is no file."""
    try:
        given = [paths] if isinstance(paths, (str, Path)) else paths
        chosen = [Path(path).expanduser() for path in given]
    except TypeError:
        raise InputError(f"load_target: {type(paths).__name__}: give a predictor's file, or several") from None
    if not chosen:
        raise InputError("load_target: no files; give a predictor's file, or several")
    for path in chosen:
        if problem := no_file(path):
            raise InputError(f"{path}: {problem}; {GIVE}")
    return chosen


def no_file(path: Path) -> str:
    """Why a path is no file that can be read; empty where it is one."""
    try:
        if path.is_file():
            return ""
        return "a folder, not a predictor's file" if path.is_dir() else "there is no such file"
    except OSError as error:  # of a name that is too long
        return f"no file ({error.strerror})"


def load_target(paths: str | Path | Sequence[str | Path], members: int = 1) -> Target:
    """A predictor's file, or those of several ROIs side by side, as one frozen target module.

    With `members` above 1, so many files one after the other are seeds of one predictor: their mean is its response.
    Raises InputError for files that are no predictors, or no whole number of ensembles.
    """
    chosen = own_files(paths)
    if not isinstance(members, Integral) or members < 1:
        raise InputError(f"load_target: members: {members!r}: give a whole number of files, at least 1")
    if len(chosen) % members:
        raise InputError(f"{chosen[0]}: {len(chosen)} files are no ensembles of {members}; give each ROI as many seeds")
    members, loaded = int(members), [load_predictor(path) for path in chosen]
    if members == 1:
        return Target(loaded)
    starts = range(0, len(chosen), members)
    return Target([Ensemble(loaded[k : k + members], str(chosen[k])) for k in starts])
