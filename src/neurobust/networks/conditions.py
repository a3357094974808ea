"""What makes a network: training, architecture, condition, and the recipe that they make together. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from neurobust.core.settings import Count, Names, NotNegative, Positive, Settings, Share, about

Weight = Annotated[Share, about("of the neural loss; cross-entropy has 1 - weight")]


class Training(Settings):
    """How a network is trained, whatever its condition."""

    epochs: Annotated[Count, about("passes over the training images")] = 8
    batch_size: Annotated[int, Meta(ge=2), about("of an optimiser step", "images")] = 64
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Annotated[Positive, about("at its peak")] = 0.05
    momentum: Annotated[Share, about("of SGD; the first beta of AdamW")] = 0.9
    weight_decay: NotNegative = 5e-4
    schedule: Annotated[Literal["onecycle", "step", "constant"], about("of the learning rate")] = "onecycle"
    augment: Annotated[Literal["none", "crop-flip"], about("of training images")] = "none"


class Architecture(Settings, kw_only=True):
    """A torchvision classifier, by its name."""

    stem: Annotated[Literal["imagenet", "cifar"], about("first layers: for large or for small images")]
    pretrained: Annotated[bool, about("start from torchvision's ImageNet weights")]


class Oracle(Settings):
    """The network of the control `features`: an image classifier that knows no brain."""

    architecture: Annotated[str, about("torchvision's name")] = "resnet18"
    weights: Annotated[str | None, about("torchvision's file of its weights; default: untrained")] = None
    size: Annotated[int, Meta(ge=32), about("at which it sees the images", "pixels")] = 224


class Condition(Settings, kw_only=True):
    """One recipe of training as a study names it: a target and a loss, or neither. `sweep` names the condition whose
    other weight it is (`study.read`). The names of losses, controls and references are those of `registry`."""

    weight: Weight
    target: Annotated[Names | None, about("ROIs, side by side")] = None
    predictor: Annotated[str | None, about("one of `predictors`")] = None
    loss: Annotated[str | None, about("that pulls the features towards the target")] = None
    control: Annotated[str | None, about("removes one ingredient")] = None
    layers: Annotated[Names | None, about("of the network; default: penultimate")] = None
    pool: Annotated[Count | None, about("a map is averaged over pool x pool cells; default 1")] = None
    schedule: Annotated[
        Literal["constant", "ramp", "late", "early"] | None,
        about("of the neural loss over the training; default constant"),
    ] = None
    subjects: Annotated[Names | None, about("whose voxels; default: all")] = None
    match: Annotated[Names | None, about("ROIs whose voxel count and noise ceilings `subsampled` matches")] = None
    features: Oracle | None = None
    pairs: Annotated[bool, about("measured responses to the subjects' stimuli instead of a predictor")] = False
    reference: Annotated[dict[str, Any] | None, about("a known way to robustness, without a target")] = None
    weights: Annotated[
        tuple[Share, ...] | None, about("more weights to train with, compared at equal clean accuracy")
    ] = None
    sweep: str | None = None

    @property
    def roi(self) -> str | None:
        """Its target as one name: V1, or V1+V2 for several ROIs; None without a target."""
        return None if self.target is None else "+".join(self.target)


class Recipe(Settings, kw_only=True):
    """Everything that makes a network of a task, but its seed and its files."""

    training: Training
    architecture: str
    stem: str
    pretrained: bool
    condition: Condition


def read_recipe(given: Mapping[str, Any]) -> Recipe:
    """The recipe that the parameters of a job say; see `networks.recipe` for what is checked."""
    raise NotImplementedError
