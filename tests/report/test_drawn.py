"""What is drawn: SVG inside of pages, how wide a forest is, example images, captions."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neurobust.report.contents import FIGURES
from neurobust.report.examples import amplify, example_cell
from neurobust.report.figures import forest_width
from neurobust.report.style import inline_svg, number_ids


def test_inline_svg_keeps_references_whole():
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="72pt" height="9pt"><defs><path id="m1"/></defs>'
    svg += '<use xlink:href="#m1" clip-path="url(#m1)"/></svg>'
    text = inline_svg(svg, "a")
    assert 'id="a-m1"' in text and ' href="#a-m1"' in text and "url(#a-m1)" in text
    assert "xmlns" not in text and "max-width: 96px" in text and 'height="9pt"' not in text and "tall" not in text
    assert '<svg class="tall"' in inline_svg(svg.replace("9pt", "900pt"), "a"), "printed over several sheets"


def test_ids_do_not_depend_on_the_last_bits_of_coordinates():
    """Matplotlib hashes unrounded clip boxes, so that the same figure had other ids in the next process."""
    svg = '<g clip-path="url(#p0123456789)"/><g id="axes_1"/>'
    svg += '<clipPath id="p0123456789"/><use xlink:href="#mabcdef0123"/>'
    other = svg.replace("p0123456789", "pfedcba9876")
    assert number_ids(svg) == number_ids(other)
    assert number_ids(svg).count("n1") == 2 and 'id="axes_1"' in number_ids(svg) and '"#n2"' in number_ids(svg)


@pytest.mark.parametrize(
    ("high", "width"), [(0.05, 5.4), (0.09, 9.72), (0.5, 12.96), (np.nan, 4.32)], ids=["near", "wide", "two", "one"]
)
def test_a_forest_holds_every_seed_and_no_endless_interval(high, width):
    row = {"seed_min": -0.04, "seed_max": 0.02, "low": -high + 0.01, "high": high}
    nothing = dict.fromkeys(row, 0.0)
    assert forest_width(pd.DataFrame([row, nothing])) == pytest.approx(width)
    assert forest_width(pd.DataFrame([nothing])) == pytest.approx(1.08)


def test_amplified_perturbation_is_a_power_of_two_that_clips_nothing():
    shown, factor = amplify(np.array([[[4 / 255, -4 / 255, 0.0]]]))
    assert factor == 16 and shown.ravel() == pytest.approx([0.5 + 64 / 255, 0.5 - 64 / 255, 0.5])
    assert amplify(np.full((1, 1, 3), -0.7))[1] == 1
    assert amplify(np.zeros((2, 2, 3)))[1] == 1


def test_examples_without_an_adversarial_say_why():
    clean = np.full((4, 4, 3), 0.5, np.float32)
    assert example_cell(clean, clean * np.nan, 1.0, "")["reason"] == "not found"
    assert example_cell(clean, clean, 1.0, "")["reason"] == "wrong already"
    assert example_cell(clean, clean + np.float32(2 / 255), 2.0, "1/255")["note"] == "2/255 · ×32"


def test_every_figure_has_a_caption():
    folder = Path(__file__).parents[2] / "workflow" / "report"
    for name in (*FIGURES, "workflow", "page", "table"):
        text = (folder / f"{name}.rst").read_text()
        assert len(text.split()) > 15, name
