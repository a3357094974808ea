"""What Snakemake asks of each job though it is the same for all: asked once, so that a large study resolves sooner.

- The script of a rule without wildcards in its path is looked for, copied and read once for each job.
- Whether an output lies inside the output of another job is asked with two path objects for each output, sorted and
  compared. The folders above all outputs, as a set of texts, tell that nothing can; only otherwise is Snakemake asked.
- Python looks for garbage among all jobs again and again while they are made, and there is none.

docs/performance.md has what both cost.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import snakemake.api  # noqa: F401  # first: what it imports imports each other
from snakemake.dag import DAG, ScriptProcessor

MARK = "large_dags"


def resolve_sooner() -> None:
    """Teach Snakemake. Twice is as good as once: one process may read the rules several times."""
    look, check, begin = ScriptProcessor.process_job, DAG.check_directory_outputs, DAG.init
    if getattr(look, MARK, False):
        return

    def process_job(processor: Any, job: Any) -> None:
        script = str(getattr(job.rule, processor.script_type))
        seen = vars(processor).setdefault(MARK, set())
        if job.rule.name not in seen:
            look(processor, job)
        if "{" not in script:
            seen.add(job.rule.name)

    def check_directory_outputs(dag: Any) -> None:
        if nested(file for job in dag.jobs for file in job.output):
            check(dag)

    async def init(dag: Any, *arguments: Any, **options: Any) -> None:
        asked = gc.isenabled()
        gc.disable()
        try:
            await begin(dag, *arguments, **options)
        finally:
            if asked:
                gc.freeze()  # all jobs stay until the end of the run
                gc.enable()

    setattr(process_job, MARK, True)
    ScriptProcessor.process_job = process_job
    DAG.check_directory_outputs, DAG.init = check_directory_outputs, init


def nested(files: Iterable[str]) -> bool:
    """Whether one of some files may be a folder above another one; yes where a path has odd parts."""
    here = str(Path.cwd())
    paths = {file if file.startswith("/") else f"{here}/{file}" for file in files}
    folders: set[str] = set()
    for path in paths:
        if "//" in path or "/." in path:
            return True
        folder = path.rpartition("/")[0]
        while folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return not paths.isdisjoint(folders)
