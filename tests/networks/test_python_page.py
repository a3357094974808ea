"""The examples of docs/python.md run as they are printed, and say what the page says of them."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from neurobust.core.io import load_weights, save_weights
from neurobust.networks.conditions import read_recipe
from neurobust.networks.inputs import NetworkInputs, NetworkOutputs
from neurobust.networks.train import train_network
from neurobust.predictors.gnet import GNet
from neurobust.predictors.target import load_target

VOXELS, SIDE = 5, 48


@pytest.fixture
def blocks(project, tmp_path, monkeypatch):
    """The printed examples; they run in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    return re.findall(r"(?ms)^```python\n(.*?)^```$", (project / "docs/python.md").read_text())


def run(block, **given):
    names = dict(given)
    exec(compile(block, "docs/python.md", "exec"), names)
    return names


def brightness(count=80, seed=0):
    """Images with a brightness of their own in each half, and voxels that see one half."""
    rng = np.random.default_rng(seed)
    halves = rng.integers(40, 216, (count, 1, 2, 1))
    images = np.broadcast_to(halves.repeat(SIDE // 2, 2), (count, SIDE, SIDE, 1)) + rng.integers(
        -20, 20, (count, SIDE, SIDE, 3)
    )
    responses = (halves[:, 0, :, 0][:, np.arange(VOXELS) % 2] - 128) / 50
    return images.astype(np.uint8), responses + 0.1 * rng.normal(size=(count, VOXELS))


@pytest.mark.slow
def test_a_predictor_guides_a_network_that_is_attacked(blocks, capsys):
    images, responses = brightness()
    torch.manual_seed(0)
    made = run(blocks[0], images=images, responses=responses)
    assert len(made["p"].voxels) == VOXELS and "p_fdr" in capsys.readouterr().out
    pixels = torch.from_numpy(images[:32]).permute(0, 3, 1, 2) / 255
    labels = torch.arange(32) % 2
    network = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(108, 16), nn.ReLU(), nn.Linear(16, 2))
    before = [value.clone() for value in network.state_dict().values()]
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    made = run(blocks[2], images=images, network=network, optimiser=optimiser, batches=[(pixels, labels)] * 2)
    assert torch.isfinite(made["loss"])
    assert not torch.equal(before[0], network[2].weight), "the loss reaches the layers below the head"
    assert load_target("predictor.safetensors").names == [str(k) for k in range(VOXELS)]
    found = run(blocks[4], model=network, pixels=pixels, labels=labels)["found"]
    share = (network(pixels).argmax(1) == labels).double().mean().item()
    assert found.accuracy[0.0] == pytest.approx(share) and "{" in capsys.readouterr().out


@pytest.mark.slow
def test_any_backbone_reads_weights_from_a_file(blocks, tmp_path, capsys):
    """Voxels that see one half of the image: fields on a ConvNeXt of random weights lie in that half."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    save_weights(tmp_path / "weights.safetensors", timm.create_model("test_convnext").state_dict(), {})
    images, responses = brightness()
    made = run(blocks[1], images=images, responses=responses)
    assert "field_x" in capsys.readouterr().out and made["p"].voxels["r"].min() > 0.5
    x = made["p"].voxels["field_x"].to_numpy()
    assert (x[0::2] < 0).all() and (x[1::2] > 0).all(), "the left half, the right half"
    assert load_target("convnext.safetensors").names == [str(k) for k in range(VOXELS)]


def tiny_predictor(path, seed=0):
    torch.manual_seed(seed)
    config = {"voxels": {"subj01": VOXELS}, "input_size": SIDE, "prefilter_channels": (4, 6), "trunk_width": 2}
    save_weights(path, GNet(**config).state_dict(), {"kind": "gnet", **config})


@pytest.mark.slow
@pytest.mark.parametrize("control", [None, "shuffled", "ensemble"])
def test_the_printed_loop_gives_the_weights_of_a_condition_bit_for_bit(blocks, tmp_path, dataset, control):
    tiny_predictor(tmp_path / "predictor.safetensors")
    tiny_predictor(tmp_path / "other.safetensors", seed=1)
    condition = {"target": "V1", "loss": "cka", "weight": 0.9}
    condition |= {"control": control} if control == "shuffled" else {"ensemble": control == "ensemble"}
    recipe = read_recipe({"architecture": "small", "epochs": 2, "batch_size": 16, "condition": condition})
    predictors = ["predictor.safetensors", "other.safetensors"][: 1 + (control == "ensemble")]
    inputs = NetworkInputs(dataset, tuple(tmp_path / name for name in predictors))
    outputs = NetworkOutputs(*(tmp_path / name for name in ("network.safetensors", "metrics.json", "history.parquet")))
    train_network(inputs, recipe, 3, outputs, {"task": "t", "architecture": "small", "condition": "V1"})
    wanted, _ = load_weights(outputs.model)
    loop = blocks[3]
    if control == "ensemble":
        loop = loop.replace('load_target("predictor.safetensors")', f"load_target({predictors}, members=2)", 1)
    if control == "shuffled":
        loop = loop.replace("device=device)", "device=device, shuffle_seed=seed)", 1)
    body = loop[loop.index("data, training") :].splitlines()
    assert len(body) <= 21
    found = run(loop, seed=3, device=torch.device("cpu"))["network"].state_dict()
    assert set(found) == set(wanted)
    for name, value in found.items():
        assert torch.equal(value, wanted[name]), name
