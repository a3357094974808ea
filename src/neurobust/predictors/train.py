"""Entry points of the stage: train a predictor, and read one back as a target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from neurobust.errors import InputError
from neurobust.io import canonical_json, load_weights, provenance, save_weights, write_json, write_parquet
from neurobust.predictors.data import TEST, SubjectData, load_subject
from neurobust.predictors.evaluate import normalise_r, pearson, summarise
from neurobust.predictors.fields import pooling_fields
from neurobust.predictors.fit_gnet import fit_gnet, predict_subject
from neurobust.predictors.gnet import GNet
from neurobust.training import clear_checkpoint


@dataclass(frozen=True)
class Kind:
    """A kind of predictor: how it is fitted, how its module is rebuilt from config, how its fields are read."""

    fit: Callable[..., tuple[nn.Module, dict[str, Any], list[dict]]]
    build: Callable[..., nn.Module]
    fields: Callable[[nn.Module, str], np.ndarray] | None


PREDICTORS: dict[str, Kind] = {"gnet": Kind(fit_gnet, GNet, pooling_fields)}


def voxel_table(model: nn.Module, kind: Kind, data: SubjectData, image_batch: int = 100) -> pd.DataFrame:
    """One row per voxel of a subject: accuracy on held-out images, ceilings, and where its field lies (degrees)."""
    predicted = predict_subject(model, data, TEST, image_batch, "cpu")
    rows = data.rows_of(TEST)
    trial_row = np.searchsorted(data.nsd_id[rows], data.single_trial_nsd_id)
    r = pearson(predicted, data.responses[rows])
    fields = kind.fields(model, data.subject) if kind.fields else np.full((data.voxels, 3), np.nan)
    return pd.DataFrame(
        {
            "subject": data.subject,
            "voxel_index": data.voxel_index,
            "r": r,
            "r_single": pearson(predicted[trial_row], data.single_trials),
            "noise_ceiling": data.noise_ceiling,
            "r_normalised": normalise_r(r, data.noise_ceiling),
            "ncsnr": data.ncsnr,
            "field_x": fields[:, 0],
            "field_y": fields[:, 1],
            "field_size": fields[:, 2],
        }
    )


def train_predictor(
    rois: list[Path], stimuli: list[Path], settings: dict[str, Any], seed: int,
    model: Path, metrics: Path, voxels: Path, checkpoint: Path | None = None,
    voxel_batch: int = 512, image_batch: int = 100,
) -> None:  # fmt: skip
    """Fit one predictor to one ROI of all subjects and write model, metrics and voxel table.

    rois and stimuli: one file per subject, in the same order. `settings["kind"]` is a key of PREDICTORS. The batches
    bound the memory of readout and validation and do not change the result.
    """
    kind = PREDICTORS[settings["kind"]]
    subjects = [load_subject(roi, images) for roi, images in zip(rois, stimuli, strict=True)]
    subjects = [data for data in subjects if data.voxels]
    if not subjects:
        raise InputError(f"{rois[0]}: the ROI has no voxels in any subject; widen its labels or remove it from `rois`")
    sources = {f"roi {path.parent.name}": path for path in rois}
    record = provenance(sources, settings, seed)
    fitted, config, history = kind.fit(
        settings, subjects, seed, checkpoint, canonical_json(record), voxel_batch=voxel_batch, image_batch=image_batch
    )
    table = pd.concat([voxel_table(fitted, kind, data, image_batch) for data in subjects], ignore_index=True)
    by_subject = {
        subject: summarise(part["r"].to_numpy(), part["noise_ceiling"].to_numpy())
        for subject, part in table.groupby("subject", sort=True)
    }
    result = {
        "all": summarise(table["r"].to_numpy(), table["noise_ceiling"].to_numpy()),
        "subjects": by_subject,
        "history": history,
        "parameters": sum(p.numel() for p in fitted.parameters()),
        "provenance": record,
    }
    save_weights(model, fitted.state_dict(), {"kind": settings["kind"], **config})
    write_parquet(voxels, table, {"provenance": record})
    write_json(metrics, result)
    clear_checkpoint(checkpoint)


def load_predictor(path: Path) -> nn.Module:
    """A trained predictor from its `model.safetensors`: eval mode, frozen, images (N, 3, size, size) -> (N, voxels)."""
    state, config = load_weights(path)
    kind = config.pop("kind", None)
    if kind not in PREDICTORS:
        raise InputError(f"{path}: predictor kind {kind!r} is not one of {sorted(PREDICTORS)}; update neurobust")
    module = PREDICTORS[kind].build(**config)
    module.load_state_dict(state)
    return module.eval().requires_grad_(False)


class Target(nn.Module):
    """Frozen predictors side by side: images (N, 3, H, W) in [0, 1] of any size -> responses (N, D).

    Each predictor gets the image at its own input size and subtracts its own mean. `train()` is without effect: a
    frozen predictor whose BatchNorm follows the batch is not frozen (a flaw of published code).
    """

    def __init__(self, predictors: list[nn.Module]):
        super().__init__()
        self.predictors = nn.ModuleList(predictors).requires_grad_(False)
        self.dimensions = sum(sum(p.voxels.values()) for p in predictors)
        super().train(False)

    def train(self, mode: bool = True) -> Target:
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([predictor(resize(images, predictor.input_size)) for predictor in self.predictors], 1)


def resize(images: torch.Tensor, size: int) -> torch.Tensor:
    """Bilinear, antialiased resize of (N, 3, H, W) to (N, 3, size, size); the identity at the same size."""
    if images.shape[-2:] == (size, size):
        return images
    return nn.functional.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)


def load_target(paths: list[Path]) -> Target:
    """Predictors of several ROIs as one frozen target module."""
    return Target([load_predictor(path) for path in paths])
