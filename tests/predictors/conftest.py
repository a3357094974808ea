import h5py
import numpy as np
import pytest

from neurobust.files.roi import RoiFile, write_roi
from neurobust.predictors.data import SubjectData
from neurobust.predictors.registry import read_predictor

SIZE = 48


def make_subject(name="subj01", images=60, voxels=5, seed=0, size=SIZE):
    """A subject whose voxels are the mean brightness of image quadrants, plus noise."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 256, (images, size, size, 3), dtype=np.uint8)
    half = size // 2
    quadrants = np.stack(
        [pictures[:, a : a + half, b : b + half].mean((1, 2, 3)) for a in (0, half) for b in (0, half)], 1
    )
    signal = (quadrants - quadrants.mean(0)) / quadrants.std(0)
    responses = (signal[:, np.arange(voxels) % 4] + 0.1 * rng.normal(size=(images, voxels))).astype(np.float32)
    split = np.repeat([0, 1, 2], [images - 20, 10, 10]).astype(np.uint8)
    test = np.flatnonzero(split == 2)
    return SubjectData(
        subject=name, images=pictures, row=np.arange(images), responses=responses,
        n_repeats=rng.integers(1, 4, images).astype(np.int16), split=split, nsd_id=np.arange(images) * 3,
        voxel_index=np.arange(voxels), ncsnr=np.full(voxels, 1.0), noise_ceiling=np.full(voxels, 75.0),
        single_trials=np.repeat(responses[test], 2, 0), single_trial_nsd_id=np.repeat(test * 3, 2),
    )  # fmt: skip


@pytest.fixture
def subject():
    return make_subject()


@pytest.fixture
def settings():
    return {
        "kind": "gnet", "input_size": SIZE, "prefilter": "gabor", "finetune_prefilter": False,
        "prefilter_channels": [8, 12], "trunk_width": 4, "dropout": 0.5, "learning_rate": 1e-3, "batch_size": 8,
        "epochs": 3, "patience": 3, "l1": 0.1, "weight_floor": 0.1,
    }  # fmt: skip


def write_files(folder, data, trials=False):
    """`data` as the pipeline's files: (ROI file, stimuli file)."""
    folder.mkdir(parents=True, exist_ok=True)
    roi, stimuli = folder / "roi.h5", folder / "stimuli.h5"
    affine = np.array([[-1.8, 0, 0, 20], [0, 1.8, 0, -30], [0, 0, 1.8, -10], [0, 0, 0, 1]])
    names = ("subject", "responses", "n_repeats", "split", "nsd_id", "voxel_index", "ncsnr", "noise_ceiling",
             "single_trials", "single_trial_nsd_id", "trials", "trial_nsd_id")  # fmt: skip
    found = RoiFile(
        roi="V1", atlas="a", labels=("V1",), affine=affine, shape=(5, 7, 4), ncsnr_file=data.ncsnr, provenance={},
        **{name: getattr(data, name) for name in names},
    )  # fmt: skip
    write_roi(roi, found)
    with h5py.File(stimuli, "w") as file:
        file["images"], file["nsd_id"] = data.images, data.nsd_id
    return roi, stimuli


@pytest.fixture
def write_subject(tmp_path):
    """A function: write a subject's files below tmp_path, return (ROI file, stimuli file)."""
    return lambda data, name=None: write_files(tmp_path / (name or data.subject), data)


@pytest.fixture
def subject_maker():
    return make_subject


MAPS = {"input_size": SIZE, "map_size": 8, "alphas": [0.1, 10, 1000]}
FIELDS = {**MAPS, "field_sizes": [1.0, 2.0], "field_spacing": 1.0}
KINDS = {
    "gnet": {},
    "published": {"schedule": "published", "batch_size": 20, "epochs": 2},
    "resnet-pcs": {"kind": "resnet-pcs", "input_size": SIZE, "architecture": "resnet18", "variance": 0.95,
                   "learning_rate": 1e-3, "weight_decay": 5e-4, "batch_size": 20, "epochs": 1},
    "gabor-fwrf": {"kind": "gabor-fwrf", "frequencies": [3, 6], "orientations": 2, **FIELDS},
    "cnn-fwrf": {"kind": "cnn-fwrf", "network": "squeezenet1_1", "weights": "random", "layers": ["features.2"],
                 "channels": 6, **FIELDS},
    "core": {"kind": "core", "core": "torchvision/squeezenet1_1", "weights": "random", "layers": ["features.2"],
             "readout": "fwrf", "channels": 6, **FIELDS},
    "ridge": {"kind": "ridge", "features": "pixels", "folds": 3, **MAPS},
}  # fmt: skip


@pytest.fixture
def read():
    """A function: the predictor that some settings describe."""
    return lambda settings: read_predictor("other", settings)


def settings_of(name, settings):
    """Tiny settings of one of KINDS; `settings` are those of G-net."""
    changes = KINDS[name]
    if name == "published":
        return {k: v for k, v in settings.items() if k != "patience"} | changes
    return settings | changes if name == "gnet" else dict(changes)


@pytest.fixture(params=list(KINDS))
def kind_settings(request, settings):
    """Tiny settings of every kind."""
    return settings_of(request.param, settings)


@pytest.fixture
def every_kind(settings):
    """Tiny settings of all kinds."""
    return [settings_of(name, settings) for name in KINDS]
