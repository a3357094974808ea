"""The settings of core + readout: any backbone, and how voxels read its layers. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from msgspec import Meta
from msgspec.structs import replace

from neurobust.core import imagenet
from neurobust.core.architecture_names import check_name, readable
from neurobust.core.errors import InputError
from neurobust.core.names import one_of
from neurobust.core.settings import (
    LARGEST_SIDE,
    UNIQUE,
    Count,
    FilePath,
    NotNegative,
    Positive,
    Settings,
    Whole,
    about,
    field_names,
    read,
    shaped,
)
from neurobust.core.timm_names import check_timm, timm_installed
from neurobust.predictors.description import INPUT_SIZE, Predictor
from neurobust.predictors.features_settings import (
    FEATURE_PASSES,
    RANDOM,
    USUAL_ALPHAS,
    Alphas,
    Channels,
    FixedFeatures,
    LayerMaps,
    MapSize,
    Three,
)
from neurobust.predictors.fwrf_settings import FieldSearch
from neurobust.predictors.gnet_settings import SMALLEST


class TimmLayers(FixedFeatures, frozen=True, kw_only=True):
    """Blocks or stages of a network of timm, by their numbers."""

    name: ClassVar[str] = "timm"

    network: str
    weights: str
    layers: tuple[int, ...]
    channels: Channels = None
    mean: Three | None = None
    std: Three | None = None


class GNetLayers(FixedFeatures, frozen=True, kw_only=True):
    """The maps of a G-net's core: 0 is the finer one, 1 the coarser one. weights: the file of a fitted predictor."""

    name: ClassVar[str] = "gnet"

    weights: str
    layers: tuple[int, ...]
    channels: Channels = None

    def check(self, where: str, input_size: int) -> None:
        """It has two maps, and its images a least size."""
        wrong = [layer for layer in self.layers if layer not in (0, 1)]
        if wrong:
            raise InputError(f"{where}.layers: {wrong[0]}: the core of gnet has two maps, 0 and 1; name those")
        if input_size < SMALLEST:
            raise InputError(f"{where}.input_size: {input_size}: G-net takes images of at least {SMALLEST} px")


class RidgeReadout(Settings, frozen=True, kw_only=True):
    """Ridge on the flattened maps."""

    alphas: tuple[float, ...] = USUAL_ALPHAS
    folds: int = 5


class BandedReadout(RidgeReadout, frozen=True, kw_only=True):
    """Ridge with a penalty per layer."""

    searches: int = 20


class FieldReadout(FieldSearch, frozen=True, kw_only=True):
    """Feature-weighted receptive fields."""

    field_sizes: tuple[float, ...] = (0.5, 1.0, 2.0)
    field_spacing: float = 1.0
    alphas: tuple[float, ...] = USUAL_ALPHAS


class GradientReadout(Settings, frozen=True, kw_only=True):
    """What is trained by Adam: a field times features, and what attention shares with it."""

    learning_rate: float = 3e-3
    field_speed: float = 10.0
    core_learning_rate: float = 1e-4
    batch_size: int = 64
    epochs: int = 50
    patience: int = 10
    l1: float = 1e-3
    embedding: int | None = None


class AttentionReadout(GradientReadout, frozen=True, kw_only=True):
    """Queries that attend to places."""

    queries: int = 8
    width: int = 64
    heads: int = 4


READOUTS: Mapping[str, type[Settings]] = {
    "ridge": RidgeReadout, "banded-ridge": BandedReadout, "fwrf": FieldReadout, "factorised": GradientReadout,
    "attention": AttentionReadout,
}  # fmt: skip


def check_core(package: str, network: str, where: str) -> None:
    """Raise InputError, beginning with `where`, for a network that its package has not.

    Whether a network of timm has the layers says the job, which imports it.
    """
    if package == "torchvision":
        check_name(network, readable(), where)
    if package == "timm":
        if not timm_installed():
            raise InputError(f"{where}: timm is not installed; install neurobust[zoo]")
        check_timm(network, where)


class CoreReadout(Predictor, frozen=True, kw_only=True):
    """Layers of any network as the core, and one of several readouts. An entry with the key `core` needs no `kind`.

    Weights come from a file: a state dict as safetensors or of torch, as published or your own (a classifier in it is
    passed over). Nothing is downloaded in a job: `python -m neurobust.predictors.core_weights timm/NAME FILE`, or with
    torchvision/NAME, fetches what those packages publish.
    """

    fit: ClassVar[str] = "neurobust.predictors.fit_core:fit_core"
    build: ClassVar[str] = "neurobust.predictors.core_readout:build_core"
    fields: ClassVar[str] = "neurobust.predictors.core_readout:looks"
    source: ClassVar[str] = "St-Yves & Naselaris 2018; Dupré la Tour et al. 2022; Klindt et al. 2017; Adeli et al. 2023"
    instead: ClassVar[tuple[str, ...]] = (RANDOM,)

    kind: Annotated[str, about("core; may be left out")] = "core"
    input_size: Annotated[int, Meta(ge=16, le=LARGEST_SIDE), INPUT_SIZE] = 224
    core: Annotated[
        str,
        shaped(r"^(gnet|(timm|torchvision)/[^\s/]+)$", "gnet, timm/NAME or torchvision/NAME"),
        about("whose layers are read: gnet, timm/NAME or torchvision/NAME"),
    ]
    weights: Annotated[FilePath, about("path to a state dict, of gnet to the file of a fitted predictor; or random")]
    layers: Annotated[
        tuple[Whole | str, ...],
        UNIQUE,
        about("of timm the numbers of blocks or stages, from 0; of torchvision nodes of its graph; of gnet 0 and 1"),
    ]
    readout: Annotated[
        Literal["ridge", "banded-ridge", "fwrf", "factorised", "attention"], about("how voxels read the layers")
    ]
    finetune: Annotated[
        Literal["none", "all"] | Count,
        about("what is trained of the core with a factorised or attention readout: none, all, or so many last blocks"),
    ] = "none"
    map_size: MapSize = 16
    channels: Channels = None
    mean: Annotated[
        Three | None,
        about("of its RGB input in [0, 1]; default: its file's, its package's, of random weights the images'"),
    ] = None
    std: Annotated[Three | None, about("of its input; default: as for the mean")] = None
    alphas: Annotated[Alphas | None, about("of ridge, banded-ridge, fwrf; default: 0.1 to 1e8, a decade apart")] = None
    folds: Annotated[
        Annotated[int, Meta(ge=2)] | None, about("of the cross-validation of ridge and banded-ridge; default: 5")
    ] = None
    searches: Annotated[
        Count | None, about("of banded-ridge: random shares of the layers that are tried; default: 20")
    ] = None
    field_sizes: Annotated[
        Annotated[tuple[Positive, ...], Meta(min_length=1)] | None,
        about("of fwrf: standard deviations of the candidate fields; default: 0.5, 1 and 2", "degrees"),
    ] = None
    field_spacing: Annotated[
        Positive | None, about("of fwrf: between the centres of candidate fields; default: 1", "sizes")
    ] = None

    learning_rate: Annotated[
        Positive | None, about("of Adam, for the readouts that are trained, factorised and attention; default: 3e-3")
    ] = None
    field_speed: Annotated[Positive | None, about("of those: the rate of fields beside it; default: 10", "times")] = (
        None
    )
    core_learning_rate: Annotated[Positive | None, about("of those: of what is fine-tuned; default: 1e-4")] = None
    batch_size: Annotated[
        Annotated[int, Meta(ge=2)] | None, about("of those: of an optimiser step; default: 64", "images")
    ] = None
    epochs: Annotated[Count | None, about("of those: passes over the training images; default: 50")] = None
    patience: Annotated[Count | None, about("of those: epochs without a better median validation r; default: 10")] = (
        None
    )
    l1: Annotated[NotNegative | None, about("of those: weight of the sum of absolute weights; default: 1e-3")] = None
    embedding: Annotated[
        Count | None,
        about("of those: numbers of a voxel of its own, times weights that all subjects share; default: own weights"),
    ] = None
    queries: Annotated[Count | None, about("of attention: of the ROI; default: 8")] = None
    width: Annotated[Count | None, about("of attention: of a query; default: 64", "channels")] = None
    heads: Annotated[Count | None, about("of attention; default: 4")] = None

    @property
    def blocks(self) -> int | None:
        """How many last blocks of the core are trained; None: all."""
        if isinstance(self.finetune, int):
            return self.finetune
        return 0 if self.finetune == "none" else None

    @property
    def part(self) -> Settings:
        """The settings of the readout alone, with their defaults."""
        kind = READOUTS[self.readout]
        given = {name: getattr(self, name) for name in field_names(kind)}
        return read(kind, {name: value for name, value in given.items() if value is not None}, self.readout)

    @property
    def read_features(self) -> FixedFeatures:
        """The layers of the core, once `checked`."""
        package, _, network = self.core.partition("/")
        numbers = tuple(layer for layer in self.layers if isinstance(layer, int))
        if package == "gnet":
            return GNetLayers(map_size=self.map_size, weights=self.weights, layers=numbers, channels=self.channels)
        mean, std = self.mean, self.std
        if package == "timm":
            return TimmLayers(
                map_size=self.map_size, network=network, weights=self.weights, layers=numbers, channels=self.channels,
                mean=mean, std=std,
            )  # fmt: skip
        if mean is None and self.weights != RANDOM:
            mean, std = imagenet.MEAN, imagenet.STD
        return LayerMaps(
            map_size=self.map_size, network=network, weights=self.weights, layers=tuple(map(str, self.layers)),
            channels=self.channels, mean=mean, std=std,
        )  # fmt: skip

    def passes(self) -> float:
        """That of fixed features, and an epoch for each of a training; about a third of it where the core is frozen."""
        part = self.part
        if not isinstance(part, GradientReadout):
            return FEATURE_PASSES
        return FEATURE_PASSES + part.epochs * (1 if self.blocks != 0 else 1 / 3)

    def checked(self, where: str) -> Self:
        """With the readout's defaults filled in; keys of another readout, and layers that are none, are refused."""
        package, _, network = self.core.partition("/")
        check_core(package, network, f"{where}.core: '{self.core}'")
        for layer in self.layers:
            if isinstance(layer, int) == (package == "torchvision"):
                wanted = "names of nodes" if package == "torchvision" else "whole numbers"
                raise InputError(f"{where}.layers: {layer!r}: the layers of {self.core} are {wanted}; give those")
        if (self.mean is None) != (self.std is None):
            raise InputError(f"{where}: mean and std: one without the other; give both or neither")
        if package == "gnet" and self.mean is not None:
            raise InputError(f"{where}.mean: gnet has its own; leave mean and std out")
        own = field_names(READOUTS[self.readout])
        for name in {key for part in READOUTS.values() for key in field_names(part)} - set(own):
            if getattr(self, name) is not None:
                able = [readout for readout, part in READOUTS.items() if name in field_names(part)]
                raise InputError(
                    f"{where}.{name}: not of readout {self.readout}: remove it, or take {one_of(self.readout, able)}"
                )
        part = self.part
        if self.blocks != 0 and not isinstance(part, GradientReadout):
            raise InputError(
                f"{where}.finetune: {self.finetune!r}: {self.readout} is solved at once, on a frozen core; "
                "take readout factorised or attention, or leave it out"
            )
        self._check_effects(where)
        if isinstance(part, AttentionReadout) and part.width % part.heads:
            raise InputError(f"{where}.heads: {part.heads}: width {part.width} is no multiple of it; take another")
        self.read_features.check(where, self.input_size)
        return replace(self, **{name: getattr(part, name) for name in own})

    def _check_effects(self, where: str) -> None:
        """Raise InputError for a key of the readout, not at its default, that says nothing beside the others."""
        if self.blocks == 0 and self.core_learning_rate not in (None, GradientReadout().core_learning_rate):
            raise InputError(
                f"{where}.core_learning_rate: {self.core_learning_rate:g}: the core is not trained; remove it, or give "
                "`finetune`"
            )
        if len(self.layers) == 1 and self.searches not in (None, BandedReadout().searches):
            raise InputError(
                f"{where}.searches: {self.searches}: one layer has no shares; remove it, or name more `layers`"
            )

    @property
    def files(self) -> dict[str, str]:
        """The core's weights."""
        return {} if self.weights == RANDOM else {"weights": self.weights}

    def origin(self) -> str:
        """The command that fetches what the package publishes."""
        if self.core == "gnet":
            return "a fitted predictor's model.safetensors"
        return f"`python -m neurobust.predictors.core_weights {self.core} {self.weights}` fetches the published ones"
