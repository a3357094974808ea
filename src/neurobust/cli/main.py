"""The command `neurobust`: a study is begun, checked, priced, run and read. A thin layer over Snakemake, whose command
it prints."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from neurobust import __version__
from neurobust.core.errors import InputError, messages_of
from neurobust.core.io import READ_ONLY
from neurobust.core.locale import speak_any_locale
from neurobust.core.names import one_of

DESCRIPTION = "Does biasing a vision network with human brain responses make it more robust? From data to report."
EPILOG = "`neurobust COMMAND --help` says more. Behind `--` follow options of Snakemake, as they are."
Command = argparse.ArgumentParser
PIPE = 141  # the exit status of what writes to a pipe that nobody reads, as shells give it
QUIET = ("--quiet", "rules", "host", "progress")


# --- what each command does; heavy things are imported where they are used ---


def check(given: argparse.Namespace) -> int:
    """All that is wrong with a study's files, each fault with file and line."""
    from neurobust.cli.check import check

    return check([*given.config, *given.configfile])


def plan(given: argparse.Namespace) -> int:
    """Jobs, hours and disk of what is left of a study, and what so many seeds and images can see."""
    return snakemake(given, ["plan"], [*QUIET, "--forcerun", "plan_study"])


def run(given: argparse.Namespace) -> int:
    """Make a study, or those of its files and rules that are named."""
    targets = list(given.target)
    if given.roi:
        from neurobust.cli.home import config_files, results_of
        from neurobust.report.site import roi_file
        from neurobust.study.border import merged

        files = config_files(given.configfile)
        study = merged(files)
        known = study.get("rois")
        if not isinstance(known, dict) or not known:
            raise InputError(f"{files[-1]}: rois: {known!r}: expected ROIs; `neurobust check` says all that is wrong")
        for roi in given.roi:
            if roi not in known:
                raise InputError(f"--roi: {roi!r} is not an ROI of this study; choose of {one_of(roi, known)}")
        targets += [f"{results_of(study, files)}/report/{roi_file(roi)}" for roi in given.roi]
    return snakemake(given, targets or ["all"], ["--dry-run"] if given.dry_run else [])


def status(given: argparse.Namespace) -> int:
    """Whether Snakemake runs here, where the report is, and how many jobs are left; or a page of what is there."""
    from neurobust.cli.status import print_status, write_page

    if given.html is not None:
        return write_page(given.configfile, given.html)
    print_status(given.configfile)
    return snakemake(given, ["all"], ["--dry-run", "--quiet", "rules", "host"])


def doctor(given: argparse.Namespace) -> int:
    """Is the study's copy of NSD what the pipeline takes it for? A table of checks."""
    return snakemake(given, ["doctor"])


def report(given: argparse.Namespace) -> int:
    """The main table of a study and where its report lies; what changed against another run; or Snakemake's own report,
    as a file."""
    from neurobust.cli.home import config_files, results_of
    from neurobust.report.__main__ import show
    from neurobust.report.against import compare_runs
    from neurobust.report.site import front_page
    from neurobust.report.tables import as_written
    from neurobust.study.border import merged

    if given.results:
        results = Path(given.results)
    else:
        files = config_files(given.configfile)
        results = results_of(merged(files), files)
    if given.archive:
        if not (page := front_page(results)).exists():
            raise InputError(f"{page.parent}: no {page.name}; run the pipeline up to its report first")
        return snakemake(given, ["all"], ["--report", given.archive])
    with as_written(results, given.against):
        if given.against:
            print(compare_runs(results, Path(given.against)))
        else:
            show(results)
    return 0


def clean(given: argparse.Namespace) -> int:
    """Remove what a study computed and its logs, after naming them; never a folder of data."""
    from neurobust.cli.clean import clean

    return clean(given.configfile, given.yes)


def init(given: argparse.Namespace) -> int:
    """Begin a study: write its commented file into a folder that has none."""
    from neurobust.cli.init import begin

    return begin(given)


def snakemake(given: argparse.Namespace, targets: Sequence[str], options: Sequence[str] = ()) -> int:
    """Run Snakemake on a study in the place of this process."""
    from neurobust.cli.launch import become, command

    become(command(given.configfile, given.profile, given.cores, targets, [*options, *given.options]))


# --- the words ---


def parser() -> Command:
    """The commands and what each takes."""
    main = Command(prog="neurobust", description=DESCRIPTION, epilog=EPILOG)
    main.add_argument("--version", action="version", version=f"neurobust {__version__}")
    main.add_argument("--print-completion", choices=("bash",), help="print what a shell completes the words by")
    commands = main.add_subparsers(metavar="COMMAND", dest="command")
    begin = add(commands, "init", init)
    begin.add_argument("study", metavar="STUDY", help="its name, on its report and in its paths")
    begin.add_argument(
        "--nsd", metavar="WHERE", help="`phantom`, a planted NSD in miniature, or the folder of a mirror"
    )
    begin.add_argument("--rois", metavar="A,B", help="regions, such as V1,LO")
    begin.add_argument("--tasks", metavar="A,B=PATH", help="what networks classify, such as digits,cifar10=/data/cifar")
    begin.add_argument("--cluster", action=argparse.BooleanOptionalAction, help="whether jobs go through SLURM")
    begin.add_argument("--directory", metavar="FOLDER", default=".", help="where the study is written; default: here")
    of_study(add(commands, "check", check)).add_argument(
        "config", nargs="*", metavar="CONFIG", help="files of one study, later ones overriding"
    )
    of_snakemake(add(commands, "plan", plan))
    runs = of_snakemake(add(commands, "run", run))
    runs.add_argument("target", nargs="*", metavar="TARGET", help="a file or a rule; default: all, the whole study")
    runs.add_argument("--roi", action="append", metavar="ROI", help="the page of one ROI and what it needs; repeatable")
    runs.add_argument("-n", "--dry-run", action="store_true", help="say what would run and why; run nothing")
    asked = of_snakemake(add(commands, "status", status))
    asked.add_argument(
        "--html", nargs="?", const="", metavar="FILE",
        help="write what is there so far as a page, and start no Snakemake; default: status.html in the results",
    )  # fmt: skip
    of_snakemake(add(commands, "doctor", doctor))
    reports = of_snakemake(add(commands, "report", report))
    reports.add_argument("results", nargs="?", metavar="RESULTS", help="a folder of results; default: the study's")
    reports.add_argument("--against", metavar="RESULTS", help="say what changed against this other run")
    reports.add_argument(
        "--archive", metavar="FILE", help="make Snakemake's own report, with provenance, as a .zip or .html"
    )
    of_study(add(commands, "clean", clean)).add_argument("--yes", action="store_true", help="do not ask")
    return main


def add(commands: argparse._SubParsersAction[Command], name: str, function: Callable[..., int]) -> Command:
    """A command, described by its function's docstring."""
    says = " ".join((function.__doc__ or "").split())
    command = commands.add_parser(name, help=says[:1].lower() + says[1:].rstrip("."), description=says)
    command.set_defaults(function=function)
    return command


def of_study(command: Command) -> Command:
    """The words of a command that is about a study."""
    command.add_argument(
        "-c", "--configfile", action="append", default=[], metavar="FILE",
        help="of the study; repeatable, later ones override; default: config.yaml of this folder",
    )  # fmt: skip
    return command


def of_snakemake(command: Command) -> Command:
    """The words of a command that runs Snakemake."""
    of_study(command)
    command.epilog = "Behind `--` follow options of Snakemake, as they are."
    command.add_argument(
        "--profile", metavar="NAME", help="local, slurm, or a folder; default: the study's only one, else local"
    )
    command.add_argument("--cores", metavar="N", type=cores, help="of this machine, or all; default: the profile's")
    return command


def cores(text: str) -> str:
    """A number of cores as Snakemake takes it: from 1 on, or all."""
    if text != "all" and (not text.isdecimal() or int(text) < 1):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1 on, or all")
    return text


def refuse_nowhere() -> None:
    """Raise InputError where the folder that this runs in was removed."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise InputError("the folder in which this runs was removed; go to one that is there") from None


def refuse_dropped(given: argparse.Namespace) -> None:
    """Raise InputError for words that a command would drop without a word."""
    for name in ("against", "archive", "results"):
        if getattr(given, name, None) == "":
            flag = "RESULTS" if name == "results" else f"--{name}"
            raise InputError(f"{flag}: empty; give a place, or leave it out")
    if getattr(given, "archive", None):
        if given.against or given.results:
            raise InputError("--archive: is of the whole study; leave out RESULTS and --against, or ask for them apart")
        if not given.archive.endswith((".zip", ".html")):
            raise InputError(f"--archive: {given.archive}: not the name of an archive; let it end in .zip or .html")
    archived = given.command != "report" or given.archive
    runs = hasattr(given, "profile") and archived and getattr(given, "html", None) is None
    if given.options and not runs:
        raise InputError(f"--: {' '.join(given.options)}: starts no Snakemake, so it takes none of its options")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; a bad input is a line on stderr for each fault, and exit status 1."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    speak_any_locale()
    cut = words.index("--") if "--" in words else len(words)
    takes = parser()
    given = takes.parse_args(words[:cut])
    given.options = words[cut + 1 :]
    if given.print_completion:
        from neurobust.cli.completion import completion

        print(completion(takes))
        return 0
    if given.command is None:
        takes.print_help()
        return 2
    try:
        refuse_nowhere()
        refuse_dropped(given)
        status = int(given.function(given))
        print(end="", flush=True)  # here, where what cannot be printed is caught
        return status
    except BrokenPipeError:  # who reads has enough, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return PIPE
    except InputError as error:
        for line in messages_of(error):
            print(f"neurobust: error: {line}", file=sys.stderr)
        return 1
    except EOFError:
        print("\nneurobust: error: no answer, so nothing was done", file=sys.stderr)
        return 1
    except OSError as error:
        if error.filename is None:
            if error.errno != errno.ENOSPC:
                raise
            sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  # or Python prints once more at its end
            print(
                "neurobust: error: what is printed finds no space; free some, or let it go elsewhere", file=sys.stderr
            )
            return 1
        mend = "make it writable, or name" if error.errno in READ_ONLY else "name"
        print(f"neurobust: error: {error.filename}: {error.strerror}; {mend} another place", file=sys.stderr)
        return 1
