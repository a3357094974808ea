"""The one exception that users are meant to read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


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


def error_of(lines: Iterable[str]) -> InputError:
    """The error that says some lines, at least one, each once."""
    found = tuple(dict.fromkeys(lines))
    return ManyFaults(found) if len(found) > 1 else InputError(found[0])


def flat(error: BaseException) -> str:
    """What code of others says is wrong, in one short line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
