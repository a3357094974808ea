"""From session files to betas.h5: every labelled voxel, once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.io import provenance, sha256_file
from neurobust.core.progress import Progress
from neurobust.files.betas import BetasIndex, write_betas
from neurobust.nsd import layout
from neurobust.nsd.betas import check_place, read_session
from neurobust.nsd.design import load_design
from neurobust.nsd.labelled import label_volumes, labelled_voxels
from neurobust.nsd.layout import Root
from neurobust.nsd.studies import release
from neurobust.nsd.volumes import read_grid

Result = TypeVar("Result")


def order_sessions(paths: Sequence[Path], n_sessions: int) -> list[Path]:
    """Session files sorted by number; InputError unless they are exactly sessions 1 to `n_sessions`."""
    numbered = sorted((layout.session_number(path), Path(path)) for path in paths)
    numbers = [number for number, _ in numbered]
    wanted = range(1, n_sessions + 1)
    missing = [number for number in wanted if number not in numbers]
    if missing:
        folder = numbered[0][1].parent if numbered else "betas"
        raise InputError(f"{folder}: session {missing[0]} of {n_sessions} is missing; copy it from the bucket")
    if numbers != list(wanted):
        raise InputError(f"{numbered[-1][1].parent}: sessions {numbers} are not 1 to {n_sessions}, each once")
    return [path for _, path in numbered]


def same_preparation(paths: Sequence[Path]) -> layout.Preparation:
    """The preparation of session files; InputError where they are not all of one."""
    found = {layout.preparation_of(path): path for path in paths}
    if len(found) > 1:
        first, second = list(found.values())[:2]
        raise InputError(f"{first}, {second}: sessions of two preparations; give those of one")
    return next(iter(found))


def extract_betas(
    root: Root,
    subject: str,
    n_sessions: int,
    betas: Sequence[Path],
    output: Path,
    workers: int = 1,
    results: Path | None = None,
) -> None:
    """Write betas.h5: int16 betas (trials, voxels) of every labelled voxel of a subject, and what each trial showed.

    `betas` are the session files 1 to `n_sessions`, .nii.gz or .hdf5; the folders that they lie in say of which
    preparation they are, and so in which space. `workers` of them are read side by side, and the voxels of as many
    sessions are in memory at a time. `sha256` in the attributes is that of the arrays, so equal betas from either
    format are known to be equal. results: those of the study; with them, the sessions that nobody needs any more are
    deleted (`studies.release`).
    """
    paths = order_sessions(betas, n_sessions)
    prepared = same_preparation(paths)
    design, grid = load_design(root), read_grid(root, subject, prepared.space)
    index = BetasIndex(
        subject, grid.shape, grid.affine, labelled_voxels(root, subject, grid),
        design.nsd_ids(subject, n_sessions), design.sessions(n_sessions),
        space=prepared.space, version=prepared.version,
    )  # fmt: skip
    sources = {"design": layout.expdesign(root), "brainmask": layout.brainmask(root, subject, prepared.space)}
    sources |= {f"roi/{name}": path for name, path in label_volumes(root, subject, prepared.space).items()}
    record = provenance(sources, {"subject": subject, "n_sessions": n_sessions, **asdict(prepared)})
    progress = Progress(n_sessions, f"{subject} betas")

    def read(path: Path) -> tuple[np.ndarray, str]:
        session = read_session(path, index.voxel_index, grid.shape, design.trials_per_session)
        check_place(path, subject, grid)  # after the shape, which says more where it is another subject's
        return session, sha256_file(path)

    def sessions() -> Iterator[np.ndarray]:
        for path, (session, digest) in zip(paths, in_order(read, paths, workers), strict=True):
            yield session
            number = layout.session_number(path)
            record["inputs"][f"session{number:02d}"] = {"file": path.name, "sha256": digest}
            progress.step()

    write_betas(output, index, sessions(), lambda: record)
    if results is not None:
        release(layout.ours(root), results, subject, paths)


def in_order(function: Callable[[Path], Result], paths: Sequence[Path], workers: int) -> Iterator[Result]:
    """`function` of each path, in their order, up to `workers` at a time (gunzip leaves the interpreter free)."""
    with ThreadPoolExecutor(workers) as pool:
        running: deque[Future[Result]] = deque()
        try:
            for path in paths:
                if len(running) == workers:
                    yield running.popleft().result()
                running.append(pool.submit(function, path))
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
