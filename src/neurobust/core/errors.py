"""The one exception that users are meant to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class InputError(ValueError):
    """Something the user gave (a file, a value, a name) is wrong.

    The message is a single line that names the file, the value and the fix.
    Scripts print it without a traceback and exit non-zero.
    """


class ManyFaults(InputError):
    """Several things are wrong: `messages`, one line each. As text it is the first."""

    def __init__(self, messages: Sequence[str]):
        super().__init__(messages[0])
        self.messages = tuple(messages)


def messages_of(error: InputError) -> tuple[str, ...]:
    """Every line that an error says."""
    return error.messages if isinstance(error, ManyFaults) else (str(error),)


class Faults:
    """What was found wrong so far, so that a user hears of all of it at once."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Keep what is wrong in a block, and go on behind it."""
        try:
            yield
        except InputError as error:
            self.messages += messages_of(error)

    def refuse(self) -> None:
        """Raise InputError if something was wrong; ManyFaults for more than one thing."""
        found = list(dict.fromkeys(self.messages))
        if found:
            raise ManyFaults(found) if len(found) > 1 else InputError(found[0])
