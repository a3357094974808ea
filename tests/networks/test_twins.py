"""Tasks whose images bear a cue: what a reader hands over, what the file keeps, and one line for what does not fit."""

import h5py
import numpy as np
import pytest

from neurobust.core.errors import InputError
from neurobust.files.dataset import TWINS, read_dataset
from neurobust.networks.registry import read_task
from neurobust.networks.tasks.prepare import prepare_task

SHAPE = (24, 16, 16, 3)


def twins_of(count=24, classes=4):
    rng = np.random.default_rng(3)
    pictures = rng.integers(0, 256, (2, count, *SHAPE[1:]), dtype=np.uint8)
    found = {"cue": rng.integers(0, classes, count), "random_cue": pictures[0], "conflict": pictures[1]}
    return found | {"conflict_cue": rng.integers(0, classes, count)}


def prepare(path, write_scenes, **changes):
    source = write_scenes(path / "scenes.npz", **changes)
    prepare_task("scenes", read_task({"kind": "phantom-scenes"}, "tasks"), path / "dataset.h5", source)
    return path / "dataset.h5"


def test_twins_make_the_round_trip(tmp_path, write_scenes):
    twins = twins_of()
    data = read_dataset(prepare(tmp_path, write_scenes, **twins))
    for name in (*TWINS, "conflict_cue"):
        assert np.array_equal(getattr(data, name), twins[name])
    assert data.cue.dtype == np.int64 and data.random_cue.dtype == data.conflict.dtype == np.uint8
    assert isinstance(data.random_cue, np.memmap) and isinstance(data.conflict, np.memmap)


def test_a_task_without_a_cue_has_no_twins_and_no_arrays(tmp_path, write_scenes):
    path = prepare(tmp_path, write_scenes)
    data = read_dataset(path)
    assert (data.cue, data.random_cue, data.conflict) == (None, None, None)
    with h5py.File(path) as file:
        assert not set(TWINS) & set(file)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"conflict": twins_of(23)["conflict"]}, r"task 'scenes': conflict is uint8 \(23, 16, 16, 3\), not uint8 \(24"),
        ({"random_cue": twins_of()["random_cue"].astype(np.float32)}, "random_cue is float32"),
        ({"cue": twins_of()["cue"] + 1}, "cue is not one of 4 classes for each of 24 images"),
        ({"cue": twins_of()["cue"][:5]}, "cue is not one of 4 classes for each of 24 images"),
        ({"conflict_cue": twins_of()["cue"] + 1}, "conflict_cue is not one of 4 classes for each of 24 images"),
        ({"mask": np.ones((24, 16, 8), bool)}, r"masks are bool \(24, 16, 8\), not bool \(24, 16, 16\)"),
    ],
)
def test_twins_that_do_not_fit_are_refused(tmp_path, write_scenes, changes, words):
    with pytest.raises(InputError, match=words) as error:
        prepare(tmp_path, write_scenes, **{**twins_of(), **changes})
    assert "\n" not in str(error.value) and not (tmp_path / "dataset.h5").exists()


def test_masks_make_the_round_trip(tmp_path, write_scenes):
    masks = np.random.default_rng(4).random(SHAPE[:3]) < 0.3
    assert np.array_equal(read_dataset(prepare(tmp_path, write_scenes, mask=masks)).masks, masks)
    assert read_dataset(prepare(tmp_path, write_scenes)).masks is None


@pytest.mark.parametrize("left", [0, 0.5, 0.99])
def test_a_source_that_is_cut_off_is_refused(tmp_path, write_scenes, left):
    def cut(path, **changes):
        whole = write_scenes(path, **changes).read_bytes()
        path.write_bytes(whole[: int(left * len(whole))])
        return path

    with pytest.raises(InputError, match=r"scenes\.npz: not a readable phantom task"):
        prepare(tmp_path, cut)


def test_a_source_that_lacks_a_twin_is_refused(tmp_path, write_scenes):
    with pytest.raises(InputError, match=r"scenes\.npz: not a readable phantom task") as error:
        prepare(tmp_path, write_scenes, cue=twins_of()["cue"])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("missing", TWINS)
def test_a_file_that_lacks_a_twin_is_refused(tmp_path, write_scenes, missing):
    path = prepare(tmp_path, write_scenes, **twins_of())
    with h5py.File(path, "a") as file:
        del file[missing]
    with pytest.raises(InputError, match=rf"dataset\.h5: has '\w+' but no '{missing}'; delete it") as error:
        read_dataset(path)
    assert "\n" not in str(error.value)


def test_a_file_whose_twins_have_another_shape_is_refused(tmp_path, write_scenes):
    path = prepare(tmp_path, write_scenes, **twins_of())
    with h5py.File(path, "a") as file:
        del file["conflict"]
        file["conflict"] = twins_of()["conflict"][:, :8]
    with pytest.raises(InputError, match=r"dataset\.h5: conflict is uint8 \(24, 8, 16, 3\)"):
        read_dataset(path)
