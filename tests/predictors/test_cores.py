"""Any core and any readout: families of timm and torchvision on planted voxels, files, fine-tuning, settings."""

import math

import numpy as np
import pytest
import torch

from neurobust.core.errors import InputError
from neurobust.core.io import save_weights
from neurobust.core.seeding import numpy_rng
from neurobust.core.vision import models
from neurobust.explain.predictors.fields import compare_fields
from neurobust.phantom.cortex import REGIONS, Stimuli, plant_voxel
from neurobust.phantom.scenes import render_all, sample_scenes
from neurobust.predictors import fit_predictor, load_target
from neurobust.predictors.core_readout import build_core
from neurobust.predictors.cores import GNetMaps, framed, timm_network
from neurobust.predictors.data import SubjectData
from neurobust.predictors.fit_core import core_features
from neurobust.predictors.fit_trained import block_of, thaw
from neurobust.predictors.fitting import FitContext
from neurobust.predictors.gnet import GNet, field_centres
from neurobust.predictors.registry import read_predictor
from neurobust.predictors.train import accuracy_table, fit_kind
from neurobust.predictors.trained_readouts import Attention, Factorised

IMAGES, V1, SILENT = 600, 24, 6
CORES = {  # core: its layers, and the side of the images: 8 x 8 places or more
    "timm/test_resnet": ([1, 2], 64),
    "timm/test_vit": ([0], 128),
    "timm/test_convnext": ([0, 1], 64),
    "timm/swin_tiny_patch4_window7_224": ([0], 64),
    "torchvision/resnet18": (["layer1", "layer2"], 64),
    "torchvision/squeezenet1_1": (["features.4"], 64),
    "torchvision/convnext_tiny": (["features.1"], 64),
    "torchvision/swin_t": (["features.1"], 64),
}


def network_of(core, side):
    """A core's network, of the weights that it starts with."""
    package, _, name = core.partition("/")
    return timm_network(name, side) if package == "timm" else models.get_model(name, weights=None)


def lively_weights(core, side, path):
    """A state dict of random weights that bend: those that transformers and ConvNeXt start with do next to nothing."""
    torch.manual_seed(0)
    state = network_of(core, side).state_dict()
    generator = torch.Generator().manual_seed(0)
    for name, value in state.items():
        if not value.is_floating_point() or "running" in name or "relative" in name or "pos_embed" in name:
            continue
        if value.ndim >= 2 and "weight" in name:
            gain = 0.3 if "attn.proj" in name else 1
            value.normal_(0, gain * math.sqrt(2 / value[0].numel()), generator=generator)
        elif name.endswith(("gamma", "layer_scale")):
            value.fill_(1)
        elif name.endswith("bias"):
            value.normal_(0, 0.3, generator=generator)
    torch.save(state, path)
    return str(path)


@pytest.fixture(scope="module")
def v1():
    """The phantom's V1 at 64 px, with voxels of nothing behind it, and where each voxel looks in degrees (V, 3)."""
    scenes = sample_scenes(IMAGES, "cores", 0)
    images = render_all(scenes, 64)
    stimuli = Stimuli(scenes, images)
    region = next(region for region in REGIONS if region.label == "V1v")
    planted = [plant_voxel(stimuli, region, "lh", numpy_rng("cores", k)) for k in range(V1)]
    rng = numpy_rng("cores", "noise")
    signal = np.stack([signal for signal, _ in planted], 1)
    responses = np.concatenate([signal + 0.4 * rng.normal(size=signal.shape), rng.normal(size=(IMAGES, SILENT))], 1)
    truth = np.array([[voxel.x, -voxel.y, voxel.sigma] for _, voxel in planted]) * 4.2
    return subject_of(images, responses.astype(np.float32)), truth


def subject_of(images, responses, name="subj01"):
    """One subject's data; a tenth of the images validates, a fifth tests."""
    count, voxels = responses.shape
    split = np.repeat([0, 1, 2], [count - 3 * (count // 10), count // 10, 2 * (count // 10)]).astype(np.uint8)
    test = np.flatnonzero(split == 2)
    return SubjectData(
        subject=name, images=images, row=np.arange(count), responses=responses, n_repeats=np.ones(count, np.int16),
        split=split, nsd_id=np.arange(count), voxel_index=np.arange(voxels), ncsnr=np.ones(voxels),
        noise_ceiling=np.full(voxels, 80.0), single_trials=responses[test], single_trial_nsd_id=test,
    )  # fmt: skip


def fit_core_to(data, core, readout, tmp_path, **keys):
    """The voxel table of a core with lively weights and a readout."""
    layers, side = CORES[core]
    if side != 64:
        data = subject_of(data.images.repeat(2, 1).repeat(2, 2), data.responses)
    given = {"core": core, "layers": layers, "weights": lively_weights(core, side, tmp_path / "w.pth"),
             "readout": readout, "input_size": side, **keys}  # fmt: skip
    settings, context = read_predictor("own", given), FitContext([data], 0)
    return accuracy_table(settings, fit_kind(settings, context).model, context)


def field_agreement(looks, truth):
    """Mean of the correlations of x and of y."""
    found = compare_fields(looks, truth)
    return (found["r_x"] + found["r_y"]) / 2


@pytest.mark.slow
@pytest.mark.parametrize("readout", ["fwrf", "factorised"])
@pytest.mark.parametrize("core", CORES)
def test_spatial_readouts_find_planted_voxels_and_their_fields(core, readout, v1, tmp_path):
    """Control of the fields: the same ones laid onto other voxels, of which 1 in 1,000 agrees as well."""
    if core.startswith("timm"):
        pytest.importorskip("timm")
    data, truth = v1
    keys = {"epochs": 30} if readout == "factorised" and "swin" in core else {}
    table = fit_core_to(data, core, readout, tmp_path, **keys)
    assert (table["p_fdr"][:V1] <= 0.05).mean() > 0.75 and (table["p_fdr"][V1:] <= 0.05).sum() <= 2
    assert table["r"][:V1].median() > 0.3 > table["r"][V1:].median() + 0.15
    looks = table[["field_x", "field_y", "field_size"]].to_numpy()[:V1]
    rng = np.random.default_rng(0)
    control = [field_agreement(looks[rng.permutation(V1)], truth) for _ in range(1000)]
    assert field_agreement(looks, truth) > max(0.45, np.quantile(control, 0.999))


@pytest.mark.slow
@pytest.mark.parametrize("readout", ["ridge", "banded-ridge", "attention"])
@pytest.mark.parametrize("core", ["timm/test_convnext", "torchvision/resnet18"])
def test_other_readouts_find_planted_voxels(core, readout, v1, tmp_path):
    if core.startswith("timm"):
        pytest.importorskip("timm")
    keys = {"epochs": 12, "map_size": 8} if readout == "attention" else {"map_size": 4, "folds": 3}
    table = fit_core_to(v1[0], core, readout, tmp_path, **keys)
    assert (table["p_fdr"][:V1] <= 0.05).mean() > 0.9 and (table["p_fdr"][V1:] <= 0.05).sum() <= 2
    assert table["field_x"].isna().all(), "they cannot say where a voxel looks"


@pytest.mark.slow
@pytest.mark.parametrize("readout", ["fwrf", "factorised", "attention"])
def test_permuted_pairs_teach_nothing(readout, v1, tmp_path):
    keys = {} if readout == "fwrf" else {"epochs": 8, "map_size": 8}
    table = fit_core_to(v1[0], "torchvision/squeezenet1_1", readout, tmp_path, shuffle_pairing=True, **keys)
    assert abs(table["r"].median()) < 0.12 and (table["p_fdr"] <= 0.05).mean() < 0.2


# --- files ---

TINY = {"map_size": 4, "weights": "random"}
FILES = {
    "ridge": {"folds": 3},
    "banded-ridge": {"folds": 3, "searches": 2},
    "fwrf": {"field_sizes": [1.0, 2.0]},
    "factorised": {"epochs": 2, "embedding": 3, "finetune": 1},
    "attention": {"epochs": 2, "queries": 2, "width": 8, "heads": 2, "finetune": "all"},
}


@pytest.mark.parametrize("readout", FILES)
@pytest.mark.parametrize("core", ["timm/test_resnet", "torchvision/squeezenet1_1", "gnet"])
def test_a_file_gives_the_same_responses(core, readout, subject, tmp_path):
    if core.startswith("timm"):
        pytest.importorskip("timm")
    layers = {"timm/test_resnet": [2, 1], "torchvision/squeezenet1_1": ["features.2", "features.4"], "gnet": [0, 1]}
    p = fit_predictor(
        subject.images, subject.responses, kind="core", core=core, layers=layers[core], readout=readout, channels=12,
        **TINY, **FILES[readout],
    )  # fmt: skip
    p.save(tmp_path / "p.safetensors")
    target = load_target(tmp_path / "p.safetensors")
    pixels = torch.from_numpy(subject.images[:5]).permute(0, 3, 1, 2) / 255
    assert np.allclose(target(pixels), p.predict(subject.images[:5]), atol=1e-4)
    assert np.isnan(p.voxels["field_x"]).all() == (readout not in ("fwrf", "factorised"))
    assert not any(parameter.requires_grad for parameter in target.parameters())


def test_weights_come_from_a_file_whatever_it_is_called_and_wrong_ones_are_one_line(subject, tmp_path):
    pytest.importorskip("timm")
    torch.manual_seed(3)
    body = timm_network("test_convnext", 48)
    torch.save({"state_dict": {f"module.{k}": v for k, v in body.state_dict().items()}}, tmp_path / "theirs.pth")
    given = {"core": "timm/test_convnext", "layers": [1], "readout": "ridge", "input_size": 48,
             "weights": str(tmp_path / "theirs.pth")}  # fmt: skip
    features, config = core_features(read_predictor("own", given), FitContext([subject], 0))
    images = torch.rand(2, 3, 48, 48)
    wanted = body.eval().forward_intermediates((images - 0.5) / 0.5, indices=[1], intermediates_only=True)[0]
    torch.testing.assert_close(features(images)[0], wanted)
    assert config["mean"] == [0.5] * 3, "the package's statistics"
    for name, pattern in (
        ("test_vit", r"theirs.pth: not the weights of timm's test_vit for images of 48 px \(it lacks "),
        ("test_vti", r"own.core: 'timm/test_vti': timm has no model 'test_vti'; .*nearest: test_vit$"),
        ("test_vit.own", r"core: timm/test_vit.own: timm publishes no weights 'own' of test_vit; it has test_vit\."),
    ):
        with pytest.raises(InputError, match=pattern):
            core_features(read_predictor("own", given | {"core": f"timm/{name}"}), FitContext([subject], 0))
    with pytest.raises(InputError, match="layers: 9: core: timm/test_convnext has 4 layers, 0 to 3"):
        core_features(read_predictor("own", given | {"layers": [9]}), FitContext([subject], 0))


def test_a_vit_s_places_are_resampled_to_the_images(subject, tmp_path):
    pytest.importorskip("timm")
    torch.save(timm_network("test_vit", 96).state_dict(), tmp_path / "w.pth")
    given = {"core": "timm/test_vit", "layers": [3, 0], "readout": "ridge", "input_size": 48,
             "weights": str(tmp_path / "w.pth")}  # fmt: skip
    features, _ = core_features(read_predictor("own", given), FitContext([subject], 0))
    assert [tuple(m.shape) for m in features(torch.rand(1, 3, 48, 48))] == [(1, 64, 3, 3)] * 2
    assert not any(name.startswith("body.blocks.4") for name in features.state_dict()), "what is not read is cut off"


def test_a_fitted_gnet_s_core_gives_its_own_maps(subject, tmp_path):
    config = {"voxels": {"a": 2}, "input_size": 96, "prefilter_channels": [4, 6], "trunk_width": 2, "mean": [0.4] * 3}
    torch.manual_seed(0)
    model = GNet(**config).eval()
    save_weights(tmp_path / "g.safetensors", model.state_dict(), {"kind": "gnet", **config})
    given = {"core": "gnet", "layers": [1], "readout": "fwrf", "input_size": 48, "map_size": 64,
             "weights": str(tmp_path / "g.safetensors")}  # fmt: skip
    module, _ = core_features(read_predictor("own", given), FitContext([subject], 0))
    assert isinstance(module, GNetMaps)
    images = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        maps = model.trunk(model.prefilter(images - 0.4))[1]
        torch.testing.assert_close(module(images)[0], framed(maps, field_centres(96)[1]))
    save_weights(tmp_path / "r.safetensors", {}, {"kind": "ridge"})
    with pytest.raises(InputError, match="a predictor of kind 'ridge'; give one of gnet"):
        core_features(
            read_predictor("own", given | {"weights": str(tmp_path / "r.safetensors")}), FitContext([subject], 0)
        )


def test_maps_that_begin_inside_are_laid_over_the_frame():
    """A map that is the place that each cell looks at stays so, where there are cells."""
    centres = field_centres(227)[0]
    maps = centres[None, None, None, :].expand(1, 1, len(centres), -1)
    found = framed(maps, centres)[0, 0, 0]
    axis = (torch.arange(len(found)) + 0.5) / len(found) * 2 - 1
    inside = (axis >= centres[0]) & (axis <= centres[-1])
    assert len(found) == 28 and inside.sum() >= 24
    torch.testing.assert_close(found[inside], axis[inside], atol=1e-4, rtol=0)


# --- training ---


def test_what_is_fine_tuned_are_the_last_blocks_that_are_read(subject):
    pytest.importorskip("timm")
    given = {"core": "timm/test_convnext", "layers": [0, 1], "readout": "factorised", "input_size": 48, **TINY}
    core, _ = core_features(read_predictor("own", given), FitContext([subject], 0))
    core.body.add_module("unused9", torch.nn.Linear(2, 2))
    assert thaw(core, 0, 48) == [] and not any(p.requires_grad for p in core.parameters())
    assert thaw(core, 1, 48) == ["body.stages.1"]
    assert {block_of(name) for name, p in core.named_parameters() if p.requires_grad} == {"body.stages.1"}
    every = thaw(core, None, 48)
    assert every[-2:] == ["body.stages.0", "body.stages.1"] and "body.unused9" not in every
    names = ("body.blocks.11.attn.qkv.weight", "extractor.layer4.0.conv1.weight", "trunk.conv6b.2.bias", "cls_token",
             "extractor.encoder.layers.encoder_layer_0.ln_1.weight")  # fmt: skip
    assert [block_of(name) for name in names] == [
        "body.blocks.11", "extractor.layer4", "trunk.conv6b", "cls_token", "extractor.encoder.layers.encoder_layer_0"
    ]  # fmt: skip


@pytest.mark.parametrize("finetune", ["none", 1, "all"])
def test_a_frozen_core_stays_and_a_fine_tuned_one_moves(finetune, subject):
    given = {"core": "torchvision/squeezenet1_1", "layers": ["features.4"], "readout": "attention", "input_size": 48,
             "epochs": 2, "width": 8, "heads": 2, "finetune": finetune, **TINY}  # fmt: skip
    if finetune != "none":
        given["core_learning_rate"] = 1e-2
    settings, context = read_predictor("own", given), FitContext([subject], 0)
    before = core_features(settings, context)[0].state_dict()
    after = fit_kind(settings, context).model.features.state_dict()
    moved = {block_of(name) for name in before if not torch.equal(before[name], after[name])}
    assert moved == {
        "none": set(), 1: {"extractor.features.4"},
        "all": {f"extractor.features.{k}" for k in (0, 3, 4)},
    }[finetune]  # fmt: skip


def test_voxels_are_read_in_batches_and_maps_kept_or_not_with_the_same_result(subject, monkeypatch):
    given = {"core": "torchvision/squeezenet1_1", "layers": ["features.2"], "readout": "factorised", "input_size": 48,
             "epochs": 2, **TINY}  # fmt: skip
    settings = read_predictor("own", given)
    whole = fit_kind(settings, FitContext([subject], 0)).model.state_dict()
    batched = fit_kind(settings, FitContext([subject], 0, voxel_batch=2)).model.state_dict()
    monkeypatch.setattr("neurobust.predictors.fit_trained.CACHE_BYTES", 0)
    again = fit_kind(settings, FitContext([subject], 0)).model.state_dict()
    for other in (batched, again):
        for name, value in whole.items():
            torch.testing.assert_close(value, other[name], atol=2e-3, rtol=1e-3)


class Dots(torch.nn.Module):
    """Two maps of two channels."""

    channels, map_size = (2, 2), 3


@pytest.mark.parametrize("embedding", [None, 3])
def test_a_factorised_readout_is_the_sum_that_it_says(embedding):
    torch.manual_seed(0)
    model = Factorised({"a": 2, "b": 3}, 8, Dots(), [3, 2], embedding)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    maps = [torch.randn(4, 2, 9), torch.randn(4, 2, 4)]
    encoded = model.encode(maps)
    for subject, count in model.voxels.items():
        found = model.read(encoded, subject, slice(None))
        weight, bias = model.own(subject).of(slice(None), model.basis), model.own(subject).bias
        for v in range(count):
            wanted = bias[v].expand(4)
            for k, m in enumerate(maps):
                field = model.fields_of(subject)[k][v].softmax(0)
                for c in range(2):
                    wanted = wanted + weight[v, 2 * k + c] * (m[:, c] @ field)
            torch.testing.assert_close(found[:, v], wanted)


def test_attention_is_a_weighted_mean_of_places_and_shares_its_basis_over_subjects():
    torch.manual_seed(0)
    model = Attention({"a": 2, "b": 3}, 8, Dots(), [3, 2], embedding=4, queries=2, width=6, heads=1)
    maps = [torch.randn(4, 2, 9), torch.randn(4, 2, 4)]
    tokens = [m.transpose(1, 2) for m in maps]
    keys = torch.cat([k(t) + p for k, t, p in zip(model.keys, tokens, model.places, strict=True)], 1)
    values = torch.cat([v(t) for v, t in zip(model.values, tokens, strict=True)], 1)
    looks = (keys @ model.queries.T / 6**0.5).softmax(1)  # image, place, query
    wanted = torch.einsum("npq,npw->nqw", looks, values).flatten(1)
    encoded = model.encode(maps)
    torch.testing.assert_close(encoded[0], wanted)
    found = model.read(encoded, "b", slice(1, 3))
    own = model.own("b")
    torch.testing.assert_close(found, wanted @ (own.own[1:3] @ model.basis).T + own.bias[1:3])
    assert model.own("a").own.shape == (2, 4) and model.basis.shape == (4, 12)


@pytest.mark.slow
def test_an_embedding_lets_a_subject_of_few_images_learn_from_another():
    """Two brains of one kind: what the first one's 400 images teach helps the second, who saw 40."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (500, 32, 32, 3), dtype=np.uint8)
    given = {"core": "torchvision/squeezenet1_1", "layers": ["features.4"], "readout": "attention", "input_size": 32,
             "map_size": 2, "epochs": 25, "patience": 25, "learning_rate": 1e-2, "weights": "random"}  # fmt: skip
    base = subject_of(images, np.zeros((500, 1), np.float32))
    core = core_features(read_predictor("own", given), FitContext([base], 0))[0]
    with torch.no_grad():
        z = core(torch.from_numpy(images).permute(0, 3, 1, 2) / 255)[0].mean((2, 3))
    z = ((z - z.mean(0)) / z.std(0).clamp_min(1e-6)).numpy() @ rng.normal(size=(z.shape[1], 2))
    z /= z.std(0)
    many, few = (z @ rng.normal(size=(2, 20)) + rng.normal(size=(500, 20)) * 0.5 for _ in range(2))
    first, second = subject_of(images, many.astype(np.float32), "a"), subject_of(images, few.astype(np.float32), "b")
    second.split = np.where((second.split == 0) & (np.arange(500) >= 40), 3, second.split).astype(np.uint8)
    settings = read_predictor("own", given | {"embedding": 2})
    score = {}
    for name, subjects in (("both", [first, second]), ("alone", [second])):
        context = FitContext(subjects, 0)
        table = accuracy_table(settings, fit_kind(settings, context).model, context)
        score[name] = table["r"][table["subject"] == "b"].median()
    assert score["both"] > score["alone"] + 0.1


# --- settings ---

GIVEN = {"core": "torchvision/resnet18", "weights": "random", "layers": ["layer1"], "readout": "fwrf"}
WRONG = {
    "no such package": ({"core": "keras/vgg"}, "expected gnet, timm/NAME or torchvision/NAME"),
    "no such network": (
        {"core": "torchvision/resnet19"},
        "own.core: 'torchvision/resnet19': architecture 'resnet19' is not known; .*nearest: resnet18",
    ),
    "no such node": ({"layers": ["layer9"]}, "'layer9' is not a layer of resnet18"),
    "numbers for names": ({"layers": [1]}, r"layers: 1: the layers of torchvision/resnet18 are names of nodes"),
    "a key of another readout": ({"folds": 3}, "own.folds: not of readout fwrf: remove it, or take"),
    "fine-tuned in closed form": ({"finetune": "all"}, "own.finetune: 'all': fwrf is solved at once, on a frozen core"),
    "mean alone": ({"mean": [0.5, 0.5, 0.5]}, "mean and std: one without the other"),
    "heads": ({"readout": "attention", "heads": 5}, "heads: 5: width 64 is no multiple"),
    "third map of gnet": ({"core": "gnet", "layers": [2]}, "layers: 2: the core of gnet has two maps"),
    "small for gnet": ({"core": "gnet", "layers": [0], "input_size": 40}, "input_size: 40: G-net takes"),
    "an unknown readout": ({"readout": "lasso"}, "'lasso'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_one_line(case):
    changes, text = WRONG[case]
    with pytest.raises(InputError, match=text) as error:
        read_predictor("own", GIVEN | changes)
    assert "\n" not in str(error.value)


def test_an_entry_with_a_core_needs_no_kind_and_is_filled_with_its_readout_s_defaults():
    settings = read_predictor("dino", GIVEN)
    assert (settings.kind, settings.input_size, settings.alphas[0], settings.folds) == ("core", 224, 0.1, None)
    with pytest.raises(InputError, match="missing key 'kind'"):
        read_predictor("dino", {"weights": "random"})


def test_timm_that_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setattr("neurobust.predictors.core_settings.timm_installed", lambda: False)
    with pytest.raises(InputError, match=r"own.core: 'timm/x': timm is not installed; install neurobust\[zoo\]"):
        read_predictor("own", GIVEN | {"core": "timm/x", "layers": [0]})


def test_a_core_is_rebuilt_from_its_arguments_alone(subject):
    given = GIVEN | {"input_size": 48, "map_size": 6, "channels": 5, "field_sizes": [2.0]}
    fitted = fit_kind(read_predictor("own", given), FitContext([subject], 0))
    again = build_core(**fitted.config)
    again.load_state_dict(fitted.model.state_dict())
    images = torch.rand(2, 3, 48, 48)
    with torch.no_grad():
        assert torch.equal(again.eval()(images), fitted.model(images))
