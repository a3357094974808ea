"""Rendered scenes: deterministic, varied, the same at every resolution."""

import numpy as np
import pytest

from neurobust.phantom import scenes
from neurobust.phantom.shapes import FACE_ATTRIBUTES, box, circle, cut, ellipse, line, polygon, ring, union


def at(shape, x, y):
    return float(shape(np.array([x]), np.array([y]))[0])


def test_distances_of_the_primitives():
    assert at(circle(1, 2, 0.5), 1, 3) == pytest.approx(0.5)
    assert at(ring(0, 0, 1, 0.2), 1, 0) == pytest.approx(-0.1)
    assert at(box(0, 0, 2, 4), 1.5, 0) == pytest.approx(0.5)
    assert at(line(0, 0, 2, 0, 0.2), 3, 0) == pytest.approx(0.9)
    triangle = polygon((0.0, -1.0), (1.0, 1.0), (-1.0, 1.0))  # clockwise on the screen
    assert at(triangle, 0, 0.5) < 0 < at(triangle, 0, 1.2)
    assert at(triangle, 0, 1.2) == pytest.approx(0.2)
    hole = cut(circle(0, 0, 1), circle(0, 0, 0.5))
    assert at(hole, 0, 0) > 0 > at(hole, 0.75, 0)
    assert at(union(circle(0, 0, 1), circle(5, 0, 1)), 5, 0) == pytest.approx(-1)
    assert at(ellipse(0, 0, 2, 1), 2, 0) == pytest.approx(0)


def test_scenes_are_a_named_stream():
    first, again = scenes.sample_scenes(5, 0, "a"), scenes.sample_scenes(8, 0, "a")
    assert first == again[:5]
    assert first != scenes.sample_scenes(5, 1, "a")
    image = scenes.render(first[0], 64)
    assert image.dtype == np.uint8 and image.shape == (64, 64, 3)
    assert np.array_equal(image, scenes.render(first[0], 64))


def test_a_scene_looks_the_same_at_every_resolution():
    for scene in scenes.sample_scenes(6, 0, "sizes"):
        large = scenes.render(scene, 128).reshape(32, 4, 32, 4, 3).mean((1, 3))
        small = scenes.render(scene, 32).astype(float)
        assert np.corrcoef(large.ravel(), small.ravel())[0, 1] > 0.95


def test_at_least_ten_categories_and_faces_with_attributes():
    drawn = scenes.sample_scenes(400, 0, "kinds", faces=0.3)
    assert len(scenes.CATEGORIES) >= 10
    assert {scene.category for scene in drawn} == {*scenes.CATEGORIES, "face"}
    faces = [scene for scene in drawn if scene.category == "face"]
    assert 0.2 < len(faces) / len(drawn) < 0.4
    assert len({scene.identity for scene in faces}) > 10
    for name in FACE_ATTRIBUTES:
        assert {scene.attributes[name] for scene in faces} == {True, False}


@pytest.mark.parametrize("name", FACE_ATTRIBUTES)
def test_each_attribute_changes_the_face_and_only_there(name):
    from dataclasses import replace

    scene = next(s for s in scenes.sample_scenes(50, 3, "attributes", faces=1.0) if not s.attributes[name])
    before = scenes.render(scene, 96).astype(int)
    after = scenes.render(replace(scene, attributes={**scene.attributes, name: True}), 96).astype(int)
    changed = np.abs(before - after).max(-1) > 0
    assert 0.001 < changed.mean() < 0.5
    ys, xs = np.nonzero(changed)
    centre = (np.array([scene.y, scene.x]) + 1) / 2 * 96
    assert np.abs(np.stack([ys, xs]) - centre[:, None]).max() < 96 * scene.size


def test_hue_hints_at_the_category_but_does_not_tell_it():
    """Nearest-hue guessing is above chance and far from sure."""
    drawn = scenes.sample_scenes(2000, 0, "hue", faces=0.0)
    index = np.array([scenes.CATEGORIES.index(scene.category) for scene in drawn])
    guess = np.round(np.array([scene.hue for scene in drawn]) * 10).astype(int) % 10
    assert 0.15 < (guess == index).mean() < 0.6
