"""Where a command finds the pipeline (Snakefile, rules, studies, profiles), the study's files and its profile."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from neurobust.core.errors import InputError
from neurobust.core.settings import Given

CONFIG = "config.yaml"  # a study of its own folder, as `neurobust init` writes it
DEMO = "config/demo.yaml"  # the study of the pipeline's own folder, as plain Snakemake takes it there
PACKAGE = Path(__file__).resolve().parents[1]


def pipeline() -> Path:
    """The folder of the Snakefile: this one, that of the checkout which the package lies in, or the wheel's own."""
    for folder in (Path(), PACKAGE.parents[1], PACKAGE / "pipeline"):
        if (folder / "Snakefile").is_file() and (folder / "workflow/rules/common.smk").is_file():
            return folder
    raise InputError(f"{PACKAGE}: no Snakefile in it, nor in this folder; install neurobust again, or go to a checkout")


def there(path: Path) -> bool:
    """Whether something lies at a path, be it a link to nothing."""
    return path.is_symlink() or path.exists()


def at_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()


def config_files(given: Sequence[str]) -> list[Path]:
    """The files of the study that a command is about: those given, this folder's own, or the demo's in a checkout."""
    if given:
        return [Path(file) for file in given]
    if Path(CONFIG).exists():
        return [Path(CONFIG)]
    if pipeline() == Path():
        return [Path(DEMO)]
    raise InputError(
        f"{CONFIG}: missing in {Path.cwd()}; name the study's file by --configfile, or begin one: neurobust init STUDY"
    )


def results_of(config: Given, files: Sequence[Path]) -> Path:
    """The folder of results of a study that is not checked. InputError where its configuration names none."""
    given = config.get("results")
    if isinstance(given, str) and given:
        return Path(given)
    raise InputError(f"{files[-1]}: results: {given!r}: expected a folder; `neurobust check` says all that is wrong")


def profile(asked: str | None) -> str:
    """The folder of a profile: the study's own, the pipeline's, or the name as it is, for Snakemake to look up.

    Without a name it is the study's only one (`neurobust init --cluster` writes one), or else `local`.
    """
    if asked is not None and "/" in asked:
        return asked
    own = sorted(folder.parent for folder in Path("profiles").glob("*/config.yaml"))
    if asked is None and len(own) == 1:
        return str(own[0])
    name = asked or "local"
    found = (folder / "profiles" / name for folder in (Path(), pipeline()))
    return next((str(folder) for folder in found if (folder / CONFIG).is_file()), name)
