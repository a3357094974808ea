"""Every analysis of a predictor from files to files, on a predictor whose answers are known."""

from pathlib import Path
from types import SimpleNamespace

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest
import torch

from neurobust.core.errors import InputError
from neurobust.core.io import save_weights, write_parquet
from neurobust.core.settings import options
from neurobust.explain.measured import SubjectFiles, read_measured
from neurobust.explain.predictor import PredictorFiles, explain_predictor, predictor_files
from neurobust.explain.registry import ANALYSES, of_scope
from neurobust.files.explained import arrays_path, read_explained, read_explained_arrays
from neurobust.files.predictor_tables import write_voxels
from neurobust.files.roi import RoiFile, write_roi
from neurobust.files.splits import VALIDATION

SIDE, CELLS, COUNT, SHAPE = 16, 4, 60, (4, 4, 3)
VOXELS = {"subj01": [5, 6, 9, 10, 0, 3], "subj02": [12, 15, 5, 10]}  # which cell of 4 x 4 each voxel reads
ANALYSES_HERE = list(of_scope(ANALYSES, "predictor"))
CELLS_READ = [cell for cells in VOXELS.values() for cell in cells]
NAMES = {"V1": VOXELS, "copy": VOXELS}


def weights():
    """A voxel is the mean brightness of its cell: (voxels, 3 * 16), channel by channel."""
    found = np.zeros((sum(map(len, VOXELS.values())), 3, CELLS**2))
    for v, cell in enumerate(CELLS_READ):
        found[v, :, cell] = 1 / 3
    return found.reshape(len(found), -1)


def cell_centre(cell):
    """x, y of a cell in degrees."""
    row, column = divmod(cell, CELLS)
    at = (np.array([column, row]) + 0.5) / CELLS * 2 - 1
    return at[0] * 4.2, -at[1] * 4.2


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files of two subjects, of whom the second saw 50 of 60 held-out images; a predictor that is right but for noise
    in the responses; two concepts, of which the first is a bright cell 5."""
    folder, rng = tmp_path_factory.mktemp("predictor"), np.random.default_rng(0)
    images = rng.integers(60, 190, (COUNT, 4, 4, 3), dtype=np.uint8).repeat(4, 1).repeat(4, 2)
    bright = np.arange(COUNT) % 3 == 0
    images[bright, 4:8, 4:8] = 240
    truth = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    truth = torch.nn.functional.adaptive_avg_pool2d(truth, CELLS).flatten(1).numpy() @ weights().T
    measured = {name: {} for name in NAMES}
    start, tables, maps = 0, [], []
    for subject, cells in VOXELS.items():
        saw = np.arange(COUNT if subject == "subj01" else 50)
        own = truth[saw, start : start + len(cells)]
        responses = (own - own.mean(0)) / own.std(0) + 0.2 * rng.normal(size=own.shape)
        index = np.arange(len(cells)) * 3 + 1
        for roi in NAMES:
            write_roi(folder / f"{subject}_{roi}.h5", roi_file(subject, roi, saw, responses, index))
        with h5py.File(folder / f"{subject}.h5", "w") as file:
            file["images"], file["nsd_id"] = images[saw], saw * 2
        x, y = np.array([cell_centre(cell) for cell in cells]).T
        tables.append(
            pd.DataFrame({"subject": subject, "voxel_index": index, "field_x": x, "field_y": y, "field_size": 1.0})
        )
        maps.append(prf_volumes(folder, subject, index, x, y))
        start += len(cells)
    for roi in NAMES:
        measured[roi] = [SubjectFiles(folder / f"{s}_{roi}.h5", folder / f"{s}.h5") for s in VOXELS]
    write_voxels(folder / "voxels.parquet", pd.concat(tables, ignore_index=True), {})
    shown = pd.DataFrame({"nsd_id": np.arange(COUNT) * 2, "bright": bright * 1.0, "even": (np.arange(COUNT) % 2) * 1.0})
    write_parquet(folder / "labels.parquet", shown, {})
    config = {"kind": "ridge", "voxels": {s: len(c) for s, c in VOXELS.items()}, "input_size": SIDE, "inputs": 48,
              "features": {"name": "pixels", "map_size": CELLS}}  # fmt: skip
    state = {"readout.weight": torch.from_numpy(weights()).float(), "readout.bias": torch.zeros(10)}
    save_weights(folder / "model.safetensors", state, config)
    return PredictorFiles(
        folder / "model.safetensors", folder / "voxels.parquet", measured, folder / "labels.parquet", maps
    )  # fmt: skip


def roi_file(subject, roi, saw, responses, index):
    count, voxels = responses.shape
    return RoiFile(
        subject=subject, roi=roi, atlas="a", labels=("V1",), affine=np.eye(4), shape=SHAPE, provenance={},
        responses=responses.astype(np.float32), n_repeats=np.full(count, 3, np.int16), nsd_id=saw * 2,
        split=np.full(count, 2, np.uint8), single_trials=responses.astype(np.float32), single_trial_nsd_id=saw * 2,
        ncsnr=np.ones(voxels, np.float32), ncsnr_file=np.ones(voxels, np.float32),
        noise_ceiling=np.full(voxels, 80, np.float32), voxel_index=index,
    )  # fmt: skip


def prf_volumes(folder, subject, index, x, y):
    """The three maps of a subject, NaN where there is no voxel of the ROI; sizes grow with the voxel."""
    values = (np.degrees(np.arctan2(y, x)) % 360, np.hypot(x, y), 1.0 + 0.05 * np.arange(len(x)))
    paths = []
    for name, part in zip(("angle", "eccentricity", "size"), values, strict=True):
        volume = np.full(np.prod(SHAPE), np.nan, np.float32)
        volume[index] = part
        paths.append(folder / f"{subject}_{name}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(volume.reshape(SHAPE), np.eye(4)), paths[-1])
    return paths


@pytest.fixture(scope="module")
def found(files, tmp_path_factory):
    """The table and record of each analysis, and the folder."""
    folder = tmp_path_factory.mktemp("explained")
    explain_predictor(files, "V1", {name: {} for name in ANALYSES_HERE}, 100, 0, folder, image_batch=17)
    return {name: read_explained(folder / f"{name}.parquet") for name in ANALYSES_HERE}, folder


def value(found, name, measure, layer="", roi=""):
    frame = found[0][name][0]
    rows = frame[(frame["measure"] == measure) & (frame["layer"] == layer) & (frame["roi"] == roi)]
    assert len(rows) == 1, (name, measure, layer)
    return rows.iloc[0]


@pytest.mark.parametrize("name", ANALYSES_HERE)
def test_every_analysis_says_what_it_is(name, found):
    facts = ANALYSES[name]
    assert facts.title and facts.meaning and facts.measures and facts().passes() >= 0
    assert all(option.help for option in options(facts))
    frame, record = found[0][name]
    assert record.lacking is None and record.analysis == name and record.seed == 0
    assert set(frame["measure"]) <= set(facts.measures)
    assert facts().leaves_arrays == arrays_path(found[1] / f"{name}.parquet").exists()


def test_fields_and_occlusion_lie_on_the_pr_fs(found):
    assert value(found, "fields", "r of x")["value"] == pytest.approx(1) == value(found, "fields", "r of y")["value"]
    assert value(found, "fields", "centre error")["value"] == pytest.approx(0, abs=1e-4)
    for axis in ("x", "y"):
        assert value(found, "attribution", f"r of {axis}, occluded")["value"] > 0.95
    row = value(found, "attribution", "mass ratio")
    assert row["value"] > 1.5 and row["low"] < 1.2


def test_fragility_is_that_of_the_closed_form(files, found):
    """Cells do not overlap, but for voxels that read the same one. L∞: every voxel moves by the change itself."""
    from neurobust.predictors.target import load_target

    images = torch.cat([torch.from_numpy(h5py.File(files.measured["V1"][0].stimuli)["images"][()])])
    with torch.no_grad():
        scale = load_target([files.model])(images.permute(0, 3, 1, 2).float() / 255).std(0).double().numpy()
    jacobian = np.repeat(weights(), 1, 0) / scale[:, None] / 4  # 16 pixels a cell: a unit vector moves its mean by 1/4
    largest = np.linalg.svd(jacobian, compute_uv=False)[0]
    assert value(found, "fragility", "smallest change, L2")["value"] == pytest.approx(10**0.5 / largest, rel=0.05)
    assert value(found, "fragility", "largest gain")["value"] == pytest.approx(largest / 10**0.5, rel=0.05)
    wanted = 255 / np.sqrt(np.mean(1 / scale**2))
    assert value(found, "fragility", "smallest change, L∞")["value"] == pytest.approx(wanted, rel=0.05)
    assert value(found, "fragility", "random change, L∞")["value"] > 2 * wanted


def test_concepts_versions_layers_and_transfer(found):
    assert value(found, "concepts", "predicted AUC", "bright")["n_images"] == 20
    arrays = read_explained_arrays(found[1] / "concepts.parquet")
    assert arrays["names"].tolist() == ["bright", "even"]
    reads_five = np.array(CELLS_READ) == 5
    assert (arrays["predicted"][0][reads_five] == 1).all() and (arrays["measured"][0][reads_five] > 0.95).all()
    assert np.abs(arrays["measured"][0][~reads_five] - 0.5).max() < 0.35
    intact = value(found, "shifted", "r on a version", "intact")["value"]
    assert intact > 0.95 and abs(value(found, "shifted", "r on a version", "another image")["value"]) < 0.4
    assert value(found, "tuning", "r of the layer alone", "map 1")["value"] == pytest.approx(intact)
    assert value(found, "tuning", "r of all but the layer", "map 1")["value"] == 0
    assert not len(found[0]["transfer"][0])  # fixed features are no core


def test_most_exciting_images_excite_more_than_nature(found):
    rows = [value(found, "exciting", f"response to {what}", "mean over voxels")["value"] for what in (
        "the most exciting image", "the best natural image", "noise")]  # fmt: skip
    assert rows[0] > rows[1] and rows[0] > rows[2]
    arrays = read_explained_arrays(found[1] / "exciting.parquet")
    assert arrays["natural"].shape == (3, SIDE, SIDE, 3) and arrays["mean over voxels"].max() <= 1


def test_what_is_not_known_is_said(files, tmp_path):
    bare = PredictorFiles(files.model, files.voxels, {"V1": files.measured["V1"]})
    explain_predictor(bare, "V1", {"fields": {}, "concepts": {}, "transfer": {}, "attribution": {}}, 100, 0, tmp_path)
    for name in ("fields", "concepts", "transfer"):
        frame, record = read_explained(tmp_path / f"{name}.parquet")
        assert not len(frame) and record.lacking
    assert len(read_explained_arrays(tmp_path / "attribution.parquet")["images"]) == 4


def test_a_rules_inputs_are_sorted_by_roi_and_subject():
    inputs = SimpleNamespace(
        model="m", voxels="v", responses=["a V1", "b V1", "a LO", "b LO"], stimuli=["a", "b"], labels=[],
        prfs=["a 1", "a 2", "a 3", "b 1", "b 2", "b 3"],
    )  # fmt: skip
    found = predictor_files(["V1", "LO"], inputs)
    assert found.measured["LO"] == [SubjectFiles(Path("a LO"), Path("a")), SubjectFiles(Path("b LO"), Path("b"))]
    assert found.prf_maps == [[Path(f"{s} {k}") for k in (1, 2, 3)] for s in "ab"] and found.labels is None
    assert predictor_files(["V1"], SimpleNamespace(**{**vars(inputs), "responses": [], "prfs": []})).prf_maps == []


def test_a_split_that_nobody_saw_is_named(files):
    with pytest.raises(InputError, match=r"subj01_V1\.h5: no subject saw an image of split 1 \(0 train, 1 validation"):
        read_measured(files.measured["V1"], SIDE, torch.device("cpu"), VALIDATION)
