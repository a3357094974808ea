"""Commands of the nsd stage: `python -m neurobust.nsd plan CONFIG`, `doctor CONFIG`, and what the download rules call.

CONFIG is the study's YAML file, or its `data` section as JSON.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from functools import partial
from pathlib import Path

from neurobust.core.errors import InputError
from neurobust.core.script import configure_logging
from neurobust.core.settings import read
from neurobust.nsd.layout import Copies, Root
from neurobust.nsd.settings import Data

logger = logging.getLogger("neurobust")


def read_data(text: str) -> Data:
    """The `data` section: of a YAML file by its path, or given as JSON."""
    import yaml

    try:
        if text.lstrip().startswith("{"):
            given = json.loads(text)
        else:
            given = yaml.safe_load(Path(text).read_text(encoding="utf-8"))["data"]
    except (OSError, yaml.YAMLError, TypeError, KeyError, ValueError) as error:
        raise InputError(f"{text}: not a study's config ({' '.join(str(error).split())})") from error
    return read(Data, given, "config.data")


def read_root(arguments: argparse.Namespace) -> Root:
    """Where files are looked for: in somebody's copy first, where one is given."""
    return arguments.root if arguments.copy is None else Copies(arguments.copy, arguments.root)


def terms(arguments: argparse.Namespace) -> int:
    """Note in the mirror that the terms of use are accepted."""
    from neurobust.nsd.manifest import accept_terms

    accept_terms(read_data(arguments.config))
    return 0


def fetch(arguments: argparse.Namespace) -> int:
    """Fetch one file of the bucket."""
    from neurobust.nsd import layout
    from neurobust.nsd.bucket import read_source
    from neurobust.nsd.download import download

    root, results = read_root(arguments), arguments.results
    study = None if results is None else layout.study_id(root, results)
    download(read_source(arguments.root), root, arguments.output, study)
    return 0


def fetch_stimuli(arguments: argparse.Namespace) -> int:
    """Fetch the images that a subject saw."""
    from neurobust.nsd import fetch_stimuli as module
    from neurobust.nsd.bucket import read_source

    source = partial(read_source, arguments.root)
    module.fetch_stimuli(source, read_root(arguments), arguments.subject, arguments.sessions, arguments.output)
    return 0


def fetch_shared(arguments: argparse.Namespace) -> int:
    """Fetch the PNGs of the shared images."""
    from neurobust.nsd import fetch_stimuli as module
    from neurobust.nsd.bucket import read_source

    module.fetch_shared(partial(read_source, arguments.root), read_root(arguments), arguments.output)
    return 0


def plan(arguments: argparse.Namespace) -> int:
    """Print what a study needs from the bucket."""
    from neurobust.nsd import plan as module

    sys.stdout.write(module.plan(read_data(arguments.config)))
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    """Print the table of checks; status 1 where one fails."""
    from neurobust.nsd import doctor as module

    results = module.examine(read_data(arguments.config))
    sys.stdout.write(module.table(results))
    return 1 if any(result.status == "fail" for result in results) else 0


def parser() -> argparse.ArgumentParser:
    """The commands and what each takes."""
    main = argparse.ArgumentParser(prog="python -m neurobust.nsd", description=__doc__.splitlines()[0])
    commands = main.add_subparsers(required=True, metavar="COMMAND")
    arguments = {
        "terms": (terms, ["config"], "note that the terms of use are accepted"),
        "fetch": (fetch, ["root", "output"], "fetch one file of the bucket into the mirror"),
        "fetch-stimuli": (
            fetch_stimuli, ["root", "subject", "sessions", "output"], "fetch the images that a subject saw",
        ),
        "fetch-shared": (fetch_shared, ["root", "output"], "fetch the PNGs of the shared images"),
        "plan": (plan, ["config"], "what a study needs from the bucket, and how much that is"),
        "doctor": (doctor, ["config"], "is the mirror what the pipeline takes it for?"),
    }  # fmt: skip
    types = {"root": Path, "output": Path, "sessions": int}
    for name, (function, names, text) in arguments.items():
        command = commands.add_parser(name, help=text, description=text)
        for each in names:
            command.add_argument(each, type=types.get(each, str))
        if function is fetch:
            command.add_argument("--results", type=Path, help="of the study, which may delete its sessions afterwards")
        if function in (fetch, fetch_stimuli, fetch_shared):
            command.add_argument("--copy", type=Path, help="a copy of the bucket where files are looked for first")
        command.add_argument("--log", type=Path, help="file of the log; default: stderr")
        command.set_defaults(function=function)
    return main


def main(arguments: list[str] | None = None) -> int:
    """Run a command; a bad input or a full disk is one line on stderr and exit status 1."""
    parsed = parser().parse_args(arguments)
    if parsed.log is not None:
        parsed.log.parent.mkdir(parents=True, exist_ok=True)
    configure_logging(str(parsed.log) if parsed.log else None)
    try:
        return parsed.function(parsed)
    except (InputError, OSError) as error:
        message = " ".join(str(error).split())
        logger.error("%s", message)
        if parsed.log is not None:
            print(f"neurobust: error: {message}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
