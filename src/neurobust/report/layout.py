"""Where the panels of a figure stand: every text is measured once, and margins are as wide as the widest needs.

matplotlib's own layouts measure all of it twice and draw it once more: most of the time of a figure of many panels.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

PAD = 5.0  # points around a panel and what belongs to it
TITLE_LINE, TITLE_PAD, MARK = 11.5, 6.0, 4.0  # points of a line above a panel, beneath it, and of the mark of a tick
SIDES = (("labelbottom", "labeltop"), ("labelleft", "labelright"))  # of the numbers at ticks, across and up


class Margins(NamedTuple):
    """What a panel needs beyond its frame, in points."""

    left: float = 0.0
    right: float = 0.0
    top: float = 0.0
    bottom: float = 0.0


@dataclass(frozen=True)
class Grid:
    """A block of panels in rows of `columns`; top: points from the figure's upper edge, height: points of a row."""

    axes: list[Any]
    columns: int
    top: float
    height: float

    def place(self, index: int) -> tuple[int, int]:
        """Row and column of a panel."""
        return divmod(index, self.columns)


def lay_out(figure: Any) -> None:
    """Place a figure's panels, and the names of their axes beside what stands at ticks.

    All panels of a figure have one width, those of a block one height; columns stand below each other. Its blocks are
    what `style.panel_blocks` left with it.
    """
    from matplotlib.backends.backend_svg import RendererSVG

    grids: list[Grid] = vars(figure).pop("grids", [])
    wide, tall = 72 * figure.get_figwidth(), 72 * figure.get_figheight()
    renderer = RendererSVG(wide, tall, io.StringIO())  # measures text as the SVG has it
    needs = {id(axis): margins_of(axis, renderer) for grid in grids for axis in grid.axes}
    columns = max((grid.columns for grid in grids), default=0)
    sides = [
        widest([needs[id(grid.axes[k])] for grid in grids for k in range(column, len(grid.axes), columns)])
        for column in range(columns)
    ]
    width = share_of(wide, [side.left + side.right for side in sides])
    for grid in grids:
        for index, axis in enumerate(grid.axes):
            room = width + sides[grid.place(index)[1]].right + 2 * PAD
            if break_title(axis, room, renderer):
                needs[id(axis)] = needs[id(axis)]._replace(top=above(axis))
        lines = range(0, len(grid.axes), columns)
        rows = [widest([needs[id(axis)] for axis in grid.axes[first : first + columns]]) for first in lines]
        height = share_of(grid.height * len(rows), [row.top + row.bottom for row in rows])
        for index, axis in enumerate(grid.axes):
            row, column = grid.place(index)
            left = sum(side.left + width + side.right + 2 * PAD for side in sides[:column]) + sides[column].left + PAD
            top = sum(one.top + height + one.bottom + 2 * PAD for one in rows[:row]) + rows[row].top + PAD
            down = grid.top + top + height
            axis.set_position((left / wide, 1 - down / tall, width / wide, height / tall))


def share_of(whole: float, margins: list[float]) -> float:
    """The length of each of several frames side by side, with their margins, in `whole` points."""
    return max((whole - sum(margins) - 2 * PAD * len(margins)) / max(len(margins), 1), PAD)


def widest(found: list[Margins]) -> Margins:
    """The largest of each margin."""
    return Margins(*(max(values) for values in zip(*found, strict=True))) if found else Margins()


def margins_of(axis: Any, renderer: Any) -> Margins:
    """What a panel needs beyond its frame; the names of its axes are put where they will stand."""
    if not axis.axison:
        return Margins()
    frame = axis.bbox
    boxes = [*labels_at_ticks(axis, renderer), *(text.get_window_extent(renderer) for text in axis.texts)]
    left = max([frame.x0 - box.x0 for box in boxes] + [MARK])
    right = max([box.x1 - frame.x1 for box in boxes] + [0.0])
    bottom = max([frame.y0 - box.y0 for box in boxes] + [MARK])
    left, right, bottom = named(axis, left, right, bottom, renderer)
    for child in axis.child_axes:
        child.apply_aspect(child.get_axes_locator()(child, renderer))
        right = max(right, child.bbox.x1 - frame.x1 + margins_of(child, renderer).right)
    return Margins(left, right, above(axis), bottom)


def above(axis: Any) -> float:
    """What a panel needs above its frame: the lines of its title."""
    title = axis.get_title(loc="left")
    return (title.count("\n") + 1) * TITLE_LINE + TITLE_PAD if title else PAD


def break_title(axis: Any, room: float, renderer: Any) -> bool:
    """Break a title that is longer than so many points into lines, so that it lies on no other; whether it was."""
    from matplotlib.text import Text

    title = axis.get_title(loc="left")
    if not axis.axison or not title:
        return False
    drawn = [child for child in axis.get_children() if isinstance(child, Text) and child not in axis.texts]
    text = next(child for child in drawn if child.get_text() == title)
    wide = text.get_window_extent(renderer).width
    if wide <= room:
        return False
    text.set_text(broken(title, wide, room))
    return True


def broken(text: str, wide: float, room: float) -> str:
    """A text that is so wide, in lines that have room; a tenth is spared, since letters differ."""
    longest = max(map(len, text.split("\n")))
    return "\n".join(textwrap.wrap(text, max(1, int(0.9 * longest * room / wide))))


def labels_at_ticks(axis: Any, renderer: Any) -> Iterator[Any]:
    """The boxes of the texts at those ticks that lie within a panel."""
    for place, one in enumerate((axis.xaxis, axis.yaxis)):
        if not any(one.get_tick_params().get(side, True) for side in SIDES[place]):
            continue  # to ask would make the ticks first
        low, high = sorted(one.get_view_interval())
        slack = 1e-6 * (high - low)
        for label in one.get_ticklabels():
            if label.get_text() and low - slack <= label.get_position()[place] <= high + slack:
                yield label.get_window_extent(renderer)


def named(axis: Any, left: float, right: float, bottom: float, renderer: Any) -> tuple[float, float, float]:
    """The margins with the names of both axes, which are put beyond what stands at ticks."""
    if axis.get_xlabel():
        away = bottom + axis.xaxis.labelpad
        axis.xaxis.set_label_coords(0.5, 0, transform=moved(axis, 0, -away))
        bottom = away + axis.xaxis.label.get_window_extent(renderer).height
    if axis.get_ylabel():
        thick = axis.yaxis.label.get_window_extent(renderer).width
        if axis.yaxis.get_label_position() == "right":
            away = right + axis.yaxis.labelpad
            axis.yaxis.set_label_coords(1, 0.5, transform=moved(axis, away, 0))
            return left, away + thick, bottom
        away = left + axis.yaxis.labelpad
        axis.yaxis.set_label_coords(0, 0.5, transform=moved(axis, -away, 0))
        left = away + thick
    return left, right, bottom


def moved(axis: Any, x: float, y: float) -> Any:
    """The coordinates of a panel, moved by points."""
    from matplotlib.transforms import ScaledTranslation

    return axis.transAxes + ScaledTranslation(x / 72, y / 72, axis.get_figure(root=True).dpi_scale_trans)
