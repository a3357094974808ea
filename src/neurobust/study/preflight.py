"""Can this machine run the study? Checks of a few seconds each; one table; what fails says what to do."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypedDict

from neurobust.core.errors import InputError
from neurobust.core.io import read_json, write_json, write_text
from neurobust.study.model import Study
from neurobust.study.named_files import all_named_files, is_made

COMPARED = ("neurobust", "torch", "torchvision", "numpy", "snakemake", "snakemake-executor-plugin-slurm")


class Check(TypedDict):
    """One line of the table."""

    name: str
    passed: bool
    note: str


def check(name: str, passed: bool, note: str) -> Check:
    """One line of the table. `note`: what was found, and what to do where it fails."""
    return {"name": name, "passed": bool(passed), "note": note}


def check_machine(study: Study, need: float, lock: Path, output: Path) -> None:
    """Run the checks of a machine that jobs run on, and write them as JSON. `need`: bytes of free disk.

    A job that SLURM gave must see a GPU; without SLURM the study runs on what there is.
    """
    results = study.root
    write_json(output, [
        check("runs on", True, f"{socket.gethostname()}, SLURM job {os.environ.get('SLURM_JOB_ID', 'none')}"),
        check_gpu(wanted="SLURM_JOB_ID" in os.environ),
        check_disk(results, need),
        check_writing(results),
        *check_paths(study),
        *check_versions(lock),
    ])  # fmt: skip


def check_gpu(wanted: bool) -> Check:
    """CUDA multiplies two matrices as the CPU does. Passes without a GPU where none is wanted."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "unset")
    if not torch.cuda.is_available():
        advice = "" if not wanted else "; ask for `gpu: 1` or `gres`, and see that torch is a CUDA build for the driver"
        return check(
            "GPU", not wanted, f"none that torch {torch.__version__} sees, CUDA_VISIBLE_DEVICES={visible}{advice}"
        )
    a = torch.ones(256, 256)
    exact = bool((a.cuda() @ a.cuda()).cpu().eq(256.0).all())
    free, total = torch.cuda.mem_get_info()
    note = (
        f"{torch.cuda.get_device_name()}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free, CUDA {torch.version.cuda}"
    )
    return check("GPU", exact, note if exact else f"{note}: a wrong product; exclude this node")


def existing_parent(path: Path) -> Path:
    """The nearest folder of a path that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def check_disk(folder: Path, need: float) -> Check:
    """Whether `need` bytes are free where results go."""
    free = shutil.disk_usage(existing_parent(folder)).free
    note = f"{free / 1e9:.1f} GB free at {folder}, the study needs about {need / 1e9:.1f} GB"
    return check("disk", free >= need, note if free >= need else f"{note}; free some, or link {folder} elsewhere")


def check_writing(folder: Path) -> Check:
    """Whether a file can be written and renamed there."""
    place = existing_parent(folder)
    try:
        with tempfile.TemporaryDirectory(prefix=".preflight-", dir=place) as scratch:
            file = Path(scratch) / "a"
            file.write_text("x")
            file.rename(file.with_name("b"))
    except OSError as error:
        return check("writing", False, f"{place}: {error.strerror}; the jobs must be able to write there")
    return check("writing", True, f"{place} can be written")


def check_paths(study: Study) -> list[Check]:
    """Whether what the study reads is visible from here; what the pipeline makes itself may still be absent."""
    wanted = {f"task {name}": Path(task.source) for name, task in study.tasks.items() if task.source}
    wanted |= {file.key: Path(file.path) for file in all_named_files(study) if not is_made(study, file)}
    checks = [
        check(
            name, path.exists(), f"{path}" if path.exists() else f"{path} is not visible here; put it there, see README"
        )
        for name, path in wanted.items()
    ]
    root = Path(study.data.root)
    note = f"{root} {'exists' if root.exists() else 'is made by the pipeline'}"
    return [check("data", True, note), *checks]


def locked_versions(lock: Path) -> dict[str, str]:
    """name -> version of a requirements file."""
    found = re.findall(r"(?m)^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", lock.read_text(encoding="utf-8"))
    return {name.lower(): number for name, number in found}


def check_versions(lock: Path) -> list[Check]:
    """Installed versions against the lock; a local suffix (+cu126) does not matter."""
    wanted, checks = locked_versions(lock), []
    for name in COMPARED:
        try:
            have = version(name)
        except PackageNotFoundError:
            have = "absent"
        want = wanted.get(name, have)
        same = have.split("+")[0] == want.split("+")[0] and have != "absent"
        note = have if same else f"{have}, the lock says {want}; install envs/requirements.lock"
        checks.append(check(name, same, f"{note} (Python {sys.version.split()[0]})" if name == "neurobust" else note))
    return checks


# --- the side that submits ---


def ask(*command: str) -> str | None:
    """Standard output of a command; None if it is absent, fails or takes over 20 seconds."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def check_status_command(status: str | None, first_check: float) -> Check:
    """Whether the driver can learn that a job has ended. `first_check`: seconds from submission to the first look."""
    name = "status command"
    if status is None:
        return check(name, True, "not needed: jobs run here, without SLURM")
    if status == "sacct":
        works = ask("sacct", "-X", "-n", "-P", "-o", "JobIDRaw,State") is not None
        return check(
            name, works, "sacct" if works else "sacct fails; set `slurm-status-command: squeue` in the profile"
        )
    if ask("squeue", "--noheader", "--states=all", "--format=%i|%T") is None:
        return check(name, False, "squeue fails; is this a submit host of the cluster?")
    age = re.search(r"MinJobAge\s*=\s*(\d+)", ask("scontrol", "show", "config") or "")
    if age is None:
        return check(name, False, "scontrol show config has no MinJobAge; set `slurm-status-command: sacct`")
    seconds = int(age.group(1))
    note = f"squeue, which forgets a finished job after {seconds} s (MinJobAge)"
    enough = seconds >= 3 * first_check
    return check(name, enough, note if enough else f"{note}: too soon; set `slurm-status-command: sacct`")


def check_cluster(machine: Path, status: str | None, first_check: float, output: Path) -> None:
    """Print the whole table; InputError if a check failed."""
    rows = [*read_json(machine), check_status_command(status, first_check)]
    text = table(rows)
    write_text(output, text)
    print(text)
    if failed := [row["name"] for row in rows if not row["passed"]]:
        raise InputError(f"preflight: {', '.join(failed)} failed; the table above says what to do")


def table(rows: list[Check]) -> str:
    """The checks as aligned text."""
    width = max(len(row["name"]) for row in rows)
    return "".join(f"{'pass' if row['passed'] else 'FAIL'}  {row['name']:{width}}  {row['note']}\n" for row in rows)
