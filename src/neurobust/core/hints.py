"""What the type of a field says: its parts, its literals, its annotations. Of settings and of the types inside them."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta, Struct


def type_at(kind: Any, key: str | int) -> Any:
    """The type of a field of some settings, of an entry of a mapping or of an item of a list."""
    kind = bare(kind)
    if is_settings(kind):
        return typing.get_type_hints(kind, include_extras=True).get(str(key), Any)
    parts = get_args(kind)
    return (parts[1] if get_origin(kind) in (dict, Mapping) else parts[0]) if parts else Any


def bare(hint: Any) -> Any:
    """A type without its annotations and without None."""
    if get_origin(hint) is Annotated:
        return bare(get_args(hint)[0])
    if get_origin(hint) in (typing.Union, types.UnionType):
        kept = [part for part in get_args(hint) if part is not type(None)]
        return bare(kept[0]) if len(kept) == 1 else hint
    return hint


def is_settings(kind: Any) -> bool:
    """Whether a type is settings, or another struct."""
    return isinstance(kind, type) and issubclass(kind, Struct)


def literals(hint: Any) -> tuple[Any, ...]:
    """The values of a literal type, in the order of the class."""
    hint = bare(hint)
    if get_origin(hint) is Literal:
        return get_args(hint)
    return tuple(value for part in get_args(hint) for value in literals(part))


def metas(hint: Any) -> Iterable[Meta]:
    """Every Meta of a type, those of the parts of a union included."""
    if get_origin(hint) is Annotated:
        yield from metas(get_args(hint)[0])
        yield from (meta for meta in get_args(hint)[1:] if isinstance(meta, Meta))
    elif get_origin(hint) is not Literal:
        for part in get_args(hint):
            if part is not Ellipsis:
                yield from metas(part)


def is_path(hint: Any) -> bool:
    """Whether a type is that of paths which a user gives."""
    return any((meta.extra or {}).get("path") for meta in metas(hint))


def field_names(kind: type) -> list[str]:
    """The keys of some settings."""
    return [field.encode_name for field in msgspec.structs.fields(kind)]
