"""Shapes as signed distances: what objects and faces of the phantom are drawn with.

Coordinates are in units of the object's half size, x to the right, y downwards. A part is (role, distance), where
`distance(x, y)` is negative inside and the role picks the paint: main, accent, dark or light.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]
Part = tuple[str, Distance]


def ellipse(cx: float, cy: float, rx: float, ry: float) -> Distance:
    """Filled ellipse (first-order distance, exact for a circle)."""
    radius = min(rx, ry)
    return lambda x, y: (np.hypot((x - cx) / rx, (y - cy) / ry) - 1) * radius


def circle(cx: float, cy: float, radius: float) -> Distance:
    """Filled circle."""
    return ellipse(cx, cy, radius, radius)


def ring(cx: float, cy: float, radius: float, width: float) -> Distance:
    """Circle line of the given width."""
    return lambda x, y: np.abs(np.hypot(x - cx, y - cy) - radius) - width / 2


def box(cx: float, cy: float, width: float, height: float) -> Distance:
    """Axis-aligned rectangle."""
    return lambda x, y: np.maximum(np.abs(x - cx) - width / 2, np.abs(y - cy) - height / 2)


def polygon(*points: tuple[float, float]) -> Distance:
    """Convex polygon, corners clockwise on the screen (y downwards)."""
    edges = []
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        length = float(np.hypot(x1 - x0, y1 - y0))
        edges.append((x0, y0, (y1 - y0) / length, -(x1 - x0) / length))
    return lambda x, y: np.maximum.reduce([(x - x0) * nx + (y - y0) * ny for x0, y0, nx, ny in edges])


def line(x0: float, y0: float, x1: float, y1: float, width: float) -> Distance:
    """Segment with round ends."""
    dx, dy = x1 - x0, y1 - y0
    length2 = dx * dx + dy * dy

    def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        along = np.clip(((x - x0) * dx + (y - y0) * dy) / length2, 0, 1)
        return np.hypot(x - x0 - along * dx, y - y0 - along * dy) - width / 2

    return distance


def union(*shapes: Distance) -> Distance:
    """Everything that is in any of the shapes."""
    return lambda x, y: np.minimum.reduce([shape(x, y) for shape in shapes])


def cut(shape: Distance, hole: Distance) -> Distance:
    """`shape` without `hole`."""
    return lambda x, y: np.maximum(shape(x, y), -hole(x, y))


def _around(count: int, radius: float, make: Callable[[float, float, float], Distance]) -> Distance:
    angles = 2 * np.pi * np.arange(count) / count - np.pi / 2
    return union(*(make(radius * float(np.cos(a)), radius * float(np.sin(a)), float(a)) for a in angles))


def _star() -> Distance:
    def spike(x: float, y: float, angle: float) -> Distance:
        left, right = angle - 0.63, angle + 0.63
        return polygon((x, y), (0.42 * np.cos(right), 0.42 * np.sin(right)), (0.42 * np.cos(left), 0.42 * np.sin(left)))

    return union(_around(5, 1.0, spike), ellipse(0, 0, 0.42, 0.42))


OBJECTS: dict[str, list[Part]] = {
    "apple": [
        ("main", union(ellipse(-0.25, 0.15, 0.6, 0.7), ellipse(0.25, 0.15, 0.6, 0.7))),
        ("dark", line(0, -0.5, 0.1, -0.95, 0.12)),
        ("accent", ellipse(0.38, -0.72, 0.28, 0.14)),
    ],
    "boat": [
        ("main", polygon((-0.95, 0.35), (0.95, 0.35), (0.6, 0.85), (-0.6, 0.85))),
        ("dark", box(0, -0.3, 0.08, 1.3)),
        ("light", polygon((0.08, -0.9), (0.75, 0.2), (0.08, 0.2))),
        ("accent", polygon((-0.08, -0.6), (-0.08, 0.2), (-0.6, 0.2))),
    ],
    "car": [
        ("main", union(box(0, 0.2, 1.9, 0.5), polygon((-0.5, -0.45), (0.4, -0.45), (0.7, 0.0), (-0.75, 0.0)))),
        ("light", polygon((-0.42, -0.35), (0.33, -0.35), (0.52, -0.05), (-0.58, -0.05))),
        ("dark", union(ellipse(-0.55, 0.5, 0.26, 0.26), ellipse(0.55, 0.5, 0.26, 0.26))),
    ],
    "cup": [
        ("main", ring(0.62, 0.05, 0.36, 0.18)),
        ("main", polygon((-0.7, -0.7), (0.6, -0.7), (0.45, 0.8), (-0.55, 0.8))),
        ("accent", box(-0.05, -0.05, 1.18, 0.22)),
    ],
    "fish": [
        ("accent", polygon((0.45, 0.0), (0.98, -0.5), (0.98, 0.5))),
        ("main", ellipse(-0.2, 0, 0.75, 0.45)),
        ("light", ellipse(-0.6, -0.1, 0.12, 0.12)),
        ("dark", ellipse(-0.62, -0.1, 0.06, 0.06)),
    ],
    "flower": [
        ("dark", line(0, 0.1, 0, 0.98, 0.12)),
        ("main", _around(6, 0.5, lambda x, y, a: ellipse(x, y - 0.25, 0.27, 0.27))),
        ("accent", ellipse(0, -0.25, 0.3, 0.3)),
    ],
    "house": [
        ("main", box(0, 0.35, 1.3, 1.1)),
        ("accent", polygon((0.0, -0.95), (0.9, -0.2), (-0.9, -0.2))),
        ("dark", box(-0.25, 0.55, 0.35, 0.7)),
        ("light", box(0.35, 0.3, 0.35, 0.35)),
    ],
    "mushroom": [
        ("light", box(0, 0.45, 0.4, 0.9)),
        ("main", cut(ellipse(0, 0, 0.9, 0.85), box(0, 0.6, 2.2, 1.2))),
        ("accent", union(circle(-0.4, -0.35, 0.15), circle(0.2, -0.5, 0.17), circle(0.5, -0.2, 0.1))),
    ],
    "star": [("main", _star()), ("accent", ellipse(0, 0, 0.2, 0.2))],
    "tree": [
        ("dark", box(0, 0.65, 0.25, 0.7)),
        ("main", union(*(ellipse(x, y, 0.45, 0.4) for x, y in ((0, -0.5), (-0.42, -0.05), (0.42, -0.05))))),
        ("accent", union(circle(-0.35, -0.1, 0.09), circle(0.3, -0.2, 0.09), circle(0, -0.55, 0.09))),
    ],
}  # fmt: skip

FACE_ATTRIBUTES = ("smiling", "glasses", "hat", "beard")


def face_parts(identity: dict[str, float], attributes: dict[str, bool]) -> list[Part]:
    """A schematic face: geometry from `identity` (`scenes.identity_traits`), plus attributes."""
    w, d, e = identity["width"], identity["eye_distance"], identity["eye_size"]
    mouth, bend = identity["mouth"], 0.16 if attributes["smiling"] else -0.03
    parts: list[Part] = [
        ("hair", ellipse(0, -0.18, w + 0.12, 0.82)),
        ("skin", ellipse(0, 0.08, w, 0.86)),
    ]
    if attributes["beard"]:
        parts.append(("hair", cut(ellipse(0, 0.42, w * 0.92, 0.52), ellipse(0, 0.2, w * 0.72, 0.42))))
    for side in (-1, 1):
        parts += [
            ("light", ellipse(side * d, -0.1, e * 1.3, e)),
            ("iris", ellipse(side * d, -0.1, e * 0.6, e * 0.6)),
            ("dark", line(side * (d - 0.14), -0.3 + identity["brow"], side * (d + 0.14), -0.3, 0.06)),
        ]
    parts.append(("shade", line(0, -0.02, 0.04, identity["nose"], 0.08)))
    curve = [(-mouth, 0.5), (-mouth / 2, 0.5 + bend * 0.8), (mouth / 2, 0.5 + bend * 0.8), (mouth, 0.5)]
    parts.append(("lips", union(*(line(*a, *b, 0.1) for a, b in pairwise(curve)))))
    if attributes["glasses"]:
        bridge = line(-d + 0.22, -0.12, d - 0.22, -0.12, 0.06)
        parts.append(("dark", union(ring(-d, -0.1, 0.24, 0.07), ring(d, -0.1, 0.24, 0.07), bridge)))
    if attributes["hat"]:
        parts.append(("hat", union(box(0, -0.62, 2 * w + 0.3, 0.14), box(0, -0.83, 2 * w - 0.15, 0.4))))
    return parts
