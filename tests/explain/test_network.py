"""The table of one network: which images, which rows, and what a job depends on."""

import json
import math
from importlib.metadata import EntryPoint, EntryPoints

import h5py
import numpy as np
import pytest
import torch

from neurobust.core import places
from neurobust.core.errors import InputError
from neurobust.core.io import read_parquet, save_weights
from neurobust.core.places import load
from neurobust.core.settings import options
from neurobust.core.similarity import debiased_cka
from neurobust.core.sources import source_files
from neurobust.explain import measures, network, registry
from neurobust.explain.network import explain_network
from neurobust.explain.registry import ANALYSES, analysis_modules, analysis_passes
from neurobust.files.dataset import read_dataset
from neurobust.networks.architectures import build_network, load_network
from neurobust.predictors.target import load_target

SIZE = 32


@pytest.fixture
def task(tmp_path):
    """A task of 60 random images, 30 of them for testing."""
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "dataset.h5", "w") as file:
        file["images"] = rng.integers(0, 256, (60, SIZE, SIZE, 3), dtype=np.uint8)
        file["labels"] = np.arange(60) % 3
        file["split"] = np.repeat([0, 1, 2], [20, 10, 30]).astype(np.uint8)
        file.attrs.update(classes=json.dumps(["a", "b", "c"]), task="toy", provenance="{}")
    return tmp_path / "dataset.h5"


@pytest.fixture
def model(tmp_path):
    """A network with random weights."""
    torch.manual_seed(0)
    config = {"architecture": "resnet18", "num_classes": 3, "mean": [0.5] * 3, "std": [0.2] * 3, "stem": "cifar",
              "image_size": SIZE}  # fmt: skip
    save_weights(tmp_path / "network.safetensors", build_network(**config).state_dict(), config)
    return tmp_path / "network.safetensors"


@pytest.fixture
def predictors(tmp_path):
    """ROI -> a ridge on pixels with random weights."""
    paths = {}
    for seed, roi in enumerate(("V1", "FFA")):
        generator = torch.Generator().manual_seed(seed)
        state = {"readout.weight": torch.randn(4, 48, generator=generator), "readout.bias": torch.zeros(4)}
        config = {"kind": "ridge", "voxels": {"subj01": 4}, "input_size": SIZE, "inputs": 48,
                  "features": {"name": "pixels", "map_size": 4}}  # fmt: skip
        save_weights(tmp_path / f"{roi}.safetensors", state, config)
        paths[roi] = tmp_path / f"{roi}.safetensors"
    return paths


def test_the_images_are_those_that_the_attacks_look_at(task, model, tmp_path):
    explain_network(task, model, {}, 12, 0, tmp_path / "inside.parquet")
    _, attrs = read_parquet(tmp_path / "inside.parquet")
    examined = read_dataset(task).examined(12)
    assert attrs["images"] == sorted(examined.tolist()) and attrs["n_images"] == 12
    assert set(attrs["images"]) <= set(read_dataset(task).examined(20).tolist()), "more images continue the list"
    with pytest.raises(InputError, match="31 test images to look at, but there are 30; lower `attack_images`"):
        explain_network(task, model, {}, 31, 0, tmp_path / "more.parquet")


@pytest.mark.slow
def test_every_measure_is_that_of_the_pure_functions(task, model, predictors, tmp_path):
    explain_network(task, model, predictors, 16, 3, tmp_path / "inside.parquet", image_batch=5)
    table, attrs = read_parquet(tmp_path / "inside.parquet")
    data = read_dataset(task)
    rows = np.sort(data.examined(16))
    images = torch.from_numpy(data.images[rows]).permute(0, 3, 1, 2) / 255
    trained = load_network(model)
    margin, gradient = measures.margin_gradients(trained, images, torch.from_numpy(data.labels[rows]))
    with torch.no_grad():
        features = trained.features(images)
        responses = [load_target([path])(images) for path in predictors.values()]
    distance, share = measures.linear_distance(margin, gradient), measures.low_frequency_share(gradient, 0.25)
    similarity = [float(debiased_cka(features.double(), part.double())) for part in responses]
    wanted = [
        ("linear distance to the boundary", "", "L2", distance),
        ("low-frequency share of input gradient", "", "", share),
        ("effective dimensionality", "", "dimensions", measures.participation_ratio(features)),
        ("similarity to predictor", "V1", "debiased CKA", similarity[0]),
        ("similarity to predictor", "FFA", "debiased CKA", similarity[1]),
    ]
    assert list(table) == ["measure", "roi", "value", "unit"] and len(table) == len(wanted)
    for row, (measure, roi, unit, value) in zip(table.itertuples(), wanted, strict=True):
        assert (row.measure, row.roi, row.unit) == (measure, roi, unit)
        assert row.value == pytest.approx(value, rel=1e-3, abs=1e-5), measure
    assert attrs["seed"] == 3 and set(attrs["provenance"]["inputs"]) == {
        "dataset", "model", "predictor V1", "predictor FFA",
    }  # fmt: skip


@pytest.mark.slow
def test_what_is_undefined_is_missing(task, model, tmp_path):
    """No image classified correctly: no distance to a boundary."""
    with h5py.File(task, "r+") as file:
        guessed = load_network(model)(torch.from_numpy(file["images"][()]).permute(0, 3, 1, 2) / 255).argmax(1)
        file["labels"][...] = (guessed.numpy() + 1) % 3
    explain_network(task, model, {}, 10, 0, tmp_path / "inside.parquet")
    table, _ = read_parquet(tmp_path / "inside.parquet")
    assert math.isnan(table["value"][0]) and table["value"][1:].notna().all()


@pytest.mark.parametrize("name", list(ANALYSES))
def test_every_analysis_says_what_it_is(name):
    described = ANALYSES[name]
    assert described.measure and described.meaning and described.needs and callable(load(described.run))
    assert all(option.help for option in options(described))


def test_the_price_follows_what_the_analyses_need():
    assert analysis_passes(0) == 4 and analysis_passes(3) == 7


def test_a_job_depends_on_the_analyses_and_on_no_kind_of_predictor_by_itself(project):
    script = project / "workflow/scripts/explain/explain_network.py"
    alone = {path.stem for path in source_files(script)}
    assert not alone & {"analyses", "analyses_settings", "gnet", "fwrf", "linear", "resnet_pcs", "train"}
    named = {path.stem for path in source_files(script, *analysis_modules())}
    assert named >= {"analyses", "analyses_settings", "measures"} and not named & {"gnet", "fwrf", "linear"}


OUTSIDE = '''
from typing import Annotated, ClassVar

from neurobust.core.settings import Positive, about
from neurobust.explain.description import Analysis


class Norm(Analysis, frozen=True):
    """How long features are."""

    run: ClassVar[str] = "outside_analysis:norm"
    measure: ClassVar[str] = "length of features"
    meaning: ClassVar[str] = "mean norm of the penultimate layer"
    needs: ClassVar[tuple[str, ...]] = ("features",)

    power: Annotated[Positive, about("of the norm")] = 2.0


def norm(view, settings):
    return float(view.features.norm(settings.power, 1).mean())
'''


def test_an_analysis_of_another_package_has_its_row(task, model, predictors, tmp_path, monkeypatch):
    (tmp_path / "outside_analysis.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("length", "outside_analysis:Norm", "neurobust.analyses")
    monkeypatch.setattr(places, "registered", lambda: EntryPoints([entry]))
    found = places.Places(ANALYSES._own, "neurobust.analyses")
    for module in (network, registry):
        monkeypatch.setattr(module, "ANALYSES", found)
    assert "outside_analysis" in registry.analysis_modules() and registry.analysis_passes(2) == 6
    explain_network(task, model, predictors, 8, 0, tmp_path / "inside.parquet")
    table, _ = read_parquet(tmp_path / "inside.parquet")
    assert table["measure"].tolist()[2:5] == [
        "effective dimensionality", "length of features", "similarity to predictor",
    ]  # fmt: skip
    assert table["value"][3] > 0
