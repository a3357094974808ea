"""`python -m neurobust.report RESULTS`: where the report lies, and its main table."""

from __future__ import annotations

import sys
from pathlib import Path

from neurobust.core.errors import InputError
from neurobust.core.locale import speak_any_locale
from neurobust.report.site import front_page
from neurobust.report.summary import print_summary


def show(results: Path) -> None:
    """Print the main table of a folder of results and where its report lies; InputError where there is none."""
    print_summary(results / "report/tables")
    print(f"\nReport: {front_page(results)}")


def main(arguments: list[str]) -> int:
    """Print the main table and the report's path; 1 with one line on stderr where there is no report."""
    speak_any_locale()
    if len(arguments) != 1:
        print("usage: python -m neurobust.report RESULTS", file=sys.stderr)
        return 2
    try:
        show(Path(arguments[0]))
    except InputError as error:
        print(f"neurobust: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
