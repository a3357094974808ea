"""Rendered scenes: one object of a category, or one schematic face, on a textured background."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, field

import numpy as np

from neurobust.core.seeding import numpy_rng
from neurobust.phantom.shapes import FACE_ATTRIBUTES, OBJECTS, Part, face_parts

CATEGORIES = tuple(OBJECTS)
REACH = 1.1  # half sizes of an object that its silhouette shows
TEXTURES = ("clouds", "stripes", "checks", "dots", "slope")


@dataclass(frozen=True)
class Scene:
    """Everything that a picture is rendered from. `category` is a name of CATEGORIES or "face"."""

    category: str
    x: float  # centre of the object in the frame, -1 ... 1 from left to right
    y: float  # -1 ... 1 from top to bottom
    size: float  # half size of the object, in half frames
    angle: float  # radians
    hue: float  # of the object's main paint, 0 ... 1
    texture: str
    texture_seed: int
    contrast: float  # of the background texture
    identity: int = -1
    attributes: dict[str, bool] = field(default_factory=dict)
    saturation: float = 1.0  # of the object's paints, as a share of their own


def sample_scene(rng: np.random.Generator, faces: float = 0.25, identities: int = 20) -> Scene:
    """Draw a scene; a share `faces` of them shows a face. An object's hue hints at its category, no more."""
    face = rng.random() < faces
    category = "face" if face else str(rng.choice(CATEGORIES))
    hue = (0.0 if face else CATEGORIES.index(category) / len(CATEGORIES)) + rng.normal(0, 0.12)
    size = rng.uniform(0.4, 0.65)
    reach = 0.9 - size
    return Scene(
        category=category,
        x=rng.uniform(-reach, reach),
        y=rng.uniform(-reach, reach),
        size=size,
        angle=rng.normal(0, 0.15),
        hue=float(hue % 1),
        texture=str(rng.choice(TEXTURES)),
        texture_seed=int(rng.integers(2**31)),
        contrast=rng.uniform(0.15, 0.45),
        identity=int(rng.integers(identities)) if face else -1,
        attributes={name: bool(rng.random() < 0.5) for name in FACE_ATTRIBUTES} if face else {},
    )


def identity_traits(identity: int) -> dict[str, float]:
    """Geometry and paint of one person; the same number is the same person everywhere."""
    rng = numpy_rng("phantom identity", identity)
    return {
        "width": rng.uniform(0.55, 0.78),
        "eye_distance": rng.uniform(0.24, 0.36),
        "eye_size": rng.uniform(0.07, 0.13),
        "nose": rng.uniform(0.15, 0.3),
        "mouth": rng.uniform(0.18, 0.36),
        "brow": rng.uniform(-0.1, 0.1),
        "skin": rng.uniform(0.35, 0.95),
        "hair_hue": rng.uniform(0.0, 0.16),
        "hair_value": rng.uniform(0.12, 0.8),
        "iris_hue": rng.uniform(0.1, 0.65),
    }


def paints(scene: Scene) -> dict[str, np.ndarray]:
    """RGB of every paint role of the scene, each (3,) in [0, 1]."""
    hsv, full = colorsys.hsv_to_rgb, scene.saturation
    palette = {
        "main": hsv(scene.hue, 0.75 * full, 0.85),
        "accent": hsv((scene.hue + 0.45) % 1, 0.6 * full, 0.75),
        "dark": (0.12, 0.11, 0.14),
        "light": (0.94, 0.94, 0.9),
    }
    if scene.category == "face":
        traits = identity_traits(scene.identity)
        palette |= {
            "skin": hsv(0.07, 0.45, traits["skin"]),
            "shade": hsv(0.07, 0.5, traits["skin"] * 0.75),
            "lips": hsv(0.98, 0.6, 0.7),
            "hair": hsv(traits["hair_hue"], 0.6, traits["hair_value"]),
            "iris": hsv(traits["iris_hue"], 0.7, 0.55),
            "hat": hsv((scene.hue + 0.55) % 1, 0.7 * full, 0.6),
        }
    return {role: np.asarray(colour, np.float32) for role, colour in palette.items()}


def background(scene: Scene, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A texture around a muted colour, (H, W, 3) in [0, 1]; the same at every resolution."""
    rng = np.random.default_rng(scene.texture_seed)
    base = np.asarray(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.1, 0.4), rng.uniform(0.4, 0.75)), np.float32)
    angle, frequency = rng.uniform(0, np.pi), rng.uniform(4, 14)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    if scene.texture == "stripes":
        pattern = np.sin(frequency * u)
    elif scene.texture == "checks":
        pattern = np.tanh(4 * np.sin(frequency * 0.7 * u) * np.sin(frequency * 0.7 * v))
    elif scene.texture == "dots":
        pattern = 2 / (1 + np.exp(-8 * (np.cos(frequency * u) + np.cos(frequency * v) - 0.8))) - 1
    elif scene.texture == "slope":
        pattern = u
    else:  # clouds: a few random waves with amplitude ~ 1/f
        waves = rng.normal(size=(12, 2)) * rng.uniform(2, 14, size=(12, 1))
        phases = rng.uniform(0, 2 * np.pi, 12)
        pattern = sum(
            np.sin(kx * x + ky * y + phase) / (1 + 0.25 * np.hypot(kx, ky))
            for (kx, ky), phase in zip(waves, phases, strict=True)
        )
    tint = rng.normal(1, 0.15, 3).astype(np.float32)
    return base + scene.contrast * 0.5 * np.asarray(pattern, np.float32)[..., None] * tint


def object_parts(scene: Scene) -> list[Part]:
    """The parts of the scene's object or face, in its own coordinates, in the order of painting."""
    if scene.category == "face":
        return face_parts(identity_traits(scene.identity), scene.attributes)
    return OBJECTS[scene.category]


def render(scene: Scene, size: int, added: np.ndarray | None = None) -> np.ndarray:
    """Render the scene as uint8 (size, size, 3), edges antialiased over one pixel.

    `added` (size, size), in [-1, 1], is added to all three channels before they are rounded.
    """
    x, y = frame(size)
    image = background(scene, x, y)
    u, v = object_coordinates(scene, x, y)
    near = (np.abs(u) < 1.3) & (np.abs(v) < 1.3)
    palette = paints(scene)
    un, vn, patch = u[near], v[near], image[near]
    pixel = 2 / (size * scene.size)  # one pixel in object units
    shading = (1 - 0.12 * vn)[:, None]  # light from above
    for role, distance in object_parts(scene):
        cover = np.clip(0.5 - distance(un, vn) / pixel, 0, 1)[:, None].astype(np.float32)
        patch = patch * (1 - cover) + palette[role] * shading * cover
    image[near] = patch
    if added is not None:
        image = image + added[..., None]
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def frame(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of the pixels' centres, across and down, float32 (size, size) each in -1 ... 1."""
    axis = ((np.arange(size, dtype=np.float32) + 0.5) / size) * 2 - 1
    x, y = np.meshgrid(axis, axis)
    return x, y


def object_coordinates(scene: Scene, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places in the frame as the scene's object counts them: from its centre, along its axes, in half sizes."""
    cos, sin = np.cos(scene.angle), np.sin(scene.angle)
    u = ((x - scene.x) * cos + (y - scene.y) * sin) / scene.size
    v = ((y - scene.y) * cos - (x - scene.x) * sin) / scene.size
    return u, v


def masks_of(scenes: list[Scene], size: int) -> np.ndarray:
    """Where each picture shows its object or face rather than the background: bool (len(scenes), size, size)."""
    x, y = frame(size)
    found = np.empty((len(scenes), size, size), bool)
    for i, scene in enumerate(scenes):
        u, v = object_coordinates(scene, x, y)
        near = (np.abs(u) < 1.3) & (np.abs(v) < 1.3)  # as `render` has it
        nearest = np.minimum.reduce([distance(u, v) for _, distance in object_parts(scene)])
        found[i] = near & (nearest < 0)
    return found


def silhouette(scene: Scene, size: int = 16) -> np.ndarray:
    """What the scene's object or face covers, float32 (size, size) in [0, 1], stood it in the frame's middle.

    Of the scene it keeps the shape and the angle: position, size, colour, background and cue leave no trace in it.
    """
    axis = (((np.arange(size) + 0.5) / size) * 2 - 1) * REACH
    x, y = np.meshgrid(axis, axis)
    cos, sin = np.cos(scene.angle), np.sin(scene.angle)
    u, v = x * cos + y * sin, y * cos - x * sin
    nearest = np.minimum.reduce([distance(u, v) for _, distance in object_parts(scene)])
    pixel = 2 * REACH / size
    return np.clip(0.5 - nearest / pixel, 0, 1).astype(np.float32)


def sample_scenes(count: int, *stream: object, faces: float = 0.25) -> list[Scene]:
    """`count` scenes of the named random stream; scene i does not depend on `count`."""
    return [sample_scene(numpy_rng(*stream, i), faces) for i in range(count)]


def render_all(scenes: list[Scene], size: int) -> np.ndarray:
    """Render many scenes: uint8 (len(scenes), size, size, 3)."""
    images = np.empty((len(scenes), size, size, 3), np.uint8)
    for i, scene in enumerate(scenes):
        images[i] = render(scene, size)
    return images
