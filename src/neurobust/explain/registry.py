"""The analyses by the name that a configuration calls them, of all three scopes, in the order of pages. No torch."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any, get_args

from neurobust.core.errors import InputError
from neurobust.core.places import Places, modules_of
from neurobust.core.settings import Given, read
from neurobust.explain.description import Analysis, Need, Scope

ANALYSES: Places[type[Analysis]] = Places(
    {
        "exciting": "neurobust.explain.predictors.settings:Exciting",
        "attribution": "neurobust.explain.predictors.settings:Attribution",
        "fields": "neurobust.explain.predictors.settings:Fields",
        "tuning": "neurobust.explain.predictors.settings:Tuning",
        "transfer": "neurobust.explain.predictors.settings:Transfer",
        "concepts": "neurobust.explain.predictors.settings:Concepts",
        "fragility": "neurobust.explain.predictors.settings:Fragility",
        "shifted": "neurobust.explain.predictors.settings:Shifted",
        "distance": "neurobust.explain.networks.inside_settings:Distance",
        "low-frequency": "neurobust.explain.networks.inside_settings:LowFrequency",
        "dimensionality": "neurobust.explain.networks.inside_settings:Dimensionality",
        "similarity": "neurobust.explain.networks.inside_settings:Similarity",
        "layers": "neurobust.explain.networks.settings:LayerSimilarity",
        "fourier": "neurobust.explain.networks.settings:Fourier",
        "perturbations": "neurobust.explain.networks.settings:Perturbations",
        "geometry": "neurobust.explain.networks.settings:Geometry",
        "jacobian": "neurobust.explain.networks.settings:Jacobian",
        "boundary": "neurobust.explain.networks.settings:Boundary",
        "cue-bias": "neurobust.explain.networks.settings:CueBias",
        "saliency": "neurobust.explain.networks.settings:Saliency",
        "calibration": "neurobust.explain.networks.settings:Calibration",
        "humans": "neurobust.explain.networks.settings:Humans",
        "consistency": "neurobust.explain.studies.consistency_settings:Consistency",
        "changes": "neurobust.explain.studies.settings:Changes",
        "association": "neurobust.explain.studies.settings:Association",
        "mediation": "neurobust.explain.studies.settings:Mediation",
    },
    "neurobust.analyses",
    Analysis,
)


def read_analysis(name: str, given: Given, where: str = "explain") -> Analysis:
    """The analysis `name` with the settings that a configuration gives; InputError for what it cannot use."""
    kind = ANALYSES.find(name, f"{where}.{name}")
    if wrong := wrong_with(kind):
        raise InputError(f"entry point '{name}' of neurobust.analyses: {wrong}; correct that package or uninstall it")
    return read(kind, given, f"{where}.{name}")


def wrong_with(kind: type[Analysis]) -> str | None:
    """What keeps a description from being used, such as one of another package: told before anything is planned, for
    its function is first called when networks are trained. None for a good one."""
    at, (module, _, function) = f"{kind.__module__}:{kind.__qualname__}", kind.run.partition(":")
    if kind.scope not in get_args(Scope):
        return f"{at}: scope '{kind.scope}' is none of {', '.join(get_args(Scope))}"
    if unknown := [need for need in kind.needs if need not in get_args(Need)]:
        return f"{at}: needs '{unknown[0]}', which is none of {', '.join(get_args(Need))}"
    if not function or not is_there(module, function):
        return f"{at}: run '{kind.run}' is no function as package.module:function"
    return None


def is_there(module: str, function: str) -> bool:
    """Whether a module can be found, without importing it, and has the function where it is imported already."""
    if module in sys.modules:
        return hasattr(sys.modules[module], function)
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of its package
        return False


def usual_analyses() -> dict[str, Analysis]:
    """Those that a study without the section `explain` does, at their defaults."""
    return {name: ANALYSES[name]() for name in ANALYSES if ANALYSES[name].usual}


def read_analyses(given: Mapping[str, Any]) -> dict[str, Analysis]:
    """The analyses of a job's parameters: name -> settings as JSON types."""
    return {name: read_analysis(name, settings) for name, settings in given.items()}


def of_scope(analyses: Mapping[str, Analysis], scope: Scope) -> dict[str, Analysis]:
    """Those of a scope, in the order of the registry."""
    return {name: analyses[name] for name in ANALYSES if name in analyses and ANALYSES[name].scope == scope}


def analysis_modules(names: Iterable[str]) -> list[str]:
    """The modules that some analyses are described and computed in, sorted: what a table depends on."""
    names = list(names)
    return sorted(modules_of(*(ANALYSES[name].run for name in names)) | {ANALYSES.module_name(name) for name in names})


def asked(names: Iterable[str]) -> dict[str, str]:
    """Measure -> its analysis, of some analyses of networks: the family that a whole study is asked about."""
    chosen = set(names)
    return {
        measure: name
        for name in ANALYSES
        if name in chosen and ANALYSES[name].scope == "network"
        for measure, facts in ANALYSES[name].measures.items()
        if facts.asked
    }
