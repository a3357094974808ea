"""Citations of a methods text: keys made of the sources that descriptions state, and their BibTeX."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

BIBLIOGRAPHY = Path(__file__).parent / "references.bib"
WORK = re.compile(r"(?P<name>[A-Z][\w'-]+)\b[^;]*?\b(?P<year>(?:19|20)\d\d)\b")


def keys_of(source: str) -> list[str]:
    """The keys of the works that a source names: `Xiao et al., ICLR 2018; after Laidlaw et al., ICLR 2021` gives
    xiao2018 and laidlaw2021. None for a source without an author and a year, such as a baseline of ours."""
    found = []
    for part in source.split(";"):
        if (match := WORK.search(part)) is not None:
            found.append(f"{letters(match['name'])}{match['year']}")
    return found


def letters(name: str) -> str:
    """A name in small letters from a to z."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z]", "", plain.lower())


def known() -> dict[str, str]:
    """The entries that are kept, by key."""
    lines = BIBLIOGRAPHY.read_text(encoding="utf-8").splitlines()
    return {line[line.index("{") + 1 : line.index(",")]: line for line in lines if line.startswith("@")}


def bibliography(keys: Iterable[str], sources: Iterable[str]) -> str:
    """BibTeX of keys, each once, sorted: the entry that is kept, or one that quotes the source that names the work."""
    entries, stated = known(), list(sources)
    lines = []
    for key in sorted(set(keys)):
        if key in entries:
            lines.append(pretty(entries[key]))
            continue
        part = next((part.strip() for source in stated for part in source.split(";") if key in keys_of(part)), key)
        lines.append(f"@misc{{{key},\n  note = {{{part}}},\n  year = {{{key[-4:]}}}\n}}")
    return "\n".join(lines)


def pretty(entry: str) -> str:
    """A kept entry with a field a line."""
    return re.sub(r", (?=\w+ = \{)", ",\n  ", entry[:-1]) + "\n}"
