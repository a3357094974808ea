"""The tables of one network: which images, which rows, and what a job depends on."""

import json
import math
from importlib.metadata import EntryPoint, EntryPoints

import h5py
import numpy as np
import pytest
import torch

from neurobust.core import places
from neurobust.core.errors import InputError
from neurobust.core.io import save_weights
from neurobust.core.places import load
from neurobust.core.settings import options
from neurobust.core.similarity import debiased_cka
from neurobust.core.sources import source_files
from neurobust.explain import bench, measures, registry
from neurobust.explain.description import Analysis
from neurobust.explain.findings import Findings, Row
from neurobust.explain.network import explain_network
from neurobust.explain.network_bench import Compared, NetworkBench, layer_names
from neurobust.explain.networks.geometry import participation_ratio
from neurobust.explain.registry import ANALYSES, analysis_modules, usual_analyses
from neurobust.files.dataset import read_dataset
from neurobust.files.explained import COLUMNS, read_explained, read_explained_arrays
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


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network with random weights, which tests only read."""
    path = tmp_path_factory.mktemp("network") / "network.safetensors"
    torch.manual_seed(0)
    config = {"architecture": "resnet18", "num_classes": 3, "mean": [0.5] * 3, "std": [0.2] * 3, "stem": "cifar",
              "image_size": SIZE}  # fmt: skip
    save_weights(path, build_network(**config).state_dict(), config)
    return path


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


INSIDE = {"distance": {}, "low-frequency": {}, "dimensionality": {}, "similarity": {}}


def explained(task, model, folder, predictors=None, n_images=12, seed=0, **options):
    """The tables of the four cheap analyses, by name."""
    compared = Compared(predictors or {})
    explain_network(task, model, compared, options.pop("analyses", INSIDE), n_images, seed, folder, **options)
    return {path.stem: read_explained(path) for path in folder.glob("*.parquet")}


def test_the_images_are_those_that_the_attacks_look_at(task, model, tmp_path):
    found = explained(task, model, tmp_path / "out")
    examined = read_dataset(task).examined(12)
    assert set(found) == set(INSIDE)
    for name, (frame, record) in found.items():
        assert record.images == sorted(examined.tolist()) and record.analysis == name
        assert list(frame) == list(COLUMNS) and (frame["n_images"] == 12).all()
    assert set(examined) <= set(read_dataset(task).examined(20).tolist()), "more images continue the list"
    with pytest.raises(InputError, match="31 test images to look at, but there are 30; lower `attack_images`"):
        explained(task, model, tmp_path / "more", n_images=31)


@pytest.mark.slow
def test_every_measure_is_that_of_the_pure_functions(task, model, predictors, tmp_path):
    found = explained(task, model, tmp_path / "out", predictors, 16, 3, image_batch=5)
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
    wanted = {
        "distance": [("linear distance to the boundary", "", distance)],
        "low-frequency": [("low-frequency share of input gradient", "", share)],
        "dimensionality": [("effective dimensionality", "", participation_ratio(features))],
        "similarity": [
            ("similarity to predictor", "V1", similarity[0]), ("similarity to predictor", "FFA", similarity[1]),
        ],
    }  # fmt: skip
    for name, numbers in wanted.items():
        frame, record = found[name]
        assert len(frame) == len(numbers) and record.seed == 3 and record.lacking is None
        assert set(record.provenance["inputs"]) == {"dataset", "model", "predictor V1", "predictor FFA"}
        for row, (measure, roi, value) in zip(frame.itertuples(), numbers, strict=True):
            assert (row.measure, row.roi, row.layer) == (measure, roi, "")
            assert row.value == pytest.approx(value, rel=1e-3, abs=1e-5), measure


@pytest.mark.slow
def test_what_is_undefined_is_missing(task, model, tmp_path):
    """No image classified correctly: no distance to a boundary."""
    with h5py.File(task, "r+") as file:
        guessed = load_network(model)(torch.from_numpy(file["images"][()]).permute(0, 3, 1, 2) / 255).argmax(1)
        file["labels"][...] = (guessed.numpy() + 1) % 3
    found = explained(task, model, tmp_path / "out")
    assert math.isnan(found["distance"][0]["value"][0]) and found["dimensionality"][0]["value"].notna().all()


def test_an_analysis_that_lacks_what_it_needs_has_no_rows_and_says_why(task, model, tmp_path):
    frame, record = explained(task, model, tmp_path / "out")["similarity"]
    assert not len(frame) and list(frame) == list(COLUMNS)
    assert record.lacking == "no ROI guides a network of the study"


def test_layers_end_at_the_penultimate_one_and_leave_the_network_as_it_was(task, model):
    network, data = load_network(model), read_dataset(task)
    view = NetworkBench(network, data, np.sort(data.examined(6)), Compared(), 0, torch.device("cpu"), 4)
    assert list(view.layers) == ["conv1", "layer1", "layer2", "layer3", "layer4", "penultimate"]
    assert torch.equal(view.layers["penultimate"], view.features)
    assert {len(part) for part in view.layers.values()} == {6}
    assert not any(module._forward_hooks for module in network.modules())


def test_layers_of_a_trunk_of_one_part_are_those_inside_it(monkeypatch):
    for name in ("kaiming_uniform_", "kaiming_normal_", "uniform_", "normal_"):
        monkeypatch.setattr(torch.nn.init, name, lambda tensor, *_, **__: tensor)  # none of 129 million weights matters
    vgg = build_network("vgg11", 3, image_size=32)
    assert layer_names(vgg.trunk)[0] == "features" and len(layer_names(vgg.trunk)) <= 7


@pytest.mark.parametrize("name", list(ANALYSES))
def test_every_analysis_says_what_it_is(name):
    described = ANALYSES[name]
    assert described.title and described.meaning.endswith(".") and callable(load(described.run))
    assert described.measures and all(facts.meaning for facts in described.measures.values())
    assert described.scope in ("predictor", "network", "study") and described().passes() >= 0
    assert all(option.help for option in options(described))


def test_measures_are_named_once():
    """The analyses of a study know a measure by its name."""
    names = [measure for name in ANALYSES for measure in ANALYSES[name].measures if ANALYSES[name].scope == "network"]
    assert len(names) == len(set(names))


def test_a_job_depends_on_the_analyses_and_on_no_kind_of_predictor_by_itself(project):
    script = project / "workflow/scripts/explain/explain_network.py"
    alone = {path.stem for path in source_files(script)}
    assert not alone & {"inside", "inside_settings", "gnet", "fwrf", "linear", "resnet_pcs", "train"}
    named = {path.stem for path in source_files(script, *analysis_modules(INSIDE))}
    assert named >= {"inside", "inside_settings", "measures"} and not named & {"gnet", "fwrf", "linear"}


OUTSIDE = '''
from typing import Annotated, ClassVar

from neurobust.core.settings import Positive, about
from neurobust.explain.description import Analysis, Measure
from neurobust.explain.findings import Findings, Row


class Norm(Analysis, frozen=True):
    """How long features are."""

    run: ClassVar[str] = "outside_analysis:norm"
    title: ClassVar[str] = "length"
    meaning: ClassVar[str] = "How long features are."
    measures: ClassVar[dict[str, Measure]] = {"length of features": Measure("", "mean norm", asked=True)}
    arrays: ClassVar[bool] = True

    power: Annotated[Positive, about("of the norm")] = 2.0


def norm(bench, settings):
    lengths = bench.features.norm(settings.power, 1)
    return Findings([Row("length of features", float(lengths.mean()))], {"lengths": lengths.numpy()})
'''


def test_an_analysis_of_another_package_has_its_table(task, model, tmp_path, monkeypatch):
    (tmp_path / "outside_analysis.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("length", "outside_analysis:Norm", "neurobust.analyses")
    monkeypatch.setattr(places, "registered", lambda: EntryPoints([entry]))
    monkeypatch.setattr(registry, "ANALYSES", places.Places(ANALYSES._own, "neurobust.analyses", Analysis))
    assert "outside_analysis" in registry.analysis_modules(["length"])
    assert list(usual_analyses())[-1] == "length" and list(registry.asked(["length"])) == ["length of features"]
    found = explained(task, model, tmp_path / "out", analyses={"length": {"power": 1.0}}, n_images=8)
    assert found["length"][0]["value"][0] > 0 and found["length"][1].provenance["params"] == {"power": 1.0}
    assert read_explained_arrays(tmp_path / "out/length.parquet")["lengths"].shape == (8,)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"scope": "galaxy"}, "scope 'galaxy' is none of predictor, network, study"),
        ({"needs": ("moon",)}, "needs 'moon', which is none of concepts, "),
        ({"run": ""}, "run '' is no function"),
        ({"run": "no.such.module:go"}, "run 'no.such.module:go' is no function"),
        ({"run": "nosuchmodule:go"}, "run 'nosuchmodule:go' is no function"),
        ({"run": "neurobust.explain.registry:nothing"}, "is no function as package.module:function"),
    ],
)
def test_a_description_that_cannot_be_used_is_told_before_anything_is_planned(monkeypatch, facts, message):
    kind = type("Odd", (Analysis,), {"run": "neurobust.explain.registry:asked", **facts}, frozen=True)
    monkeypatch.setattr(registry, "ANALYSES", registry.Places({}, "none", Analysis))
    monkeypatch.setattr(registry.Places, "find", lambda *_: kind)
    with pytest.raises(InputError, match=f"^entry point 'odd' of neurobust.analyses: .*{message}"):
        registry.read_analysis("odd", {})


def test_every_description_of_ours_can_be_used():
    assert not [name for name in ANALYSES if registry.wrong_with(ANALYSES[name])]


def test_a_measure_that_no_description_names_is_a_mistake_of_ours(monkeypatch):
    wrong = Findings([Row("another", 1.0)])
    monkeypatch.setattr(bench, "load", lambda place: lambda given, settings: wrong)
    with pytest.raises(AssertionError, match="measure 'another' is not in its description"):
        bench.findings_of(None, ANALYSES["distance"]())
