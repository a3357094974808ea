"""The settings of feature-weighted receptive fields, on Gabor energy and on a network's layers. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from msgspec import Meta

from neurobust.core.settings import Positive, Settings, about
from neurobust.predictors.description import Predictor
from neurobust.predictors.features_settings import (
    FEATURE_PASSES,
    RANDOM,
    USUAL_ALPHAS,
    USUAL_GABOR,
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
    Weights,
)


class FieldSearch(Settings, frozen=True, kw_only=True):
    """Which fields and penalties a voxel chooses among."""

    field_sizes: tuple[float, ...]
    field_spacing: float
    alphas: Alphas


class FwRFSettings(Predictor, frozen=True, kw_only=True):
    """What both kinds take: each voxel looks at the maps through the best of a set of candidate fields."""

    fit: ClassVar[str] = "neurobust.predictors.fit_fwrf:fit_fwrf"
    build: ClassVar[str] = "neurobust.predictors.fwrf:FwRF"
    fields: ClassVar[str] = "neurobust.predictors.fwrf:chosen_fields"
    source: ClassVar[str] = "St-Yves & Naselaris 2018, NeuroImage 180"
    instead: ClassVar[tuple[str, ...]] = (RANDOM,)

    usual: ClassVar[Mapping[str, object]] = {
        "map_size": 16, "field_sizes": (0.5, 1.0, 2.0), "field_spacing": 1.0, "alphas": USUAL_ALPHAS, **USUAL_GABOR,
    }  # fmt: skip

    map_size: MapSize
    field_sizes: Annotated[
        tuple[Positive, ...], Meta(min_length=1), about("standard deviations of the candidate fields", "degrees")
    ]
    field_spacing: Annotated[Positive, about("between the centres of candidate fields", "sizes")]
    alphas: Alphas

    @property
    def read_features(self) -> FixedFeatures:
        """The features that the fields lie on."""
        raise NotImplementedError

    @property
    def search(self) -> FieldSearch:
        """The fields and penalties that a voxel chooses among."""
        return FieldSearch(field_sizes=self.field_sizes, field_spacing=self.field_spacing, alphas=self.alphas)

    def passes(self) -> float:
        """The same for all fixed features."""
        return FEATURE_PASSES

    def checked(self, where: str) -> Self:
        """As they are; features that do not fit together are refused."""
        self.read_features.check(where, self.input_size)
        return self

    @property
    def files(self) -> dict[str, str]:
        """Those of the features."""
        return self.read_features.files


class GaborFwRF(FwRFSettings, frozen=True, kw_only=True):
    """Fields on Gabor energy."""

    frequencies: Frequencies
    orientations: Orientations

    @property
    def read_features(self) -> GaborMaps:
        """Gabor energy."""
        return GaborMaps(map_size=self.map_size, frequencies=self.frequencies, orientations=self.orientations)


class CnnFwRF(FwRFSettings, frozen=True, kw_only=True):
    """Fields on the layers of a torchvision network."""

    network: NetworkName
    weights: Weights
    layers: Layers
    channels: Channels = None

    @property
    def read_features(self) -> LayerMaps:
        """The network's layers."""
        return LayerMaps(
            map_size=self.map_size, network=self.network, weights=self.weights, layers=self.layers,
            channels=self.channels,
        )  # fmt: skip
