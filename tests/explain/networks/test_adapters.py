"""From a bench to tables: every analysis of a network has the rows of its description, and they are the functions'."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from neurobust.core.errors import InputError
from neurobust.core.io import save_weights
from neurobust.core.places import load
from neurobust.explain.bench import findings_of, frame_of
from neurobust.explain.measured import Measured
from neurobust.explain.network_bench import Compared, NetworkBench
from neurobust.explain.networks import fourier, saliency, similarity
from neurobust.explain.networks.settings import Fourier, Humans, LayerSimilarity, Perturbations
from neurobust.explain.registry import ANALYSES
from neurobust.files.dataset import Source, Twins, read_dataset, write_dataset
from neurobust.files.examples import Examples, write_examples
from neurobust.networks.architectures import build_network

SIDE, CLASSES, COUNT = 16, 4, 64
NEW = ("layers", "fourier", "perturbations", "geometry", "jacobian", "cue-bias", "saliency", "calibration")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A task whose cue is the red of the upper left corner, an ROI's predictor, and what two attacks stored."""
    path, rng = tmp_path_factory.mktemp("bench"), np.random.default_rng(0)
    labels, cue = np.arange(COUNT) % CLASSES, (np.arange(COUNT) + 1 + np.arange(COUNT) // 4 % 3) % CLASSES
    images = rng.integers(60, 180, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
    masks = np.zeros((COUNT, SIDE, SIDE), bool)
    masks[:, 4:10, 5:12] = True
    twins = []
    for shown in (labels, rng.integers(0, CLASSES, COUNT), cue):
        twin = images.copy()
        twin[:, :4, :4, 0] = 60 * shown[:, None, None]
        twins.append(twin)
    split = np.repeat([0, 1, 2], [8, 8, COUNT - 16]).astype(np.uint8)
    source = Source(
        labels, split, list("abcd"), (SIDE, SIDE), iter([twins[0]]), dict,
        twins=Twins(labels, twins[1], twins[2], cue), masks=masks,
    )  # fmt: skip
    write_dataset(path / "dataset.h5", "toy", source, {})
    generator = torch.Generator().manual_seed(1)
    state = {"readout.weight": torch.randn(6, 48, generator=generator), "readout.bias": torch.zeros(6)}
    config = {"kind": "ridge", "voxels": {"subj01": 6}, "input_size": SIDE, "inputs": 48,
              "features": {"name": "pixels", "map_size": 4}}  # fmt: skip
    save_weights(path / "LO.safetensors", state, config)
    clean = (twins[0][-8:] / 255).astype(np.float32)
    noise = rng.normal(0, 0.1, clean.shape).astype(np.float32)
    adversarial = {"near": clean + 0.1 * noise, "far": clean + noise}
    adversarial["far"][0] = np.nan
    rows = np.arange(COUNT - 8, COUNT)
    write_examples(
        path / "examples.npz", Examples(rows, labels[-8:], clean, adversarial, dict.fromkeys(adversarial, labels[-8:]))
    )
    return path


class Planted(NetworkBench):
    """Stimuli of two subjects whose responses are a layer of the network, with noise."""

    @property
    def stimuli(self):
        images = torch.rand(48, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
        with torch.no_grad():
            signal = self.layers_of(images)["layer2"]
        signal = (signal - signal.mean(0)) / signal.std(0).clamp_min(1e-6)
        responses = (signal + torch.randn(signal.shape, generator=torch.Generator().manual_seed(3))).numpy()
        responses[:5, 100:] = np.nan
        subject = np.array(["subj01"] * 100 + ["subj02"] * (signal.shape[1] - 100))
        ceiling = np.full(signal.shape[1], 50.0, np.float32)
        return {"LO": Measured(images, np.arange(48), responses, ceiling, subject, np.arange(len(subject)))}


@pytest.fixture(scope="module")
def bench(folder):
    torch.manual_seed(0)
    network = build_network("small", CLASSES, image_size=SIDE).eval().requires_grad_(False)
    data = read_dataset(folder / "dataset.h5")
    compared = Compared({"LO": folder / "LO.safetensors"}, {"LO": ()}, folder / "examples.npz")
    return Planted(network, data, np.sort(data.examined(40)), compared, 0, torch.device("cpu"), 16)


@pytest.mark.parametrize("name", NEW)
def test_every_measure_of_the_description_has_a_row(bench, name):
    settings = ANALYSES[name]()
    found = findings_of(bench, settings)
    frame = frame_of(found, settings)
    assert set(frame["measure"]) == set(settings.measures)
    assert (frame[frame["measure"] != "confidence under attack"]["n_images"] > 0).all()
    undefined = {"frequency of errors", "CKA ceiling", "confidence under attack", "cue bias"}
    assert frame[~frame["measure"].isin(undefined)]["value"].notna().all()
    assert bool(found.arrays) == settings.arrays


def test_the_planted_layer_is_the_most_like_the_brain(bench):
    frame = frame_of(findings_of(bench, LayerSimilarity()), LayerSimilarity())
    brain = frame[frame["measure"] == "CKA with the brain"].set_index("layer")["value"]
    assert list(brain.index) == list(bench.layers) and brain.idxmax() == "layer2"
    limit = frame[frame["measure"] == "CKA ceiling"]["value"].iloc[0]
    assert 0.2 < brain["layer2"] < limit + 0.1, "the signal is the layer's, each channel of variance 1"
    own = frame[frame["measure"] == "CKA with the predictor"].set_index("layer")
    exact = similarity.kernel_cka(*(similarity.kernel(x) for x in (bench.features, bench.predictors["LO"])))
    assert own["value"]["penultimate"] == pytest.approx(exact) and (own["low"] < own["value"]).all()


class Reader(nn.Module):
    """Four classes read off the red of the upper left corner (`cue`), or off the middle's mean (`object`)."""

    def __init__(self, rows, columns, levels):
        super().__init__()
        self.rows, self.columns, self.levels = rows, columns, torch.tensor(levels)

    def forward(self, x):
        return -20 * (x[:, :1, self.rows, self.columns].mean((1, 2, 3))[:, None] - self.levels).square()


def test_a_network_that_reads_the_corner_is_one_on_the_cue_and_looks_beside_the_object(bench, folder):
    data = bench.dataset
    corner = Reader(slice(0, 4), slice(0, 4), [60 * k / 255 for k in range(CLASSES)])
    alone = NetworkBench(corner, data, bench.rows, bench.compared, 0, bench.device)
    bias = {row.measure: row for row in findings_of(alone, ANALYSES["cue-bias"]()).rows}
    assert bias["cue bias"].value == 1 and bias["read as the shape"].value == 0 and bias["cue bias"].low > 0.9
    looks = {row.measure: row.value for row in findings_of(alone, ANALYSES["saliency"](blur=0.0)).rows}
    assert looks["saliency on the object"] == 0 and looks["pointing game"] == 0
    assert looks["area of the object"] == pytest.approx(42 / 256)
    middle = Reader(slice(4, 10), slice(5, 12), [0.3, 0.45, 0.5, 0.6])
    there = NetworkBench(middle, data, bench.rows, bench.compared, 0, bench.device)
    looks = {row.measure: row.value for row in findings_of(there, ANALYSES["saliency"](blur=0.0)).rows}
    assert looks["saliency on the object"] == pytest.approx(1) and looks["pointing game"] == 1


def test_a_task_without_masks_or_a_known_cue_has_no_such_rows(bench, folder):
    from dataclasses import replace

    bare = replace(bench, dataset=replace(bench.dataset, masks=None, conflict_cue=None))
    assert {row.measure for row in findings_of(bare, ANALYSES["saliency"]()).rows} == {"shared saliency"}
    assert not findings_of(bare, ANALYSES["cue-bias"]()).rows


def test_untrained_weights_are_at_chance(folder, bench):
    """Control: ten networks with random weights have no cue bias and do not point at the object."""
    biases, decided = 0.0, 0
    for seed in range(10):
        torch.manual_seed(100 + seed)
        network = build_network("small", CLASSES, image_size=SIDE).eval().requires_grad_(False)
        alone = NetworkBench(network, bench.dataset, bench.rows, bench.compared, 0, bench.device)
        found = findings_of(alone, ANALYSES["cue-bias"]()).rows[0]
        biases, decided = biases + (found.value * found.n_images if found.n_images else 0), decided + found.n_images
    assert abs(biases / decided - 0.5) < 4 * 0.5 / math.sqrt(decided)


def test_the_map_is_that_of_the_first_images_and_its_array_is_mirrored(bench):
    found = findings_of(bench, Fourier(images=5, grid=4))
    exact = fourier.fourier_map(bench.network, bench.images[:5], bench.labels[:5], 1.0, 4)
    assert found.arrays["error"] == pytest.approx(fourier.mirrored(exact.frequencies, exact.error, (SIDE, SIDE)))
    assert found.arrays["clean"] == pytest.approx(exact.clean)
    assert (found.arrays["reach"] == -8).all() and found.rows[0].n_images == 5


def test_perturbations_are_those_of_one_attack_or_of_all_that_are_stored(bench):
    one, both = (findings_of(bench, Perturbations(attack=name)).rows[0] for name in ("far", "transfer"))
    assert one.n_images == 7 and both.n_images == 15
    assert abs(one.value) < 0.3, "white noise has no slope"
    assert findings_of(bench, Perturbations()).arrays["power"].shape == (SIDE, SIDE)


def test_the_predictors_saliency_is_its_own(bench):
    rows = findings_of(bench, ANALYSES["saliency"](images=20, draws=8, blur=0.0)).rows
    shared = next(row for row in rows if row.measure == "shared saliency")
    assert shared.roi == "LO" and shared.n_images == 20
    assert abs(shared.value) < 0.05, "the linear predictor looks at the same place of every image"
    maps = saliency.saliency(bench.gradient)
    assert maps.shape == (40, SIDE, SIDE)


def test_stimuli_and_trials_of_others_are_read(bench, tmp_path):
    from PIL import Image

    settings = Humans(stimuli=str(tmp_path), trials=str(tmp_path / "trials.csv"))
    with pytest.raises(InputError, match="no images there"):
        findings_of(bench, settings)
    rng, lines = np.random.default_rng(0), ["subj,object_response,category,condition,imagename"]
    for k in range(12):
        name = f"{'abcd'[k % 4]}{k}-{'abcd'[(k + 1) % 4]}1.png"
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(tmp_path / name)
        lines += [f"s{s},{'abcd'[k % 4] if (k + s) % 3 else 'x'},{'abcd'[k % 4]},0,{name}" for s in range(2)]
    (tmp_path / "trials.csv").write_text("\n".join(lines))
    found = {row.measure: row for row in findings_of(bench, settings).rows}
    assert set(found) == set(Humans.measures)
    assert found["consistency of humans"].value == pytest.approx((4 / 12 - 5 / 9) / (1 - 5 / 9))
    assert not findings_of(bench, Humans()).rows
    numbered = [
        line.replace(",0,", f",0,{k:04}_cue_p{line[1]}_") if k else line for k, line in enumerate(lines)
    ]  # as published: another prefix in each row
    (tmp_path / "trials.csv").write_text("\n".join(numbered[:-6]))
    again = {row.measure: row for row in findings_of(bench, settings).rows}
    assert again["consistency with humans"].n_images == again["consistency of humans"].n_images == 9
    assert found["consistency with humans"].n_images == 12
    (tmp_path / "trials.csv").write_text("\n".join(lines).replace(".png", ".jpg"))
    with pytest.raises(InputError, match=r"trials\.csv: none of its images \(a0-b1\.jpg, \.\.\.\) is in"):
        findings_of(bench, settings)
    (tmp_path / "trials.csv").write_text("\n".join([lines[0], *(f"{line},more" for line in lines[1:])]))
    with pytest.raises(InputError, match="more entries than the header"):
        findings_of(bench, settings)
    with pytest.raises(InputError, match=r"no column 'subj'"):
        (tmp_path / "trials.csv").write_text("a\n1\n")
        findings_of(bench, settings)


@pytest.mark.parametrize("name", NEW)
def test_descriptions_import_no_torch_and_say_how_to_read(name):
    described = ANALYSES[name]
    assert len(described.meaning) > 150 and described().passes() > 0 and callable(load(described.run))
