"""Where batches come from: the same bytes whichever way, in their order, errors in their place."""

import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from reader import pixel_by_pixel

from neurobust.core.reading import read_ahead
from neurobust.core.training import readers
from neurobust.networks.batches import crop_flip
from neurobust.networks.stores import Mapped, Resident, open_store

CPU = torch.device("cpu")


@pytest.fixture
def images(tmp_path):
    """A read-only memory map of 50 images that are not square."""
    drawn = np.random.default_rng(0).integers(0, 256, (50, 24, 17, 3), dtype=np.uint8)
    drawn.tofile(tmp_path / "images")
    return np.memmap(tmp_path / "images", np.uint8, "r", shape=drawn.shape)


@pytest.mark.parametrize("store", [Mapped, Resident])
def test_every_store_gives_the_same_bytes(store, images, monkeypatch):
    monkeypatch.setattr("neurobust.networks.stores.BLOCK", 7 * images[0].nbytes)  # moved in eight blocks
    kept, rows = store(images, CPU), np.random.default_rng(1).permutation(50)[:31]
    np.testing.assert_array_equal(kept.read(rows).numpy(), images[rows])
    for step in range(3):
        found = kept.read(rows, crop_flip(31, 24, 17, 5, "augment", 0, step))
        assert found.dtype == torch.uint8 and found.is_contiguous()
        np.testing.assert_array_equal(found.numpy(), pixel_by_pixel(images[rows], 5, "augment", 0, step))


@pytest.mark.parametrize("side", [2, 3, 5, 9])
def test_small_images_too(side):
    """Whose borders are most of them."""
    images = np.random.default_rng(side).integers(0, 256, (40, side, side + 1, 3), dtype=np.uint8)
    found = Mapped(images, CPU).read(np.arange(40), crop_flip(40, side, side + 1, "small"))
    np.testing.assert_array_equal(found.numpy(), pixel_by_pixel(images, "small"))


@pytest.mark.parametrize(("free", "kind"), [(199, Mapped), (200, Resident), (0, Mapped)])
def test_what_takes_too_much_of_the_device_stays_mapped(monkeypatch, images, free, kind):
    """Half of the free memory and no more; the device's memory is only asked of a GPU."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free * images.nbytes // 100, 0))
    made = []
    for name in ("Mapped", "Resident"):
        monkeypatch.setattr(f"neurobust.networks.stores.{name}", lambda *given, name=name: made.append(name))
    open_store(images, torch.device("cuda"), 0.5)
    open_store(images, CPU, 0.5)
    assert made == [kind.__name__, "Mapped"]


@pytest.mark.parametrize("threads", [1, 3, 8])
def test_readers_keep_order_bound_and_the_place_of_an_error(threads):
    read, most, lock = set(), [0], threading.Lock()
    taken = []

    def read_one(key):
        with lock:
            read.add(key)
            most[0] = max(most[0], len(read) - len(taken))
        time.sleep(0.002 * (key % 3))  # later keys are often ready before earlier ones
        if key == 20:
            raise ZeroDivisionError(key)
        return key

    with pytest.raises(ZeroDivisionError, match="20"):
        for value in read_ahead(read_one, range(100), threads):
            taken.append(value)
    assert taken == list(range(20))
    assert most[0] <= threads + 1 and max(read) <= 20 + threads


def test_readers_work_side_by_side():
    """Four reads meet at a barrier that none of them could pass alone."""
    barrier = threading.Barrier(4, timeout=30)
    assert list(read_ahead(lambda key: (barrier.wait(), key)[1], range(8), 4)) == list(range(8))


def test_a_caller_who_leaves_ends_the_reading():
    read, readers = [], set()

    def read_one(key):
        readers.add(threading.current_thread())
        read.append(key)
        return key

    values = read_ahead(read_one, range(1000), 2)
    assert next(values) == 0
    values.close()
    assert len(read) <= 3 and not any(reader.is_alive() for reader in readers)


def test_a_gpu_is_fed_by_the_job_s_cpus_and_a_cpu_by_torch_s(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    found = []
    for cpus in (4, 64):
        monkeypatch.setattr("os.sched_getaffinity", lambda process, cpus=cpus: set(range(cpus)))
        found += [readers(torch.device("cuda")), readers(CPU)]
    assert found == [4, 3, 8, 3]
