"""What a terminal's encoding cannot say, such as ± where the locale is C, is said by another sign and ends nothing."""

import io
import sys


def speak_any_locale() -> None:
    """Let stdout and stderr print `?` in the place of a sign that their encoding lacks; UTF-8 lacks none."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
