"""Settings: frozen typed objects whose fields carry their default, unit, bounds and a line of help.

A user's mapping becomes an object once, at the border (`read`), and every default, bound and line of help stands in
the class alone: the JSON schema, the checks and the reference of the configuration are made from it.
"""

from __future__ import annotations

import math
import os
import typing
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal, NoReturn, TypeVar, dataclass_transform, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Meta, Struct

from neurobust.core.explain import explain
from neurobust.core.faults import UNREAD, Faults, Unread
from neurobust.core.hints import bare, is_path, is_settings, literals, metas
from neurobust.core.hints import field_names as field_names
from neurobust.core.names import one_of

T = TypeVar("T")

Count = Annotated[int, Meta(ge=1)]
Whole = Annotated[int, Meta(ge=0)]
Seed = Annotated[int, Meta(ge=0, lt=2**32)]  # as numpy's own generators take it
Share = Annotated[float, Meta(ge=0, le=1)]
Part = Annotated[float, Meta(ge=0, lt=1)]  # a share that is never all
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
UNIQUE = Meta(min_length=1, extra_json_schema={"uniqueItems": True})
Names = Annotated[tuple[str, ...], UNIQUE]
Seeds = Annotated[tuple[Seed, ...], UNIQUE]


Given = Mapping[str, Any]  # one entry of a configuration as a user wrote it: what `read` checks


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all settings: frozen, and without unknown keys. Subclasses need `kw_only=True` where a field has no
    default. Methods may say what follows from the values; what is true of every instance is a `ClassVar`."""


def about(text: str, unit: str = "") -> Meta:
    """The line of help of a field, and its unit: `Annotated[Count, about("steps at the first budget")]`."""
    return Meta(description=text, extra={"unit": unit} if unit else None)


LAST = "(?!\n)"  # behind the $ of a pattern of Python's: the end, where JSON Schema's $ is it by itself


def shaped(pattern: str, words: str) -> Meta:
    """The form of a text, for machines and in words: `expected <words>` is what a message says. A pattern that ends
    with $ lets no line break pass behind it, as Python's own would."""
    return Meta(pattern=f"{pattern}{LAST}" if pattern.endswith("$") else pattern, extra={"shape": words})


SUBJECT = "^subj0[1-8]$"
Subject = Annotated[str, shaped(SUBJECT, "one of subj01 to subj08")]
# A path that a user gives. Braces would be wildcards to Snakemake, and no shell is there to expand ~ or $HOME: what
# they mean depends on who runs a job and where, and the path is part of what a study says.
FilePath = Annotated[
    str,
    shaped(
        r"^(?!~)(?![A-Za-z0-9]+://)[^{}$\\\x00-\x1f]+$",
        "a path without braces, line breaks, $, backslashes or a leading ~, and no address",
    ),
    Meta(extra={"path": True}),
]
LARGEST_SIDE = 4096  # of any image that a study makes or reads, in pixels: what is larger is a slip of the keyboard


def read(kind: type[T], given: Given, where: str) -> T:
    """The settings that a mapping from a configuration says.

    Raises InputError, with the key's path below `where`, for an unknown or missing key, a value out of bounds, a number
    that is not finite, or a list that names something twice; ManyFaults where several keys are wrong. A whole number
    may be written as 4.0.
    """
    faults = Faults()
    found: T = read_partly(kind, given, where, faults)
    faults.refuse()
    return found


def read_partly(kind: Any, given: Any, where: str, faults: Faults) -> Any:
    """As `read`, but what is wrong goes to `faults`, and UNREAD stands for each part that cannot be read: for a field
    of settings, an entry of a mapping, or all of it."""
    if given is UNREAD:
        raise Unread
    found, lines = _attempt(kind, given, where)
    if not lines:
        return found
    before = len(faults.messages)
    found = _in_parts(bare(kind), given, where, faults)
    if len(faults.messages) > before:
        return found
    faults.messages += lines  # each part is right alone
    return UNREAD


def known_keys(kind: type, given: Given, where: str, faults: Faults, beside: Iterable[str]) -> Given:
    """A mapping without the keys that neither a class of settings has nor what is said `beside` them, of each of which
    `faults` says that: so that a slip in any of the two is told the nearest name of both."""
    known = [*field_names(kind), *beside]
    unknown = [key for key in given if isinstance(key, str) and key not in known]
    faults.messages += [f"{where}: unknown key '{key}'; known keys are {one_of(key, known)}" for key in unknown]
    return {key: value for key, value in given.items() if key not in unknown}


def _attempt(kind: Any, given: Any, where: str) -> tuple[Any, list[str]]:
    """A value of a type, and what is wrong with it: what keeps it from being read, or all that is odd in it."""
    held = _held(kind)
    try:
        found = msgspec.convert({"value": given}, held).value
    except msgspec.ValidationError:
        given = _with_whole_numbers(given)
        try:
            found = msgspec.convert({"value": given}, held).value
        except msgspec.ValidationError as error:
            return UNREAD, [explain(kind, given, where, str(error).replace("`$.value", "`$", 1))]
    twice = _twice(found, where) if isinstance(found, tuple) and _lists_once(kind) else ()
    impossible = no_path(found, where) if isinstance(found, str) and is_path(kind) else ()
    return found, [*twice, *impossible, *_odd(found, where)]


@cache
def _held(kind: Any) -> Any:
    """A type as the one field of a struct, which msgspec keeps. What it makes of another type it frees after each use,
    and of a text with a pattern beside a list or a mapping (`FilePath | Names`) too often: 0.22 crashes at the next."""
    return msgspec.defstruct("Held", [("value", kind)])


def _in_parts(kind: Any, given: Any, where: str, faults: Faults) -> Any:
    """What can be read of a value whose whole cannot; UNREAD for what has no parts."""
    parts: tuple[Any, ...] = get_args(kind)
    if isinstance(given, Mapping) and is_settings(kind):
        return _in_fields(kind, given, where, faults)
    if isinstance(given, Mapping) and get_origin(kind) is dict:
        found = {}
        for name, part in given.items():
            faults.messages += (misnamed := _attempt(dict.__class_getitem__((parts[0], Any)), {name: None}, where)[1])
            value = read_partly(parts[1], part, _below(where, name), faults)
            found[str(name)] = UNREAD if misnamed else value
        return found
    if isinstance(given, (list, tuple)) and get_origin(kind) is tuple and parts[1:] == (Ellipsis,):
        return tuple(
            read_partly(parts[0], part, _below(where, index), faults) for index, part in enumerate(given)
        )  # fmt: skip
    return UNREAD


def _in_fields(kind: type, given: Given, where: str, faults: Faults) -> Any:
    """The same of settings: with the fields that can be read, in the order of the mapping, and then what is missing."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    hints = typing.get_type_hints(kind, include_extras=True)
    values = {}
    for key, part in given.items():
        if key in fields:
            name = fields[key].name
            values[name] = read_partly(hints[name], part, _below(where, key), faults)
        else:
            faults.messages += _attempt(kind, {key: part}, where)[1]
    for key, field in fields.items():
        if field.required and key not in given:
            faults.messages.append(f"{where}: missing key '{key}'")
            values[field.name] = UNREAD
    try:
        return kind(**values)
    except (Unread, ValueError):  # what a class says of its fields together
        return UNREAD


def _with_whole_numbers(given: Any) -> Any:
    """The same with 4 for 4.0: YAML's numbers have a type that users need not know."""
    if isinstance(given, Mapping):
        return {key: _with_whole_numbers(value) for key, value in given.items()}
    if isinstance(given, (list, tuple)):
        return [_with_whole_numbers(value) for value in given]
    whole = isinstance(given, float) and given.is_integer() and abs(given) < 2**53
    return int(given) if whole else given


def written(settings: Any) -> Any:
    """Settings as JSON types, every default filled in: what goes into parameters, provenance and the names of cells.

    Raises Unread where a part of them could not be read.
    """
    return msgspec.to_builtins(settings, enc_hook=_unread)


def _unread(value: Any) -> NoReturn:
    """No JSON: what could not be read, or (TypeError) what is of no type of settings."""
    if value is UNREAD:
        raise Unread
    raise TypeError(f"{value!r} has no form in JSON")


def brief(settings: Any) -> Any:
    """Settings as JSON types without what is at its default: the parameters of a job, so that a key that is added to
    the code, with a default that changes nothing, re-runs nothing."""
    if isinstance(settings, Mapping):
        return {key: brief(value) for key, value in settings.items()}
    if isinstance(settings, (tuple, list)):
        return [brief(value) for value in settings]
    if not isinstance(settings, Struct):
        return written(settings)
    fields = ((field, getattr(settings, field.name)) for field in msgspec.structs.fields(type(settings)))
    return {field.encode_name: brief(value) for field, value in fields if value != _default(field)}


def _default(field: Any) -> Any:
    """The default of a field; NODEFAULT for one that must be given."""
    return field.default if field.default_factory is NODEFAULT else field.default_factory()


def _odd(value: Any, where: str) -> Iterator[str]:
    """A line for each list that names something twice where it must not, each number that is not finite, and each text
    that can be no path where one is asked for."""
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{where}: {value!r}: expected a finite number"
    if isinstance(value, Settings):
        for name, encoded, unique, path in _checked(type(value)):
            part, place = getattr(value, name), _below(where, encoded)
            if path and isinstance(part, str):
                yield from no_path(part, place)
            if unique and isinstance(part, tuple):
                yield from _twice(part, place)
            yield from _odd(part, place)
    elif isinstance(value, (tuple, dict)):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _odd(part, _below(where, key))


@cache
def _checked(kind: type) -> list[tuple[str, str, bool, bool]]:
    """Every field of some settings: its name, its key, and whether it lists each thing once, or is a path."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return [
        (field.name, field.encode_name, _lists_once(hints[field.name]), is_path(hints[field.name]))
        for field in msgspec.structs.fields(kind)
    ]  # fmt: skip


def _lists_once(hint: Any) -> bool:
    """Whether a type is a list that names each thing once."""
    return any((meta.extra_json_schema or {}).get("uniqueItems") for meta in metas(hint))


def no_path(path: str, where: str) -> Iterator[str]:
    """A line for a text that no file system takes as a path, or that nobody types on purpose."""
    if path != path.strip():
        yield f"{where}: {path!r}: begins or ends with a blank; remove it"
    longest = max(path.split("/"), key=lambda name: len(os.fsencode(name)))
    if len(os.fsencode(longest)) > 255 or len(os.fsencode(path)) > 4000:
        yield f"{where}: {path[:60]!r}...: longer than any file system takes; shorten it"


def _twice(items: tuple[Any, ...], where: str) -> Iterator[str]:
    """A line for a list that names something twice."""
    twice = [item for index, item in enumerate(items) if item in items[:index]]
    if twice:
        yield f"{where}: {list(items)} has non-unique elements; name {twice[0]!r} once"


def _below(where: str, key: str | int) -> str:
    """The path of a key below a place."""
    return f"{where}.{key}" if where else str(key)


class Option(Struct, frozen=True):
    """One key of some settings, as a reference shows it. `default` is NODEFAULT for a key that must be given."""

    name: str
    type: str
    default: Any
    unit: str
    help: str

    @property
    def required(self) -> bool:
        """Whether the key must be given."""
        return self.default is NODEFAULT


def options(kind: type) -> list[Option]:
    """Every key of some settings, in the order of the class."""
    hints = typing.get_type_hints(kind, include_extras=True)
    found = []
    for field in msgspec.structs.fields(kind):
        notes = list(metas(hints[field.name]))
        text = "; ".join(meta.description for meta in notes if meta.description)
        unit = next((meta.extra["unit"] for meta in notes if meta.extra and "unit" in meta.extra), "")
        found.append(Option(field.encode_name, _type_text(hints[field.name]), _default(field), unit, text))
    return found


def choices(kind: type, field: str) -> tuple[str, ...]:
    """The values that a field of literals may have, in the order of the class; empty for any other field."""
    return literals(typing.get_type_hints(kind).get(field))


def schema(kind: type) -> dict[str, Any]:
    """The JSON Schema of some settings as one object: `type`, `properties`, `required`, `additionalProperties`."""
    whole = msgspec.json.schema(kind)
    parts = whole.pop("$defs", {})

    def inline(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return inline(parts[node["$ref"].rpartition("/")[2]])
            return {key: inline(value) for key, value in node.items() if key != "title"}
        if isinstance(node, str):
            return node.removesuffix(LAST)
        return [inline(item) for item in node] if isinstance(node, list) else node

    found: dict[str, Any] = inline(whole)
    for name, node in found.get("properties", {}).items():
        if literals := choices(kind, name):
            _order(node, literals)
    return found


def _order(node: Any, literals: Iterable[str]) -> None:
    """Give an enumeration the order of the class; msgspec sorts it."""
    for part in (node, *node.get("anyOf", ())):
        if "enum" in part and set(part["enum"]) == set(literals):
            part["enum"] = list(literals)


def _type_text(hint: Any) -> str:
    """A type as a reader of the reference sees it, its bounds included."""
    if get_origin(hint) is Annotated:
        inner, *metas = get_args(hint)
        bounds = [
            f"{sign} {value if isinstance(value, int) else format(value, 'g')}"
            for meta in metas if isinstance(meta, Meta)
            for sign, value in ((">=", meta.ge), (">", meta.gt), ("<=", meta.le), ("<", meta.lt)) if value is not None
        ]  # fmt: skip
        return " ".join([_type_text(inner), *bounds])
    if get_origin(hint) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(hint))
    if get_origin(hint) is tuple or get_origin(hint) is list:
        return f"list of {_type_text(get_args(hint)[0])}"
    if get_origin(hint) is dict:
        value = get_args(hint)[1]
        return "mapping" if value is Any else f"mapping to {_type_text(value)}"
    if parts := [part for part in get_args(hint) if part is not type(None)]:
        return " or ".join(_type_text(part) for part in parts)
    names = {int: "whole number", float: "number", str: "text", bool: "true or false"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))
