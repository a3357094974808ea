"""The files that a network is trained from, and those that it leaves. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from neurobust.core.errors import InputError
from neurobust.networks.conditions import Condition


@dataclass(frozen=True)
class NetworkInputs:
    """What a network is trained from: the task's `dataset.h5`, and what its condition reads beside it.

    predictors: weights of the target's predictors, one per ROI, or of an ensemble all seeds of the first ROI, then of
    the next. oracle: the weights of the control `features`, at most
    one file. voxels, matched: voxel tables of the predictors and of the ROIs to match, for the control `subsampled`.
    responses, stimuli: `cortex/{subject}/{roi}.h5` and the same subjects' images in the task's size, in the same order,
    where the network is guided on stimuli. labels: the categories of the stimuli, for the control `labels`. guided: the
    weights of the network that a reference is matched with.
    """

    dataset: Path
    predictors: tuple[Path, ...] = ()
    oracle: tuple[Path, ...] = ()
    voxels: tuple[Path, ...] = ()
    matched: tuple[Path, ...] = ()
    responses: tuple[Path, ...] = ()
    stimuli: tuple[Path, ...] = ()
    labels: tuple[Path, ...] = ()
    guided: tuple[Path, ...] = ()

    def by_name(self) -> dict[str, Path]:
        """Every file under the name that its digest has in the provenance: dataset, predictor0, voxels0 and so on."""
        found = {"dataset": self.dataset}
        for field in fields(self)[1:]:
            name = "predictor" if field.name == "predictors" else field.name
            found.update({f"{name}{index}": path for index, path in enumerate(getattr(self, field.name))})
        return found

    def members(self, condition: Condition) -> int:
        """How many predictors one after the other make one: all seeds of an ROI in an ensemble, else one."""
        return len(self.predictors) // len(condition.target or ("",)) if condition.ensemble else 1

    def check(self, condition: Condition) -> None:
        """Raise InputError unless the files are those of the condition's target."""
        if condition.on_stimuli != bool(self.responses):
            key = "pairs" if condition.pairs else "on"
            raise InputError(
                f"recipe.condition.{key}: guidance on stimuli goes with their files, and no other condition does"
            )
        if (condition.on_stimuli and condition.removes.categories) != bool(self.labels):
            raise InputError(
                "recipe.condition.control: a target of the stimuli's categories goes with the file that says them, and "
                "no other condition does"
            )
        if (condition.reference is not None and condition.reference.matched is not None) != bool(self.guided):
            raise InputError(
                "recipe.condition.reference: one that is matched with a network goes with its file, and no other does"
            )
        if (condition.target is None or condition.pairs) != (len(self.predictors) == 0):
            raise InputError(
                f"recipe.condition.target: {condition.roi!r} goes with {len(self.predictors)} predictor files; "
                "a target needs at least one and `none` takes no predictor"
            )
        if condition.ensemble and len(self.predictors) % len(condition.target or ("",)):
            raise InputError(
                f"recipe.condition.ensemble: {len(self.predictors)} predictor files for {condition.roi}; give each ROI "
                "as many seeds"
            )


@dataclass(frozen=True)
class NetworkOutputs:
    """What training leaves: weights, metrics and a row of history per epoch. The checkpoint is gone at the end."""

    model: Path
    metrics: Path
    history: Path
    checkpoint: Path | None = None
