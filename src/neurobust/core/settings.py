"""Settings: frozen typed objects whose fields carry their default, unit, bounds and a line of help.

A user's mapping becomes an object once, at the border (`read`), and every default, bound and line of help stands in
the class alone: the JSON schema, the checks and the reference of the configuration are made from it.
"""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Meta, Struct

from neurobust.core.errors import InputError

T = TypeVar("T")

Count = Annotated[int, Meta(ge=1)]
Whole = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
UNIQUE = Meta(min_length=1, extra_json_schema={"uniqueItems": True})
Names = Annotated[tuple[str, ...], UNIQUE]
Seeds = Annotated[tuple[Whole, ...], UNIQUE]


Given = Mapping[str, Any]  # one entry of a configuration as a user wrote it: what `read` checks


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all settings: frozen, and without unknown keys. Subclasses need `kw_only=True` where a field has no
    default. Methods may say what follows from the values; what is true of every instance is a `ClassVar`."""


def about(text: str, unit: str = "") -> Meta:
    """The line of help of a field, and its unit: `Annotated[Count, about("steps at the first budget")]`."""
    return Meta(description=text, extra={"unit": unit} if unit else None)


def read(kind: type[T], given: Given, where: str) -> T:
    """The settings that a mapping from a configuration says.

    Raises InputError, with the key's path below `where`, for an unknown or missing key, a value out of bounds, a number
    that is not finite, or a list that names something twice.
    """
    try:
        found = msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise InputError(_explain(kind, given, where, str(error))) from None
    _check(found, where)
    return found


def written(settings: Any) -> Any:
    """Settings as JSON types, every default filled in: what goes into parameters, provenance and the names of cells."""
    return msgspec.to_builtins(settings)


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


def _explain(kind: type, given: Given, where: str, text: str) -> str:
    """One line for a validation error: the key's path, the value, what is allowed."""
    problem, _, path = text.partition(" - at ")
    of_key = path.startswith("`key` in ")
    keys = _named(kind, given, re.sub(r"`key` in |[`$]", "", path), text)
    place = ".".join([where, *map(str, keys)] if where else map(str, keys))
    value: Any = given
    owner: Any = kind
    for key in keys:
        value, owner = value[key], _type_at(owner, key)
    if unknown := re.fullmatch(r"Object contains unknown field `(.+)`", problem):
        known = f"; known keys are {', '.join(field_names(_bare(owner)))}" if _is_settings(_bare(owner)) else ""
        return f"{place}: unknown key '{unknown[1]}'{known}"
    if missing := re.fullmatch(r"Object missing required field `(.+)`", problem):
        return f"{place}: missing key '{missing[1]}'"
    if of_key:
        of_settings = _is_settings(_bare(owner))
        bad = next(
            key for key in value if not (isinstance(key, str) if of_settings else _fits({key: value[key]}, owner))
        )
        return f"{place}: key '{bad}' is not allowed here; {_plain(problem)}"
    if problem.startswith("Invalid enum value"):
        return f"{place}: {value!r} is not known; choose one of {', '.join(map(str, _literals(owner)))}"
    if not problem.startswith("Expected"):  # what a class says of its own fields together
        return f"{place}: {problem}"
    return f"{place}: {value!r}: {_plain(problem)}{_as_number(value, problem)}"


WORDS = {
    "int": "a whole number", "float": "a number", "str": "text", "bool": "true or false", "array": "a list",
    "object": "a mapping", "null": "nothing",
}  # fmt: skip


def _as_number(value: Any, problem: str) -> str:
    """What to write where YAML took a number such as 1e-3, which has no point, for text; empty for anything else."""
    if isinstance(value, str) and re.fullmatch(r"[-+]?\d+[eE][-+]?\d+", value) and "got `str`" in problem:
        mantissa, _, exponent = value.lower().partition("e")
        return f"; YAML needs a point and a sign: {mantissa}.0e{int(exponent):+d}"
    return ""


def _plain(problem: str) -> str:
    """What msgspec expected, in words."""

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


def _type_at(kind: Any, key: str | int) -> Any:
    """The type of a field of some settings, of an entry of a mapping or of an item of a list."""
    kind = _bare(kind)
    if _is_settings(kind):
        return typing.get_type_hints(kind, include_extras=True).get(str(key), Any)
    parts = get_args(kind)
    return (parts[1] if get_origin(kind) in (dict, Mapping) else parts[0]) if parts else Any


def _bare(hint: Any) -> Any:
    """A type without its annotations and without None."""
    if get_origin(hint) is Annotated:
        return _bare(get_args(hint)[0])
    if get_origin(hint) in (typing.Union, types.UnionType):
        kept = [part for part in get_args(hint) if part is not type(None)]
        return _bare(kept[0]) if len(kept) == 1 else hint
    return hint


def _is_settings(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _literals(hint: Any) -> tuple[Any, ...]:
    """The values of a literal type, in the order of the class."""
    hint = _bare(hint)
    if get_origin(hint) is Literal:
        return get_args(hint)
    return tuple(value for part in get_args(hint) for value in _literals(part))


def _check(value: Any, where: str) -> None:
    """Raise InputError for a list that names something twice where it must not, and for a number that is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{where}: {value!r}: expected a finite number")
    if isinstance(value, Settings):
        for name, encoded, unique in _checked(type(value)):
            part, place = getattr(value, name), _below(where, encoded)
            if unique and isinstance(part, tuple):
                _check_unique(part, place)
            _check(part, place)
    elif isinstance(value, (tuple, dict)):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            _check(part, _below(where, key))


@cache
def _checked(kind: type) -> list[tuple[str, str, bool]]:
    """Every field of some settings: its name, its key, and whether it lists each thing once."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return [
        (field.name, field.encode_name,
         any((meta.extra_json_schema or {}).get("uniqueItems") for meta in _metas(hints[field.name])))
        for field in msgspec.structs.fields(kind)
    ]  # fmt: skip


def _check_unique(items: tuple[Any, ...], where: str) -> None:
    twice = [item for index, item in enumerate(items) if item in items[:index]]
    if twice:
        raise InputError(f"{where}: {list(items)} has non-unique elements; name {twice[0]!r} once")


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
        metas = list(_metas(hints[field.name]))
        text = "; ".join(meta.description for meta in metas if meta.description)
        unit = next((meta.extra["unit"] for meta in metas if meta.extra and "unit" in meta.extra), "")
        found.append(Option(field.encode_name, _type_text(hints[field.name]), _default(field), unit, text))
    return found


def field_names(kind: type) -> list[str]:
    """The keys of some settings."""
    return [field.encode_name for field in msgspec.structs.fields(kind)]


def choices(kind: type, field: str) -> tuple[str, ...]:
    """The values that a field of literals may have, in the order of the class; empty for any other field."""
    return _literals(typing.get_type_hints(kind).get(field))


def schema(kind: type) -> dict[str, Any]:
    """The JSON Schema of some settings as one object: `type`, `properties`, `required`, `additionalProperties`."""
    whole = msgspec.json.schema(kind)
    parts = whole.pop("$defs", {})

    def inline(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return inline(parts[node["$ref"].rpartition("/")[2]])
            return {key: inline(value) for key, value in node.items() if key != "title"}
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


def _metas(hint: Any) -> Iterable[Meta]:
    """Every Meta of a type, those of the parts of a union included."""
    if get_origin(hint) is Annotated:
        yield from _metas(get_args(hint)[0])
        yield from (meta for meta in get_args(hint)[1:] if isinstance(meta, Meta))
    elif get_origin(hint) is not Literal:
        for part in get_args(hint):
            if part is not Ellipsis:
                yield from _metas(part)


def _type_text(hint: Any) -> str:
    """A type as a reader of the reference sees it, its bounds included."""
    if get_origin(hint) is Annotated:
        inner, *metas = get_args(hint)
        bounds = [
            f"{sign} {value:g}"
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
