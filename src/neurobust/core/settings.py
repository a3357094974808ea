"""Settings: frozen typed objects whose fields carry their default, unit, bounds and a line of help.

A user's mapping becomes an object once, at the border (`read`), and every default, bound and line of help stands in
the class alone: the JSON schema, the checks and the reference of the configuration are made from it.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Meta, Struct

from neurobust.core.errors import InputError

T = TypeVar("T")

Count = Annotated[int, Meta(ge=1)]
Whole = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Names = Annotated[tuple[str, ...], Meta(min_length=1, extra_json_schema={"uniqueItems": True})]


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all settings: frozen, and without unknown keys. Subclasses need `kw_only=True` where a field has no
    default. Methods may say what follows from the values; what is true of every instance is a `ClassVar`."""


def about(text: str, unit: str = "") -> Meta:
    """The line of help of a field, and its unit: `Annotated[Count, about("steps at the first budget")]`."""
    return Meta(description=text, extra={"unit": unit} if unit else None)


def read(kind: type[T], given: Mapping[str, Any], where: str) -> T:
    """The settings that a mapping from a configuration says.

    Raises InputError, with the key's path below `where`, for an unknown or missing key or a value out of bounds.
    """
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise InputError(_explain(kind, given, where, str(error))) from None


def written(settings: Any) -> Any:
    """Settings as JSON types, every default filled in: what goes into parameters, provenance and the names of cells."""
    return msgspec.to_builtins(settings)


def _explain(kind: type, given: Mapping[str, Any], where: str, text: str) -> str:
    """One line for a validation error: the key's path, the value, what is allowed."""
    problem, _, path = text.partition(" - at `")
    keys = path.rstrip("`").lstrip("$").lstrip(".")
    place = f"{where}.{keys}" if keys else where
    if unknown := re.fullmatch(r"Object contains unknown field `(.+)`", problem):
        known = f"; it takes {', '.join(field_names(kind))}" if not keys else ""
        return f"{place}: unknown key '{unknown[1]}'{known}"
    if missing := re.fullmatch(r"Object missing required field `(.+)`", problem):
        return f"{place}: missing key '{missing[1]}'"
    value: Any = given
    for key in re.findall(r"\[(\d+)\]|([^.\[\]]+)", keys):
        try:
            value = value[int(key[0])] if key[0] else value[key[1]]
        except (KeyError, IndexError, TypeError):
            return f"{place}: {problem}"
    if problem.startswith("Invalid enum value"):
        allowed = choices(kind, keys)
        return f"{place}: {value!r} is not known" + (f"; choose one of {', '.join(allowed)}" if allowed else "")
    return f"{place}: {value!r}: {problem[0].lower()}{problem[1:].replace('`', '')}" if keys else f"{place}: {problem}"


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
        default = field.default
        if default is NODEFAULT and field.default_factory is not NODEFAULT:
            default = field.default_factory()
        found.append(Option(field.encode_name, _type_text(hints[field.name]), default, unit, text))
    return found


def field_names(kind: type) -> list[str]:
    """The keys of some settings."""
    return [field.encode_name for field in msgspec.structs.fields(kind)]


def choices(kind: type, field: str) -> tuple[str, ...]:
    """The values that a field of literals may have, in the order of the class; empty for any other field."""
    hint = typing.get_type_hints(kind).get(field)
    if get_origin(hint) is Literal:
        return tuple(get_args(hint))
    return next((tuple(get_args(part)) for part in get_args(hint) if get_origin(part) is Literal), ())


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

    found = inline(whole)
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
        return f"mapping to {_type_text(get_args(hint)[1])}"
    if parts := [part for part in get_args(hint) if part is not type(None)]:
        return " or ".join(_type_text(part) for part in parts)
    names = {int: "whole number", float: "number", str: "text", bool: "true or false"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))
