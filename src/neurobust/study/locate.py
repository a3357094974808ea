"""Where a key stands in the files of a configuration: the line that an error should name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from neurobust.core.errors import InputError, error_of, messages_of

ENDLESS = re.compile(r"([^\s;]{100})[^\s;]{200,}")  # a word of a value that no line should bear in full
PREFIX = "config"  # what messages about a configuration begin with (`study.read`)


def located(error: InputError, files: Iterable[Path], prefix: str = PREFIX) -> InputError:
    """The error of `read_study` with file and line in place of the `config` of each of its messages.

    files: the configuration files in the order given; later ones override. A key that stands in none of them (because
    it is missing, or was given on the command line) is placed at the nearest section around it that does. prefix: what
    the paths in messages begin with, of another file than a configuration.
    """
    files = list(files)
    return error_of(located_line(text, files, prefix) for text in messages_of(error))


def located_line(text: str, files: Iterable[Path], prefix: str = PREFIX) -> str:
    """One such message."""
    path, colon, problem = text.partition(": ")
    if not colon or not (path == prefix or path.startswith(f"{prefix}.")):
        return text
    keys = path.removeprefix(prefix).lstrip(".")
    best: tuple[int, Path, int] | None = None
    # A key that is wrong itself is named by the problem, and stands below the path.
    wrong = re.match(r"(?:unknown )?key '(.+?)'(?: is not allowed|; known|$)", problem)
    wanted = f"{keys}.{wrong[1]}".lstrip(".") if wrong else keys
    for file in files:
        depth, line = _deepest(file, wanted)
        if best is None or depth >= best[0]:
            best = depth, file, line
    if best is None:
        return text
    where = f"{best[1]}:{best[2]}" if best[0] else f"{best[1]}"
    said = ENDLESS.sub(r"\1...", f"{keys}: {problem}" if keys else problem)
    return f"{where}: {said}"


def sections(file: Path) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every mapping of a YAML file as a node, and the keys that lead to it; what several aliases name, once."""
    import yaml

    todo: list[tuple[Any, tuple[str, ...]]] = [(_composed(file), ())]
    met: set[int] = set()
    while todo:
        node, path = todo.pop()
        if id(node) in met:  # an alias may name what it stands in
            continue
        met.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            todo += [(item, (*path, str(index))) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            yield path, node
            todo += [(value, (*path, str(key.value))) for key, value in node.value]


def _composed(file: Path) -> Any:
    """The nodes of a YAML file, None for what cannot be read."""
    try:
        return _nodes(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeError):
        return None


@lru_cache(maxsize=8)
def _nodes(text: str) -> Any:
    """The same of its text, which is asked about for each message; by the parser in C where there is one."""
    import yaml

    try:
        return yaml.compose(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        return None


def _deepest(file: Path, keys: str) -> tuple[int, int]:
    """How much of a path of keys (letters) a YAML file has, and the line (from 1) of its last key there."""
    node, depth, line = _composed(file), 0, 0
    while keys and node is not None:
        found = _step(node, keys)
        if found is None:
            break
        name, line, node = found
        depth += len(name)
        keys = keys[len(name) :].lstrip(".")
    return depth, line


def _step(node: Any, keys: str) -> tuple[str, int, Any] | None:
    """The longest key of a node that the path begins with (names may have dots), its line, and what is below."""
    import yaml

    if isinstance(node, yaml.SequenceNode):
        index = keys.partition(".")[0]
        if index.isdigit() and int(index) < len(node.value):
            item = node.value[int(index)]
            return index, item.start_mark.line + 1, item
        return None
    if not isinstance(node, yaml.MappingNode):
        return None
    fits = [(key, value) for key, value in node.value if keys == key.value or keys.startswith(f"{key.value}.")]
    if not fits:
        return None
    key, value = max(fits, key=lambda pair: len(pair[0].value))
    return key.value, key.start_mark.line + 1, value
