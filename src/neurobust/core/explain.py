"""What is wrong with a value of a configuration, in words: one line for an error of msgspec."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, get_args, get_origin

import msgspec
from msgspec.structs import fields

from neurobust.core.hints import bare, field_names, is_path, is_settings, literals, metas, type_at
from neurobust.core.names import one_of

WORDS = {
    "int": "a whole number", "float": "a number", "str": "text", "bool": "true or false", "array": "a list",
    "object": "a mapping", "null": "nothing",
}  # fmt: skip

TRUTH = {"true": ("1", "yes", "y", "on", "true"), "false": ("0", "no", "n", "off", "false")}


def explain(kind: type, given: Mapping[str, Any], where: str, text: str) -> str:
    """One line for a validation error: the key's path, the value, what is allowed."""
    problem, _, path = text.partition(" - at ")
    of_key = path.startswith("`key` in ")
    keys = _named(kind, given, re.sub(r"`key` in |[`$]", "", path), text)
    place = ".".join([where, *map(str, keys)] if where else map(str, keys))
    value: Any = given
    owner: Any = kind
    for key in keys:
        value, owner = value[key], type_at(owner, key)
    if unknown := re.fullmatch(r"Object contains unknown field `(.+)`", problem):
        known = f"; known keys are {one_of(unknown[1], field_names(bare(owner)))}" if is_settings(bare(owner)) else ""
        return f"{place}: unknown key '{unknown[1]}'{known}"
    if missing := re.fullmatch(r"Object missing required field `(.+)`", problem):
        return f"{place}: missing key '{missing[1]}'"
    if of_key:
        of_settings = is_settings(bare(owner))
        bad = next(
            key for key in value if not (isinstance(key, str) if of_settings else _fits({key: value[key]}, owner))
        )
        return f"{place}: key {str(bad)!r} is not allowed here; {_plain(problem, owner)}"
    if problem.startswith("Invalid enum value"):
        return (
            f"{place}: {value!r} is not known; choose one of {one_of(value, literals(owner))}{_or_list(value, owner)}"
        )
    if own := re.match(r"(\w+): ", problem):  # what a class says of one of its fields
        return f"{place}.{problem}" if own[1] in field_names(bare(owner)) else f"{place}: {problem}"
    if not problem.startswith("Expected"):  # what a class says of its own fields together
        return f"{place}: {problem}"
    hint = as_number(value) if re.match(r"Expected `(int|float)`", problem) else ""
    hint += _as_list(value, owner) if re.match(r"Expected `array\b", problem) else ""
    hint += _as_truth(value) if re.match(r"Expected `bool`", problem) else ""
    hint += _as_mapping(value, owner) if re.match(r"Expected `object`", problem) else ""
    hint += _as_text(value, problem) + _expanded(value, owner) + _foreign_letter(value, problem)
    return f"{place}: {value!r}: {_plain(problem, owner)}{hint}"


def as_number(value: Any) -> str:
    """What to write where YAML took a number for text: 1e-3, which has no point, or a fraction. Else empty."""
    if not isinstance(value, str):
        return ""
    if power := re.fullmatch(r"([-+]?\d+)[eE]([-+]?\d+)", value):
        return f"; YAML needs a point and a sign: {power[1]}.0e{int(power[2]):+d}"
    if octal := re.fullmatch(r"0+(\d+)", value):
        return f"; write {octal[1]}, without zeros before it or quotes"
    if re.fullmatch(r"0[oObB][0-7]+", value):
        return f"; YAML takes it for text: write {int(value, 0)}"
    if separated := re.fullmatch(r"([-+]?\d+),(\d+)", value):
        whole = separated[2] == "000"  # 1,000: nobody writes zeros behind a decimal comma
        return f"; YAML's decimal sign is a point: write {separated[1]}{'' if whole else '.'}{separated[2]}"
    if share := re.fullmatch(r"(\d+(?:\.\d+)?) *%", value):
        return f"; YAML has no percent: {value} is {float(share[1]) / 100:.4g}"
    if unit := re.fullmatch(r"([-+]?\d+(?:\.\d+)?) *[A-Za-zµ°]+", value):
        return f"; write {unit[1]} alone: units are fixed (docs/configuration.md)"
    if re.fullmatch(r"\d+(?: +\d+)+", value):
        return f"; put commas between them: {', '.join(value.split())}"
    if fraction := re.fullmatch(r"(\d+(?:\.\d+)?) */ *([1-9]\d*)", value):
        return f"; YAML has no fractions: {value} is {float(fraction[1]) / int(fraction[2]):.4g}"
    return f"; write {value} without quotes" if re.fullmatch(r"[-+]?\d+(?:\.\d+)?", value) else ""


def _as_list(value: Any, owner: Any) -> str:
    """What to write where one thing, or several in one text, stand for a list of any length; else empty."""
    if not _listed(owner) or not isinstance(value, (str, int, float)) or isinstance(value, bool):
        return ""
    text = str(value)
    if span := re.fullmatch(r"(\d+) *(?:-|\.\.) *(\d+)", text):
        parts = list(map(str, range(int(span[1]), min(int(span[2]), int(span[1]) + 99) + 1)))
    else:
        parts = re.findall(r"[^\s,;()\[\]]+", text)
    return f"; write [{', '.join(parts)}]" if parts and "range" not in text else ""


def _as_truth(value: Any) -> str:
    """What to write where a word or a number stands for true or false; else empty."""
    word = str(value).lower()
    meant = next((name for name, words in TRUTH.items() if word in words), None)
    return f"; write {meant}" if meant else ""


def _as_mapping(value: Any, owner: Any) -> str:
    """What to write where the value of the one key that some settings must have stands for all of them; else empty."""
    needed = [field for field in fields(bare(owner)) if field.required] if is_settings(bare(owner)) else []
    return f"; write {{{needed[0].encode_name}: {value}}}" if len(needed) == 1 and _fits(value, needed[0].type) else ""


def _or_list(value: Any, owner: Any) -> str:
    """That a name may stand in a list where not alone; else empty."""
    named = any(bare(item) is str or literals(item) for item in _listed(owner))
    return f", or a list such as [{value}]" if named and isinstance(value, str) else ""


def _listed(owner: Any) -> list[Any]:
    """The types of the items of the lists of any length that a type may be."""
    kind = bare(owner)
    lists = (bare(part) for part in (kind, *get_args(kind)))
    return [get_args(part)[0] for part in lists if get_origin(part) is tuple and get_args(part)[1:] == (Ellipsis,)]


def _foreign_letter(value: Any, problem: str) -> str:
    """The letter of a name that only looks like one of ours, or that nobody sees; else empty."""
    if "matching regex" not in problem or not isinstance(value, str):
        return ""
    odd = next((letter for letter in value if ord(letter) > 127), None)
    return "" if odd is None else f"; it holds {odd!r} ({unicodedata.name(odd, f'U+{ord(odd):04X}')})"


def _as_text(value: Any, problem: str) -> str:
    """What to do where YAML took a word such as `no` or a number for something else than text; else empty."""
    asked = re.match(r"Expected `str`", problem)
    if value is None:
        return "; give it"
    return "" if not asked or isinstance(value, (str, list, Mapping)) else "; quote it to have it as text"


def _expanded(value: Any, owner: Any) -> str:
    """What a path with ~ or $HOME means here; else empty."""
    if not (isinstance(value, str) and is_path(owner)):
        return ""
    if not (value.startswith("~") or "$" in value):
        return ""
    meant = os.path.expandvars(re.sub(r"^~(?=/|$)", "$HOME", value))
    return "; no shell reads it: write " + ("it out" if "$" in meant or meant == value else meant)


def _plain(problem: str, owner: Any) -> str:
    """What msgspec expected, in words; a pattern in those of the type that has it (`settings.shaped`)."""
    if shape := re.search(r"matching regex '(.*)'$", problem):
        described = (meta.extra or {} for meta in metas(owner) if meta.pattern and shape[1] in repr(meta.pattern))
        return f"expected {next((extra['shape'] for extra in described if 'shape' in extra), 'another form')}"
    if problem.endswith("`int`, got `float`"):
        return "expected a whole number"

    def worded(match: re.Match[str]) -> str:
        return " or ".join(WORDS.get(part, part) for part in match[1].split(" | "))

    text = re.sub(r"`([^`]*)`", worded, problem.replace("Expected", "expected"))
    return re.sub(r"(\d)\.0\b", r"\1", text)


def _named(kind: type, given: Any, path: str, text: str) -> list[str | int]:
    """The keys of a path of msgspec's, in which the keys of mappings are `[...]`."""
    keys: list[str | int] = []
    value = given
    for token in re.findall(r"\[([^\]]*)\]|([^.\[\]]+)", path):
        if token[1]:
            keys.append(token[1])
        elif token[0] == "...":
            keys.append(next(key for key in value if _fails_alike(kind, given, keys, key, text)))
        else:
            keys.append(int(token[0]))
        value = value[keys[-1]]
    return keys


def _fails_alike(kind: type, given: Any, keys: list[str | int], key: str, text: str) -> bool:
    """Whether this entry of a mapping alone gives the error of the whole."""

    def only(node: Any, rest: list[str | int]) -> Any:
        if not rest:
            return {key: node[key]}
        if isinstance(node, list):
            return [only(item, rest[1:]) if index == rest[0] else item for index, item in enumerate(node)]
        return {name: only(item, rest[1:]) if name == rest[0] else item for name, item in node.items()}

    try:
        msgspec.convert(only(given, keys), kind)
    except msgspec.ValidationError as error:
        return str(error) == text
    return False


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True
