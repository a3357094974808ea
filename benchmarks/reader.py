"""Whether a GPU waits for its images: the reader beside the one before it, and a simulated GPU that it feeds.

    python benchmarks/reader.py [--images 256] [--side 224] [--repeats 5] [--batches 100]

read: images a second of one thread (CPU seconds, the least of the repeats) and memory of a batch under crop-flip, for a
condition whose predictor sees the same images, as a padded copy that is gathered pixel by pixel, once for the network
and once for the predictor, and as `networks.stores.Mapped` reads it. Both give the same bytes, or it ends in an error.

busy: the share of its time that a GPU is busy whose step takes so long, fed by `core.reading.read_ahead`. The readers
take as long as one core took to read a batch, and the GPU as long as it is said to, whatever else this machine does:
both only sleep. `--real` reads images in place of sleeping.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import torch

from neurobust.core.reading import read_ahead
from neurobust.core.seeding import numpy_rng
from neurobust.networks.batches import crop_flip
from neurobust.networks.stores import Mapped

STREAM = (0, "augment", 0, 0)
# Milliseconds of a step of ResNet18 on 256 images of 224 px, 2.8 TFLOP: by an H100 at 40 % of its peak in bfloat16, and
# at rates that memory allows.
STEPS = (7, 20, 40)
THREADS = (1, 4, 8)


def pixel_by_pixel(images: np.ndarray, *stream: object) -> np.ndarray:
    """Crop and flip as they were first written: a padded copy, gathered pixel by pixel. Tests refer to it too."""
    count, height, width = images.shape[:3]
    rng = numpy_rng(*stream)
    pad = max(1, min(height, width) // 8)
    down, right = rng.integers(0, 2 * pad + 1, (2, count, 1))
    lines, columns = down + np.arange(height), right + np.arange(width)
    columns = np.where(rng.random((count, 1)) < 0.5, columns[:, ::-1], columns)
    padded = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect")
    return padded[np.arange(count)[:, None, None], lines[:, :, None], columns[:, None, :]]


def twice(images: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The reader before: images and the partners' images, which are the same."""
    return pixel_by_pixel(images[rows], *STREAM), pixel_by_pixel(images[rows], *STREAM)


def line_by_line(images: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The reader as it is: one reading for both."""
    windows = crop_flip(len(rows), *images.shape[1:3], *STREAM)
    found = Mapped(images, torch.device("cpu")).read(rows, windows).numpy()
    return found, found


READERS = {"pixel by pixel, twice": twice, "as it is": line_by_line}


def report_readers(images: np.ndarray, count: int, repeats: int) -> float:
    """Print both readers; CPU seconds of a batch by the one that is."""
    rows = np.random.default_rng(0).permutation(len(images))[:count]
    least = dict.fromkeys(READERS, float("inf"))
    found = {}
    for _ in range(repeats):
        for name, read in READERS.items():
            start = time.thread_time()
            found[name] = read(images, rows)
            least[name] = min(least[name], time.thread_time() - start)
    for one, other in zip(*found.values(), strict=True):
        np.testing.assert_array_equal(one, other)
    print(f"reading {count} images of {images.shape[1]} px, the same bytes")
    before, after = least.values()
    for name, seconds in least.items():
        print(
            f"  {name:24s} {seconds * 1e3:8.1f} ms, {count / seconds:8.0f} images/s, {peak(name, images, rows):6.0f} MB"
        )
    print(f"  {before / after:.1f} times faster")
    return after


def peak(name: str, images: np.ndarray, rows: np.ndarray) -> float:
    """MB that a reader holds at most, its result included: numpy's by its allocations, torch's by the result."""
    tracemalloc.start()
    found = READERS[name](images, rows)[0]
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return (most + (found.nbytes if READERS[name] is line_by_line else 0)) / 1e6


def busy_share(read: Callable[[int], object], batches: int, threads: int, step: float) -> float:
    """The share of the time in which a GPU works whose step takes `step` seconds, over so many batches."""
    start = time.perf_counter()
    steps = 0
    for _ in read_ahead(read, range(batches), threads):
        time.sleep(step)
        steps += 1
    return steps * step / (time.perf_counter() - start)


def report_busy(read: Callable[[int], object], batches: int, steps: tuple[int, ...], threads: tuple[int, ...]) -> None:
    """Print the busy share of simulated GPUs by the time of their step and the number of readers."""
    print(f"share of the time that a simulated GPU is busy, {batches} batches")
    for step in steps:
        shares = ", ".join(f"{count} readers {busy_share(read, batches, count, step / 1e3):.2f}" for count in threads)
        print(f"  a step of {step:3d} ms: {shares}")


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--real", action="store_true", help="read in place of sleeping")
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    shape = (2 * options.images, options.side, options.side, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    seconds = report_readers(images, options.images, options.repeats)
    rows = np.arange(options.images)
    read = (lambda key: line_by_line(images, rows)) if options.real else (lambda key: time.sleep(seconds))
    report_busy(read, options.batches, STEPS, THREADS)


if __name__ == "__main__":
    main()
