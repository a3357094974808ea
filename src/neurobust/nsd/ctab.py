"""Colour tables: the names of an atlas' labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neurobust.core.errors import InputError


def read_ctab(path: Path) -> dict[str, int]:
    """Names of a `.ctab` file with their ids, in file order; names are text even where they look like numbers.

    A line is an id and a name; what follows (tabs, spaces, colours) is ignored, as real files carry it.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()  # an editor may put a BOM
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such colour table; copy it from the bucket") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text in UTF-8; copy it from the bucket again") from error
    labels: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        if len(words) < 2 or not (words[0].isascii() and words[0].isdigit()):
            raise InputError(f"{path}: line {number} is '{line.strip()}', not an id and a name; copy the file again")
        if words[1] in labels or int(words[0]) in labels.values():
            raise InputError(f"{path}: line {number} repeats the id or the name of '{line.strip()}'; copy it again")
        labels[words[1]] = int(words[0])
    if not labels:
        raise InputError(f"{path}: empty colour table; copy it from the bucket again")
    return labels


def resolve_labels(path: Path, names: Sequence[str]) -> list[int]:
    """Ids (1..N) of label `names` in the colour table at `path`; an unknown name is an InputError that lists all."""
    table = {name: index for name, index in read_ctab(path).items() if index > 0}
    unknown = [str(name) for name in names if str(name) not in table]
    if unknown:
        raise InputError(f"{path}: no label '{unknown[0]}'; it has {', '.join(table)}")
    return [table[str(name)] for name in names]
