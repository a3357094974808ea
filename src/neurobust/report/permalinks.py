"""A link to itself beside every heading and in every table of a page, for who wants to point at it."""

from __future__ import annotations

import re
from html import escape, unescape

HEADING = re.compile(r"<(section id=\"([^\"]+)\">\s*<)?(h[234])((?: [^>]*)?)>(.*?)</\3>", re.DOTALL)
TABLE = re.compile(
    r"<table([^>]*)>\s*(<caption([^>]*)>(.*?))</caption>(\s*<thead([^>]*)><tr><t[hd][^>]*>.*?)(</t[hd]>)", re.DOTALL
)
OWN = re.compile(r" id=\"([^\"]+)\"")


def with_permalinks(page: str) -> str:
    """A page whose headings and tables can be linked to: what has no id gets one from its words.

    The heading of a section leads to the section. The link of a table stands in its first head, or in its caption where
    that is what is seen.
    """
    taken = set(re.findall(r"\sid=\"([^\"]+)\"", page))

    def name(words: str) -> str:
        stem = re.sub(r"[^a-z0-9]+", "-", words.lower().replace("∞", "inf")).strip("-")[:60] or "part"
        found, count = stem, 1
        while found in taken:
            count += 1
            found = f"{stem}-{count}"
        taken.add(found)
        return found

    def heading(match: re.Match[str]) -> str:
        section, of, tag, attributes, inner = match.groups()
        words, own = plain(inner), OWN.search(attributes)
        place = of or (own[1] if own else name(words))
        given = attributes if of or own else f'{attributes} id="{place}"'
        return f"<{section or ''}{tag}{given}>{inner}{link(place, words)}</{tag}>"

    def table(match: re.Match[str]) -> str:
        attributes, caption, look, inner, head, hidden, end = match.groups()
        words, own = plain(inner), OWN.search(attributes)
        place = own[1] if own else name(f"table {words}")
        given, here = (attributes if own else f'{attributes} id="{place}"'), link(place, words)
        seen = "shown" in look or "hidden" in hidden
        if not seen:
            return f"<table{given}>{caption}</caption>{head}{here}{end}"
        said, below, rest = caption.partition(" <small")  # what is in small print has a line of its own
        return f"<table{given}>{said}{here}{below}{rest}</caption>{head}{end}"

    return TABLE.sub(table, HEADING.sub(heading, page))


def plain(inner: str) -> str:
    """The words of a piece of HTML."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", inner)).split())


def link(place: str, words: str) -> str:
    """The mark that leads to a place, seen where a pointer or the keyboard is."""
    return f'<a class="here" href="#{place}" aria-label="Link to: {escape(words)}">#</a>'
