"""The kinds of predictors by the name that a configuration calls them. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from neurobust.core.places import Places, modules_of
from neurobust.core.settings import Given, read
from neurobust.predictors.description import Predictor

CORE = "core"  # the kind of an entry that names a core and no kind
PREDICTORS: Places[type[Predictor]] = Places(
    {
        "gnet": "neurobust.predictors.gnet_settings:GNetSettings",
        "resnet-pcs": "neurobust.predictors.resnet_pcs_settings:ResNetPCs",
        "gabor-fwrf": "neurobust.predictors.fwrf_settings:GaborFwRF",
        "cnn-fwrf": "neurobust.predictors.fwrf_settings:CnnFwRF",
        "core": "neurobust.predictors.core_settings:CoreReadout",
        "ridge": "neurobust.predictors.ridge_settings:Ridge",
    },
    "neurobust.predictors",
    Predictor,
)


def read_predictor(name: str, given: Given, where: str = "predictors") -> Predictor:
    """The predictor `name` that a configuration describes; InputError for whatever its kind cannot use."""
    where = f"{where}.{name}"
    if "core" in given and "kind" not in given:
        given = {"kind": CORE, **given}
    return read(PREDICTORS.chosen(given, "kind", where), given, where).checked(where)


def predictor_modules(kind: str) -> list[str]:
    """The modules that a kind is described, fitted, rebuilt and read by, sorted: what training one depends on."""
    described = PREDICTORS[kind]
    return sorted({*reader_modules([kind]), *modules_of(described.fit, described.fields)})


def reader_modules(kinds: Iterable[str]) -> list[str]:
    """The modules that rebuild trained predictors of these kinds, sorted: what a stage that loads them depends on."""
    known = {kind for kind in kinds if kind in PREDICTORS}
    built = modules_of(*(PREDICTORS[kind].build for kind in known))
    return sorted(built | {PREDICTORS.module_name(kind) for kind in known})
