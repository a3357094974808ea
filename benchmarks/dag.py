"""How fast the DAG of the paper's grid resolves, and what of that is bare Snakemake. Writes nothing into the project.

    python benchmarks/dag.py [--repeats 3] [--seeds 5] [--only "one ROI's page"]

Prints wall and CPU seconds and peak memory of dry runs: of a Snakefile with one empty rule, of one ROI's page, and of
the whole grid (8 subjects, 11 ROIs, 2 tasks, 2 architectures, 23 conditions, 5 seeds, all attacks). With more seeds
everything that networks lead to grows with them.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
GRID = ("config/config.yaml", "tests/workflow/paper_grid.yaml")


def dry_run(folder: Path, *arguments: str) -> tuple[float, float, float, str]:
    """(wall seconds, CPU seconds, peak MiB, output) of `snakemake -n`."""
    command = [sys.executable, "-m", "snakemake", "--directory", str(folder), "-n", "--quiet", "rules", *arguments]
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(output[-3000:])
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seeds", type=int, help="of networks, in place of the grid's five")
    parser.add_argument("--only", help="one of the cases, by its name")
    options = parser.parse_args()
    repeats = options.repeats
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "resources/imagenet").mkdir(parents=True)
        (folder / "resources/cifar-10-batches-py").mkdir()
        (folder / "empty.smk").write_text("rule all:\n    output: 'x'\n    shell: 'touch x'\n")
        configs = [str(PROJECT / path) for path in GRID]
        if options.seeds:
            configs.append(str(folder / "seeds.yaml"))
            (folder / "seeds.yaml").write_text(f"seeds: {list(range(options.seeds))}\n")
        grid = [
            "-s",
            str(PROJECT / "Snakefile"),
            "--configfile",
            *configs,
            "--",
        ]
        cases = {
            "bare Snakemake": ["-s", str(folder / "empty.smk")],
            "one predictor": [*grid, "results/paper-grid/predictors/gnet/LO/seed0/model.safetensors"],
            "one ROI's page": [*grid, "results/paper-grid/report/roi/LO.html"],
            "the whole grid": [*grid, "all"],
        }
        print(f"{'':16}{'jobs':>8}{'wall s':>9}{'CPU s':>9}{'MiB':>8}   best of {repeats}")
        for label, arguments in cases.items():
            if options.only not in (None, label):
                continue
            runs = [dry_run(folder, *arguments) for _ in range(repeats)]
            jobs = int(re.findall(r"(?m)^total +(\d+)$", runs[0][3])[-1])
            best = [min(run[i] for run in runs) for i in range(3)]
            print(f"{label:16}{jobs:>8}{best[0]:>9.1f}{best[1]:>9.1f}{best[2]:>8.0f}")


if __name__ == "__main__":
    main()
