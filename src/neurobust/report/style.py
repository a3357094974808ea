"""How figures look: one colour per condition, SVG with the text colour of its page, the same bytes each time."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np

from neurobust.report.layout import Grid, broken, lay_out

# Mid-tones with a contrast of at least 3 to both a white and a near-black page, chosen so that the two most alike stay
# apart for a reader without one kind of cones. Colour never speaks alone: a marker goes with it, and a dash where there
# are more ROIs than colours.
PALETTE = ("#166dd5", "#e36c17", "#278266", "#954885", "#ae894c", "#bf204a", "#219dc6")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
TARGET_DASHES: tuple[Any, ...] = ("-", (0, (9, 1.4, 1.4, 1.4)), (0, (9, 1.4, 1.4, 1.4, 1.4, 1.4)))
CONTROL_DASHES: tuple[Any, ...] = ((0, (4, 2)), (0, (4, 1.4, 1.4, 1.4)), (0, (4, 1.4, 1.4, 1.4, 1.4, 1.4)))
DASHES = ((1, 1.2), (5, 1.5, 1, 1.5), (6, 2))
NEUTRAL = "#868c96"
WIDTH, WIDEST, MOST_COLUMNS = 11.2, 3.0, 5  # inches of a page and of a panel; panels in a row
TALL = 2.5  # height by width from which a figure is too small to read on one sheet
HEAD, HEAD_LINE, HEAD_SIZE = 0.3, 0.19, 11  # inches of a block's title and of each further line; points of its letters
INK = "#010203"  # replaced by currentColor in the written SVG

RC: Any = {  # keys are matplotlib's own
    "svg.fonttype": "none",
    "svg.hashsalt": "neurobust",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # looked for, it costs a tenth of a figure
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.linewidth": 0.6,
    "grid.alpha": 0.15,
    "grid.color": INK,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.frameon": False,
    "lines.linewidth": 1.7,
    "axes.unicode_minus": True,
    "text.parse_math": False,  # names are a user's: a $ in them is a $
}


Style = dict[str, Any]  # what matplotlib takes: color, marker, linestyle, markerfacecolor


def roi_style(palette: Sequence[str], roi: str | None) -> Style:
    """Colour and marker of an ROI: its place among the ROIs of `palette` decides, so every figure and page agrees."""
    if roi not in palette:
        return {"color": NEUTRAL, "marker": "o"}
    index = palette.index(roi)
    shift = index // len(PALETTE)
    return {"color": PALETTE[index % len(PALETTE)], "marker": MARKERS[(index + shift) % len(MARKERS)]}


def condition_style(palette: Sequence[str], roi: str | None, control: bool) -> Style:
    """Colour, marker, fill and dash of a condition: its target's (`roi_style`); a control is dashed and hollow.

    No two of a study have the same colour and dash, or the same colour, marker and fill, up to 21 ROIs.
    """
    target, dashes = roi_style(palette, roi), CONTROL_DASHES if control else TARGET_DASHES
    turn = palette.index(roi) // len(PALETTE) if roi in palette else 0
    fill = "none" if control else target["color"]
    return {**target, "markerfacecolor": fill, "linestyle": dashes[min(turn, len(dashes) - 1)]}


def reference_style(index: int) -> Style:
    """Marker and dashes of a study's references by their number, in the grey of what no ROI guides."""
    marker, dashes = MARKERS[1:][index % (len(MARKERS) - 1)], DASHES[index % len(DASHES)]
    return {"color": NEUTRAL, "marker": marker, "markerfacecolor": NEUTRAL, "linestyle": (0, dashes)}


def grid_of(panels: int) -> tuple[int, int]:
    """Rows and columns for a number of panels: at most five columns, few rows, few empty places."""
    if panels <= MOST_COLUMNS:
        return 1, panels
    columns = min((5, 4, 3), key=lambda c: math.ceil(panels / c) + 0.4 * (-panels % c))
    return math.ceil(panels / columns), columns


def panel_blocks(
    titles: list[str],
    panels: int | list[int],
    height: float,
    handles: list[Any] | None = None,
    wide: float = WIDEST,
    columns: int = 0,
) -> tuple[Any, list[list[Any]]]:
    """A figure with a titled block of `panels` axes per title, and a legend of `handles` on top. Call within `rc()`.

    panels: of every block, or of each. `height` is a panel's, in inches; its width is at most `wide` and what the page
    has; columns: side by side, where it is not for `grid_of`. Returns the figure and each block's axes.
    """
    from matplotlib.figure import Figure

    counts = [panels] * len(titles) if isinstance(panels, int) else panels
    columns = columns or grid_of(max(counts))[1]
    rows = [math.ceil(count / columns) for count in counts]
    width = columns * min(wide, WIDTH / columns)
    across, lines = key_columns(handles or [], width)
    titles = [in_width(title, width - 0.1, HEAD_SIZE, "bold") for title in titles]
    heads = [HEAD + HEAD_LINE * title.count("\n") for title in titles]
    heights = [count * height + head for count, head in zip(rows, heads, strict=True)]
    legend = 0.15 + 0.2 * lines if handles else 0.0
    whole = sum(heights) + legend
    figure = Figure(figsize=(width, whole), dpi=72)  # the SVG's own
    if handles:
        where: Style = {"loc": "center left", "bbox_to_anchor": (0, 1 - legend / 2 / whole), "ncols": across}
        figure.legend(handles=handles, handlelength=2.6, **where)
    grids, top = [], legend
    for title, count, high, head in zip(titles, counts, heights, heads, strict=True):
        if title:
            figure.text(0.004, 1 - (top + 0.05) / whole, title, va="top", fontsize=HEAD_SIZE, fontweight="bold")
        size = 0.75 / columns, 0.65 * height / whole  # about what they will have: it decides how many ticks there are
        axes = [figure.add_axes((0.1, 0.1, *size)) for _ in range(count)]
        grids.append(Grid(axes, columns, 72 * (top + head), 72 * height))
        top += high
    vars(figure)["grids"] = grids
    return figure, [grid.axes for grid in grids]


def inches(text: str, size: float, weight: str = "normal") -> float:
    """How wide a text is, in letters of so many points: its longest line."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight=weight)
    return max(text_to_path.get_text_width_height_descent(line, font, False)[0] for line in text.split("\n")) / 72


def in_width(text: str, room: float, size: float, weight: str = "normal") -> str:
    """A text, in lines where it is wider than so many inches."""
    wide = inches(text, size, weight) if text else 0.0
    return broken(text, wide, room) if wide > room else text


def key_columns(handles: Sequence[Any], width: float) -> tuple[int, int]:
    """Columns and lines of a legend in so many inches; a name that is wider than that alone is broken into lines."""
    if not handles:
        return 1, 0
    beside = 0.6  # inches of an entry's line and what is around it
    for handle in handles:
        handle.set_label(in_width(handle.get_label(), width - beside, RC["legend.fontsize"]))
    columns = min(max(1, int(width / 1.5)), len(handles))
    entries = [inches(handle.get_label(), RC["legend.fontsize"]) + beside for handle in handles]
    while columns > 1 and sum(max(part) for part in np.array_split(entries, columns)) > width:
        columns -= 1
    lines = [1 + handle.get_label().count("\n") for handle in handles]
    return columns, max(int(sum(part)) for part in np.array_split(lines, columns))


def key_beside(axis: Any, cells: Any, label: str, ticks: Sequence[float] | None = None, percent: bool = False) -> None:
    """A key of the colours of a heat map, at the right of a panel; percent: shares are written as percent."""
    from matplotlib.transforms import ScaledTranslation, blended_transform_factory

    root = axis.get_figure(root=True)
    beside = root.dpi_scale_trans + ScaledTranslation(1, 0, axis.transAxes)  # inches from the panel's right edge
    box = axis.inset_axes((0.08, 0, 0.12, 1), transform=blended_transform_factory(beside, axis.transAxes))
    bar = root.colorbar(cells, cax=box, ticks=ticks)
    if ticks:
        bar.set_ticks(ticks, labels=[f"{100 * tick:g}" for tick in ticks] if percent else None)
    bar.outline.set_visible(False)
    bar.set_label(label, fontsize=8)


def is_leftmost(index: int, panels: int) -> bool:
    """Whether a panel of a block stands in its first column."""
    return index % grid_of(panels)[1] == 0


def label_shares(axis: Any, index: int, panels: int, label: str) -> None:
    """The y axis of panel `index` of `panels` as shares of images: 0 to 100 %, `label` at the first column alone."""
    from matplotlib.ticker import FixedFormatter, FixedLocator

    axis.set_ylim(0, 1.03)
    axis.yaxis.set_tick_params(labelleft=is_leftmost(index, panels))
    axis.yaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))  # `set_yticks` makes ticks, and again
    axis.yaxis.set_major_formatter(FixedFormatter(["0", "25 %", "50 %", "75 %", "100 %"]))
    axis.set_ylabel(label if is_leftmost(index, panels) else "")


def label_rows(axis: Any, names: list[str], labelled: bool = True) -> None:
    """The y axis of a panel with a row per name, the last at the bottom. Its marks are one artist: a tick for each of
    many rows is most of the time that a figure of many panels takes."""
    from matplotlib.transforms import ScaledTranslation

    places = range(len(names))
    axis.set_ylim(-0.6, len(names) - 0.4)
    axis.set_yticks([])
    if labelled:
        edge = axis.get_yaxis_transform() + ScaledTranslation(-7 / 72, 0, axis.figure.dpi_scale_trans)
        for place, name in zip(places, reversed(names), strict=True):
            axis.text(0, place, name, transform=edge, ha="right", va="center_baseline", fontsize=RC["ytick.labelsize"])
    look = {"marker": 0, "markersize": 3.5, "markeredgewidth": 0.8, "color": INK, "linestyle": "none"}  # 0: to the left
    axis.plot([0] * len(names), places, transform=axis.get_yaxis_transform(), clip_on=False, **look)


def log_across(axis: Any) -> None:
    """A logarithmic x axis; its ticks have numbers, where matplotlib writes formulae."""
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(Plain())
    axis.xaxis.set_minor_formatter(Plain())


def rc() -> Any:
    """The context in which every figure is drawn and written."""
    import matplotlib

    return matplotlib.rc_context(RC)


def to_svg(figure: Any, title: str) -> str:
    """A figure as an SVG document: text as text, ink as currentColor, no date, no metadata, deterministic ids."""
    lay_out(figure)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = text.replace(INK, "currentColor").replace("'DejaVu Sans', 'Bitstream Vera Sans'", "system-ui, 'DejaVu Sans'")
    text = re.sub(r"font-family: [^;\"]*", "font-family: system-ui, sans-serif", text)
    text = re.sub(r"(font: [^;\"]*?[\d.]+px) [^;\"]*", r"\1 system-ui, sans-serif", text)
    text = number_ids(with_tips(shortened(text), vars(figure).get("tips", {})))
    label = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1).strip() + "\n"


def shortened(svg: str) -> str:
    """An SVG whose coordinates have two decimals, of a hundredth of a point, and no lines between them."""
    number = re.compile(r"(\.\d\d)\d+")
    svg = re.sub(r'(?<= d=")[^"]*', lambda path: number.sub(r"\1", path[0]).replace("\n", " ").strip(), svg)
    return re.sub(r'( [xy]="-?\d+\.\d\d)\d+', r"\1", svg)


def tip(marks: Any, texts: Sequence[str]) -> None:
    """Say what each mark is when a pointer rests on it: each marker of a line, a line without markers, each cell.

    texts: one per mark, empty where it says nothing.
    """
    known = vars(marks.get_figure(root=True)).setdefault("tips", {})
    name = f"tips_{len(known) + 1}"
    marks.set_gid(name)
    known[name] = list(texts)


class Mark(NamedTuple):
    """A point, what it says, and how it looks."""

    x: float
    y: float
    said: str
    style: Style


def plot_marks(axis: Any, marks: Iterable[Mark], **look: Any) -> None:
    """Points, those that look alike as one line: one each would be half of the time of a panel of many.

    look: what all have beside their own. A point without a place is left out.
    """
    alike: dict[str, list[Mark]] = {}
    for mark in marks:
        if math.isfinite(mark.x) and math.isfinite(mark.y):
            bare = mark._replace(style={**mark.style, "linestyle": "none"})  # a point has no dashes
            alike.setdefault(repr(sorted(bare.style.items())), []).append(bare)
    for found in alike.values():
        across, up, texts, (style, *_) = zip(*found, strict=True)
        (line,) = axis.plot(across, up, **(style | look))
        tip(line, texts)


def say_cells(values: np.ndarray, rows: Sequence[str], columns: Sequence[str], say: Callable[..., str]) -> list[str]:
    """What `say` (row, column, value) tells of each cell of a heat map, line by line; nothing where no number is."""
    return [
        say(row, column, value) if math.isfinite(value) else ""
        for row, line in zip(rows, values, strict=True)
        for column, value in zip(columns, line, strict=True)
    ]


def with_tips(svg: str, tips: Mapping[str, Sequence[str]]) -> str:
    """An SVG with a title in each mark of the named groups; one of which a mark is not drawn stays without."""

    def told(mark: re.Match[str], words: str) -> str:
        return f"{mark[1]}><title>{escape(words)}</title></{mark[2]}>" if words else mark[0]

    parts = re.split(r'(?=<g id=")', svg)
    for place, part in enumerate(parts):
        name = re.match(r'<g id="(tips_\d+)">', part)
        texts = tips[name[1]] if name else []
        kind = "use" if "<use " in part else "path"
        if name and part.count(f"<{kind} ") == len(texts):
            words = iter(texts)
            if kind == "path" and len(texts) > 1:  # cells: no seams between them
                part = part.replace("<g ", '<g shape-rendering="crispEdges" ', 1)
            parts[place] = re.sub(rf"(<({kind}) [^>]*)/>", lambda mark: told(mark, next(words)), part)  # noqa: B023
    return "".join(parts)


def number_ids(svg: str) -> str:
    """An SVG with matplotlib's hashed ids replaced by numbers in order of appearance.

    The hashes are of unrounded coordinates, whose last bits change from run to run with the layout solver's summation
    order; the coordinates themselves are written rounded.
    """
    numbers: dict[str, str] = {}
    pattern = re.compile(r'(?<=id=")[a-zA-Z][0-9a-f]{10}(?=")|(?<=#)[a-zA-Z][0-9a-f]{10}(?=[")])')
    return pattern.sub(lambda match: numbers.setdefault(match[0], f"n{len(numbers) + 1}"), svg)


def empty_svg(message: str) -> str:
    """A figure that says why there is nothing to draw."""
    from matplotlib.figure import Figure

    with rc():
        figure = Figure(figsize=(6.0, 0.5))
        figure.text(0.01, 0.5, message, va="center")
        return to_svg(figure, message)


def inline_svg(svg: str, prefix: str) -> str:
    """An SVG document made fit to stand among others in one HTML page: unique ids, no addresses, fluid width."""
    text = svg[svg.index("<svg") :]
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", text, count=1, flags=re.DOTALL)  # the page has it
    text = text.replace("xlink:href", "href")
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", text)
    head, rest = text.split(">", 1)
    width, height = (re.search(rf'\s{name}="([\d.]+)pt"', head) for name in ("width", "height"))
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    if width:  # 1 pt is 4/3 px; figures shrink on narrow screens and never grow past their drawn size
        if height and float(height[1]) > TALL * float(width[1]):
            head = head.replace("<svg", '<svg class="tall"', 1)
        own = f"{float(width[1]) * 4 / 3:.0f}px"
        head += f' style="max-width: {own}; --own: {own}"'
    return f"{head}>{rest}".strip()
