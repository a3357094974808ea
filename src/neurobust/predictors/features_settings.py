"""The settings of fixed features, which ridge and the feature-weighted fields read. Imports no torch."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, ClassVar

from msgspec import Meta

from neurobust.core.architecture_names import check_name, check_node, check_side, known, readable
from neurobust.core.errors import InputError
from neurobust.core.settings import Count, FilePath, Names, Positive, Settings, about

RANDOM = "random"  # in place of a path: the network as its seed initialises it
# Price of a predictor on fixed features, in passes over the images: features are computed once or twice, forward alone,
# and the rest is the solution for the voxels. On the demo's V1 that took as long as 0.3 (ridge on pixels) to 4 epochs
# (ridge on a ResNet18's layer) of G-net: the price is on the safe side.
FEATURE_PASSES = 5.0

MapSize = Annotated[Count, about("maps are averaged down to this side", "places")]
Frequencies = Annotated[tuple[Positive, ...], Meta(min_length=1), about("of Gabor energy", "cycles per image")]
Orientations = Annotated[Count, about("of Gabor energy at each frequency")]
NetworkName = Annotated[str, about("torchvision's name, whose layers are read")]
Weights = Annotated[
    FilePath,
    about(
        "a path to the network's state dict, whose images are normalised as it says, else as torchvision's published "
        "one; or random, with images normalised by their own mean"
    ),
]
Layers = Annotated[Names, about("nodes of the network's graph")]
Share = Annotated[float, Meta(ge=0, le=1)]
Mean = tuple[Share, Share, Share]
Spread = Annotated[float, Meta(gt=0, le=1)]
Deviation = tuple[Spread, Spread, Spread]
Channels = Annotated[Count | None, about("most variable maps of a network that are kept; default: all")]
Penalty = Annotated[float, Meta(gt=0, le=1e30)]  # single precision holds no larger one
Alphas = Annotated[tuple[Penalty, ...], Meta(min_length=1), about("ridge penalties, of which each voxel gets one")]

# For fits to a caller's own arrays: `Predictor.usual` of the kinds that read fixed features.
USUAL_ALPHAS = tuple(10.0**k for k in range(-1, 9))
USUAL_GABOR = {"frequencies": (2, 4, 8, 16), "orientations": 4}


class FixedFeatures(Settings, frozen=True, kw_only=True):
    """What is read of an image. name: of the module in `features.FEATURES`."""

    name: ClassVar[str] = ""

    map_size: MapSize

    def check(self, where: str, input_size: int) -> None:
        """Raise InputError, beginning with `where`, for fields that do not fit together or with the images' side."""

    @property
    def files(self) -> dict[str, str]:
        """Paths of the user's own files that it reads, by key; none for most."""
        return {}


class PixelMaps(FixedFeatures, frozen=True, kw_only=True):
    """The colours of the image."""

    name: ClassVar[str] = "pixels"


class GaborMaps(FixedFeatures, frozen=True, kw_only=True):
    """Gabor energy at each frequency and orientation."""

    name: ClassVar[str] = "gabor"

    frequencies: Frequencies
    orientations: Orientations


class LayerMaps(FixedFeatures, frozen=True, kw_only=True):
    """Layers of a torchvision network."""

    name: ClassVar[str] = "network"

    network: NetworkName
    weights: Weights
    layers: Layers
    channels: Channels = None
    mean: Mean | None = None
    std: Deviation | None = None

    def check(self, where: str, input_size: int) -> None:
        """The network has the layers, each is read once, and a fixed grid fits the images."""
        check_name(self.network, readable(), f"{where}.network")
        if known().architectures[self.network].multiple > 1:
            check_side(self.network, input_size, f"{where}.input_size: {input_size}")
        for layer in self.layers:
            check_node(self.network, layer, f"{where}.layers")
        layer, count = Counter(self.layers).most_common(1)[0]
        if count > 1:
            raise InputError(f"{where}.layers: {layer!r} is named {count} times; name each layer once")

    @property
    def files(self) -> dict[str, str]:
        """The network's weights."""
        return {} if self.weights == RANDOM else {"weights": self.weights}
