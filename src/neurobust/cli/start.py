"""The first lines of the command: Ctrl-C is one line from here on, also while the rest is imported.

Nothing is imported before: an interrupted import at the top of this file would be nobody's to catch. What comes earlier
is Python's own start, a few hundredths of a second, in which Ctrl-C prints what Python prints.
"""


def start() -> int:
    """Run the command `neurobust` with the words of its command line; the exit status."""
    try:
        from neurobust.cli.main import main

        return main()
    except KeyboardInterrupt:
        from neurobust.core.interrupted import say

        return say()
