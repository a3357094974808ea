"""What every workflow script does around its one call: logging, threads, the deadline, and errors as one line."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from neurobust.core import deadline
from neurobust.core.errors import InputError
from neurobust.core.memory import keep_freed_memory

logger = logging.getLogger("neurobust")

FULL = os.strerror(errno.ENOSPC)


def configure_logging(path: str | None) -> None:
    """Send the records of the package to `path` (or stderr): time, level, message."""
    handler = logging.FileHandler(path, mode="w") if path else logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logger.setLevel(logging.INFO)
    logging.captureWarnings(True)


def by_stem(paths: Iterable[str]) -> dict[str, Path]:
    """Files of a rule by what they are called, without folder and suffix."""
    return {Path(path).stem: Path(path) for path in paths}


def run(snakemake: Any, function: Callable[..., Any], **arguments: Any) -> None:
    """Call `function(**arguments)` for a rule.

    Records go to the rule's log file. An `InputError` or an `OSError` (disk full, read-only folder) becomes
    one line in the log and on stderr and exit status 1; a deadline or SIGTERM one line and exit status 75, for a retry
    to go on; anything else is a bug and keeps its traceback in the log.
    """
    configure_logging(snakemake.log[0] if snakemake.log else None)
    keep_freed_memory()
    if "SLURM_JOB_ID" in os.environ:
        names = ("SLURM_JOB_ID", "SLURMD_NODENAME", "CUDA_VISIBLE_DEVICES")
        logger.info("%s", ", ".join(f"{name}={os.environ.get(name, '')}" for name in names))
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(max(1, snakemake.threads))
    try:
        with deadline.watching(getattr(snakemake, "resources", None)):
            function(**arguments)
    except (InputError, OSError) as error:
        leave(error, 1)
    except deadline.OutOfTime as error:
        leave(error, deadline.EXIT_STATUS)
    except BaseException as error:
        if FULL in str(error):  # some libraries have their own exceptions for what is an OSError
            leave(error, 1)
        logger.exception("unexpected failure in %s", function.__name__)
        raise


def leave(error: BaseException, status: int) -> NoReturn:
    """End the process with one line in the log and on stderr."""
    message = " ".join(str(error).split())
    logger.error("%s", message)
    print(f"neurobust: error: {message}", file=sys.stderr)
    sys.exit(status)
