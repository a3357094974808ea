"""Tasks: what each reader writes, and one clear error for what it cannot read."""

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from neurobust.core.errors import InputError
from neurobust.core.io import memmap_dataset, sha256_file
from neurobust.files.dataset import read_dataset
from neurobust.files.splits import TEST, TRAIN, VALIDATION
from neurobust.networks.registry import TASKS, read_task
from neurobust.networks.tasks.digits_settings import Digits
from neurobust.networks.tasks.prepare import prepare_task
from neurobust.networks.tasks.reading import stratified_split


def prepare(task, spec, output, source=None):
    """Prepare a task whose kind is its name, unless `spec` says another."""
    prepare_task(task, read_task({"kind": task, **spec}, f"tasks.{task}"), output, source)


def write_folder(root, folders=("n01", "n02", "n03"), train=10, val=3):
    """Flat images whose colour is (class, part, index), wider than high."""
    for part, count in (("train", train), ("val", val)):
        for label, folder in enumerate(folders):
            (root / part / folder).mkdir(parents=True)
            for index in range(count):
                colour = (40 * label, 200 * (part == "val"), 10 * index)
                Image.new("RGB", (40, 24), colour).save(root / part / folder / f"{index:02d}.png")
    return root


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    path = tmp_path_factory.mktemp("digits") / "dataset.h5"
    prepare("digits", {"image_size": 32, "seed": 0}, path)
    return path


def test_digits_are_the_real_ones(digits, tmp_path):
    data = read_dataset(digits)
    assert data.images.shape == (1797, 32, 32, 3) and data.images.dtype == np.uint8
    assert data.classes == [str(digit) for digit in range(10)]
    original = load_digits()
    np.testing.assert_array_equal(data.labels, original.target)
    assert (data.images == data.images[..., :1]).all()  # grey
    prepare_task("digits", Digits(kind="digits", image_size=8), tmp_path / "small.h5")  # smaller than a study may ask
    np.testing.assert_array_equal(
        read_dataset(tmp_path / "small.h5").images[..., 0], np.rint(original.images * 255 / 16)
    )
    means = data.images[..., 0].reshape(1797, 8, 4, 8, 4).mean((2, 4))  # 32 px back to 8 x 8
    pairs = zip(means, original.images, strict=True)
    assert min(np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs) > 0.95


def test_digits_split_is_stratified_and_seeded(digits, tmp_path):
    data = read_dataset(digits)
    for label in range(10):
        shares = np.bincount(data.split[data.labels == label], minlength=3) / (data.labels == label).sum()
        np.testing.assert_allclose(shares, [0.7, 0.1, 0.2], atol=0.01)
    prepare("digits", {"image_size": 32, "seed": 0}, tmp_path / "again.h5")
    assert sha256_file(tmp_path / "again.h5") == sha256_file(digits)
    prepare("digits", {"image_size": 16, "seed": 1}, tmp_path / "other.h5")
    assert (read_dataset(tmp_path / "other.h5").split != data.split).any()


def test_stored_contiguously_with_provenance(digits):
    assert memmap_dataset(digits, "images").flags["C_CONTIGUOUS"]
    with h5py.File(digits) as file:
        assert file["labels"].dtype == np.int64 and file["split"].dtype == np.uint8
        assert file.attrs["task"] == "digits"
        assert json.loads(file.attrs["provenance"])["params"] == {"image_size": 32, "seed": 0, "kind": "digits"}


def test_every_image_is_in_one_split():
    labels = np.repeat(np.arange(5), [1, 2, 3, 50, 101])
    split = stratified_split(labels, (0.7, 0.1, 0.2), 0)
    assert set(split) == {TRAIN, VALIDATION, TEST}
    assert (np.bincount(split[labels == 4]) == [71, 10, 20]).all()
    assert (stratified_split(labels, (1.0, 0.0), 0) == TRAIN).all()


def test_phantom_scenes_are_copied(tmp_path, write_scenes):
    source = write_scenes(tmp_path / "scenes.npz")
    prepare("phantom-scenes", {}, tmp_path / "dataset.h5", source)
    data = read_dataset(tmp_path / "dataset.h5")
    with np.load(source) as file:
        np.testing.assert_array_equal(data.images, file["images"])
        np.testing.assert_array_equal(data.labels, file["labels"])
        np.testing.assert_array_equal(data.split, file["split"])
    assert data.classes == ["car", "tree", "face", "lamp"]


def test_image_folder(tmp_path):
    root = write_folder(tmp_path / "root")
    (root / "train" / "n02" / "notes.txt").write_text("not an image")
    prepare("photos", {"kind": "image-folder", "image_size": 16, "validation": 0.2}, tmp_path / "d.h5", root)
    data = read_dataset(tmp_path / "d.h5")
    assert data.images.shape == (39, 16, 16, 3) and data.classes == ["n01", "n02", "n03"]
    for image, label, split in zip(data.images, data.labels, data.split, strict=True):
        assert (image[..., 0] == 40 * label).all()
        assert (image[..., 1] == (200 if split == TEST else 0)).all()  # `val` is the test split and nothing else is
    assert (np.bincount(data.split[data.labels == 1]) == [8, 2, 3]).all()


def test_resize_keeps_the_aspect_and_crops_the_centre(tmp_path):
    """A left-to-right ramp 48 wide and 16 high: only its middle third is seen."""
    root = write_folder(tmp_path / "root", folders=("a", "b"), train=2, val=1)
    ramp = np.repeat(np.repeat(np.arange(48, dtype=np.uint8)[None, :, None] * 5, 16, 0), 3, 2)
    Image.fromarray(ramp).save(root / "val" / "b" / "00.png")
    prepare("ramp", {"kind": "image-folder", "image_size": 16}, tmp_path / "d.h5", root)
    np.testing.assert_array_equal(read_dataset(tmp_path / "d.h5").images[-1], ramp[:, 16:32])


def test_class_lists(tmp_path):
    root = write_folder(tmp_path / "root")
    (tmp_path / "list.txt").write_text("# two of them\nn03 ski\nn01 toilet seat\n")
    spec = {"kind": "image-folder", "image_size": 16, "classes": str(tmp_path / "list.txt")}
    prepare("two", spec, tmp_path / "d.h5", root)
    data = read_dataset(tmp_path / "d.h5")
    assert data.classes == ["toilet seat", "ski"]  # in the order of the folder names
    assert set(data.images[data.labels == 1][..., 0].ravel()) == {80}
    with pytest.raises(InputError, match="n02389026"):  # the first of the shipped list of 50
        prepare("net", {"kind": "image-folder", "classes": "imagenet50"}, tmp_path / "e.h5", root)


def test_changed_image_changes_the_provenance(tmp_path):
    root = write_folder(tmp_path / "root")
    spec = {"kind": "image-folder", "image_size": 16}
    records = []
    for colour in (1, 2):
        Image.new("RGB", (40, 24), (colour, 0, 0)).save(root / "train" / "n01" / "00.png")
        prepare("photos", spec, tmp_path / "d.h5", root)
        with h5py.File(tmp_path / "d.h5") as file:
            records.append(json.loads(file.attrs["provenance"])["inputs"]["images"]["sha256"])
    assert records[0] != records[1]


@pytest.mark.parametrize(
    ("task", "spec", "source", "words"),
    [
        ("digit", {}, None, ["digit", "digits"]),
        ("digits", {"size": 32}, None, ["size", "image_size"]),
        ("phantom-scenes", {}, None, ["source", ".npz"]),
        ("phantom-scenes", {}, "missing.npz", ["missing.npz"]),
        ("phantom-scenes", {}, "text.npz", ["text.npz"]),
        ("phantom-scenes", {}, "labels.npz", ["23 labels", "24"]),
        ("phantom-scenes", {}, "range.npz", ["0..4", "4 classes"]),
        ("phantom-scenes", {}, "untested.npz", ["no test images"]),
        ("phantom-scenes", {}, "float.npz", ["float.npz", "float64"]),
        ("phantom-scenes", {}, "fewer.npz", ["23 images", "24 labels"]),
        ("image-folder", {"classes": "no-list.txt"}, "root", ["no-list.txt", "imagenet50"]),
        ("image-folder", {}, "broken", ["train/n01/00.png"]),
    ],
)
def test_bad_source_is_one_line_and_leaves_nothing(tmp_path, write_scenes, task, spec, source, words):
    (tmp_path / "text.npz").write_text("no archive")
    scenes = np.load(write_scenes(tmp_path / "scenes.npz"))
    write_scenes(tmp_path / "labels.npz", labels=scenes["labels"][:-1])
    write_scenes(tmp_path / "range.npz", labels=scenes["labels"] + np.eye(24, dtype=int)[-1])
    write_scenes(tmp_path / "untested.npz", split=np.zeros(24, np.uint8))
    write_scenes(tmp_path / "float.npz", images=scenes["images"] / 255.0)
    write_scenes(tmp_path / "fewer.npz", images=scenes["images"][:-1])
    write_folder(tmp_path / "root")
    broken = write_folder(tmp_path / "broken")
    (broken / "train" / "n01" / "00.png").write_bytes(b"\x89PNG\r\n")
    output = tmp_path / "out" / "dataset.h5"
    with pytest.raises(InputError) as error:
        prepare(task, spec, output, tmp_path / source if source else None)
    assert "\n" not in str(error.value) and all(word in str(error.value) for word in words), error.value
    assert not output.parent.exists() or not list(output.parent.iterdir())


def test_dataset_with_wrong_label_count_is_refused(tmp_path, mismatched):
    with pytest.raises(InputError, match=r"dataset\.h5: 20 images but 19 labels"):
        read_dataset(mismatched)
    with pytest.raises(InputError, match="absent"):
        read_dataset(tmp_path / "absent.h5")


def test_kinds_are_the_documented_ones():
    assert set(TASKS) == {
        "digits", "phantom-scenes", "phantom-faces", "image-folder", "cifar10", "cifar100", "tiny-imagenet",
        "celeba-identity", "celeba-attributes",
    }  # fmt: skip


def test_a_task_is_prepared_without_torch():
    """Importing it takes longer than the work."""
    code = (
        "import sys; from neurobust.core.places import load; from neurobust.networks.registry import TASKS; "
        "import neurobust.networks.tasks.prepare; [load(TASKS[kind].reader) for kind in TASKS]; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
