"""Names that a user may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

SHOWN = 24  # names of a list that a message shows whole


def nearest(name: object, known: Iterable[object]) -> str:
    """`; nearest: resnet18` where some known name is like this one, else nothing."""
    folded = {str(other).lower(): str(other) for other in known}
    found = difflib.get_close_matches(str(name).lower(), folded, n=1)
    return f"; nearest: {folded[found[0]]}" if found else ""


def one_of(name: object, known: Iterable[object]) -> str:
    """`a, b`: what a name may be, and the nearest; of a long list the nearest few alone."""
    names = list(map(str, known))
    if len(names) <= SHOWN:
        return ", ".join(names) + nearest(name, names)
    like = difflib.get_close_matches(str(name).lower(), names, n=5, cutoff=0.5)
    return f"{len(names)} names, such as {', '.join(like or names[:5])}{nearest(name, names)}"


def neighbours(path: Path) -> list[str]:
    """The names that lie in the folder of a path."""
    try:
        return [other.name for other in path.absolute().parent.iterdir()]
    except OSError:
        return []
