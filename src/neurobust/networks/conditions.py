"""What makes a network: training, architecture, condition, and the recipe that they make together. Imports no torch.

`read_condition` and `read_recipe` are where a condition is checked, once, for all that it must satisfy by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Literal

from msgspec import Meta
from msgspec.structs import fields, replace

from neurobust.core.architecture_names import PENULTIMATE
from neurobust.core.errors import InputError, error_of
from neurobust.core.faults import UNREAD, Faults
from neurobust.core.names import one_of
from neurobust.core.settings import (
    LARGEST_SIDE,
    UNIQUE,
    Count,
    FilePath,
    Given,
    Names,
    NotNegative,
    Part,
    Positive,
    Settings,
    Share,
    Subject,
    about,
    field_names,
    read,
)
from neurobust.networks.description import Control, Reference
from neurobust.networks.registry import (
    CONTROLS,
    LOSSES,
    control_modules,
    control_named,
    loss_modules,
    read_reference,
    reference_modules,
)

Weight = Annotated[Share, about("of the neural loss; cross-entropy has 1 - weight")]
Subjects = Annotated[tuple[Subject, ...], UNIQUE]
Weights = Annotated[tuple[Share, ...], UNIQUE]

# What an image costs in an architecture, in what it costs in a ResNet18, for the price of a study; in others it is 1.
COSTS = {"small": 1 / 12}
UNTARGETED = ("weight", "weights", "reference", "sweep")  # the keys that make sense without a target


class Training(Settings, frozen=True):
    """How a network is trained, whatever its condition."""

    epochs: Annotated[Count, about("passes over the training images")] = 8
    batch_size: Annotated[int, Meta(ge=2), about("of an optimiser step", "images")] = 64
    optimizer: Annotated[Literal["sgd", "adamw"], about("of the network's weights")] = "sgd"
    learning_rate: Annotated[Positive, about("at its peak")] = 0.05
    momentum: Annotated[Part, about("of SGD; the first beta of AdamW")] = 0.9
    weight_decay: Annotated[NotNegative, about("of the optimiser")] = 5e-4
    schedule: Annotated[Literal["onecycle", "step", "constant"], about("of the learning rate")] = "onecycle"
    augment: Annotated[Literal["none", "crop-flip"], about("of training images")] = "none"
    versions: Annotated[
        Count | None,
        about("augmented ones of each image, one an epoch in turn, each seen by a predictor once; default: ever new"),
    ] = None

    predictor_precision: Annotated[
        Literal["float32", "bfloat16"], about("of a predictor that sees augmented images; bfloat16: to about 3 digits")
    ] = "float32"

    @property
    def looks(self) -> int:
        """How often a predictor of the condition sees each training image."""
        return 1 if self.augment == "none" else min(self.versions or self.epochs, self.epochs)


class Architecture(Settings, frozen=True, kw_only=True):
    """A torchvision classifier by its name, or `small`: three strided layers, whatever the stem."""

    stem: Annotated[Literal["imagenet", "cifar"], about("first layers: for large or for small images")]
    pretrained: Annotated[bool, about("start from torchvision's ImageNet weights")]


class Oracle(Settings, frozen=True):
    """The network of the control `features`: an image classifier that knows no brain."""

    architecture: Annotated[str, about("torchvision's name")] = "resnet18"
    weights: Annotated[FilePath | None, about("torchvision's file of its weights; default: untrained")] = None
    size: Annotated[int, Meta(ge=32, le=LARGEST_SIDE), about("at which it sees the images", "pixels")] = 224


class Condition(Settings, frozen=True, kw_only=True):
    """One recipe of training as a study names it: a target and a loss, or neither.

    The names of losses, controls and references are those of `registry`. `sweep` names the condition
    whose other weight it is (`study.read`)."""

    weight: Weight
    target: Annotated[Names | None, about("ROIs, side by side")] = None
    predictor: Annotated[str | None, about("one of `predictors`")] = None
    ensemble: Annotated[
        bool,
        about("the mean over all `predictor_seeds` is the target, the same for every network; default: a seed each"),
    ] = False
    loss: Annotated[str | None, about("that pulls the features towards the target")] = None
    control: Annotated[str | None, about("removes one ingredient")] = None
    layers: Annotated[Names | None, about("of the network; default: penultimate")] = None
    pool: Annotated[Count | None, about("a map is averaged over pool x pool cells; default 1")] = None
    schedule: Annotated[
        Literal["constant", "ramp", "late", "early"] | None,
        about("of the neural loss over the training; default constant"),
    ] = None
    subjects: Annotated[Subjects | None, about("whose voxels; default: all")] = None
    match: Annotated[Names | None, about("ROIs whose voxel count and noise ceilings `subsampled` matches")] = None
    features: Annotated[Oracle | None, about("the network of the control `features`")] = None
    on: Annotated[
        Literal["task", "stimuli", "both"],
        about("where the neural loss acts: the task's images, the subjects' stimuli, or both, with its mean"),
    ] = "task"
    pairs: Annotated[bool, about("measured responses to the subjects' stimuli instead of a predictor")] = False
    reference: Annotated[Reference | None, about("a known way to robustness, without a target")] = None
    weights: Annotated[Weights | None, about("more weights to train with, compared at equal clean accuracy")] = None
    sweep: Annotated[str | None, about("not to be given: `weights` sets it")] = None

    @property
    def roi(self) -> str | None:
        """Its target as one name: V1, or V1+V2 for several ROIs; None without a target."""
        return None if self.target is None else "+".join(self.target)

    @property
    def guided(self) -> bool:
        """Whether its difference to `none` is an answer: it has a target, all ingredients and a weight of its own."""
        return self.roi is not None and not self.control and not self.sweep

    @property
    def removes(self) -> Control:
        """Its control; one that changes nothing where it names none."""
        return control_named(self.control)

    @property
    def on_task(self) -> bool:
        """Whether it is guided on the task's images, by responses that a predictor gives to them."""
        return self.target is not None and not self.pairs and self.on != "stimuli"

    @property
    def on_stimuli(self) -> bool:
        """Whether it is guided on the subjects' stimuli, by responses that were predicted or (`pairs`) measured."""
        return self.target is not None and (self.pairs or self.on != "task")

    @property
    def twins(self) -> bool:
        """Whether it trains on twins of the task's images, which only a task with a cue has."""
        return self.reference is not None and self.reference.images != "images"

    @property
    def passes(self) -> float:
        """Passes through the network of one training step, in those of plain training; stimuli need their own."""
        return (1.0 if self.reference is None else self.reference.passes) + self.on_stimuli

    def modules(self) -> list[str]:
        """The modules that its loss, control and reference live in, sorted: code that no import names."""
        found: set[str] = set()
        if self.loss is not None:
            found.update(loss_modules(self.loss))
        if self.control is not None:
            found.update(control_modules(self.control))
        if self.reference is not None:
            found.update(reference_modules(self.reference.kind))
        return sorted(found)


class Recipe(Settings, frozen=True, kw_only=True):
    """Everything that makes a network of a task, but its seed and its files."""

    training: Annotated[Training, about("the same for every condition, except what its reference changes")] = Training()
    architecture: Annotated[str, about("torchvision's name")] = "resnet18"
    stem: Annotated[Literal["imagenet", "cifar"], about("first layers: for large or for small images")] = "imagenet"
    pretrained: Annotated[bool, about("start from torchvision's ImageNet weights")] = False
    condition: Annotated[Condition, about("what is trained for beside the classes")]


def read_condition(name: str, given: Given, where: str = "conditions") -> Condition:
    """The condition `name` that a configuration describes.

    Raises InputError for what does not fit together in it. Whether the ROIs, subjects and predictors that it names
    exist is the study's to say.
    """
    where, faults = f"{where}.{name}", Faults()
    reference = given.get("reference")
    parts = {key: value for key, value in given.items() if key != "reference"}
    condition = faults.kept(lambda: read(Condition, parts, where))
    if reference is not None:
        found = faults.kept(lambda: read_reference(reference, f"{where}.reference"))
        condition = condition if condition is UNREAD else replace(condition, reference=found)
    with faults.caught():
        faults.messages += [f"{where}.{key}: {problem}" for key, problem in _problems(condition)]
    faults.refuse()
    condition.modules()  # what another package registers wrongly is found here, not in a job
    return condition


def with_sweeps(conditions: Mapping[str, Condition], names: Iterable[str]) -> tuple[str, ...]:
    """The conditions of these names, each with its sweep, in the order of the mapping."""
    chosen = set(names)
    return tuple(name for name, condition in conditions.items() if name in chosen or condition.sweep in chosen)


def read_recipe(given: Given) -> Recipe:
    """The recipe that the parameters of a job say, as JSON.

    Its keys are those of a training, of an architecture with its name, and `condition`, whose target is one name
    (`Condition.roi`) or null. Raises InputError, with the key's path, for anything wrong.
    """
    training = field_names(Training)
    network = [name for name in field_names(Recipe) if name not in ("training", "condition")]
    known = (*network, "condition", *training)
    for key in given:
        if key not in known:
            raise InputError(f"recipe: unknown key '{key}'; known keys are {', '.join(known)}")
    condition = dict(given.get("condition", {}))
    if condition.get("target") is not None:
        condition["target"] = condition["target"].split("+")
    parts: dict[str, object] = {key: given[key] for key in network if key in given}
    parts["training"] = read(Training, {key: given[key] for key in training if key in given}, "recipe")
    parts["condition"] = read_condition("condition", condition, "recipe")
    recipe = read(Recipe, parts, "recipe")
    check_augmented(recipe.training, lambda key: f"recipe.{key}")
    return _with_reference(recipe)


def check_augmented(training: Training, place: Callable[[str], str]) -> None:
    """Raise InputError for what is asked of augmented images where none is; `place` says where a key stands."""
    lines = [
        f"{place(key)}: {given}: {problem}; remove it, or write `augment: crop-flip` beside it"
        for key, given, problem in unaugmented(training)
    ]
    if lines:
        raise error_of(lines)


def unaugmented(training: Training) -> Iterator[tuple[str, object, str]]:
    """The keys that are about augmented images alone and say something where no image is augmented: each with its value
    and with what is wrong."""
    if training.augment != "none":
        return
    if training.versions is not None:
        yield "versions", training.versions, "images that are not augmented have one version"
    if training.predictor_precision != "float32":
        yield "predictor_precision", training.predictor_precision, "it is that of augmented images, and none are"


def _with_reference(recipe: Recipe) -> Recipe:
    """The recipe with what its reference changes in the training, once its batches are known to be large enough."""
    condition, training = recipe.condition, recipe.training
    least = 0 if condition.loss is None else LOSSES[condition.loss].min_batch
    if training.batch_size < least:
        raise InputError(f"recipe.batch_size: loss '{condition.loss}' needs at least {least} images per batch")
    if condition.reference is None:
        return recipe
    changes = {key: getattr(condition.reference, key) for key in condition.reference.training}
    return replace(recipe, training=replace(training, **changes))


def _problems(condition: Condition) -> Iterator[tuple[str, str]]:
    """Yield (key, problem) for what does not fit together in one condition."""
    if condition.weight in (condition.weights or ()):
        yield "weights", f"{condition.weight:g} is there already, as the weight of the condition"
    if condition.target is None:
        for field in fields(Condition):
            key = field.encode_name
            if key not in UNTARGETED and getattr(condition, field.name) != field.default:
                yield key, "a condition without a target has no such key; add `target` or remove it"
        return
    if condition.reference is not None:
        yield "reference", "a reference has no target; make it a condition of its own"
    if condition.pool is not None and set(condition.layers or ()) <= {PENULTIMATE}:
        yield "pool", f"{condition.pool}: {PENULTIMATE} is no map; remove it, or name `layers` that are"
    if condition.loss is None:
        yield "loss", f"a condition with a target needs a loss; choose one of {', '.join(LOSSES)}"
    elif condition.loss not in LOSSES:
        yield "loss", f"{condition.loss!r} is not known; choose one of {one_of(condition.loss, LOSSES)}"
    if condition.control is not None and condition.control not in CONTROLS:
        yield "control", f"{condition.control!r} is not known; choose one of {one_of(condition.control, CONTROLS)}"
    else:
        yield from _control_problems(condition)


def _control_problems(condition: Condition) -> Iterator[tuple[str, str]]:
    """Yield (key, problem) for what does not go with the control, or with measured responses."""
    control = condition.removes
    by_class = condition.loss is not None and condition.loss in LOSSES and LOSSES[condition.loss].by_class
    if condition.pairs:
        if condition.on == "both":
            yield "on", "responses were measured to stimuli only; remove it or `pairs`"
        for key in ("predictor", "subjects", "features", "match"):
            if getattr(condition, key) is not None:
                yield key, "measured responses need no such key; remove it or `pairs`"
        if condition.ensemble:
            yield "ensemble", "measured responses have no predictor's seeds; remove it or `pairs`"
        if not control.pairs:
            taken = ", ".join(f"'{name}'" for name in CONTROLS if CONTROLS[name].pairs)
            yield "control", f"measured responses (pairs) take the control {taken} only"
        if by_class:
            yield "loss", f"'{condition.loss}' needs responses to the task's own images: a predictor instead of `pairs`"
        return
    if by_class and condition.on != "task":
        yield "loss", f"'{condition.loss}' acts on the classes of the task's own images: `on: task`"
    if condition.features is not None and not control.oracle:
        yield "features", f"goes with {_with('oracle')} and with no other"
    if condition.match is not None and not control.subsample:
        yield "match", f"goes with {_with('subsample')} and with no other"
    if condition.match is None and control.subsample:
        yield "match", "missing: the ROIs whose number of voxels and noise ceilings the target is matched with"


def _with(flag: str) -> str:
    """The controls that have a property, as a configuration writes them."""
    return ", ".join(f"`control: {name}`" for name in CONTROLS if getattr(CONTROLS[name], flag))
