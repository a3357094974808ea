"""Tiny ImageNet and CelebA in their official layouts."""

import json

import h5py
import numpy as np
import pytest
from PIL import Image

from neurobust.core.errors import InputError
from neurobust.files.dataset import read_dataset
from neurobust.files.splits import TEST, TRAIN, VALIDATION
from neurobust.networks.registry import read_task
from neurobust.networks.tasks.prepare import prepare_task

WNIDS = ["n02", "n01", "n03"]  # not in alphabetical order, as in the official file


def prepare(task, spec, output, source=None):
    """Prepare a task whose kind is its name, unless `spec` says another."""
    prepare_task(task, read_task({"kind": task, **spec}, f"tasks.{task}"), output, source)


def save(path, red, size=(64, 64)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (red, 10, 10)).save(path, "JPEG" if path.suffix == ".JPEG" else None, quality=95)


@pytest.fixture
def tiny_imagenet(tmp_path):
    root = tmp_path / "tiny-imagenet-200"
    for k, wnid in enumerate(WNIDS):
        for i in range(10):
            save(root / "train" / wnid / "images" / f"{wnid}_{i}.JPEG", 60 * k)
    lines = []
    for i, wnid in enumerate(["n03", "n01", "n02", "n01"]):
        save(root / "val" / "images" / f"val_{i}.JPEG", 60 * WNIDS.index(wnid))
        lines.append(f"val_{i}.JPEG\t{wnid}\t0\t32\t44\t62")
    (root / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    (root / "wnids.txt").write_text("\n".join(WNIDS) + "\n")
    (root / "words.txt").write_text(
        "n01\tgoldfish, Carassius auratus\nn02\tbullfrog\nn03\ttailed frog, bell toad\nn9\tx\n"
    )
    return root


def test_tiny_imagenet(tmp_path, tiny_imagenet):
    prepare("tiny", {"kind": "tiny-imagenet", "validation": 0.2}, tmp_path / "d.h5", tiny_imagenet)
    data = read_dataset(tmp_path / "d.h5")
    assert data.classes == ["goldfish", "bullfrog", "tailed frog"] and data.images.shape == (34, 64, 64, 3)
    wnids = sorted(WNIDS)
    for image, label in zip(data.images, data.labels, strict=True):
        assert abs(int(image[..., 0].mean()) - 60 * WNIDS.index(wnids[label])) <= 2
    np.testing.assert_array_equal(data.labels[data.split == TEST], [2, 0, 1, 0])
    assert [(data.split == part).sum() for part in (TRAIN, VALIDATION, TEST)] == [24, 6, 4]


ATTRIBUTES = ["5_o_Clock_Shadow", "Eyeglasses", "Smiling"]


def write_celeba(root, flat):
    """12 images of 3 people and one image of a fourth; the red channel tells the number of the image."""
    folders = {"img": root, "anno": root, "eval": root}
    if not flat:
        folders = {"img": root / "Img", "anno": root / "Anno", "eval": root / "Eval"}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    names = [f"{k:06d}.jpg" for k in range(1, 14)]
    for k, name in enumerate(names):
        save(folders["img"] / "img_align_celeba" / name, 19 * k, (178, 218))
    owners = [2880, 17, 2880, 17, 905, 905, 17, 2880, 905, 17, 905, 2880, 4]
    (folders["anno"] / "identity_CelebA.txt").write_text(
        "".join(f"{n} {o}\n" for n, o in zip(names, owners, strict=True))
    )
    rows = ["13", " ".join(ATTRIBUTES) + " "]
    rows += [f"{name}  {'1' if k % 4 == 0 else '-1'} -1  {'1' if k % 2 else '-1'}" for k, name in enumerate(names)]
    (folders["anno"] / "list_attr_celeba.txt").write_text("\n".join(rows) + "\n")
    parts = [0] * 8 + [1] * 2 + [2] * 3
    (folders["eval"] / "list_eval_partition.txt").write_text(
        "".join(f"{n} {p}\n" for n, p in zip(names, parts, strict=True))
    )
    return root


@pytest.mark.parametrize("flat", [True, False])
def test_celeba_identity(tmp_path, flat):
    root = write_celeba(tmp_path / "celeba", flat)
    prepare("id", {"kind": "celeba-identity", "min_images": 3, "image_size": 32}, tmp_path / "d.h5", root)
    data = read_dataset(tmp_path / "d.h5")
    assert data.classes == ["17", "905", "2880"] and len(data.labels) == 12  # the person of one image is left out
    owners = {0: "2880", 1: "17", 2: "2880", 3: "17", 4: "905", 5: "905", 6: "17", 7: "2880", 8: "905", 9: "17",
              10: "905", 11: "2880"}  # fmt: skip
    for image, label in zip(data.images, data.labels, strict=True):
        assert data.classes[label] == owners[round(image[..., 0].mean() / 19)]
    for label in range(3):  # every person is in training and test
        assert {TRAIN, TEST} <= set(data.split[data.labels == label])
    prepare("id", {"kind": "celeba-identity", "min_images": 3, "identities": 2}, tmp_path / "two.h5", root)
    assert read_dataset(tmp_path / "two.h5").classes == ["17", "905"]


def test_celeba_attributes(tmp_path):
    root = write_celeba(tmp_path / "celeba", flat=False)
    prepare("smile", {"kind": "celeba-attributes", "image_size": 32}, tmp_path / "d.h5", root)
    data = read_dataset(tmp_path / "d.h5")
    assert data.classes == ["not Smiling", "Smiling"] and data.images.shape == (13, 32, 32, 3)
    np.testing.assert_array_equal(data.labels, np.arange(13) % 2)
    np.testing.assert_array_equal(data.split, [0] * 8 + [1] * 2 + [2] * 3)  # the official partition
    with h5py.File(tmp_path / "d.h5") as file:
        assert json.loads(file.attrs["attributes"]) == ATTRIBUTES
        np.testing.assert_array_equal(file["attributes"][:, 0], np.arange(13) % 4 == 0)
        assert not file["attributes"][:, 1].any()


def test_broken_layouts_are_one_line(tmp_path, tiny_imagenet):
    celeba = write_celeba(tmp_path / "celeba", flat=True)
    cases = [("celeba-attributes", {"attribute": "Smirking"}, celeba, ["Smirking", "Eyeglasses"]),
             ("celeba-identity", {}, celeba, ["identity_CelebA.txt", "min_images"]),
             ("celeba-identity", {}, tiny_imagenet, ["identity_CelebA.txt", "Anno"])]  # fmt: skip
    (tiny_imagenet / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn77\t0\t0\t1\t1\n")
    cases.append(("tiny-imagenet", {}, tiny_imagenet, ["val_annotations.txt", "n77", "wnids.txt"]))
    for kind, spec, source, words in cases:
        with pytest.raises(InputError) as error:
            prepare(kind, spec, tmp_path / "out" / "d.h5", source)
        assert "\n" not in str(error.value) and all(word in str(error.value) for word in words), error.value
    (celeba / "img_align_celeba" / "000005.jpg").unlink()
    with pytest.raises(InputError, match=r"000005\.jpg"):
        prepare("celeba-attributes", {}, tmp_path / "out" / "d.h5", celeba)
    with (celeba / "list_attr_celeba.txt").open("a") as file:
        file.write("000099.jpg 1 -1\n")
    with pytest.raises(InputError, match=r"list_attr_celeba\.txt: '000099\.jpg'"):
        prepare("celeba-attributes", {}, tmp_path / "out" / "d.h5", celeba)


def test_phantom_faces(tmp_path):
    """Made by the phantom, read by the task: identities are labels, every split has each, attributes are kept."""
    from neurobust.phantom.build import build_face_task
    from neurobust.phantom.settings import FaceTask

    settings = FaceTask(seed=0, identities=5, train=20, validation=5, test=10, size=32)
    build_face_task(tmp_path / "faces.npz", settings)
    prepare("phantom-faces", {}, tmp_path / "d.h5", tmp_path / "faces.npz")
    data = read_dataset(tmp_path / "d.h5")
    assert data.images.shape == (35, 32, 32, 3) and len(data.classes) == 5
    for part, count in ((TRAIN, 4), (VALIDATION, 1), (TEST, 2)):
        assert (np.bincount(data.labels[data.split == part]) == count).all()
    with h5py.File(tmp_path / "d.h5") as file:
        assert json.loads(file.attrs["attributes"]) == ["smiling", "glasses", "hat", "beard"]
        assert 0.2 < file["attributes"][:].mean() < 0.8
    build_face_task(tmp_path / "again.npz", settings)
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "faces.npz").read_bytes()
    images = data.images.astype(float)
    same = [np.abs(images[i] - images[i + 5]).mean() for i in range(10)]
    assert min(same) > 1  # no picture twice
