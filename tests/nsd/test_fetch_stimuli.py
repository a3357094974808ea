"""Images of one subject by ranged reads, the shared PNGs, the plan of a download, and COCO's categories."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace
from PIL import Image

from neurobust.core.errors import InputError
from neurobust.core.io import memmap_dataset, read_parquet
from neurobust.core.settings import read
from neurobust.files.prf_maps import MAPS
from neurobust.nsd import layout, manifest, transfer
from neurobust.nsd.coco import build_labels, crop_box, parse_crop
from neurobust.nsd.fetch_stimuli import RemoteFile, fetch_shared, fetch_stimuli, row_pieces
from neurobust.nsd.plan import plan
from neurobust.nsd.settings import Data, Sessions
from neurobust.nsd.stimuli import build_stimuli
from neurobust.phantom import files

pytestmark = pytest.mark.slow

ROW = 12 * 12 * 3


@pytest.fixture
def mirror(tiny, tmp_path):
    """A mirror with the design only, as it is when images are fetched."""
    root = tmp_path / "mirror"
    files.write_expdesign(root, tiny.design)
    return root


def put_images(bucket, tiny, tmp_path, **options):
    files.write_stimuli(tmp_path / "made", iter(tiny.images), len(tiny.images), **options)
    path = layout.stimuli(tmp_path / "made")
    bucket.put(path.relative_to(tmp_path / "made").as_posix(), path.read_bytes())
    return path


@pytest.mark.parametrize("contiguous", [True, False])
def test_images_of_a_subject(bucket, tiny, mirror, tmp_path, contiguous, monkeypatch):
    """Both layouts give the file that the whole one gives; only the contiguous one spares the rest."""
    monkeypatch.setattr(RemoteFile, "BLOCK", 1024)
    path = put_images(bucket, tiny, tmp_path, contiguous=contiguous)
    output = layout.subject_stimuli(mirror, "subj02")
    fetch_stimuli(bucket.server, mirror, "subj02", 2, output)
    seen = np.unique(tiny.design.nsd_ids(2, 2))
    with h5py.File(output) as file:
        np.testing.assert_array_equal(file["nsd_id"], seen)
        np.testing.assert_array_equal(file["imgBrick"], tiny.images[seen])
    if contiguous:
        assert bucket.proxy.sent < len(seen) * ROW + 20_000
        assert not layout.stimuli(mirror).exists()
    else:
        assert layout.stimuli(mirror).read_bytes() == path.read_bytes()
    assert sorted(p.name for p in output.parent.glob("*subj02*")) == [output.name]
    files.write_stimuli(mirror, tiny.images)
    written = []
    for number, source in enumerate((output, None)):
        target = tmp_path / str(number) / "8.h5"
        build_stimuli(mirror, "subj02", 2, 8, target, source)
        written.append(target.read_bytes())
    assert written[0] == written[1]
    assert memmap_dataset(tmp_path / "0/8.h5", "images").shape == (len(seen), 8, 8, 3)


def test_an_interrupted_transfer_goes_on(bucket, tiny, mirror, tmp_path, fault, is_ranged, monkeypatch):
    put_images(bucket, tiny, tmp_path)
    output = layout.subject_stimuli(mirror, "subj01")
    count = [0]

    def later(method, path, headers):
        count[0] += is_ranged(method, path, headers)
        return is_ranged(method, path, headers) and count[0] > 12

    bucket.proxy.faults = [fault("status", code=403, when=later)]
    with pytest.raises(InputError, match="403"):
        fetch_stimuli(bucket.server, mirror, "subj01", 3, output, workers=1)
    assert not output.exists()
    bucket.proxy.faults, bucket.proxy.requests = [], []
    fetch_stimuli(bucket.server, mirror, "subj01", 3, output)
    resumed = len(bucket.proxy.requests)
    seen = np.unique(tiny.design.nsd_ids(1, 3))
    with h5py.File(output) as file:
        np.testing.assert_array_equal(file["imgBrick"], tiny.images[seen])
    bucket.proxy.requests = []
    again = tmp_path / "mirror" / "neurobust" / "again.hdf5"
    fetch_stimuli(bucket.server, mirror, "subj01", 3, again)
    assert again.read_bytes() == output.read_bytes()
    assert resumed < len(bucket.proxy.requests)


def test_what_lies_there_of_another_subject_is_not_used(bucket, tiny, mirror, tmp_path):
    put_images(bucket, tiny, tmp_path)
    output = layout.subject_stimuli(mirror, "subj01")
    part, journal = transfer.partial_paths(output)
    fetch_stimuli(bucket.server, mirror, "subj02", 3, part)
    journal.write_text("{}\n0\n1\n")
    fetch_stimuli(bucket.server, mirror, "subj01", 3, output)
    seen = np.unique(tiny.design.nsd_ids(1, 3))
    with h5py.File(output) as file:
        np.testing.assert_array_equal(file["imgBrick"], tiny.images[seen])


def test_a_subject_cannot_use_the_images_of_another(bucket, tiny, mirror, tmp_path):
    put_images(bucket, tiny, tmp_path)
    output = layout.subject_stimuli(mirror, "subj01")
    fetch_stimuli(bucket.server, mirror, "subj01", 3, output)
    with pytest.raises(InputError, match=r"lacks \d+ of \d+ images"):
        build_stimuli(mirror, "subj02", 3, 8, tmp_path / "8.h5", output)
    with pytest.raises(InputError, match=r"lacks \d+ of \d+ images"):
        build_stimuli(mirror, "subj01", 5, 8, tmp_path / "8.h5", output)


def test_wrong_images_on_the_server(bucket, tiny, mirror, tmp_path):
    output = layout.subject_stimuli(mirror, "subj01")
    with h5py.File(tmp_path / "wrong.h5", "w") as file:
        file["imgBrick"] = tiny.images[:-1]
    key = manifest.key_of(mirror, layout.stimuli(mirror))
    for content, message in (
        ((tmp_path / "wrong.h5").read_bytes(), "339 images, but the design has 340"),
        (b"<html>" * 99, "truncated or damaged"),
        (put_images(bucket, tiny, tmp_path).read_bytes()[:-5000], "truncated or damaged|shorter than"),
    ):
        bucket.put(key, content)
        with pytest.raises(InputError, match=message):
            fetch_stimuli(bucket.server, mirror, "subj01", 3, output)
    assert not output.exists()


def test_row_pieces_against_single_rows():
    images = np.array([0, 1, 2, 5, 9, 10, 11, 12, 13, 20])
    pieces = row_pieces(images, 10, 1000, 64, largest=30)
    copied = np.zeros(64 + 100, int)
    remote = np.arange(2000)
    for piece in pieces:
        assert piece.length <= 30
        copied[piece.target : piece.target + piece.length] = remote[piece.source : piece.source + piece.length]
    expected = np.concatenate([1000 + 10 * image + np.arange(10) for image in images])
    np.testing.assert_array_equal(copied[64:], expected)
    assert len(pieces) == 5  # 0-2, 5, 9-11, 12-13, 20


def test_shared_pngs(bucket, tiny, mirror):
    shared = tiny.design.sharedix[0] - 1
    for number, image in enumerate(shared, start=1):
        stream = io.BytesIO()
        Image.fromarray(tiny.images[image]).save(stream, "PNG")
        name = f"shared{number:04d}_nsd{image + 1:05d}.png"  # 1-based, as the bucket names them
        bucket.put(f"nsddata/stimuli/nsd/shared1000/{name}", stream.getvalue())
    listed = mirror / "neurobust/shared_images.json"
    fetch_shared(bucket.server, mirror, listed)
    for number, image in enumerate(shared.tolist(), start=1):
        picture = np.asarray(Image.open(layout.shared_png(mirror, number, image)))
        np.testing.assert_array_equal(picture, tiny.images[image])
    assert len(json.loads(listed.read_text())["files"]) == len(shared)
    bucket.proxy.requests = []
    fetch_shared(bucket.server, mirror, listed)
    assert bucket.proxy.requests == []


def data_section(tiny, bucket, root, **settings):
    subjects = {"subj01": {"sessions": 2}, "subj02": {"sessions": 1}}
    given = {"source": "nsd", "root": str(root), "format": "nii.gz", "subjects": subjects,
             "endpoint": bucket.proxy.endpoint, **settings}  # fmt: skip
    return read(Data, given, "data")


def put_study(bucket, tiny):
    bucket.put_tree(tiny.root, "nsddata/**/*")
    bucket.put_tree(tiny.root, "nsddata_stimuli/**/*")
    bucket.put_tree(tiny.root, "nsddata_betas/**/*.nii.gz")
    for subject in ("subj01", "subj02"):
        for name in ("ncsnr_split1", "ncsnr_split2"):
            path = layout.ncsnr(tiny.root, subject)
            bucket.put(manifest.key_of(tiny.root, path.with_name(f"{name}.nii.gz")), path.read_bytes())
        mask = layout.brainmask(tiny.root, subject)
        for path in (layout.valid(tiny.root, subject), *(layout.prf(tiny.root, subject, name) for name in MAPS)):
            bucket.put(manifest.key_of(tiny.root, path), mask.read_bytes())


def test_plan(bucket, tiny, tmp_path):
    put_study(bucket, tiny)
    data = data_section(tiny, bucket, tmp_path / "root", stimuli="all")
    groups = manifest.study_files(data)
    size = {
        name: sum((tiny.root / manifest.key_of(tmp_path / "root", path)).stat().st_size for path in paths)
        for name, paths in groups.items()
        if name != "tables and labels"
    }
    text = plan(data)
    assert f"betas                      3{size['betas'] / 1e3:>9.1f} kB         0 B" in text
    assert f"images                     1{size['images'] / 1e3:>9.1f} kB" in text
    first = groups["betas"][0]
    first.parent.mkdir(parents=True)
    first.write_bytes((tiny.root / manifest.key_of(tmp_path / "root", first)).read_bytes())
    here = first.stat().st_size / 1e3
    assert f"betas                      3{size['betas'] / 1e3:>9.1f} kB{here:>9.1f} kB" in plan(data)
    assert all("list-type" in path for _, path in bucket.proxy.requests), "a plan fetches nothing"
    data = replace(data, subjects={**data.subjects, "subj02": Sessions(sessions=6)})
    with pytest.raises(InputError, match=r"subj02/.*betas_session05.nii.gz: not in the bucket's listing, and 1 more "):
        plan(data)


@pytest.mark.parametrize("line", ["{", "[]", '{"size": 3}', "null"])
def test_a_broken_manifest(tmp_path, line):
    manifest.add_record(tmp_path, {"key": "nsddata/x"})
    with layout.records(tmp_path).open("a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=r"manifest.jsonl: line 2 is not a record"):
        manifest.read_records(tmp_path)


# COCO


def coco_files(root, info):
    """Annotations of two splits: one known object in each of the first images."""
    dog, person = {"name": "dog", "supercategory": "animal"}, {"name": "person", "supercategory": "person"}
    categories = [{"id": 18, **dog}, {"id": 1, **person}]
    for split in ("train2017", "val2017"):
        rows = info[info["cocoSplit"] == split].head(3)
        content = {"categories": categories, "images": [], "annotations": []}
        for row in rows.itertuples():
            content["images"].append({"id": row.cocoId, "width": 640, "height": 480})
        first, second = rows["cocoId"].iloc[:2]
        content["images"].append({"id": 999_999, "width": 10, "height": 10})
        for image, category, box in (
            (first, 1, [160, 120, 160, 240]), (first, 1, [300, 200, 10, 10]), (second, 18, [0, 0, 5, 480]),
            (999_999, 18, [0, 0, 10, 10]),
        ):  # fmt: skip
            content["annotations"].append({"image_id": int(image), "category_id": category, "bbox": box})
        for image in content["images"]:
            image["id"] = int(image["id"])
        (root / f"instances_{split}.json").write_text(json.dumps(content))


@pytest.fixture
def coco(tiny, tmp_path):
    """A stimulus table whose images are landscape and lose an eighth at the left and at the right; annotations."""
    info = pd.read_csv(layout.stim_info(tiny.root))
    info["cropBox"] = "(0, 0, 0.125, 0.125)"
    info.to_csv(tmp_path / "info.csv", index=False)
    coco_files(tmp_path, info)
    return tmp_path, info


@pytest.mark.parametrize("zipped", [False, True])
def test_labels_are_what_the_crop_leaves(coco, zipped):
    folder, info = coco
    annotations = folder
    if zipped:
        annotations = folder / "annotations_trainval2017.zip"
        with zipfile.ZipFile(annotations, "w") as archive:
            for split in ("train2017", "val2017"):
                archive.write(folder / f"instances_{split}.json", f"annotations/instances_{split}.json")
    build_labels(folder / "info.csv", annotations, folder / "labels.parquet")
    table, attrs = read_parquet(folder / "labels.parquet")
    assert list(table.columns) == ["nsd_id", "flagged", "person", "dog"]
    assert table["nsd_id"].tolist() == list(range(340))
    assert attrs["supercategories"] == {"person": "person", "dog": "animal"}
    np.testing.assert_array_equal(table["flagged"], info["flagged"])
    for split in ("train2017", "val2017"):
        first, second, third = info[info["cocoSplit"] == split]["nsdId"].iloc[:3]
        # 160..320 of the crop 80..560 is a third of its width, 120..360 half of its height.
        assert table["person"][first] == pytest.approx(1 / 6)
        assert table["dog"][second] == 0  # all of it was cut off
        assert table.iloc[third, 2:].sum() == 0
    assert (table[["person", "dog"]] > 0).sum().sum() == 2


def test_crop_arithmetic():
    assert crop_box((80, 0, 480, 480), (0, 0, 0.125, 0.125), 640, 480) == (0, 0, 1, 1)
    assert crop_box((0, 100, 40, 60), (0.25, 0.25, 0, 0), 100, 400) == pytest.approx((0, 0, 0.4, 0.3))
    assert crop_box((0, 0, 100, 100), (0.25, 0.25, 0, 0), 100, 400)[1::2] == (0, 0)


@pytest.mark.parametrize("text", ["", "(0, 0, 0.1)", "(0, 0, 0.5, 0.5)", "(0, 0, -0.1, 0)", "open('x')", "(a, 0)", "7"])
def test_bad_crops(text):
    with pytest.raises(InputError, match="cropBox"):
        parse_crop(text)


def test_bad_annotations(coco):
    folder, _ = coco
    cases = {"no such": folder / "none.zip", "not a zip": folder / "info.csv"}
    (folder / "empty").mkdir()
    cases["an empty folder"] = folder / "empty"
    (folder / "broken").mkdir()
    (folder / "broken/instances_train2017.json").write_text("[]")
    cases["a list"] = folder / "broken"
    for path in cases.values():
        with pytest.raises(InputError, match=r"no readable instances_train2017.json"):
            build_labels(folder / "info.csv", path, folder / "labels.parquet")
    with pytest.raises(InputError, match="not the NSD table"):
        build_labels(folder / "instances_val2017.json", folder, folder / "labels.parquet")
    assert not (folder / "labels.parquet").exists()


def test_hashes_of_what_was_fetched(bucket, tiny, mirror, tmp_path):
    put_images(bucket, tiny, tmp_path)
    output = layout.subject_stimuli(mirror, "subj01")
    fetch_stimuli(bucket.server, mirror, "subj01", 3, output)
    record = manifest.read_records(mirror)["neurobust/nsd_stimuli_subj01.hdf5"]
    assert record["sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
    count = len(np.unique(tiny.design.nsd_ids(1, 3)))
    assert record["facts"] == {"contiguous": True, "images": count, "sessions": 3, "shape": [340, 12, 12, 3]}
