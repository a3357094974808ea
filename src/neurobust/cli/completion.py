"""What bash completes the words of `neurobust` by: `source <(neurobust --print-completion bash)`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

FORM = """\
_neurobust() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} words
  case ${{COMP_WORDS[1]}} in
{cases}
    *) words={first!r} ;;
  esac
  [ "$COMP_CWORD" = 1 ] && words={first!r}
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _neurobust neurobust"""


def completion(parser: argparse.ArgumentParser) -> str:
    """A function of bash that completes the commands and options of a parser, and files elsewhere."""
    below = commands_of(parser)
    cases = [f"    {name}) words={' '.join(options_of(command))!r} ;;" for name, command in below.items()]
    return FORM.format(cases="\n".join(cases), first=" ".join([*below, *options_of(parser)]))


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands of a parser by name."""
    found = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return {name: command for action in found for name, command in action.choices.items()}


def options_of(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The long options of a parser."""
    return (word for action in parser._actions for word in action.option_strings if word.startswith("--"))
