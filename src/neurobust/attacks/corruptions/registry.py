"""The corruptions by name, and one image under one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from neurobust.attacks.corruptions import blur, digital, noise, weather
from neurobust.attacks.corruptions.tables import EXTRA, NATIVE_SIDE, SCORED, SEVERITIES, TABLES
from neurobust.core.errors import InputError
from neurobust.core.seeding import numpy_rng

# corruption(image float64 (S, S, 3) in [0,1], rng, scale, *strengths) -> an image that may leave [0,1]
CORRUPTIONS: dict[str, Callable[..., np.ndarray]] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "impulse_noise": noise.impulse_noise,
    "defocus_blur": blur.defocus_blur,
    "glass_blur": blur.glass_blur,
    "motion_blur": blur.motion_blur,
    "zoom_blur": blur.zoom_blur,
    "snow": weather.snow,
    "frost": weather.frost,
    "fog": weather.fog,
    "brightness": digital.brightness,
    "contrast": digital.contrast,
    "elastic_transform": digital.elastic_transform,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
    "speckle_noise": noise.speckle_noise,
    "gaussian_blur": blur.gaussian_blur,
    "spatter": weather.spatter,
    "saturate": digital.saturate,
}


def corrupt(image: np.ndarray, kind: str, severity: int, strengths: str, image_id: int) -> np.ndarray:
    """One image uint8 (S, S, 3) under corruption `kind` at severity 1 to 5 of a set of strengths: uint8, rounded.

    The random part is drawn from the image's id, the type and the severity alone, so an image is corrupted alike
    whatever is corrupted before it or beside it. Raises InputError for an unknown name or an image of another shape.
    """
    if strengths not in TABLES or kind not in CORRUPTIONS or severity not in SEVERITIES:
        raise InputError(
            f"corruption '{kind}', severity {severity}, set '{strengths}': choose a type of {', '.join(CORRUPTIONS)}, "
            f"a severity from 1 to 5 and a set of {', '.join(TABLES)}"
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.shape[0] != image.shape[1]:
        raise InputError(f"image {image_id}: {image.dtype} {image.shape}; corruptions want uint8 (side, side, 3)")
    rng = numpy_rng("corruption", kind, severity, int(image_id))
    scale = len(image) / NATIVE_SIDE[strengths]
    changed = CORRUPTIONS[kind](image / 255, rng, scale, *TABLES[strengths][kind][severity - 1])
    return np.rint(changed.clip(0, 1) * 255).astype(np.uint8)


def choose_types(types: str | Sequence[str]) -> list[str]:
    """`scored`, `all` or a list of names as a list of names, in the registry's order."""
    named = {"scored": SCORED, "all": (*SCORED, *EXTRA)}
    chosen = named.get(types) if isinstance(types, str) else types
    unknown = sorted(set(chosen or [types]) - set(CORRUPTIONS))
    if unknown:
        raise InputError(f"corruptions.types: '{unknown[0]}' is unknown; give scored, all or a list of these: "
                         f"{', '.join(CORRUPTIONS)}")  # fmt: skip
    return [name for name in CORRUPTIONS if name in set(chosen)]
