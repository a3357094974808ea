"""CIFAR in the official format: pickles as Python 2 wrote them, read without running anything in them."""

import io
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from neurobust.core.errors import InputError
from neurobust.files.dataset import read_dataset
from neurobust.files.splits import TEST, TRAIN, VALIDATION
from neurobust.networks.registry import read_task
from neurobust.networks.tasks.cifar import read_pickle
from neurobust.networks.tasks.prepare import prepare_task


def prepare(task, spec, output, source=None):
    """Prepare a task whose kind is its name, unless `spec` says another."""
    prepare_task(task, read_task({"kind": task, **spec}, f"tasks.{task}"), output, source)


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings, which is how the official files hold keys and pixels."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_string(self, value):
        self.write(b"T" + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch[bytes] = save_string


def write_batch(path, entries):
    buffer = io.BytesIO()
    Python2Pickler(buffer, protocol=2).dump(entries)
    path.write_bytes(buffer.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))


def pixels(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, 3072)).astype(np.uint8)


@pytest.fixture
def cifar10(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for k in range(1, 6):
        labels = [(k + i) % 10 for i in range(20)]
        write_batch(folder / f"data_batch_{k}", {b"batch_label": b"x", b"labels": labels, b"data": pixels(20, k)})
    write_batch(folder / "test_batch", {b"labels": list(range(10)), b"data": pixels(10, 9)})
    write_batch(folder / "batches.meta", {b"label_names": [b"airplane", *(b"class%d" % k for k in range(1, 10))]})
    return folder


def test_cifar10(tmp_path, cifar10):
    prepare("cifar10", {"validation": 0.2}, tmp_path / "d.h5", cifar10)
    data = read_dataset(tmp_path / "d.h5")
    assert data.images.shape == (110, 32, 32, 3) and data.classes[0] == "airplane" and len(data.classes) == 10
    raw = pixels(20, 2)[7]  # planes of red, green and blue, row by row
    np.testing.assert_array_equal(data.images[27, 3, 5], raw.reshape(3, 32, 32)[:, 3, 5])
    assert data.labels[27] == 9
    assert (data.split[100:] == TEST).all() and (data.split[:100] != TEST).all()
    for label in range(10):
        assert (data.split[:100][data.labels[:100] == label] == VALIDATION).sum() == 2


def test_cifar100(tmp_path):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name, count in (("train", 200), ("test", 100)):
        fine = [k % 100 for k in range(count)]
        entries = {b"coarse_labels": [0] * count, b"fine_labels": fine, b"data": pixels(count, count)}
        write_batch(folder / name, entries)
    write_batch(folder / "meta", {b"fine_label_names": [b"fine%d" % k for k in range(100)], b"coarse_label_names": []})
    prepare("cifar100", {"validation": 0.5}, tmp_path / "d.h5", folder)
    data = read_dataset(tmp_path / "d.h5")
    assert data.classes[99] == "fine99" and data.labels.max() == 99
    assert [(data.split == part).sum() for part in (TRAIN, VALIDATION, TEST)] == [100, 100, 100]


class Malicious:
    """A pickle that makes a folder when it is read without care."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return Path.mkdir, (self.folder,)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_in_a_pickle_is_refused_before_it_runs(tmp_path, protocol):
    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps({b"data": Malicious(tmp_path / "careless")}, protocol))
    with pytest.raises(InputError, match=r"data_batch_1.*refuses "):
        read_pickle(path)
    assert not (tmp_path / "careless").exists()
    with path.open("rb") as file:
        pickle.load(file)
    assert (tmp_path / "careless").exists()  # the trap is a real one


def test_names_beside_arrays_are_refused(tmp_path):
    for name in ("builtins\neval", "numpy\nload", "numpy.core.multiarray\nfromfile", "builtins\ngetattr"):
        (tmp_path / "x").write_bytes(f"c{name}\n.".encode())
        with pytest.raises(InputError, match="refuses"):
            read_pickle(tmp_path / "x")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("data_batch_3", None, ["data_batch_3", "unpack"]),
        ("data_batch_3", b"", ["data_batch_3"]),
        ("data_batch_3", b"\x80\x02cut short", ["data_batch_3"]),
        ("test_batch", pickle.dumps([1, 2]), ["test_batch", "list"]),
        ("test_batch", pickle.dumps({b"fine_labels": [1]}), ["test_batch", "data"]),
        (
            "test_batch",
            pickle.dumps({b"data": np.zeros((2, 9), np.uint8), b"labels": [0, 1]}),
            ["test_batch", "(2, 9)"],
        ),
    ],
)
def test_broken_files_are_one_line(tmp_path, cifar10, name, content, words):
    (cifar10 / name).unlink()
    if content is not None:
        (cifar10 / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        prepare("cifar10", {}, tmp_path / "out" / "d.h5", cifar10)
    assert "\n" not in str(error.value) and all(word in str(error.value) for word in words), error.value
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
