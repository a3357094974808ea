"""The one exception that users are meant to read."""


class InputError(ValueError):
    """Something the user gave (a file, a value, a name) is wrong.

    The message is a single line that names the file, the value and the fix.
    Scripts print it without a traceback and exit non-zero.
    """
