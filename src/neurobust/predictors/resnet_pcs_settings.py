"""The settings of the network that is trained on principal components. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from msgspec import Meta

from neurobust.core.architecture_names import check_name, check_side, readable
from neurobust.core.settings import Count, NotNegative, Positive, about
from neurobust.predictors.description import Predictor


class ResNetPCs(Predictor, frozen=True, kw_only=True):
    """A torchvision network trained from scratch on the principal components of the responses."""

    fit: ClassVar[str] = "neurobust.predictors.fit_resnet_pcs:fit_resnet_pcs"
    build: ClassVar[str] = "neurobust.predictors.resnet_pcs:ComponentNet"
    source: ClassVar[str] = "Shao, Ma, Li & Beck 2024, Probing human visual robustness"
    usual: ClassVar[Mapping[str, object]] = {
        "architecture": "resnet18", "variance": 0.95, "learning_rate": 1e-3, "weight_decay": 5e-4, "batch_size": 100,
        "epochs": 50, "patience": 5,
    }  # fmt: skip

    architecture: Annotated[str, about("torchvision's name, trained from scratch")]
    variance: Annotated[float, Meta(gt=0, le=1), about("share that the components hold together; 0.95 as published")]
    learning_rate: Annotated[Positive, about("of Adam")]
    weight_decay: Annotated[NotNegative, about("of Adam")]
    batch_size: Annotated[int, Meta(ge=2), about("of an optimiser step", "images")]
    epochs: Annotated[Count, about("passes over the training images")]
    patience: Annotated[
        Count | None, about("epochs without a better median validation r; default: all epochs are run")
    ] = None

    def checked(self, where: str) -> Self:
        """As they are; torchvision has the network, and it takes such images."""
        check_name(self.architecture, readable(), f"{where}.architecture")
        check_side(self.architecture, self.input_size, f"{where}.input_size")
        return self

    def passes(self) -> float:
        """Its epochs."""
        return float(self.epochs)
