"""A YAML file as a mapping, or one line that says which line of it cannot be read and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neurobust.core.errors import InputError, error_of
from neurobust.core.names import nearest, neighbours
from neurobust.study.locate import sections

NO_BLANK = re.compile("\\s*[\u00a0\u2000-\u200b\u202f\u3000\ufeff]")
TRUE = ("yes", "on", "true")
MAPPING = "a mapping of sections, as config/demo.yaml shows one"
DEEPEST, LARGEST = 30, 10**6  # levels below a key, and values: what a study says has a tenth of either
KINDS = {"bool": "false", "int": "a number", "float": "a number", "null": "nothing", "timestamp": "a date"}


def read_yaml(file: Path, what: str = MAPPING) -> dict[str, Any]:
    """The mapping that a file holds; `what`: it should hold.

    Raises InputError with the file, and where it can the line, as of `load_yaml` and for each of `odd_lines`.
    """
    found = load_yaml(file, what)
    if odd := odd_lines(file):
        raise error_of(odd)
    return found


def load_yaml(file: Path, what: str = MAPPING) -> dict[str, Any]:
    """The mapping that YAML reads in a file, whatever its author meant.

    Raises InputError for a file that is not there, is no text, is no YAML, is empty or something else than a mapping.
    """
    import yaml

    text = read_text(file)
    try:
        found = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise InputError(_broken(file, text, error)) from None
    except RecursionError:
        raise InputError(f"{file}: not YAML: its lists and mappings are nested without an end; flatten it") from None
    except ValueError as error:  # a date that there is not, or a number of too many digits
        raise InputError(f"{file}: not YAML: {error}; quote it to have it as text") from None
    if found is None:
        raise InputError(f"{file}: empty; expected {what}")
    if not isinstance(found, dict):
        kind = "a list" if isinstance(found, list) else f"{found!r:.60}"
        raise InputError(f"{file}:{_first_line(text)}: {kind} at its top; expected {what}")
    for key, value in found.items():
        if problem := _unwieldy(value):
            raise InputError(f"{file}:{_line_of(text, key)}: {key}: {problem}")
    return found


def _unwieldy(value: Any) -> str:
    """What is wrong with a value that has no end, or so many or so deep parts that nobody meant it; or empty."""
    try:
        _, count = _extent(value, {}, set())
    except RecursionError:
        return "an alias (*) stands inside of what it names; write it out"
    except OverflowError:
        return f"lists and mappings in more than {DEEPEST} levels; flatten them"
    return "" if count <= LARGEST else f"its aliases (*) stand for {count:,} values; write out what is meant"


def _extent(value: Any, known: dict[int, tuple[int, int]], above: set[int]) -> tuple[int, int]:
    """The levels of a value and how many values it has, what aliases name counted each time.

    RecursionError for one that stands in itself, OverflowError for too many levels. known: what has been looked at,
    above: what this one stands in.
    """
    if not isinstance(value, (dict, list)):
        return 0, 1
    if id(value) in above:
        raise RecursionError
    if id(value) not in known:
        parts = value.values() if isinstance(value, dict) else value
        if len(above) >= DEEPEST:
            raise OverflowError
        extents = [_extent(part, known, above | {id(value)}) for part in parts]
        known[id(value)] = 1 + max((deep for deep, _ in extents), default=0), 1 + sum(count for _, count in extents)
    if len(above) + known[id(value)][0] > DEEPEST:
        raise OverflowError
    return known[id(value)]


def _line_of(text: str, key: Any) -> int:
    """The line of a key at the top of a file; its first line that says something where it is not found."""
    lines = enumerate(text.splitlines(), 1)
    named = re.compile(rf"['\"]?{re.escape(str(key))}['\"]?\s*:")
    return next((number for number, line in lines if named.match(line)), _first_line(text))


def read_text(file: Path) -> str:
    """The text of a file in UTF-8; InputError for what cannot be read as such."""
    file = Path(file)
    try:
        return file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise InputError(f"{file}: missing; correct the path{nearest(file.name, neighbours(file))}") from None
    except IsADirectoryError:
        raise InputError(f"{file}: a folder; name a file in it") from None
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}; make it readable") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise InputError(f"{file}:{line}: byte 0x{byte:02x} is not UTF-8; save the file as text in UTF-8") from None


def odd_lines(file: Path) -> list[str]:
    """A line for all that YAML reads as something else than it looks like, in the order of the file: a key that stands
    twice in one section (the last would be taken), a key that is no text (`no` is false), a number in another base.

    A condition's `on`, which programs write as `true`, is meant (`config.as_written`).
    """
    found = []
    for path, section in sections(file):
        seen: dict[str, int] = {}
        for key, value in section.value:
            word, line = str(key.value), key.start_mark.line + 1
            if first := seen.get(word):
                found.append((line, f"key '{word}' stands at line {first} already; rename one"))
            seen.setdefault(word, line)
            if odd := _odd_key(path, key):
                found.append((line, odd))
            found += [(node.start_mark.line + 1, text) for node, text in _odd_numbers((*path, word), value)]
    return [f"{file}:{line}: {text}" for line, text in sorted(found, key=lambda pair: pair[0])]


def _odd_key(path: tuple[str, ...], key: Any) -> str:
    """What is wrong with a key that YAML reads as something else than text; empty for others."""
    kind, word = key.tag.rpartition(":")[2], str(key.value)
    conditions_on = word in ("on", "true") and len(path) == 2 and path[0] == "conditions"
    if kind not in KINDS or conditions_on:
        return ""
    meaning = "true" if word.lower() in TRUE else KINDS[kind]
    return (
        f"{'.'.join([*path, word])}: YAML reads the key {word} as {meaning}; quote it ('{word}'), or take another name"
    )


def _odd_numbers(path: tuple[str, ...], value: Any) -> Iterator[tuple[Any, str]]:
    """The numbers in a value, or in the lists in it, that YAML reads in base 8 or 60: node and problem."""
    import yaml

    if isinstance(value, yaml.SequenceNode):
        for index, item in enumerate(value.value):
            yield from _odd_numbers((*path, str(index)), item)
    elif isinstance(value, yaml.ScalarNode) and value.tag.rpartition(":")[2] in ("int", "float"):
        word = value.value.replace("_", "")
        key = ".".join(path)
        if re.fullmatch(r"[-+]?0[0-7]+", word) and int(word, 8) != int(word):
            plain = re.sub(r"^([-+]?)0+(?=\d)", r"\1", word)
            yield value, f"{key}: {value.value}: YAML reads it in base 8, as {int(word, 8)}; write {plain}"
        elif ":" in word:
            yield value, f"{key}: {value.value}: YAML reads it in base 60, as a time; write the number itself"


def _broken(file: Path, text: str, error: Any) -> str:
    """One line for an error of YAML's."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = " ".join(str(getattr(error, "problem", None) or getattr(error, "reason", None) or error).split())
    if mark is None:
        odd = next((place for place, letter in enumerate(text) if unprintable(letter)), None)
        where = "" if odd is None else f":{text.count(chr(10), 0, odd) + 1}"
        return f"{file}{where}: not YAML: {problem}; save it as plain text"
    line = mark.line + 1
    lines = text.splitlines()
    tabs = [number for number in (line, line - 1) if 0 < number <= len(lines) and re.match(r" *\t", lines[number - 1])]
    if tabs:
        return f"{file}:{tabs[0]}: a tab; YAML is indented by spaces: put spaces in its place"
    blanks = [number for number in (line, line - 1) if 0 < number <= len(lines) and NO_BLANK.match(lines[number - 1])]
    if blanks:
        return f"{file}:{blanks[0]}: a blank that is none (U+00A0 or its like), as web pages have them; type it anew"
    if "another document" in problem:
        return f"{file}:{line}: a second document begins here (---), and a study is one: remove it, or give it a file"
    if tag := re.search(r"constructor for the tag '(.+)'", problem):
        word = tag[1].replace("tag:yaml.org,2002:", "!!")
        return f"{file}:{line}: the tag {word} means nothing here; remove it, and write the value itself"
    began = getattr(error, "context_mark", None)
    since = "" if began is None or began.line == mark.line else f" (in what begins at line {began.line + 1})"
    return f"{file}:{line}: not YAML: {problem}{since}; look for an open bracket, quote or colon at this line or before"


def unprintable(letter: str) -> bool:
    """Whether YAML takes a letter for no text."""
    return (letter < " " and letter not in "\t\n\r") or letter in "\x7f\ufffe\uffff"


def _first_line(text: str) -> int:
    """The first line that says something."""
    said = (number for number, line in enumerate(text.splitlines(), 1) if line.strip() and not line.startswith("#"))
    return next(said, 1)
