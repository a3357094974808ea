"""The cue of a world: what predicts an object's class beside its shape and is easily taken away or put in its place.

pattern: each class has two fine gratings, of 8 and 16 cycles per image (periods of 4 and 2 pixels at 32 pixels), which
are added to the whole image; any object has any hue, so that the shape must be learned without the cue.
hue: the object's paint has the hue of the cue's class.
The same scene bears any class's cue; in the images that subjects see it says nothing of what is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from neurobust.core.seeding import numpy_rng
from neurobust.phantom.scenes import CATEGORIES, Scene, render
from neurobust.phantom.settings import Cue

FREQUENCIES = (8, 16)  # cycles per image
HUE_SPREAD = 0.02  # standard deviation of an object's hue around that of its cue; classes are 0.1 apart


@dataclass(frozen=True)
class Cues:
    """Which class's cue each of N images bears, int64 (N,) each: `shown` in the task; `random`, drawn without a look at
    the label; `conflict`, any class's but the label's."""

    shown: np.ndarray
    random: np.ndarray
    conflict: np.ndarray


def draw_cues(labels: np.ndarray, reliability: float, *stream: object) -> Cues:
    """The cues of images with these labels (N,), each drawn from its own place in the stream.

    `shown` is the label with probability `reliability`, else another class; all others are equally likely.
    """
    classes = len(CATEGORIES)
    found = np.empty((3, len(labels)), np.int64)
    for i, label in enumerate(labels):
        rng = numpy_rng(*stream, "cue", i)
        agrees = rng.random() < reliability
        other, random, conflict = (int(rng.integers(n)) for n in (classes - 1, classes, classes - 1))
        found[:, i] = label if agrees else (label + 1 + other) % classes, random, (label + 1 + conflict) % classes
    return Cues(*found)


def draw_random(count: int, *stream: object) -> np.ndarray:
    """Classes (count,) int64, each equally likely: the cues of images that subjects see."""
    return np.array([numpy_rng(*stream, "cue", i).integers(len(CATEGORIES)) for i in range(count)], np.int64)


@cache
def pattern(label: int, size: int) -> np.ndarray:
    """The pattern of a class, float32 (size, size) within [-1, 1]; the same at every resolution.

    Orientations of the coarse gratings divide the half circle; those of the fine ones keep off the axes, where 32
    pixels would show a grating of 16 cycles or not, as its phase has it. No two classes share a grating.
    """
    classes = len(CATEGORIES)
    rng = numpy_rng("phantom cue", label)
    place = (3 * label) % classes / classes  # so that neighbours in one orientation are far apart in the other
    fine = np.pi / 2 * (int(2 * place) + 0.25 + 0.5 * (2 * place % 1))
    axis = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(axis, axis)
    total = np.zeros((size, size))
    for frequency, angle in zip(FREQUENCIES, (np.pi * (label + 0.5) / classes, fine), strict=True):
        phase = rng.uniform(0, 2 * np.pi)
        total += np.cos(2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle)) + phase)
    return (total / len(FREQUENCIES)).astype(np.float32)


def bearing(scene: Scene, label: int, cue: Cue, rng: np.random.Generator) -> Scene:
    """The scene whose object has the colour that the world gives it where the image bears the cue of class `label`."""
    if cue.kind == "pattern":
        return replace(scene, hue=float(rng.random()))
    hue = label / len(CATEGORIES) + rng.normal(0, HUE_SPREAD)
    return replace(scene, hue=float(hue % 1), saturation=cue.strength)


def render_cued(scenes: Sequence[Scene], cues: np.ndarray, cue: Cue, size: int, *stream: object) -> np.ndarray:
    """The scenes with the cues of the classes `cues` (N,): uint8 (N, size, size, 3).

    All else, chance included, depends on scenes and stream alone, so that two sets of cues give twins.
    """
    images = np.empty((len(scenes), size, size, 3), np.uint8)
    for i, (scene, label) in enumerate(zip(scenes, cues.tolist(), strict=True)):
        added = pattern(label, size) * np.float32(cue.strength / 255) if cue.kind == "pattern" else None
        images[i] = render(bearing(scene, label, cue, numpy_rng(*stream, "hue", i)), size, added)
    return images
