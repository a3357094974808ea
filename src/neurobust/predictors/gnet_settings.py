"""The settings of G-net, of its published schedule and of its fast one. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from msgspec import Meta
from msgspec.structs import replace

from neurobust.core.errors import InputError
from neurobust.core.settings import (
    LARGEST_SIDE,
    Count,
    FilePath,
    NotNegative,
    Part,
    Positive,
    Settings,
    Share,
    about,
    field_names,
    read,
)
from neurobust.predictors.description import INPUT_SIZE, Predictor

GABOR = "gabor"  # in place of a path: the documented Gabor bank
ALEXNET = "alexnet-owt-7be5be79.pth"  # torchvision's file of AlexNet, which the pipeline fetches to a path of this name
SMALLEST = 47  # side in pixels of an image whose first map has 3 x 3 places; at 46 it has 2 x 2
BatchSize = Annotated[int, Meta(ge=2)]


class Loop(Settings, frozen=True, kw_only=True):
    """The numbers of a training loop, whichever schedule they are of."""

    learning_rate: Positive
    batch_size: BatchSize
    epochs: Count
    l1: NotNegative
    weight_floor: Share
    patience: Count | None = None


# St-Yves et al. (2023); all epochs are run.
PUBLISHED = Loop(learning_rate=1e-3, batch_size=100, epochs=50, l1=0.1, weight_floor=0.1)


class GNetSettings(Predictor, frozen=True, kw_only=True):
    """A convolutional core trained for the voxels, each of which reads it through a pooling field of its own.

    The numbers of the loop have defaults on the schedule `published` alone: its published ones.
    """

    fit: ClassVar[str] = "neurobust.predictors.fit_gnet:fit_gnet"
    build: ClassVar[str] = "neurobust.predictors.gnet:GNet"
    fields: ClassVar[str] = "neurobust.predictors.gnet_fields:pooling_fields"
    source: ClassVar[str] = "St-Yves, Allen, Wu, Kay & Naselaris 2023, Nat. Commun. 14:3329"
    instead: ClassVar[tuple[str, ...]] = (GABOR,)
    usual: ClassVar[Mapping[str, object]] = {
        "prefilter": GABOR, "finetune_prefilter": False, "prefilter_channels": (64, 192), "trunk_width": 64,
        "dropout": 0.5, "learning_rate": 1e-3, "batch_size": 100, "epochs": 50, "patience": 5, "l1": 0.1,
        "weight_floor": 0.1,
    }  # fmt: skip

    input_size: Annotated[int, Meta(ge=SMALLEST, le=LARGEST_SIDE), INPUT_SIZE]
    schedule: Annotated[
        Literal["fast", "published"],
        about("published: single trials, two passes per batch, all epochs; fast: averages, one pass, the best epoch"),
    ] = "fast"
    prefilter: Annotated[FilePath, about("gabor, or a path to torchvision's AlexNet weights")]
    finetune_prefilter: Annotated[bool, about("whether the prefilter is trained too")]
    prefilter_channels: Annotated[tuple[Count, Count], about("of its two layers; [64, 192] as published")]
    trunk_width: Annotated[Count, about("a quarter of the channels that a voxel reads of each map; 64 as published")]
    dropout: Annotated[Part, about("of whole maps of the trunk; 0.5 as published")]
    learning_rate: Annotated[Positive | None, about("of Adam; needed by `fast`; published 1e-3")] = None
    batch_size: Annotated[BatchSize | None, about("needed by `fast`; published 100", "images")] = None
    epochs: Annotated[Count | None, about("passes over the training images; needed by `fast`; published 50")] = None
    patience: Annotated[
        Count | None, about("epochs without a better median validation r; needed by `fast`, which alone takes it")
    ] = None
    l1: Annotated[
        NotNegative | None, about("weight of the sum of absolute feature weights; needed by `fast`; published 0.1")
    ] = None
    weight_floor: Annotated[
        Share | None, about("smallest weight of a voxel in the loss; needed by `fast`; published 0.1")
    ] = None

    @property
    def loop(self) -> Loop:
        """The numbers of its schedule, once `checked`."""
        return read(Loop, {name: getattr(self, name) for name in field_names(Loop)}, self.kind)

    def passes(self) -> float:
        """Its epochs; the published schedule passes each batch twice."""
        return self.loop.epochs * (2.0 if self.schedule == "published" else 1.0)

    def checked(self, where: str) -> Self:
        """With the published numbers filled in; `fast` asks for each, and `published` has no patience."""
        missing = [name for name in field_names(Loop) if getattr(self, name) is None]
        alexnet = Path(self.prefilter).name == ALEXNET or (self.prefilter != GABOR and Path(self.prefilter).is_file())
        if alexnet and self.prefilter_channels != (64, 192):
            raise InputError(
                f"{where}.prefilter_channels: {list(self.prefilter_channels)}: AlexNet's two layers have 64 and 192; "
                "write [64, 192], or prefilter: gabor"
            )
        if self.schedule == "published":
            if "patience" not in missing:
                raise InputError(
                    f"{where}: key 'patience' is not allowed here; the published schedule runs all epochs: remove it"
                )
            return replace(self, **{name: getattr(PUBLISHED, name) for name in missing})
        if missing:
            raise InputError(f"{where}: missing key '{missing[0]}'")
        return self

    @property
    def files(self) -> dict[str, str]:
        """AlexNet's weights, where they are the prefilter."""
        return {} if self.prefilter == GABOR else {"prefilter": self.prefilter}
