"""What a page prints: its tables, and whether a text says a number."""

import re
from html.parser import HTMLParser
from typing import NamedTuple


class Table(NamedTuple):
    """A table of a page: its caption, and the text of its cells, the heads first; small print after a bar."""

    caption: str
    heads: list[str]
    rows: list[list[str]]


class Tables(HTMLParser):
    """The tables of a page, in order; what a figure says is left out."""

    def __init__(self):
        super().__init__()
        self.found, self.caption, self.rows, self.into, self.drawn = [], "", [], None, 0
        self.linking = False  # inside of the mark that links to a place

    def handle_starttag(self, tag, attrs):
        self.drawn += tag == "svg"
        self.linking = tag == "a" and ("class", "here") in attrs
        if tag == "table":
            self.caption, self.rows = "", []
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td") and self.rows:
            self.rows[-1].append("")
            self.into = "cell"
        elif tag == "caption":
            self.into = "caption"
        elif tag == "small":
            self.handle_data(" | ")

    def handle_endtag(self, tag):
        self.drawn -= tag == "svg"
        self.linking = False
        if tag in ("th", "td", "caption"):
            self.into = None
        elif tag == "table" and self.rows:
            tidy = [[" ".join(cell.split()) for cell in row] for row in self.rows]
            self.found.append(Table(" ".join(self.caption.split()), tidy[0], tidy[1:]))

    def handle_data(self, data):
        if self.drawn or self.linking:
            return
        if self.into == "caption":
            self.caption += data
        elif self.into == "cell":
            self.rows[-1][-1] += data


def tables_of(page, caption=""):
    """The tables of a page whose caption matches a pattern; there is at least one."""
    reader = Tables()
    reader.feed(page.read_text(encoding="utf-8"))
    found = [table for table in reader.found if re.search(caption, table.caption)]
    assert found, f"{page.name}: no table '{caption}' among {[table.caption for table in reader.found]}"
    return found


def numbers(text):
    """The numbers in a text as printed: (value, half of the last digit)."""
    found = re.findall(r"[+\-−]?\d[\d,]*(?:\.\d+)?", text)
    tidy = [one.replace("−", "-").replace(",", "") for one in found]
    return [(float(one), 0.5 * 10.0 ** -len(one.partition(".")[2])) for one in tidy]


def same(text, *expected):
    """Whether the first numbers of a text are these, to the digits that are printed; how many there were."""
    printed = numbers(text)
    assert len(printed) >= len(expected), text
    for (value, half), wanted in zip(printed, expected, strict=False):
        assert abs(value - wanted) <= half * (1 + 1e-6) + 1e-9, f"'{text}' should say {wanted}"
    return len(expected)


def budget_in(text):
    return numbers(text)[0][0]
