"""Fitting of feature-weighted receptive fields: the best of the candidate fields for each voxel."""

from __future__ import annotations

import torch
from torch import Tensor

from neurobust.core.progress import Progress
from neurobust.files.splits import TRAIN, VALIDATION
from neurobust.predictors.data import SubjectData
from neurobust.predictors.feature_base import FeatureMaps
from neurobust.predictors.fitting import FitContext, Fitted
from neurobust.predictors.fixed_features import cached_maps, make_features
from neurobust.predictors.fwrf import FwRF, candidate_fields, pool_maps
from neurobust.predictors.fwrf_settings import FieldSearch, FwRFSettings
from neurobust.predictors.model import Arguments
from neurobust.predictors.predict import validation_r
from neurobust.predictors.ridge import RidgePath, edge_shares, report_edges, standardisation

FIELD_BATCH = 32  # candidate fields whose pooled features are held at a time: bounds the memory


def fit_fwrf(settings: FwRFSettings, context: FitContext) -> Fitted:
    """Feature-weighted fields on the features of a kind."""
    features, config = make_features(settings.read_features, context)
    return fit_fields(features, config, settings.search, context, settings.kind)


def fit_fields(
    features: FeatureMaps, features_config: Arguments, search: FieldSearch, context: FitContext, label: str
) -> Fitted:
    """A field and a regularisation for each voxel, the pair that predicts the validation images best.

    The weights are fitted on the training images. `validation_r` is on the images by which fields and penalties were
    chosen, and so too good, most of all where there is no signal: accuracies are those on test images. One
    eigendecomposition per field serves all regularisations and voxels. Needs no checkpoint: minutes.
    """
    device = context.device
    config: Arguments = {"voxels": context.voxels, "input_size": context.input_size, "features": features_config}
    model = FwRF(**{**config, "features": features}).to(device)
    fields = candidate_fields(search.field_sizes, search.field_spacing).to(device)
    strengths = torch.tensor(search.alphas, device=device)
    progress = Progress(len(fields) * len(context.subjects), label)
    alphas = []
    for data in context.subjects:
        columns = model.columns(data.subject)
        field, weight, bias, alpha = search_fields(model.features, data, fields, strengths, context, progress)
        with torch.no_grad():
            model.field[columns], model.weight[columns], model.bias[columns] = fields[field], weight, bias
        alphas.append(alpha)
        report_edges(alpha, search.alphas, f"{label}, {data.subject}")
    r = validation_r(model, context.subjects, context.image_batch, device)
    history = [{"epoch": 0, "validation_r": r, **edge_shares(torch.cat(alphas), search.alphas)}]
    return Fitted(model.cpu().eval(), config, history)


@torch.no_grad()
def search_fields(
    features: FeatureMaps, data: SubjectData, fields: Tensor, strengths: Tensor, context: FitContext, progress: Progress
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Per voxel of a subject: index of its best field (V,); weights (V, C) and bias (V,) in the features' units; its
    penalty (V,).

    fields (K, 3); strengths: the penalties (A,).
    """
    device = context.device
    train, held = data.rows_of(TRAIN), data.rows_of(VALIDATION)
    maps = {name: cached_maps(features, data, rows, context) for name, rows in (("train", train), ("held", held))}
    y, y_held = (torch.from_numpy(data.responses[rows]).to(device) for rows in (train, held))
    centre = y.mean(0)
    y, y_held = y - centre, y_held - centre
    best = torch.full((data.voxels,), torch.inf, device=device)
    index = torch.zeros(data.voxels, dtype=torch.long, device=device)
    weight = torch.zeros(data.voxels, sum(features.channels), device=device)
    bias, penalty = centre.clone(), torch.full_like(centre, torch.nan)
    for start in range(0, len(fields), FIELD_BATCH):
        some = fields[start : start + FIELD_BATCH]
        pooled = {name: pool_maps([m.to(device) for m in part], some) for name, part in maps.items()}
        for k in range(len(some)):
            mean, std = standardisation(pooled["train"][k])
            x, x_held = ((pooled[name][k] - mean) / std for name in ("train", "held"))
            dual = len(x) < x.shape[1]  # fewer images than channels: `ridge` has both forms
            path = RidgePath.of(x @ x.T, y) if dual else RidgePath.of(x.T @ x, x.T @ y)
            loss, which = path.losses(x_held @ x.T if dual else x_held, y_held, strengths).min(0)
            better = torch.nonzero(loss < best).flatten()
            if len(better):
                chosen = RidgePath(path.vectors, path.values, path.rotated[:, better])
                w = chosen.weights(strengths[which[better]])
                w = (x.T @ w if dual else w).T / std
                best[better], index[better], weight[better] = loss[better], start + k, w
                bias[better] = centre[better] - w @ mean
                penalty[better] = strengths[which[better]]
            progress.step()
    return index, weight, bias, penalty
