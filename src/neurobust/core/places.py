"""Registries whose entries live in modules that are imported when an entry is asked for, and not before.

Reading the names costs no import of torch, and a module that no entry in use lives in is nobody's source. A package
outside adds entries of its own as entry points of the registry's group, in its own pyproject.toml:

    [project.entry-points."neurobust.attacks"]
    my-attack = "my_package.my_module:MyAttack"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType
from typing import TypeVar

from neurobust.core.errors import InputError

T = TypeVar("T")


class Places(Mapping[str, T]):
    """name -> the object at `package.module:attribute`: ours, and those that other packages register in `group`."""

    def __init__(self, places: Mapping[str, str], group: str | None = None):
        self._own, self.group = dict(places), group

    @cached_property
    def _places(self) -> dict[str, str]:
        found = dict(self._own)
        for entry in entry_points(group=self.group) if self.group else ():
            if found.get(entry.name, entry.value) != entry.value:
                raise InputError(
                    f"entry point '{entry.name}' of {self.group}: {entry.value} and {found[entry.name]} both have this "
                    "name; uninstall one of the packages or rename its entry point"
                )
            found[entry.name] = entry.value
        return found

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

    def find(self, name: str, where: str) -> T:
        """The entry; an unknown name is an InputError that begins with `where` and lists what there is."""
        if name not in self:
            raise InputError(f"{where}: {name!r} is not known; choose one of {', '.join(self)}")
        return self[name]


def load(place: str) -> object:
    """The object at `package.module:attribute`."""
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)
