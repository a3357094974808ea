"""Readouts that are trained by gradient: a voxel's field in space times its weights of features, or attention.

Both read maps that are standardised per channel. With an `embedding` a voxel's weights are a few numbers of its own
times weights that all voxels of all subjects share, w_v = e_v B: what brains have in common is learned from all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from neurobust.predictors.feature_base import FeatureMaps
from neurobust.predictors.field_moments import centre_and_size
from neurobust.predictors.model import ResponseModel


class Weights(nn.Module):
    """Weights of some inputs for each voxel: (V, inputs), of their own or e_v B with `embedding` numbers each."""

    def __init__(self, voxels: int, inputs: int, embedding: int | None):
        super().__init__()
        size = inputs if embedding is None else embedding
        self.own = nn.Parameter(torch.randn(voxels, size) * size**-0.5 * 0.1)
        self.bias = nn.Parameter(torch.zeros(voxels))

    def of(self, rows: slice, basis: Tensor | None) -> Tensor:
        """The weights (v, inputs) of some voxels."""
        return self.own[rows] if basis is None else self.own[rows] @ basis


class TrainedReadout(ResponseModel):
    """Images (N, 3, size, size) in [0, 1] -> responses (N, all voxels), by a core and a readout per subject.

    voxels: per subject, in the order of the columns; sides, channels: of the core's maps; embedding: numbers of a voxel
    of its own, None for a weight of every feature.
    """

    centre: Tensor
    gain: Tensor

    def __init__(
        self, voxels: Mapping[str, int], input_size: int, features: FeatureMaps, sides: list[int], inputs: int,
        embedding: int | None,
    ):  # fmt: skip
        super().__init__()
        self.voxels, self.input_size, self.features, self.sides = dict(voxels), input_size, features, list(sides)
        channels = sum(features.channels)
        self.register_buffer("centre", torch.zeros(channels))
        self.register_buffer("gain", torch.ones(channels))
        self.basis = None if embedding is None else nn.Parameter(torch.randn(embedding, inputs) * inputs**-0.5)
        self.weights = nn.ModuleDict({name: Weights(count, inputs, embedding) for name, count in voxels.items()})

    def standardise(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps (N, C, side, side) of the core as (N, C, side * side), standardised per channel."""
        parts = zip(self.centre.split(self.features.channels), self.gain.split(self.features.channels), strict=True)
        return [(m.flatten(2) - centre[:, None]) * gain[:, None] for m, (centre, gain) in zip(maps, parts, strict=True)]

    def encode(self, maps: list[Tensor]) -> list[Tensor]:
        """What all voxels read of standardised maps."""
        raise NotImplementedError

    def read(self, encoded: list[Tensor], subject: str, rows: slice) -> Tensor:
        """Responses (N, v) of some voxels of a subject."""
        raise NotImplementedError

    def penalty(self, subject: str, rows: slice) -> Tensor:
        """The sum of absolute weights of some voxels of a subject."""
        return self.own(subject).of(rows, self.basis).abs().sum()

    def own(self, subject: str) -> Weights:
        """The weights of a subject's voxels."""
        return cast(Weights, self.weights[subject])

    def respond(self, images: Tensor, subject: str) -> Tensor:
        """Responses (N, V) of one subject's voxels."""
        return self.read(self.encode(self.standardise(self.features(images))), subject, slice(None))

    def forward(self, images: Tensor) -> Tensor:
        """Responses (N, voxels)."""
        encoded = self.encode(self.standardise(self.features(images)))
        return torch.cat([self.read(encoded, subject, slice(None)) for subject in self.voxels], 1)


class Factorised(TrainedReadout):
    """r_v = b_v + sum_l sum_c w_vlc sum_s softmax(field_vl)_s F_lcs: one field per voxel and layer l, times features.

    Source: Klindt, Ecker, Euler & Bethge 2017, "Neural system identification for large populations separating 'what'
    and 'where'", NeurIPS 30; the softmax is that of St-Yves et al. 2023.
    """

    def __init__(
        self, voxels: Mapping[str, int], input_size: int, features: FeatureMaps, sides: list[int],
        embedding: int | None = None,
    ):  # fmt: skip
        super().__init__(voxels, input_size, features, sides, sum(features.channels), embedding)
        self.fields = nn.ModuleDict(
            {
                name: nn.ParameterList(nn.Parameter(torch.zeros(count, side * side)) for side in sides)
                for name, count in voxels.items()
            }
        )

    def fields_of(self, subject: str) -> list[Tensor]:
        """Where the voxels of a subject look, on each map: (V, side * side), before the softmax."""
        return list(cast(nn.ParameterList, self.fields[subject]))

    def encode(self, maps: list[Tensor]) -> list[Tensor]:
        """The maps; with an embedding, what is shared of them (N, embedding, side * side)."""
        if self.basis is None:
            return maps
        return [part @ m for part, m in zip(self.basis.split(self.features.channels, 1), maps, strict=True)]

    def read(self, encoded: list[Tensor], subject: str, rows: slice) -> Tensor:
        """Responses (N, v): pooling first, so that it is one matrix product a map."""
        own = self.own(subject)
        widths = [m.shape[1] for m in encoded]
        weights = own.own[rows].split(widths, 1) if self.basis is None else [own.own[rows]] * len(encoded)
        out = own.bias[rows].expand(len(encoded[0]), -1)
        for m, field, weight in zip(encoded, self.fields_of(subject), weights, strict=True):
            n, channels, places = m.shape
            pooled = field[rows].softmax(1) @ m.permute(2, 0, 1).reshape(places, n * channels)
            out = out + torch.einsum("vnc,vc->nv", pooled.reshape(-1, n, channels), weight)
        return out


class Attention(TrainedReadout):
    """Queries of the ROI look at the places of all layers; voxels read what they bring back, linearly.

    Places are tokens: a layer's channels, projected to `width`, plus a learned code of the place. Each of `queries`
    learned queries attends to them with `heads` heads, for all subjects alike.
    Source: Adeli, Minni & Kriegeskorte 2023, "Predicting brain activity using transformers", bioRxiv 2023.08.02.551743:
    one decoder layer with a query per ROI; here the ROI has several, as a predictor is of one ROI.
    """

    def __init__(
        self, voxels: Mapping[str, int], input_size: int, features: FeatureMaps, sides: list[int],
        embedding: int | None = None, queries: int = 8, width: int = 64, heads: int = 4,
    ):  # fmt: skip
        super().__init__(voxels, input_size, features, sides, queries * width, embedding)
        self.heads, self.width = heads, width
        self.keys = nn.ModuleList(nn.Linear(count, width) for count in features.channels)
        self.values = nn.ModuleList(nn.Linear(count, width) for count in features.channels)
        self.places = nn.ParameterList(nn.Parameter(torch.randn(side * side, width) * 0.1) for side in sides)
        self.queries = nn.Parameter(torch.randn(queries, width))

    def encode(self, maps: list[Tensor]) -> list[Tensor]:
        """What the queries bring back: one (N, queries * width)."""
        tokens = [m.transpose(1, 2) for m in maps]
        keys = torch.cat([k(t) + p for k, t, p in zip(self.keys, tokens, self.places, strict=True)], 1)
        values = torch.cat([v(t) for v, t in zip(self.values, tokens, strict=True)], 1)
        asked = self.queries.expand(len(keys), -1, -1)
        heads = [part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (asked, keys, values)]
        return [scaled_dot_product_attention(*heads).transpose(1, 2).flatten(1)]

    def read(self, encoded: list[Tensor], subject: str, rows: slice) -> Tensor:
        """Responses (N, v)."""
        own = self.own(subject)
        if self.basis is None:
            return nn.functional.linear(encoded[0], own.own[rows], own.bias[rows])
        return nn.functional.linear(encoded[0] @ self.basis.T, own.own[rows], own.bias[rows])


def factorised_fields(model: Factorised, subject: str) -> np.ndarray:
    """Centre and size of each voxel's fields: (V, 3) of x (right), y (up) and standard deviation, in degrees.

    Moments of what lies above the uniform field, the layers weighted by sum |w| (as of G-net, `gnet_fields`); NaN where
    all are uniform.
    """
    with torch.no_grad():
        weight = model.own(subject).of(slice(None), model.basis)
        layers = weight.abs().split(model.features.channels, 1)
        parts = []
        for field, part, side in zip(model.fields_of(subject), layers, model.sides, strict=True):
            raised = (field.double().softmax(1) - 1 / side**2).clamp_min(0) * part.sum(1, keepdim=True)
            axis = (torch.arange(side, dtype=torch.float64) + 0.5) / side * 2 - 1
            parts.append((raised.reshape(-1, side, side), axis))
    return centre_and_size(parts)
