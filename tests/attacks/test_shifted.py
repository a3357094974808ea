"""Published test sets in their official layouts: what is read, which classes are asked for, and what is refused."""

import json
import shutil

import h5py
import numpy as np
import pytest
import torch
from msgspec.structs import replace
from PIL import Image
from torch import nn

from neurobust.attacks.classify import classify
from neurobust.attacks.corruptions.registry import SEVERITIES
from neurobust.attacks.shifted import evaluate
from neurobust.attacks.shifted.layouts import drawn, read_shifted
from neurobust.attacks.shifted.make import prepare_shifted
from neurobust.attacks.shifted.settings import LAYOUTS, ShiftedSet
from neurobust.core.errors import InputError
from neurobust.core.settings import choices, read
from neurobust.files.dataset import read_dataset
from neurobust.files.shifted import open_shifted
from neurobust.files.shifted_table import read_shifted_table
from neurobust.networks.registry import read_task
from neurobust.networks.tasks.prepare import prepare_task

WNIDS = ("n01440764", "n02102040", "n02979186", "n03888257")
SIDE = 16


def write_image(path, label, code, size=(SIDE, SIDE)):
    """A flat image whose red is its class and whose green is `code`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (50 * label, code, 7)).save(path, quality=100, subsampling=0)


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    """dataset.h5 of a tiny ImageNet of four classes, its classes named by a list."""
    root = tmp_path_factory.mktemp("imagenet")
    for part, count in (("train", 4), ("val", 3)):
        for label, wnid in enumerate(WNIDS):
            for index in range(count):
                write_image(root / "images" / part / wnid / f"{index}.png", label, 0)
    (root / "classes.txt").write_text("\n".join(f"{wnid} name of {wnid}" for wnid in reversed(WNIDS)))
    task = {"kind": "image-folder", "image_size": SIDE, "resize": 20, "classes": str(root / "classes.txt")}
    prepare_task("tiny", read_task(task, "tasks.tiny"), root / "dataset.h5", root / "images")
    return root / "dataset.h5"


def of(kind, source, **more):
    return read(ShiftedSet, {"kind": kind, "source": str(source), "task": "tiny", **more}, "shifted.x")


def all_images(found):
    return np.concatenate(list(found.blocks))


def test_a_task_of_folders_remembers_their_names(imagenet):
    data = read_dataset(imagenet)
    assert data.folders == WNIDS and data.classes[0] == f"name of {WNIDS[0]}"


def write_imagenet_c(root, group="", kinds=("fog", "gaussian_noise")):
    """{corruption}/{severity}/{wnid}/ILSVRC2012_val_*.JPEG, with a class that the task has not."""
    for place, kind in enumerate(kinds):
        for severity in SEVERITIES:
            for label, wnid in enumerate((*WNIDS, "n15075141")):
                for index in range(3):
                    path = root / group / kind / str(severity) / wnid / f"ILSVRC2012_val_{index:08d}.JPEG"
                    write_image(path, label, 100 * place + 10 * severity + index, (24, 24))
    return root


@pytest.mark.parametrize("group", ["", "weather"])
def test_imagenet_c_as_unpacked_with_and_without_its_groups(imagenet, tmp_path, group):
    settings = of("imagenet-c", write_imagenet_c(tmp_path, group))
    found = read_shifted(settings, read_dataset(imagenet), resize=20)
    assert found.types == ("gaussian_noise", "fog") and found.severities == (1, 2, 3, 4, 5), "in our own order"
    assert found.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    images = all_images(found).reshape(2, 5, 12, SIDE, SIDE, 3).astype(int)
    expected = 100 * np.array([1, 0])[:, None, None] + 10 * np.arange(1, 6)[:, None] + np.tile(range(3), 4)
    assert np.abs(images[..., 1].mean((3, 4)) - expected).max() <= 2  # JPEG
    assert np.abs(images[..., 0].mean((3, 4)) - 50 * found.labels).max() <= 2
    assert found.provenance()["inputs"]["images"]["count"] == 120


def test_a_few_images_are_the_same_of_every_corruption_and_the_first_of_more(imagenet, tmp_path):
    settings, data = of("imagenet-c", write_imagenet_c(tmp_path), images=5, types=["fog"]), read_dataset(imagenet)
    found = read_shifted(settings, data, None)
    images = all_images(found).reshape(5, 5, SIDE, SIDE, 3).astype(int)
    codes = images[..., 1].mean((2, 3)) - 10 * np.arange(1, 6)[:, None]
    assert found.types == ("fog",) and np.abs(codes - codes[0]).max() <= 2
    assert set(drawn(settings, 12)) < set(drawn(replace(settings, images=8), 12))
    assert len(drawn(replace(settings, images=99), 12)) == 12
    one = read_shifted(replace(settings, images=1), data, None)
    assert len(one.labels) == 1 and one.classes.tolist() == [0, 1, 2, 3], "a network chooses among all that it shows"


@pytest.mark.parametrize(("kind", "part"), [("imagenet-r", ""), ("imagenet-a", ""), ("imagenet-sketch", ""),
                                            ("stylized-imagenet", "val")])  # fmt: skip
def test_sets_of_class_folders_go_by_wnid(imagenet, tmp_path, kind, part):
    """-R and -A have some of the classes and others that the task has not; the others must have all."""
    data, subset = read_dataset(imagenet), LAYOUTS[kind].subset
    shown = (WNIDS[3], WNIDS[1]) if subset else WNIDS
    for wnid in (*shown, "n99999999"):
        label = WNIDS.index(wnid) if wnid in WNIDS else 0
        write_image(tmp_path / part / wnid / "art_0.png", label, 9, (60, 30))
    (tmp_path / "README.txt").write_text("as in the archive")
    found = read_shifted(of(kind, tmp_path), data, resize=20)
    assert found.types == ("",) and found.severities == (0,)
    assert found.labels.tolist() == sorted(WNIDS.index(wnid) for wnid in shown)
    assert np.array_equal(all_images(found)[:, 0, 0, 0], 50 * found.labels)
    shutil.rmtree(tmp_path / part / WNIDS[3])
    refusal = "has images of 1 of the 4 classes" if subset else f"{WNIDS[3]}: no images of the class"
    with pytest.raises(InputError, match=refusal):
        read_shifted(of(kind, tmp_path), data, resize=20)


def test_sets_that_are_cut_already_are_not_cut_again(imagenet, tmp_path):
    """A white middle in a black frame: the task's crop would lose the frame."""
    for folder in ("r", "s/val"):
        for wnid in WNIDS:
            frame = np.zeros((40, 40, 3), np.uint8)
            frame[3:-3, 3:-3] = 255
            (tmp_path / folder / wnid).mkdir(parents=True)
            Image.fromarray(frame).save(tmp_path / folder / wnid / "0.png")
    data = read_dataset(imagenet)
    corner = {kind: all_images(read_shifted(of(kind, tmp_path / place), data, resize=32))[0, 0, 0, 0]
              for kind, place in (("imagenet-r", "r"), ("stylized-imagenet", "s"))}  # fmt: skip
    assert corner["imagenet-r"] == 255 and corner["stylized-imagenet"] < 50


def test_what_is_no_official_layout_is_one_line(imagenet, tmp_path):
    data = read_dataset(imagenet)
    with pytest.raises(InputError, match="gone: no such folder; give that of imagenet-r as `source`"):
        read_shifted(of("imagenet-r", tmp_path / "gone"), data, None)
    with pytest.raises(InputError, match="no folder of severities 1 to 5; give the folder of imagenet-c"):
        read_shifted(of("imagenet-c", tmp_path), data, None)
    root = write_imagenet_c(tmp_path / "c", kinds=("fog",))
    with pytest.raises(InputError, match=r"no corruption 'frog'; name some of .*fog"):
        read_shifted(of("imagenet-c", root, types=["frog"]), data, None)
    for severity in (4, 1):  # without its first severity it is still there
        shutil.rmtree(root / f"fog/{severity}")
        with pytest.raises(InputError, match=rf"fog/{severity}: no such folder; complete imagenet-c"):
            read_shifted(of("imagenet-c", root), data, None)
    twice = write_imagenet_c(tmp_path / "c2", "noise", kinds=("fog",)) and write_imagenet_c(tmp_path / "c2", "weather")
    with pytest.raises(InputError, match=r"weather/fog: .*noise/fog is of the same corruption; keep one of the two"):
        read_shifted(of("imagenet-c", twice), data, None)
    with pytest.raises(InputError, match="does not say which folder each class has"):
        read_shifted(of("imagenet-r", tmp_path), read_dataset(without_folders(imagenet, tmp_path)), None)
    with pytest.raises(InputError, match="types: imagenet-r has no corruptions"):
        of("imagenet-r", tmp_path, types=["fog"])


def without_folders(dataset, folder):
    shutil.copy(dataset, folder / "old.h5")
    with h5py.File(folder / "old.h5", "a") as file:
        del file.attrs["folders"]
    return folder / "old.h5"


# --- CIFAR-10-C ---


@pytest.fixture(scope="module")
def cifar(tmp_path_factory):
    """dataset.h5 as the task cifar10 has it, with 6 test images."""
    path = tmp_path_factory.mktemp("cifar") / "dataset.h5"
    with h5py.File(path, "w") as file:
        file["images"] = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
        file["labels"], file["split"] = np.arange(20) % 10, np.where(np.arange(20) < 14, 0, 2).astype(np.uint8)
        file.attrs["task"], file.attrs["classes"] = "cifar10", json.dumps([f"class {k}" for k in range(10)])
    return path


def write_cifar10_c(root, count, kinds=("zoom_blur", "brightness")):
    """{corruption}.npy of 5 x count images, by severity, and labels.npy; red is the row, green the severity."""
    root.mkdir(exist_ok=True)
    images = np.zeros((5, count, 32, 32, 3), np.uint8)
    images[..., 0], images[..., 1] = (np.arange(count) % 256)[:, None, None], np.arange(1, 6)[:, None, None, None]
    for place, kind in enumerate(kinds):
        images[..., 2] = place
        np.save(root / f"{kind}.npy", images.reshape(-1, 32, 32, 3))
    np.save(root / "labels.npy", np.tile(np.arange(count) % 10, 5).astype(np.uint8))
    return root


def test_cifar10_c_is_sorted_by_severity(cifar, tmp_path):
    settings = of("cifar10-c", write_cifar10_c(tmp_path, 30), images=7)
    found = read_shifted(settings, read_dataset(cifar), None)
    assert found.types == ("zoom_blur", "brightness") and found.severities == SEVERITIES
    chosen = drawn(settings, 30)
    assert found.labels.tolist() == (chosen % 10).tolist() and found.labels.dtype == np.int64
    images = all_images(found).reshape(2, 5, 7, 32, 32, 3)
    assert (images[..., 0, 0, 0] == chosen).all() and (images[..., 0, 0, 2] == np.array([0, 1])[:, None, None]).all()
    assert (images[..., 0, 0, 1] == np.arange(1, 6)[:, None]).all()
    assert set(found.provenance()["inputs"]) == {"zoom_blur", "brightness", "labels"}


def test_cifar10_c_at_its_official_size_is_mapped_and_not_loaded(cifar, tmp_path):
    """50,000 rows: sparse files that hold zeros."""
    for name, shape in (("fog", (50000, 32, 32, 3)), ("labels", (50000,))):
        np.lib.format.open_memmap(tmp_path / f"{name}.npy", "w+", np.uint8, shape).flush()
    found = read_shifted(of("cifar10-c", tmp_path, images=3), read_dataset(cifar), None)
    assert [len(block) for block in found.blocks] == [3] * 5 and found.labels.tolist() == [0, 0, 0]


def test_broken_arrays_are_one_line(cifar, tmp_path):
    data = read_dataset(cifar)
    root = write_cifar10_c(tmp_path / "c", 4)
    np.save(root / "fog.npy", np.zeros((19, 32, 32, 3), np.uint8))
    with pytest.raises(InputError, match=r"fog\.npy: uint8 \(19, 32, 32, 3\), not uint8 \(20, 32, 32, 3\)"):
        read_shifted(of("cifar10-c", root), data, None)
    np.save(root / "labels.npy", np.arange(20))
    with pytest.raises(InputError, match=r"labels\.npy: int64 \(20,\) are not the labels of cifar10's test images"):
        read_shifted(of("cifar10-c", root, types=["brightness"]), data, None)
    for wrong in (np.arange(20.0) // 2 % 2, np.full(20, "1"), np.zeros(20, "M8[s]"), np.zeros(20, bool)):
        np.save(root / "labels.npy", wrong)
        with pytest.raises(InputError, match=r"labels\.npy: .* \(20,\) are not the labels of cifar10's test images"):
            read_shifted(of("cifar10-c", root, types=["brightness"]), data, None)
    for name in ("empty", "zipped"):
        with (root / f"{name}.npy").open("wb") as file:
            np.savez(file, a=1) if name == "zipped" else None
        with pytest.raises(InputError, match=rf"{name}\.npy: not a readable array"):
            read_shifted(of("cifar10-c", write_cifar10_c(root, 4), types=[name]), data, None)
    np.save(root / "labels.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(InputError, match=r"labels\.npy: not a readable array"):
        read_shifted(of("cifar10-c", root, types=["brightness"]), data, None)
    with pytest.raises(InputError, match=r"no \.npy file of a corruption"):
        read_shifted(of("cifar10-c", tmp_path), data, None)


# --- what networks say ---


class Reds(nn.Module):
    """Reads the class from the red of the first pixel; the class 3 is always its second choice."""

    def forward(self, images):
        code = images[:, 0, 0, 0] * 255 / 50
        logits = -((code[:, None] - torch.arange(4.0)) ** 2)
        return logits + 2.0 * (torch.arange(4) == 0)  # a class that -R does not show, and that it would rather say


def test_a_network_chooses_among_the_classes_that_the_set_shows(imagenet, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "load_network", lambda path: Reds())
    monkeypatch.setattr(evaluate, "pick_device", lambda: torch.device("cpu"))
    for wnid, label in ((WNIDS[1], 1), (WNIDS[3], 3), (WNIDS[2], 3)):  # the last looks like another class
        write_image(tmp_path / "r" / wnid / "0.png", label, 0)
        write_image(tmp_path / "r" / wnid / "1.png", label, 0)
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    prepare_shifted(imagenet, of("imagenet-r", tmp_path / "r"), 20, tmp_path / "r.h5")
    with open_shifted(tmp_path / "r.h5") as file:
        assert (file.task, file.kind, file.types, file.severities) == ("tiny", "imagenet-r", [""], [0])
        assert file.images.shape == (1, 1, 6, SIDE, SIDE, 3) and file.labels.tolist() == [1, 1, 2, 2, 3, 3]
        assert set(file.provenance["inputs"]) == {"dataset", "images"} and file.provenance["params"]["resize"] == 20
    names = {"task": "tiny", "architecture": "reds", "condition": "none", "seed": 0}
    table = tmp_path / "r.parquet"
    evaluate.classify_shifted(imagenet, tmp_path / "model.safetensors", tmp_path / "r.h5", table, names, image_batch=4)
    frame, record = read_shifted_table(table)
    assert frame["correct"].tolist() == [True, True, False, False, True, True]
    assert frame["label"].tolist() == [1, 1, 2, 2, 3, 3]
    assert (record.classes, record.clean_accuracy, record.n_clean, record.scored) == ([1, 2, 3], 1.0, 6, [""])
    images = read_dataset(imagenet).images[read_dataset(imagenet).labels == 1]
    assert classify(Reds(), images, 8, torch.device("cpu")).max() == 0, "without the restriction it says another class"
    with pytest.raises(InputError, match="made for other images than"):
        other = without_folders(imagenet, tmp_path)
        evaluate.classify_shifted(other, tmp_path / "model.safetensors", tmp_path / "r.h5", table, names)


def test_no_answer_is_no_class():
    """Of logits that are no numbers the first would be the largest: a network without answers would read class 0."""

    class Silent(nn.Module):
        def forward(self, images):
            return torch.where(images[:, 0, 0, 0, None] > 0.5, torch.nan, torch.eye(3)[0])

    images = np.zeros((4, SIDE, SIDE, 3), np.uint8)
    images[::2] = 255
    device = torch.device("cpu")
    for among, classes in (
        (None, [-1, 0, -1, 0]),
        (np.array([1, 0]), [-1, 0, -1, 0]),
        (np.array([2, 1]), [-1, 2, -1, 2]),
    ):
        assert classify(Silent(), images, 3, device, among).tolist() == classes


def test_an_incomplete_set_leaves_no_file(imagenet, tmp_path):
    root = write_imagenet_c(tmp_path / "c", kinds=("fog",))
    (root / "fog/3" / WNIDS[0] / "ILSVRC2012_val_00000001.JPEG").unlink()
    with pytest.raises(InputError, match=r"ILSVRC2012_val_00000001\.JPEG: cannot be read"):
        prepare_shifted(imagenet, of("imagenet-c", root), None, tmp_path / "c.h5")
    assert not (tmp_path / "c.h5").exists()


def test_every_kind_has_a_layout_and_a_price():
    assert set(choices(ShiftedSet, "kind")) == set(LAYOUTS)
    assert of("imagenet-a", "a").shown() == 7500 and of("imagenet-r", "r", images=10).shown() == 10
    assert of("imagenet-c", "c", types=["fog", "snow"], images=100).shown() == 2 * 5 * 100
