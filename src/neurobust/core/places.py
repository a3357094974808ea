"""Registries whose entries live in modules that are imported when an entry is asked for, and not before.

Reading the names costs no import of torch, and a module that no entry in use lives in is nobody's source. A package
outside adds entries of its own as entry points of the registry's group, in its own pyproject.toml:

    [project.entry-points."neurobust.attacks"]
    my-attack = "my_package.my_module:MyAttack"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, TypeVar, cast

from neurobust.core.errors import InputError
from neurobust.core.names import nearest, one_of
from neurobust.core.settings import Given, Settings

T = TypeVar("T")


@cache
def registered() -> Any:
    """The entry points of every installed package, looked for once."""
    return entry_points()


class Places(Mapping[str, T]):
    """name -> the object at `package.module:attribute`: ours, and those that other packages register in `group`.

    kind: what an entry must be, a subclass of this class if it has settings, else an object of it.
    """

    def __init__(self, places: Mapping[str, str], group: str | None = None, kind: type | None = None):
        self._own, self.group, self.kind = dict(places), group, kind

    @cached_property
    def _places(self) -> dict[str, str]:
        found = dict(self._own)
        for entry in registered().select(group=self.group) if self.group else ():
            if found.get(entry.name, entry.value) != entry.value:
                raise InputError(
                    f"entry point '{entry.name}' of {self.group}: {entry.value} and {found[entry.name]} both have this "
                    "name; uninstall one of the packages or rename its entry point"
                )
            found[entry.name] = entry.value
        return found

    def __getitem__(self, name: str) -> T:
        place = self._places[name]  # an unknown name is a KeyError, as of any mapping
        return cast(T, load(place) if name in self._own else self._outside(name, place))

    def _outside(self, name: str, place: str) -> object:
        """What another package registers; InputError where that is nothing, or nothing of this kind."""
        where = f"entry point '{name}' of {self.group}: {place}"
        try:
            found = load(place)
        except Exception as error:  # of a package that we do not know
            text = " ".join(str(error).split())
            raise InputError(
                f"{where} cannot be imported ({type(error).__name__}: {text}); correct that package or uninstall it"
            ) from error
        if self.kind is None:
            return found
        settings = issubclass(self.kind, Settings)
        if not (isinstance(found, type) and issubclass(found, self.kind) if settings else isinstance(found, self.kind)):
            wanted = f"a subclass of {self.kind.__name__}" if settings else f"a {self.kind.__name__}"
            raise InputError(f"{where} is not {wanted} ({self.kind.__module__}); correct that package or uninstall it")
        return found

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def module_name(self, name: str) -> str:
        """The module that an entry lives in, not imported."""
        return module_of(self._places[name])

    def find(self, name: str, where: str) -> T:
        """The entry; an unknown name is an InputError that begins with `where` and lists what there is."""
        if name not in self:
            raise InputError(f"{where}: {name!r} is not known; choose one of {one_of(name, self)}")
        return self[name]

    def _instead(self, given: Given, tag: str) -> str:
        """What to do where the key `tag` is missing: mend a key that is almost it, or name an entry."""
        keys = [key for key in given if isinstance(key, str)]
        if glued := next((key for key in keys if key.startswith(f"{tag}:")), None):
            return f"YAML wants a blank behind the colon of {glued}"
        if slip := next((key for key in keys if nearest(key, [tag])), None):
            return f"is it meant by '{slip}'? write {tag}"
        return f"choose one of {', '.join(self)}"

    def chosen(self, given: Given, tag: str, where: str) -> T:
        """The entry that the key `tag` of a mapping at `where` names; as `find`, and without the key an InputError."""
        if tag not in given:
            raise InputError(f"{where}: missing key '{tag}'; {self._instead(given, tag)}")
        return self.find(given[tag], f"{where}.{tag}")


def module_of(place: str) -> str:
    """The module of `package.module:attribute`."""
    return place.partition(":")[0]


def modules_of(*places: str) -> set[str]:
    """The modules of these places; an empty place has none."""
    return {module_of(place) for place in places if place}


def load(place: str) -> object:
    """The object at `package.module:attribute`."""
    return getattr(import_module(module_of(place)), place.partition(":")[2])
