"""What is drawn is told apart without colour, in light and dark, by readers who lack one kind of cones."""

import itertools

import numpy as np
import pytest

from neurobust.networks.conditions import Condition
from neurobust.networks.references_settings import Adversarial
from neurobust.report.page import TEMPLATES
from neurobust.report.style import NEUTRAL, PALETTE
from neurobust.report.view import View

ROIS = ("V1", "V2", "V3", "hV4", "VO", "PHC", "LO", "TO", "FFA", "PPA", "EBA")

# Linear RGB as a dichromat sees it (Machado, Oliveira and Fernandes 2009, severity 1).
SEEN = {
    "all cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
APART = {"all cones": 30.0, "protanopia": 15.0, "deuteranopia": 15.0, "tritanopia": 12.0}  # least CIE76 distance


def linear(colour):
    value = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    low, high = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(rgb):
    """CIELAB of linear RGB, white D65."""
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = matrix @ np.clip(rgb, 0, 1) / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.fixture
def view(new_study, new_condition):
    """Eleven ROIs, each with a control, beside `none` and a reference."""
    conditions = {"none": Condition(weight=0.9)}
    for roi in ROIS:
        conditions |= {roi: new_condition(roi), f"{roi}-shuffled": new_condition(roi, control="shuffled")}
    for place, name in enumerate(("adversarial", "stronger")):
        reference = Adversarial(kind="adversarial", epsilon=1.0 + place)
        conditions[name] = Condition(weight=0.9, reference=reference)
    return View(new_study(rois=ROIS, conditions=conditions), {})


def test_no_two_conditions_look_alike(view):
    """Neither with lines alone nor with marks alone; and no ROI of eleven is told from another by colour alone."""
    looks = {name: view.style(name) for name in view.study.conditions}
    for one, other in itertools.combinations(looks, 2):
        a, b = looks[one], looks[other]
        assert (a["color"], a["linestyle"]) != (b["color"], b["linestyle"]), (one, other)
        fills = [look["markerfacecolor"] == "none" for look in (a, b)]
        assert (a["color"], a["marker"], fills[0]) != (b["color"], b["marker"], fills[1]), (one, other)
    for one, other in itertools.combinations(ROIS, 2):
        a, b = looks[one], looks[other]
        assert a["marker"] != b["marker"] or a["linestyle"] != b["linestyle"], (one, other)


@pytest.mark.parametrize("colour", [*PALETTE, NEUTRAL])
def test_every_colour_is_seen_on_a_light_and_on_a_dark_page(colour):
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    pages = [part.split(";")[0].strip() for part in style.split("--page:")[1:]]
    assert len(pages) == 3, "light, dark and print"
    assert min(contrast(colour, page) for page in pages) >= 3


@pytest.mark.parametrize("eyes", SEEN)
def test_colours_stay_apart_for_all_eyes(eyes):
    seen = [lab(np.array(SEEN[eyes]) @ linear(colour)) for colour in PALETTE]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) >= APART[eyes]
