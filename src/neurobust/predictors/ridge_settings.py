"""The settings of ridge on pooled features. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from msgspec import Meta

from neurobust.core.errors import InputError
from neurobust.core.settings import about, field_names, read
from neurobust.predictors.description import Predictor
from neurobust.predictors.features_settings import (
    FEATURE_PASSES,
    RANDOM,
    USUAL_ALPHAS,
    Alphas,
    Channels,
    FixedFeatures,
    Frequencies,
    GaborMaps,
    LayerMaps,
    Layers,
    MapSize,
    NetworkName,
    Orientations,
    PixelMaps,
    Weights,
)

READS: dict[str, type[FixedFeatures]] = {kind.name: kind for kind in (PixelMaps, GaborMaps, LayerMaps)}


class Ridge(Predictor, frozen=True, kw_only=True):
    """One ridge per subject on pooled features, with a penalty per voxel by cross-validation."""

    fit: ClassVar[str] = "neurobust.predictors.fit_ridge:fit_ridge"
    build: ClassVar[str] = "neurobust.predictors.linear:PooledLinear"
    source: ClassVar[str] = "Dupré la Tour, Eickenberg, Nunez-Elizalde & Gallant 2022, NeuroImage 264:119728"
    instead: ClassVar[tuple[str, ...]] = (RANDOM,)

    usual: ClassVar[Mapping[str, object]] = {
        "features": "pixels", "map_size": 16, "alphas": USUAL_ALPHAS, "folds": 5,
    }  # fmt: skip

    features: Annotated[Literal["pixels", "gabor", "network"], about("what it reads")]
    map_size: MapSize
    alphas: Alphas
    folds: Annotated[int, Meta(ge=2), about("of the cross-validation that chooses the penalties")]
    frequencies: Frequencies | None = None
    orientations: Orientations | None = None
    network: NetworkName | None = None
    weights: Weights | None = None
    layers: Layers | None = None
    channels: Channels = None

    @property
    def read_features(self) -> FixedFeatures:
        """The features that it reads, once `checked`."""
        return self._read_features(self.kind)

    def passes(self) -> float:
        """The same for all fixed features."""
        return FEATURE_PASSES

    def checked(self, where: str) -> Self:
        """As they are; Gabor energy and a network ask for keys of their own, and refuse those of the others."""
        own = field_names(READS[self.features])
        for name in (name for kind in READS.values() for name in field_names(kind) if name not in own):
            if getattr(self, name, None) is not None:
                able = " or ".join(feature for feature, kind in READS.items() if name in field_names(kind))
                raise InputError(f"{where}.{name}: not of features {self.features}: remove it, or take features {able}")
        self._read_features(where).check(where, self.input_size)
        return self

    @property
    def files(self) -> dict[str, str]:
        """Those of the features."""
        return self.read_features.files

    def _read_features(self, where: str) -> FixedFeatures:
        kind = READS[self.features]
        given = {name: getattr(self, name, None) for name in field_names(kind)}
        return read(kind, {name: value for name, value in given.items() if value is not None}, where)
