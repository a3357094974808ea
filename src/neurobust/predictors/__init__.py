"""What a script of your own needs: `from neurobust.predictors import fit_predictor, load_target, neural_loss`.

Each is imported when it is asked for, so that a description or a setting still imports no torch. docs/python.md has
examples.
"""

from importlib import import_module

PLACES = {
    "fit_predictor": "neurobust.predictors.own_arrays",
    "load_target": "neurobust.predictors.target",
    "neural_loss": "neurobust.networks.own_loop",
}


def __getattr__(name: str) -> object:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(PLACES[name]), name)
