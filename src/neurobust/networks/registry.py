"""Losses, controls, references and kinds of task by the name that a configuration calls them. Imports no torch.

A new one of ours is a description beside its code and one line here; another package's is an entry point of the group.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from neurobust.core.faults import Faults
from neurobust.core.places import Places, modules_of
from neurobust.core.settings import Given, Settings, known_keys, read
from neurobust.networks.description import Control, Loss, Reference, Task

Kind = TypeVar("Kind", bound=Settings)

LOSSES: Places[Loss] = Places(
    {
        "mse": "neurobust.networks.losses_settings:MSE",
        "correlation": "neurobust.networks.losses_settings:CORRELATION",
        "cka": "neurobust.networks.losses_settings:CKA",
        "cka-debiased": "neurobust.networks.losses_settings:CKA_DEBIASED",
        "rsa": "neurobust.networks.losses_settings:RSA",
        "similarity": "neurobust.networks.losses_settings:SIMILARITY",
        "manifold": "neurobust.networks.losses_settings:MANIFOLD",
        "manifold-radius": "neurobust.networks.losses_settings:MANIFOLD_RADIUS",
        "manifold-dimension": "neurobust.networks.losses_settings:MANIFOLD_DIMENSION",
    },
    "neurobust.losses",
    Loss,
)

CONTROLS: Places[Control] = Places(
    {
        "shuffled": "neurobust.networks.controls_settings:SHUFFLED",
        "random": "neurobust.networks.controls_settings:RANDOM",
        "gaussian": "neurobust.networks.controls_settings:GAUSSIAN",
        "pixels": "neurobust.networks.controls_settings:PIXELS",
        "features": "neurobust.networks.controls_settings:FEATURES",
        "labels": "neurobust.networks.controls_settings:LABELS",
        "phase-scrambled": "neurobust.networks.controls_settings:PHASE_SCRAMBLED",
        "subsampled": "neurobust.networks.controls_settings:SUBSAMPLED",
        "predictor-shuffled": "neurobust.networks.controls_settings:PREDICTOR_SHUFFLED",
    },
    "neurobust.controls",
    Control,
)

REFERENCES: Places[type[Reference]] = Places(
    {
        "adversarial": "neurobust.networks.references_settings:Adversarial",
        "trades": "neurobust.networks.references_settings:Trades",
        "gaussian-noise": "neurobust.networks.references_settings:GaussianNoise",
        "blur": "neurobust.networks.references_settings:Blur",
        "weight-decay": "neurobust.networks.references_settings:WeightDecay",
        "oracle-cue": "neurobust.networks.references_settings:OracleCue",
        "low-pass": "neurobust.networks.references_settings:LowPass",
    },
    "neurobust.references",
    Reference,
)

TASKS: Places[type[Task]] = Places(
    {
        "digits": "neurobust.networks.tasks.digits_settings:Digits",
        "phantom-scenes": "neurobust.networks.tasks.rendered_settings:Scenes",
        "phantom-faces": "neurobust.networks.tasks.rendered_settings:Faces",
        "image-folder": "neurobust.networks.tasks.image_folder_settings:ImageFolder",
        "cifar10": "neurobust.networks.tasks.cifar_settings:Cifar10",
        "cifar100": "neurobust.networks.tasks.cifar_settings:Cifar100",
        "tiny-imagenet": "neurobust.networks.tasks.photos_settings:TinyImageNet",
        "celeba-identity": "neurobust.networks.tasks.photos_settings:CelebaIdentity",
        "celeba-attributes": "neurobust.networks.tasks.photos_settings:CelebaAttributes",
    },
    "neurobust.tasks",
    Task,
)

NO_CONTROL = Control(pairs=True, help="no control: the responses to the image itself")


def control_named(name: str | None) -> Control:
    """The control of a condition; one that changes nothing where it names none."""
    return NO_CONTROL if name is None else CONTROLS[name]


def read_reference(given: Given, where: str) -> Reference:
    """The reference that a condition's `reference` describes; InputError for whatever it cannot be."""
    return _read_kind(REFERENCES, given, where)


def read_task(given: Given, where: str, beside: Iterable[str] = ()) -> Task:
    """The task that a mapping with its `kind` describes; InputError for whatever it cannot be.

    What a study says about any kind of task (`source`, `training`, `conditions`) is not among its settings: keys
    `beside` them are left to others.
    """
    return _read_kind(TASKS, given, where, tuple(beside))


def task_modules(kind: str) -> list[str]:
    """The modules that a kind of task lives in, sorted: its description and its reader."""
    return sorted({TASKS.module_name(kind), *modules_of(TASKS[kind].reader)})


def loss_modules(name: str) -> list[str]:
    """The modules that a loss lives in, sorted."""
    return sorted({LOSSES.module_name(name), *modules_of(LOSSES[name].run)})


def control_modules(name: str) -> list[str]:
    """The modules that a control lives in, sorted."""
    control = CONTROLS[name]
    return sorted({CONTROLS.module_name(name), *modules_of(control.run, control.partners)})


def reference_modules(name: str) -> list[str]:
    """The modules that a reference lives in, sorted."""
    return sorted({REFERENCES.module_name(name), *modules_of(REFERENCES[name].perturb)})


def _read_kind(kinds: Places[type[Kind]], given: Given, where: str, beside: tuple[str, ...] = ()) -> Kind:
    if not isinstance(given, Mapping):
        read(Settings, given, where)  # which says so
    faults = Faults()
    kind = kinds.chosen(given, "kind", where)
    own = known_keys(kind, given, where, faults, beside)
    found = faults.kept(lambda: read(kind, {key: value for key, value in own.items() if key not in beside}, where))
    faults.refuse()
    return found
