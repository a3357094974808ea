"""Reading one session of betas, side by side: this package, what users write instead, and the floor of each format.

    python benchmarks/nsd.py [--folder FOLDER] [--grid 81 104 83] [--trials 750] [--voxels 15724] [--repeats 3]

Makes a synthetic session of the real size of subj01 (kept in FOLDER), then runs each reader in a process of its own, in
turns, and prints the best wall and CPU seconds, the ratio of these to the floor of the format, and the peak memory.
Ratios are of CPU seconds because the readers have one thread and the file is in the page cache: an idle machine's wall
seconds are the same, a busy one's say nothing. The slow ones run once.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np

from neurobust.nsd import layout
from neurobust.nsd.betas import read_session
from neurobust.nsd.header import open_gzip

BRAIN = 0.53  # of the grid, as 370,503 of subj01's 699,192 voxels


def make_session(folder: Path, grid: tuple[int, int, int], trials: int, seed: int = 0) -> None:
    """A session in both formats: noise in an ellipsoid brain, with a lognormal spread of amplitudes; zero outside."""
    from neurobust.phantom import files

    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[(np.arange(n) + 0.5) / n * 2 - 1 for n in grid], indexing="ij")
    radius = sum(axis**2 for axis in axes)
    mask = radius <= np.quantile(radius, BRAIN)
    deviation = np.exp(rng.normal(np.log(500), 0.5, int(mask.sum()))).astype(np.float32)
    betas = np.zeros((trials, *grid[::-1]), np.int16)  # trials slowest, as both files have them
    inside = np.flatnonzero(mask.transpose(2, 1, 0).ravel())
    for trial in range(trials):
        noise = rng.standard_normal(len(inside), np.float32) * deviation
        betas[trial].ravel()[inside] = np.clip(np.rint(noise), -32768, 32767)
    files.write_session(folder, "subj01", 1, betas.transpose(3, 2, 1, 0))
    np.save(folder / "mask.npy", mask)


def chosen_voxels(folder: Path, count: int) -> tuple[np.ndarray, tuple[int, int, int]]:
    """C-order index of `count` posterior brain voxels, as many as nsdgeneral has, and the grid."""
    mask = np.load(folder / "mask.npy")
    y = np.broadcast_to(np.arange(mask.shape[1])[None, :, None], mask.shape).ravel()
    inside = np.flatnonzero(mask)
    return np.sort(inside[np.argsort(y[inside], kind="stable")[:count]]), mask.shape


def ours(path: Path, voxels: np.ndarray, grid: tuple[int, int, int], trials: int) -> np.ndarray:
    return read_session(path, voxels, grid, trials)


def bare_gunzip(path: Path, voxels: np.ndarray, grid: tuple[int, int, int], trials: int) -> None:
    """Decompress and throw away, with the decompressor that `ours` uses."""
    block = bytearray(int(np.prod(grid)) * 2)
    with open_gzip(path, "rb") as stream:
        while stream.readinto(block):
            pass


def get_fdata(path: Path, voxels: np.ndarray, grid: tuple[int, int, int], trials: int) -> np.ndarray:
    """What most published code does: the whole session as float64, then a mask."""
    return nib.load(path).get_fdata().reshape(-1, trials)[voxels].T


def dataobj(path: Path, voxels: np.ndarray, grid: tuple[int, int, int], trials: int) -> np.ndarray:
    """The whole session as int16, then a mask."""
    x, y, z = np.unravel_index(voxels, grid)
    return np.asanyarray(nib.load(path).dataobj)[x, y, z].T


def bare_chunks(path: Path, voxels: np.ndarray, grid: tuple[int, int, int], trials: int) -> None:
    """Each voxel's chunk in the order of the file, thrown away."""
    x, y, z = np.unravel_index(voxels, grid)
    with h5py.File(path, "r") as file:
        betas = file["betas"]
        for i in np.lexsort((x, y, z)):
            betas[:, z[i], y[i], x[i]]


def full_read(path: Path, voxels: np.ndarray, grid: tuple[int, int, int], trials: int) -> np.ndarray:
    """The whole dataset, then a mask."""
    x, y, z = np.unravel_index(voxels, grid)
    with h5py.File(path, "r") as file:
        return file["betas"][:][:, z, y, x]


Reader = Callable[[Path, np.ndarray, tuple[int, int, int], int], np.ndarray | None]
READERS: dict[str, tuple[str, Reader]] = {
    "nii.gz: ours": ("nii.gz", ours),
    "nii.gz: bare gunzip": ("nii.gz", bare_gunzip),
    "nii.gz: nibabel get_fdata": ("nii.gz", get_fdata),
    "nii.gz: nibabel dataobj": ("nii.gz", dataobj),
    "hdf5: ours": ("hdf5", ours),
    "hdf5: bare chunks": ("hdf5", bare_chunks),
    "hdf5: full read": ("hdf5", full_read),
}
FAST = ("nii.gz: ours", "nii.gz: bare gunzip", "hdf5: ours", "hdf5: bare chunks")
FLOORS = {"nii.gz": "nii.gz: bare gunzip", "hdf5": "hdf5: bare chunks"}


def measure(name: str, folder: Path, count: int, trials: int) -> None:
    """Run one reader in this process; print wall and CPU seconds, peak MB and a checksum of what it read."""
    suffix, reader = READERS[name]
    path = layout.session(folder, "subj01", 1, suffix)
    voxels, grid = chosen_voxels(folder, count)
    start, cpu_start = time.perf_counter(), time.process_time()
    found = reader(path, voxels, grid, trials)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(seconds, cpu, peak, "-" if found is None else int(np.asarray(found, np.int64).sum()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "neurobust-benchmark")
    parser.add_argument("--grid", type=int, nargs=3, default=(81, 104, 83))
    parser.add_argument("--trials", type=int, default=750)
    parser.add_argument("--voxels", type=int, default=15724, help="voxels to read; subj01's nsdgeneral has 15,724")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        measure(options.only, options.folder, options.voxels, options.trials)
        return
    if not (options.folder / "mask.npy").exists():
        make_session(options.folder, tuple(options.grid), options.trials)
    runs: dict[str, list[tuple[float, ...]]] = {name: [] for name in READERS}
    sums = set()
    for turn in range(options.repeats):
        for name in READERS if turn == 0 else FAST:
            command = [sys.executable, __file__, "--folder", str(options.folder), "--only", name]
            command += ["--voxels", str(options.voxels), "--trials", str(options.trials)]
            words = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            runs[name].append(tuple(map(float, words[:3])))
            sums |= {words[3]} - {"-"}
    assert len(sums) == 1 or options.voxels == 0, f"the readers disagree: {sums}"
    wall, cpu = ({name: min(run[i] for run in times) for name, times in runs.items()} for i in (0, 1))
    print(f"{'reader':<28}{'wall s':>9}{'CPU s':>9}{'x floor':>9}{'peak MB':>9}")
    for name, (suffix, _) in READERS.items():
        ratio, peak = cpu[name] / cpu[FLOORS[suffix]], max(run[2] for run in runs[name])
        print(f"{name:<28}{wall[name]:>9.2f}{cpu[name]:>9.2f}{ratio:>9.2f}{peak:>9.0f}")


if __name__ == "__main__":
    main()
