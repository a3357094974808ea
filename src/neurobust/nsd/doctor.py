"""Is a mirror what the pipeline takes it for? A table of checks: what must hold, what was not known before, and golden
numbers of the real data (skipped, by name, for a phantom)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from neurobust.core.errors import InputError
from neurobust.nsd.golden import GOLDEN_CHECKS
from neurobust.nsd.mirror import Mirror, Skip
from neurobust.nsd.mirror_checks import CHECKS
from neurobust.nsd.settings import Data

PASS, FAIL, SKIP = "pass", "fail", "skip"
GOLDEN = "golden"


@dataclass(frozen=True)
class Result:
    """A line of the table."""

    status: str
    check: str
    detail: str


def examine(data: Data) -> list[Result]:
    """Every check on the mirror that a study names."""
    mirror = Mirror(data)
    results = [run_check(name, check, mirror) for name, check in CHECKS.items()]
    for name, check in GOLDEN_CHECKS.items():
        if data.from_bucket:
            results.append(run_check(f"{GOLDEN}: {name}", check, mirror))
        else:
            results.append(Result(SKIP, f"{GOLDEN}: {name}", "holds for the real data only"))
    return results


def run_check(name: str, check: Callable[[Mirror], str], mirror: Mirror) -> Result:
    """One check: pass with what it found, fail with what is wrong, or skip with the reason."""
    try:
        return Result(PASS, name, check(mirror))
    except Skip as reason:
        return Result(SKIP, name, str(reason))
    except InputError as problem:
        return Result(FAIL, name, str(problem))


def table(results: list[Result]) -> str:
    """The results as lines, and how many of each kind."""
    width = max(len(result.check) for result in results)
    lines = [f"{result.status:<5} {result.check:<{width}}  {result.detail}" for result in results]
    counts = {status: sum(result.status == status for result in results) for status in (PASS, FAIL, SKIP)}
    lines.append(f"{counts[PASS]} passed, {counts[FAIL]} failed, {counts[SKIP]} skipped")
    return "\n".join(lines) + "\n"
