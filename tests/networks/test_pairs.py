"""Co-training pairs: measured responses to the subjects' stimuli, in the place of a predictor."""

from pathlib import Path

import numpy as np
import pytest
import torch

from neurobust.core.errors import InputError
from neurobust.core.io import load_weights, read_json
from neurobust.files.roi import RoiFile, write_roi
from neurobust.files.stimuli import write_stimuli
from neurobust.networks.conditions import read_recipe
from neurobust.networks.inputs import NetworkInputs, NetworkOutputs
from neurobust.networks.pairs import Pairs, measured_blocks
from neurobust.networks.registry import control_named
from neurobust.networks.train import train_network

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
SPLIT = np.repeat([0, 1, 2], [60, 12, 24]).astype(np.uint8)


def roi_file(subject, responses, nsd_id):
    """An ROI of these responses, without single trials."""
    voxels, zeros = responses.shape[1], np.zeros(responses.shape[1], np.float32)
    return RoiFile(
        subject=subject, roi="V1", atlas="a", labels=("V1",), affine=np.eye(4), shape=(9, 9, 9), responses=responses,
        n_repeats=np.ones(len(nsd_id), np.int16), nsd_id=nsd_id, split=SPLIT,
        single_trials=np.zeros((0, voxels), np.float32), single_trial_nsd_id=np.zeros(0, np.int64), ncsnr=zeros,
        ncsnr_file=zeros, noise_ceiling=zeros, voxel_index=np.arange(voxels), provenance={},
    )  # fmt: skip


def write_subject(folder, subject, voxels, seed, size=16):
    """Stimuli seen by a subject, and responses that are the brightness of image quarters, in other units per voxel."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 120, (120, size, size, 3)).astype(np.uint8)
    half = size // 2
    for row, column in ((0, 0), (0, half), (half, 0)):
        images[:, row : row + half, column : column + half] += rng.integers(0, 130, (120, 1, 1, 1)).astype(np.uint8)
    ids = np.sort(rng.permutation(500)[:120])
    rows = np.sort(rng.permutation(120)[:96])
    quarters = images[rows].reshape(96, 2, half, 2, half, 3).mean((2, 4, 5)).reshape(96, 4)
    responses = (quarters @ rng.normal(size=(4, voxels)) * 3 + 40).astype(np.float32)
    write_roi(folder / f"{subject}.h5", roi_file(subject, responses, ids[rows]))
    write_stimuli(folder / f"{subject}-{size}.h5", ids, size, [images], dict)
    return images[rows], responses


@pytest.fixture
def subjects(tmp_path):
    """Files of two subjects, 3 and 2 voxels, and what is in them."""
    written = [write_subject(tmp_path, name, voxels, k) for k, (name, voxels) in enumerate((("a", 3), ("b", 2)))]
    files = {
        "responses": (tmp_path / "a.h5", tmp_path / "b.h5"),
        "stimuli": (tmp_path / "a-16.h5", tmp_path / "b-16.h5"),
    }
    return files, written


def make(files, control=None, seed=0):
    blocks = measured_blocks(NetworkInputs(Path("dataset.h5"), **files), 16, control_named(control), seed)
    return Pairs(blocks, seed, 20, CPU)


def test_a_batch_is_one_subject_s_training_stimuli_with_its_own_responses(subjects):
    files, written = subjects
    pairs = make(files)
    assert pairs.dim == 5
    seen = set()
    for step in range(6):
        batch = pairs.draw(0, step)
        own = {(0, 3): 0, (3, 5): 1}[batch.columns.start, batch.columns.stop]
        seen.add((step // 2, own))
        images, responses = written[own]
        train = SPLIT == 0
        standard = (responses - responses[train].mean(0)) / responses[train].std(0)
        for pixels, response in zip(batch.pixels, batch.responses, strict=True):
            shown = (pixels.permute(1, 2, 0) * 255).round().numpy().astype(np.uint8)
            (row,) = np.flatnonzero((images == shown).all((1, 2, 3)))
            assert SPLIT[row] == 0
            np.testing.assert_allclose(response, standard[row], atol=1e-4)
    assert len(seen) == 6  # every subject once in each turn
    again = make(files).draw(0, 3)
    assert torch.equal(again.pixels, pairs.draw(0, 3).pixels)
    assert not torch.equal(pairs.draw(1, 3).pixels[:2], pairs.draw(0, 3).pixels[:2])


def test_shuffled_pairs_have_the_same_responses_of_other_images(subjects):
    files, _ = subjects
    own, shuffled = (make(files, control).blocks[0] for control in (None, "shuffled"))
    for part in range(3):
        rows = own.split == part
        np.testing.assert_array_equal(np.sort(own.responses[rows], 0), np.sort(shuffled.responses[rows], 0))
    assert (own.responses != shuffled.responses).all(1).mean() > 0.95


def recipe_for(recipe, **condition):
    return {**recipe, "condition": {"target": "V1", "loss": "mse", "weight": 0.8, "pairs": True, **condition}}


def train(folder, dataset, recipe, files):
    folder.mkdir(exist_ok=True)
    paths = folder / "m.safetensors", folder / "m.json", folder / "h.parquet"
    train_network(NetworkInputs(dataset, **files), read_recipe(recipe), 0, NetworkOutputs(*paths), {"condition": "V1"})
    return load_weights(paths[0])[0], read_json(paths[1])


def test_the_network_learns_to_predict_measured_responses(tmp_path, dataset, recipe, subjects):
    files, _ = subjects
    recipe |= {"epochs": 60, "learning_rate": 0.02}
    state, metrics = train(tmp_path / "own", dataset, recipe_for(recipe), files)
    _, shuffled = train(tmp_path / "shuffled", dataset, recipe_for(recipe, control="shuffled"), files)
    assert metrics["alignment"] > 0.5 > 0.35 > abs(shuffled["alignment"])
    assert metrics["target_dim"] == 5 == len(state["neural_head.weight"])
    assert {"responses0", "stimuli1"} <= set(metrics["provenance"]["inputs"])
    assert metrics["clean_accuracy"] > 0.8


def test_files_that_do_not_fit_are_named(tmp_path, dataset, recipe, subjects):
    files, _ = subjects
    with pytest.raises(InputError, match=r"recipe\.condition\.pairs"):
        train(tmp_path / "run", dataset, recipe_for(recipe), {})
    write_subject(tmp_path, "c", 2, 5, size=32)
    with pytest.raises(InputError, match=r"c-32\.h5: images of 32 px for a task of 16 px"):
        make({"responses": (tmp_path / "c.h5",), "stimuli": (tmp_path / "c-32.h5",)})
    with pytest.raises(InputError, match=r"b-16\.h5: no picture for nsd_id"):
        make({"responses": files["responses"][:1], "stimuli": files["stimuli"][1:]})
    with pytest.raises(InputError, match=r"condition\.control.*pairs.*shuffled"):
        read_recipe(recipe_for(recipe, control="gaussian"))
