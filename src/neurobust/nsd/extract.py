"""From session files to betas.h5: every labelled voxel, once."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np

from neurobust.core.errors import InputError
from neurobust.core.io import canonical_json, provenance, replacing, sha256_file
from neurobust.core.progress import Progress
from neurobust.nsd import layout
from neurobust.nsd.betas import read_session
from neurobust.nsd.design import load_design
from neurobust.nsd.rois import label_volumes, labelled_voxels
from neurobust.nsd.volumes import read_grid

Result = TypeVar("Result")
CHUNK_VOXELS = 128  # of betas.h5: an ROI reads the chunks that hold its voxels, not the whole file


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


def extract_betas(
    root: Path, subject: str, n_sessions: int, betas: Sequence[Path], output: Path, workers: int = 1
) -> None:
    """Write betas.h5: int16 betas (trials, voxels) of every labelled voxel of a subject, and what each trial showed.

    `betas` are the session files 1 to `n_sessions`, .nii.gz or .hdf5; `workers` of them are read side by side, and the
    voxels of as many sessions are in memory at a time. `sha256` in the attributes is that of the arrays, so equal
    betas from either format are known to be equal.
    """
    design, grid = load_design(root), read_grid(root, subject)
    paths = order_sessions(betas, n_sessions)
    voxel_index = labelled_voxels(root, subject, grid)
    nsd_id, trials = design.nsd_ids(subject, n_sessions), design.trials_per_session
    sources = {"design": layout.expdesign(root), "brainmask": layout.brainmask(root, subject)}
    sources |= {f"roi/{name}": path for name, path in label_volumes(root, subject).items()}
    record = provenance(sources, {"subject": subject, "n_sessions": n_sessions})
    progress = Progress(n_sessions, f"{subject} betas")

    def read(path: Path) -> tuple[np.ndarray, str]:
        return read_session(path, voxel_index, grid.shape, trials), sha256_file(path)

    with replacing(output) as temporary, h5py.File(temporary, "w") as file:
        chunks = (trials, min(CHUNK_VOXELS, len(voxel_index)))
        dataset = file.create_dataset("betas", (len(nsd_id), len(voxel_index)), np.int16, chunks=chunks)
        digest = hashlib.sha256()
        for number, (session, source) in enumerate(in_order(read, paths, workers)):
            dataset[number * trials : (number + 1) * trials] = session
            digest.update(session)
            record["inputs"][f"session{number + 1:02d}"] = {"file": paths[number].name, "sha256": source}
            progress.step()
        for name, values in {
            "voxel_index": voxel_index, "nsd_id": nsd_id, "session": design.sessions(n_sessions),
        }.items():  # fmt: skip
            file[name] = values
            digest.update(values)
        file.attrs.update(
            affine=grid.affine, shape=np.array(grid.shape), subject=subject, sha256=digest.hexdigest(),
            provenance=canonical_json(record),
        )  # fmt: skip


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
