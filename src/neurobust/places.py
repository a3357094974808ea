"""Registries whose entries live in modules that are imported when an entry is asked for, and not before.

Reading the names costs no import of torch, and a module that no entry in use lives in is nobody's source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")


class Places(Mapping[str, T]):
    """name -> the object at `package.module:attribute`."""

    def __init__(self, places: Mapping[str, str]):
        self._places = dict(places)

    def __getitem__(self, name: str) -> T:
        return getattr(self.module(name), self._places[name].partition(":")[2])

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def module_name(self, name: str) -> str:
        """The module that an entry lives in, not imported."""
        return self._places[name].partition(":")[0]

    def module(self, name: str) -> ModuleType:
        """The module that an entry lives in."""
        return import_module(self.module_name(name))
