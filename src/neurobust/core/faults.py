"""What was found wrong so far, so that a user hears of all of it at once, and what stands for what could not be read.

A part that cannot be read is `UNREAD` from then on. Whatever asks anything of it raises `Unread`, which `Faults` passes
over: of a fault that has been said no second one is made up, and everything that can be asked without it still is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NoReturn, TypeVar

from neurobust.core.errors import InputError, error_of, messages_of

T = TypeVar("T")


class Unread(Exception):
    """Something was asked of what could not be read; what is wrong with it has been said."""


class _Unread:
    """No value at all: every question about it is `Unread`, but whether it is None (it is not)."""

    def _refuse(self, *_: Any) -> NoReturn:
        raise Unread

    __getattr__ = __getitem__ = __iter__ = __len__ = __contains__ = __bool__ = __call__ = __hash__ = _refuse
    __fspath__ = __int__ = __float__ = __index__ = __str__ = __format__ = __neg__ = __abs__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __pow__ = __rpow__ = __mod__ = __rmod__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse

    def __repr__(self) -> str:
        return "UNREAD"


UNREAD: Final[Any] = _Unread()


def readable(entries: Mapping[str, T]) -> Iterator[tuple[str, T]]:
    """Those entries of a section that could be read."""
    yield from ((name, entry) for name, entry in entries.items() if entry is not UNREAD)


class Faults:
    """Lines that say what is wrong, in the order in which it was found."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Keep what is wrong in a block, and go on behind it."""
        try:
            yield
        except InputError as error:
            self.messages += messages_of(error)
        except Unread:
            pass  # its line is there

    def kept(self, make: Callable[[], T]) -> T:
        """What a function returns; UNREAD, once what is wrong is kept, where it raises InputError."""
        with self.caught():
            return make()
        return UNREAD

    def refuse(self) -> None:
        """Raise InputError if something was wrong; ManyFaults for more than one thing."""
        if self.messages:
            raise error_of(self.messages)
