"""Files that are not what they are taken for: of a deeper network, of another stage, not whole."""

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from neurobust.core.errors import InputError
from neurobust.core.io import save_weights
from neurobust.core.state_dicts import part_beyond
from neurobust.core.vision import models
from neurobust.networks.architectures import build_network, load_network
from neurobust.predictors.core_readout import CORES
from neurobust.predictors.features_settings import LayerMaps
from neurobust.predictors.fit_core import core_features
from neurobust.predictors.fitting import FitContext
from neurobust.predictors.fixed_features import make_features, without_classifier
from neurobust.predictors.linear import PooledLinear
from neurobust.predictors.registry import read_predictor
from neurobust.predictors.target import load_target

FITS = {  # whose weights have all that the other one wants, in its shapes: what they have more
    ("resnet34", "resnet18"): "layer1.2", ("resnet101", "resnet50"): "layer3.6",
    ("convnext_small", "convnext_tiny"): "features.5.9", ("swin_s", "swin_t"): "features.5.6",
    ("efficientnet_b1", "efficientnet_b0"): "features.1.1",
}  # fmt: skip


def names(network):
    """The names of a network's weights."""
    with torch.device("meta"):
        return list(models.get_model(network, weights=None).state_dict())


@pytest.mark.slow
@pytest.mark.parametrize(("deeper", "network"), FITS)
def test_weights_of_a_deeper_network_are_told_by_the_blocks_that_they_have_more(deeper, network):
    whole = without_classifier(network, 224)
    assert part_beyond(names(deeper), whole) == FITS[deeper, network]
    assert part_beyond(names(network), whole) == "", "its own are all its own"


@pytest.mark.parametrize("network", ["vgg11", "squeezenet1_1", "densenet121", "googlenet", "mobilenet_v2"])
def test_what_lies_behind_the_layers_or_is_another_classifier_says_nothing(network):
    whole = without_classifier(network, 224)
    more = ["classifier.9.weight", "fc.2.bias", "head.mlp.0.weight", "fc2.weight", "cls_token"]
    assert part_beyond([*names(network), *more], whole) == ""


def test_weights_of_a_deeper_network_are_one_line(subject, tmp_path):
    """ResNet34's fit a ResNet18 in name and shape, and their first blocks make another network than either."""
    state = models.get_model("resnet18", weights=None).state_dict()
    torch.save({f"module.{name}": value for name, value in state.items()}, tmp_path / "own.pth")
    block = {name: value for name, value in state.items() if name.startswith("layer1.1.")}
    deeper = state | {name.replace("layer1.1.", "layer1.2."): value for name, value in block.items()}
    torch.save({"state_dict": {f"module.{name}": value for name, value in deeper.items()}}, tmp_path / "deeper.pth")
    for layer in ("layer1", "conv1"):
        wanted = {"map_size": 2, "network": "resnet18", "layers": (layer,)}
        make_features(LayerMaps(weights=str(tmp_path / "own.pth"), **wanted), FitContext([subject], 0))
        with pytest.raises(
            InputError, match=r"deeper.pth: not the weights of torchvision's resnet18 .*has layer1\.2, "
        ):
            make_features(LayerMaps(weights=str(tmp_path / "deeper.pth"), **wanted), FitContext([subject], 0))


@pytest.mark.slow
def test_weights_of_a_deeper_network_of_timm_are_one_line(subject, tmp_path):
    timm = pytest.importorskip("timm")
    state = timm.create_model("test_vit", pretrained=False).state_dict()
    block = {name: value for name, value in state.items() if name.startswith("blocks.5.")}
    torch.save(state | {name.replace("blocks.5.", "blocks.6."): v for name, v in block.items()}, tmp_path / "w.pth")
    given = {"core": "timm/test_vit", "layers": [0], "readout": "ridge", "input_size": 48,
             "weights": str(tmp_path / "w.pth")}  # fmt: skip
    with pytest.raises(InputError, match=r"w.pth: not the weights of timm's test_vit .*it has blocks\.6, "):
        core_features(read_predictor("own", given), FitContext([subject], 0))


@pytest.mark.slow
def test_images_that_are_no_whole_patches_are_one_line(subject_maker):
    pytest.importorskip("timm")
    data = subject_maker(size=50)
    given = {"core": "timm/test_vit", "layers": [0], "readout": "ridge", "input_size": 50, "weights": "random"}
    with pytest.raises(InputError, match=r"^input_size: 50: core: timm/test_vit takes no images of this side \(.*16"):
        core_features(read_predictor("own", given | {"channels": 8}), FitContext([data], 0))


@pytest.mark.slow
def test_networks_that_read_numbers_while_they_are_built_are_cores_too(subject):
    given = {"core": "torchvision/regnet_y_400mf", "layers": ["trunk_output.block1"], "readout": "ridge",
             "input_size": 48, "weights": "random"}  # fmt: skip
    features, config = core_features(read_predictor("own", given), FitContext([subject], 0))
    pixels = torch.from_numpy(subject.images[:2]).permute(0, 3, 1, 2) / 255
    (maps,) = features(pixels)
    assert maps.shape == (2, 48, 12, 12)
    name, rest = config["name"], {key: value for key, value in config.items() if key != "name"}
    again = CORES[name](input_size=48, **rest)
    again.load_state_dict(features.state_dict())
    torch.testing.assert_close(again(pixels)[0], maps)


# --- of another stage, or where no file can be ---


def test_a_network_s_file_is_no_predictor_and_a_predictor_s_no_network(tmp_path):
    network, predictor = tmp_path / "network.safetensors", tmp_path / "predictor.safetensors"
    made = {"architecture": "small", "num_classes": 2, "mean": [0.5] * 3, "std": [0.2] * 3, "stem": "imagenet",
            "image_size": 32}  # fmt: skip
    save_weights(network, build_network("small", 2, image_size=32).state_dict(), made)
    arguments = {"voxels": {"a": 2}, "input_size": 32, "features": {"name": "pixels", "map_size": 2}, "inputs": 12}
    save_weights(predictor, PooledLinear(**arguments).state_dict(), {"kind": "ridge", **arguments})
    assert load_target(predictor).names == ["a 0", "a 1"]
    assert load_network(network).num_classes == 2
    with pytest.raises(InputError, match=r"network.safetensors: not a predictor's file; give the model.safetensors of"):
        load_target(network)
    with pytest.raises(InputError, match=r"predictor.safetensors: a predictor's file, not a network's; give the model"):
        load_network(predictor)


def test_names_that_are_too_long_and_files_of_other_tools_are_one_line(tmp_path):
    with pytest.raises(InputError, match=r"no file \(.*\); give the model\.safetensors of a study's predictor"):
        load_target(tmp_path / ("n" * 300))
    save_file({"w": torch.zeros(1)}, tmp_path / "w.safetensors", metadata={"neurobust": "[1]"})
    with pytest.raises(InputError, match=r"w.safetensors: carries no neurobust configuration"):
        load_target(tmp_path / "w.safetensors")


def test_weights_that_the_system_does_not_write_are_its_error(tmp_path, monkeypatch):
    """A full disk is told by safetensors in words alone; those who catch errors of files catch it too."""

    def full(*given, **named):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        save_weights(tmp_path / "w.safetensors", {"w": torch.zeros(1)}, {})
    assert error.value.errno == 28 and error.value.filename == str(tmp_path / "w.safetensors")
    assert not list(tmp_path.iterdir())
