"""A YAML file as a mapping, or one line that says which line of it cannot be read and what to write instead."""

from __future__ import annotations

import json
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
    try:
        json.dumps(found, default=str, skipkeys=True)
    except ValueError:
        raise InputError(f"{file}: an alias (*) stands inside of what it names; write it out") from None
    return found


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
