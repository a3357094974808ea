"""The corruptions by name: fifteen that the mean corruption error is over, then four held out.

Neither torch nor scipy is imported: the workflow reads from here which modules a study's corruptions live in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from neurobust.core.places import Places

PACKAGE = "neurobust.attacks.corruptions"
# corruption(image float64 (S, S, 3) in [0,1], rng, scale, *strengths) -> an image that may leave [0,1]
CORRUPTIONS: Places[Callable[..., Any]] = Places(
    {
        "gaussian_noise": f"{PACKAGE}.noise:gaussian_noise",
        "shot_noise": f"{PACKAGE}.noise:shot_noise",
        "impulse_noise": f"{PACKAGE}.noise:impulse_noise",
        "defocus_blur": f"{PACKAGE}.blur:defocus_blur",
        "glass_blur": f"{PACKAGE}.blur:glass_blur",
        "motion_blur": f"{PACKAGE}.blur:motion_blur",
        "zoom_blur": f"{PACKAGE}.blur:zoom_blur",
        "snow": f"{PACKAGE}.weather:snow",
        "frost": f"{PACKAGE}.weather:frost",
        "fog": f"{PACKAGE}.weather:fog",
        "brightness": f"{PACKAGE}.digital:brightness",
        "contrast": f"{PACKAGE}.digital:contrast",
        "elastic_transform": f"{PACKAGE}.digital:elastic_transform",
        "pixelate": f"{PACKAGE}.digital:pixelate",
        "jpeg_compression": f"{PACKAGE}.digital:jpeg_compression",
        "speckle_noise": f"{PACKAGE}.noise:speckle_noise",
        "gaussian_blur": f"{PACKAGE}.blur:gaussian_blur",
        "spatter": f"{PACKAGE}.weather:spatter",
        "saturate": f"{PACKAGE}.digital:saturate",
    }
)
HELD_OUT = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
SCORED = tuple(name for name in CORRUPTIONS if name not in HELD_OUT)
SEVERITIES = (1, 2, 3, 4, 5)


def corruption_modules(names: Iterable[str]) -> list[str]:
    """The modules of some corruptions, sorted."""
    return sorted({CORRUPTIONS.module_name(name) for name in names})
