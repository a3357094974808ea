"""Stage 1: from a local mirror of the NSD bucket to responses per ROI and resized stimuli.

Entry points: `extract_betas`, `extract_roi`, `build_stimuli`. They are imported when first used, so that `layout`,
which the workflow reads paths from, costs no import of h5py, scipy and nibabel.
"""

from importlib import import_module

_MODULES = {"build_stimuli": "stimuli", "extract_betas": "extract", "extract_roi": "responses"}

__all__ = ["build_stimuli", "extract_betas", "extract_roi"]


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
