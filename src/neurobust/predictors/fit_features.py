"""Fitting of the predictors on fixed features: candidate fields for each voxel, or one ridge on pooled features."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neurobust.core.errors import InputError
from neurobust.core.progress import Progress
from neurobust.core.seeding import numpy_rng, seed_everything
from neurobust.core.training import pick_device
from neurobust.predictors.data import TEST, TRAIN, VALIDATION, SubjectData, channel_statistics, to_float
from neurobust.predictors.features import NetworkMaps, build_features
from neurobust.predictors.fwrf import FwRF, candidate_fields, pool_maps
from neurobust.predictors.linear import PooledLinear
from neurobust.predictors.predict import validation_r
from neurobust.predictors.ridge import RidgePath, ridge_cv

logger = logging.getLogger("neurobust")
Fitted = tuple[nn.Module, dict[str, Any], list[dict]]
RANDOM = "random"  # in place of a path: the network as its seed initialises it


def feature_config(settings: dict[str, Any], subjects: list[SubjectData]) -> dict[str, Any]:
    """The name and arguments of the features that the settings ask for; a network's channel counts come later."""
    config = {"name": settings["features"], "map_size": settings["map_size"]}
    if config["name"] == "gabor":
        return config | {"frequencies": settings["frequencies"], "orientations": settings["orientations"]}
    if config["name"] == "network":
        mean, std = channel_statistics(subjects)
        return config | {"network": settings["network"], "layers": settings["layers"], "mean": mean, "std": std}
    return config


def load_network(path: str, network: str, seed: int) -> nn.Module:
    """A torchvision network with the weights of a file (its state dict), or seeded ones for `random`."""
    from neurobust.core.vision import models

    if network not in models.list_models():
        raise InputError(f"network: '{network}' is not one of torchvision's; see torchvision.models.list_models()")
    seed_everything(seed, "features", network)
    model = models.get_model(network, weights=None)
    if path != RANDOM:
        try:
            model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{path}: not the weights of torchvision's {network} ({reason}); give its file") from error
    return model


def make_features(
    settings: dict[str, Any], subjects: list[SubjectData], seed: int, image_batch: int
) -> tuple[nn.Module, dict[str, Any]]:
    """The feature module with its weights, and its config. Of a network's layers the channels that vary most over the
    training images are kept, `channels` in all (every one without that key)."""
    config = feature_config(settings, subjects)
    size = subjects[0].images.shape[1]
    if config["name"] != "network":
        return build_features(input_size=size, **config), config
    full = load_network(settings["weights"], settings["network"], seed)
    try:
        module = NetworkMaps(input_size=size, **{k: v for k, v in config.items() if k != "name"}, channels=[])
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"layers: {settings['layers']} are not nodes of {settings['network']} ({reason})") from error
    missing = module.extractor.load_state_dict(full.state_dict(), strict=False).missing_keys
    if missing:
        raise InputError(f"{settings['weights']}: lacks {missing[0]} of {settings['network']}")
    variances = channel_variances(module, subjects, image_batch)
    kept = most_variable(variances, settings.get("channels"))
    config["channels"] = [len(part) for part in kept]
    whole = build_features(input_size=size, **config)
    whole.extractor.load_state_dict(module.extractor.state_dict())
    for k, part in enumerate(kept):
        getattr(whole, f"kept{k}").copy_(part)
    return whole, config


@torch.inference_mode()
def channel_variances(module: NetworkMaps, subjects: list[SubjectData], image_batch: int) -> list[Tensor]:
    """Variance of each layer's channels, averaged over the map, over the training images of all subjects."""
    pooled: list[list[Tensor]] = []
    for data in subjects:
        rows = np.sort(data.row[data.rows_of(TRAIN)])
        for start in range(0, len(rows), image_batch):
            maps = module.all_maps(to_float(data.images[rows[start : start + image_batch]]))
            pooled.append([m.mean((2, 3)) for m in maps])
    return [torch.cat(layer).var(0) for layer in zip(*pooled, strict=True)]


def most_variable(variances: list[Tensor], channels: int | None) -> list[Tensor]:
    """Indices, ascending, of the channels to keep of each layer: an equal share of `channels` of each, the most
    variable first; a layer that has fewer keeps them all."""
    share = max(1, channels // len(variances)) if channels else None
    return [v.argsort(descending=True, stable=True)[: share or len(v)].sort().values for v in variances]


@torch.inference_mode()
def cached_maps(
    features: nn.Module, data: SubjectData, rows: np.ndarray, image_batch: int, device: torch.device
) -> list[Tensor]:
    """Feature maps (n, C, side, side) of some rows of the responses, once, in half precision on the CPU."""
    parts = []
    for start in range(0, len(rows), image_batch):
        images = to_float(data.images[data.row[rows[start : start + image_batch]]], device)
        parts.append([m.half().cpu() for m in features(images)])
    return [torch.cat(layer) for layer in zip(*parts, strict=True)]


def fit_fwrf(
    settings: dict[str, Any], subjects: list[SubjectData], seed: int, checkpoint: Path | None, fingerprint: str,
    *, voxel_batch: int = 512, image_batch: int = 100,
) -> Fitted:  # fmt: skip
    """A field and a regularisation for each voxel, the pair that predicts the validation images best.

    The weights are fitted on the training images. One eigendecomposition per field serves all regularisations and
    voxels. Needs no checkpoint: minutes.
    """
    device = pick_device()
    settings = {**settings, "features": "gabor" if settings["kind"] == "gabor-fwrf" else "network"}
    features, feature_settings = make_features(settings, subjects, seed, image_batch)
    config = {
        "voxels": {data.subject: data.voxels for data in subjects},
        "input_size": subjects[0].images.shape[1],
        "features": feature_settings,
    }
    model = FwRF(**config)
    model.features.load_state_dict(features.state_dict())
    model.to(device)
    fields = candidate_fields(settings["field_sizes"], settings["field_spacing"]).to(device)
    progress = Progress(len(fields) * len(subjects), settings["kind"])
    first = 0
    for data in subjects:
        columns = slice(first, first + data.voxels)
        field, weight, bias = search_fields(
            model.features, data, fields, settings["alphas"], image_batch, device, progress
        )
        with torch.no_grad():
            model.field[columns], model.weight[columns], model.bias[columns] = fields[field], weight, bias
        first += data.voxels
    history = [{"epoch": 0, "validation_r": validation_r(model, subjects, image_batch, device)}]
    return model.cpu().eval(), config, history


@torch.no_grad()
def search_fields(
    features: nn.Module, data: SubjectData, fields: Tensor, alphas: list[float], image_batch: int,
    device: torch.device, progress: Progress, field_batch: int = 32,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Per voxel of a subject: index of its best field (V,); weights (V, C) and bias (V,) in the features' units."""
    train, held = data.rows_of(TRAIN), data.rows_of(VALIDATION)
    maps = {rows: cached_maps(features, data, r, image_batch, device) for rows, r in (("train", train), ("held", held))}
    y, y_held = (torch.from_numpy(data.responses[rows]).to(device) for rows in (train, held))
    centre = y.mean(0)
    y, y_held = y - centre, y_held - centre
    strengths = torch.tensor(alphas, device=device)
    best = torch.full((data.voxels,), torch.inf, device=device)
    index = torch.zeros(data.voxels, dtype=torch.long, device=device)
    weight = torch.zeros(data.voxels, sum(features.channels), device=device)
    bias = centre.clone()
    for start in range(0, len(fields), field_batch):
        some = fields[start : start + field_batch]
        pooled = {name: pool_maps([m.to(device) for m in part], some) for name, part in maps.items()}
        for k in range(len(some)):
            mean, std = pooled["train"][k].mean(0), pooled["train"][k].std(0).clamp_min(1e-6)
            x, x_held = ((pooled[name][k] - mean) / std for name in ("train", "held"))
            path = RidgePath.of(x.T @ x, x.T @ y)
            loss, which = path.losses(x_held, y_held, strengths).min(0)
            better = torch.nonzero(loss < best).flatten()
            if len(better):
                chosen = RidgePath(path.vectors, path.values, path.rotated[:, better])
                w = chosen.weights(strengths[which[better]]).T / std
                best[better], index[better], weight[better] = loss[better], start + k, w
                bias[better] = centre[better] - w @ mean
            progress.step()
    return index, weight, bias


@torch.no_grad()
def fit_ridge(
    settings: dict[str, Any], subjects: list[SubjectData], seed: int, checkpoint: Path | None, fingerprint: str,
    *, voxel_batch: int = 512, image_batch: int = 100,
) -> Fitted:  # fmt: skip
    """One ridge per subject on pooled features, with a regularisation per voxel by cross-validation (`ridge_cv`).

    Training and validation images together, in random order; features are standardised by their training statistics.
    """
    device = pick_device()
    features, feature_settings = make_features(settings, subjects, seed, image_batch)
    size = subjects[0].images.shape[1]
    sample = features(torch.zeros(1, 3, size, size))
    config = {
        "voxels": {data.subject: data.voxels for data in subjects},
        "input_size": size,
        "features": feature_settings,
        "inputs": sum(m[0].numel() for m in sample),
    }
    model = PooledLinear(**config)
    model.features.load_state_dict(features.state_dict())
    model.to(device)
    first = 0
    for data in subjects:
        rows = numpy_rng(seed, "folds", data.subject).permutation(np.flatnonzero(data.split != TEST))
        maps = cached_maps(model.features, data, rows, image_batch, device)
        x = torch.cat([m.float().flatten(1) for m in maps], 1).to(device)
        mean, std = x.mean(0), x.std(0).clamp_min(1e-6)
        y = torch.from_numpy(data.responses[rows]).to(device)
        fit = ridge_cv((x - mean) / std, y, settings["alphas"], settings["folds"], max(voxel_batch, 2048))
        weights = fit.weights / std[:, None]
        columns = slice(first, first + data.voxels)
        model.readout.weight[columns] = weights.T
        model.readout.bias[columns] = fit.intercept - mean @ weights
        logger.info("ridge: %s, median alpha %.3g", data.subject, fit.alpha.median().item())
        first += data.voxels
    history = [{"epoch": 0, "validation_r": validation_r(model, subjects, image_batch, device)}]
    return model.cpu().eval(), config, history
