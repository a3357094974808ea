"""How figures are laid out and written: nothing is cut or covered, by matplotlib's own measure; every point speaks."""

import io
import itertools
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from neurobust.report.style import Mark, key_beside, label_rows, panel_blocks, plot_marks, rc, shortened, to_svg

SVG = "{http://www.w3.org/2000/svg}"


def boxes_of(figure, blocks):
    """The box of each panel with all that belongs to it, as matplotlib measures what was drawn."""
    from matplotlib.backends.backend_svg import RendererSVG

    renderer = RendererSVG(*(72 * figure.get_size_inches()), io.StringIO())
    return [axis.get_tightbbox(renderer) for axis in itertools.chain(*blocks)]


def assert_apart(figure, blocks):
    """Every panel lies in the figure, and none on another one."""
    boxes = boxes_of(figure, blocks)
    wide, tall = 72 * figure.get_size_inches()
    for box in boxes:
        assert box.x0 >= -0.5 and box.y0 >= -0.5 and box.x1 <= wide + 0.5 and box.y1 <= tall + 0.5
    for one, other in itertools.combinations(boxes, 2):
        across = min(one.x1, other.x1) - max(one.x0, other.x0)
        up = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert across <= 0.5 or up <= 0.5


def test_panels_are_of_one_size_and_nothing_lies_on_another():
    """Numbers of one to ten digits at the ticks, names of all axes, titles of one and two lines, two blocks."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=f"condition {index}") for index in range(9)]
    with rc():
        figure, blocks = panel_blocks(["one", "two"], [7, 3], 1.9, handles)
        for index, axis in enumerate(itertools.chain(*blocks)):
            axis.plot([0, 1], [0, 10.0**index])
            axis.ticklabel_format(style="plain")
            axis.set(title="title\nof two lines" if index % 2 else "title", xlabel="across", ylabel="up")
        to_svg(figure, "a title")
    assert_apart(figure, blocks)
    places = np.array([axis.get_position().bounds for axis in itertools.chain(*blocks)])
    assert len({round(width, 6) for width in places[:, 2]}) == 1
    assert len({round(left, 6) for left in places[:, 0]}) == 4, "columns stand below each other"


def test_names_of_rows_and_the_key_of_colours_have_room():
    with rc():
        figure, blocks = panel_blocks(["block"], 2, 2.4)
        names = [f"a long name of the row number {index}" for index in range(12)]
        for index, axis in enumerate(blocks[0]):
            label_rows(axis, names, index == 0)
        cells = blocks[0][1].pcolormesh(np.zeros((3, 3)), vmin=0, vmax=1)
        key_beside(blocks[0][1], cells, "accuracy (%)", [0, 0.5, 1], percent=True)
        drawn = to_svg(figure, "a title")
    assert_apart(figure, blocks)
    texts = [text.text for text in ElementTree.fromstring(drawn).iter(f"{SVG}text")]
    assert [text for text in texts if text in names] == names[::-1], "each name once"
    assert [text for text in texts if text in ("0", "50", "100")][-3:] == ["0", "50", "100"]


def test_points_that_look_alike_are_one_line_and_each_says_what_it_is():
    marks = [Mark(float(k), float(k % 3), f"point {k}", {"color": "#123456" if k % 2 else "#654321"}) for k in range(8)]
    with rc():
        figure, ((axis,),) = panel_blocks([""], 1, 2.0)
        plot_marks(axis, [*marks, Mark(np.nan, 1.0, "nowhere", marks[0].style)], marker="o")
        drawn = ElementTree.fromstring(to_svg(figure, "a title"))
    assert len(axis.lines) == 2
    said = {use[0].text: (float(use.get("x")), float(use.get("y"))) for use in drawn.iter(f"{SVG}use") if len(use)}
    assert set(said) == {mark.said for mark in marks}
    across = np.array([said[mark.said][0] for mark in marks])
    assert np.allclose(np.diff(across), np.diff(across).mean(), atol=0.02), "in its own place"


def test_coordinates_are_shortened_and_texts_are_not():
    svg = '<path d="M 1.234567 2.5 \nL 0.001 3\n"/><use x="10.98765" y="-3.45678"/><text>0.12345</text>'
    expected = '<path d="M 1.23 2.5  L 0.00 3"/><use x="10.98" y="-3.45"/><text>0.12345</text>'
    assert shortened(svg) == expected


@pytest.mark.slow
def test_the_plane_shows_the_primary_attack_first(every_page):
    study, folder = every_page
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", (folder / "figures" / "clean_vs_robust.svg").read_text())
    assert texts.index("worst case L∞") < texts.index("hue")


@pytest.mark.parametrize("name", ["<b>&\"'ü ß</b>", r"$\foo$", "$a_$", "cost $5 and $6", "{brace}", "_under"])
def test_names_are_written_as_they_are(name):
    """No markup and no formula: as title, names of axes, rows and blocks, what points say, and of the figure."""
    with rc():
        figure, ((axis,),) = panel_blocks([name], 1, 2.0)
        axis.set(title=name, xlabel=name, ylabel=name)
        label_rows(axis, [name, "other"])
        plot_marks(axis, [Mark(0.0, 0.0, name, {"color": "#123456"})], marker="o")
        drawn = ElementTree.fromstring(to_svg(figure, name))
    assert drawn.get("aria-label") == name
    assert [text.text for text in drawn.iter(f"{SVG}text")].count(name) == 5
    assert name in [title.text for title in drawn.iter(f"{SVG}title")]


@pytest.mark.parametrize("panels", [1, 5, 40])
@pytest.mark.parametrize("name", ["V1", "LO-phase-scrambled-on-stimuli", "a-very-long-name-of-a-condition-" * 4])
def test_a_legend_of_long_names_lies_in_the_figure(name, panels):
    """In fewer columns, in the end in one with broken names; panels keep their height."""
    from matplotlib.backends.backend_svg import RendererSVG
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=f"{name}{index}") for index in range(9)]
    with rc():
        figure, blocks = panel_blocks([""], panels, 2.0, handles)
        drawn = to_svg(figure, "a title")
        wide, tall = 72 * figure.get_size_inches()
        box = figure.legends[0].get_window_extent(RendererSVG(wide, tall, io.StringIO()))
    assert box.x0 >= -0.5 and box.x1 <= wide + 0.5 and box.y1 <= tall + 0.5
    assert box.y0 >= max(axis.get_position().y1 for axis in blocks[0]) * tall
    written = "".join(text.text for text in ElementTree.fromstring(drawn).iter(f"{SVG}text"))
    assert all(f"{name}{index}" in written for index in range(9)), "broken names lose nothing"


def test_a_long_title_is_broken_and_lies_on_no_other_panel():
    titles = ["short", "LO-phase-scrambled-on-stimuli − LO-shuffled-on-stimuli", "an attack whose label is a sentence"]
    with rc():
        figure, blocks = panel_blocks(["one", "two"], [5, 3], 2.0)
        for index, axis in enumerate(itertools.chain(*blocks)):
            axis.plot([0, 1], [0, 1])
            axis.set_title(titles[index % 3], color="#123456", fontsize=8.5)
        to_svg(figure, "a title")
    assert_apart(figure, blocks)
    said = [axis.get_title(loc="left") for axis in itertools.chain(*blocks)]
    assert [title.replace("\n", " ").replace("- ", "-") for title in said] == [titles[k % 3] for k in range(8)]
    assert said[0] == "short" and "\n" in said[1]


@pytest.mark.parametrize("panels", [1, 2, 5])
def test_a_long_title_of_a_block_is_broken_and_lies_in_its_figure(panels):
    from matplotlib.backends.backend_svg import RendererSVG

    titles = ["short", "a task whose name is long, and an architecture whose name is longer than that " * 2]
    with rc():
        figure, blocks = panel_blocks(titles, panels, 2.0)
        for axis in itertools.chain(*blocks):
            axis.set_title("a panel")
        drawn = to_svg(figure, "a title")
    wide, tall = 72 * figure.get_size_inches()
    renderer = RendererSVG(wide, tall, io.StringIO())
    for text, axes in zip(figure.texts, blocks, strict=True):
        box = text.get_window_extent(renderer)
        assert box.x0 >= -0.5 and box.x1 <= wide + 0.5 and box.y1 <= tall + 0.5
        assert box.y0 >= max(axis.get_tightbbox(renderer).y1 for axis in axes) - 0.5
    written = " ".join(text.text for text in ElementTree.fromstring(drawn).iter(f"{SVG}text"))
    assert all(title.strip() in written for title in titles), "and loses nothing"
