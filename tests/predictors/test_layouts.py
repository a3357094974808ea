"""Which axes of a layer are space, in networks that lay their maps out differently."""

import numpy as np
import pytest
import torch

from neurobust.core.correlation import pearson
from neurobust.core.errors import InputError
from neurobust.core.layouts import Layout, as_maps, layout_of
from neurobust.predictors.features import NetworkMaps, build_features
from neurobust.predictors.features_settings import LayerMaps
from neurobust.predictors.fitting import FitContext
from neurobust.predictors.fixed_features import make_features
from neurobust.predictors.predict import predict_subject
from neurobust.predictors.registry import read_predictor
from neurobust.predictors.train import fit_kind

PLAIN = {"mean": [0.5] * 3, "std": [0.2] * 3, "channels": []}
READ = {  # network -> side of the images, and of its layers: channels and side of the map
    "swin_t": (64, {"features.1": (96, 16), "features.0.0": (96, 16), "permute": (768, 2), "flatten": (768, 1)}),
    "vit_b_32": (64, {"encoder.layers.encoder_layer_0": (768, 2), "conv_proj": (768, 2)}),
    "convnext_tiny": (64, {"features.1": (96, 16), "features.1.0.block.2": (96, 16)}),
    "resnet18": (64, {"layer2": (128, 8), "avgpool": (512, 1), "flatten": (512, 1)}),
    "alexnet": (67, {"features.2": (64, 7), "avgpool": (256, 6)}),
}


@pytest.mark.slow
@pytest.mark.parametrize("network", READ)
def test_channels_and_places_are_told_apart(network):
    side, layers = READ[network]
    torch.manual_seed(0)
    module = NetworkMaps(side, 64, network, list(layers), **PLAIN)
    for maps, (channels, places) in zip(module.all_maps(torch.rand(1, 3, side, side)), layers.values(), strict=True):
        assert maps.shape == (1, channels, places, places)


@pytest.mark.slow
@pytest.mark.parametrize(("network", "layer"), [("swin_t", "features.1"), ("vit_b_32", "conv_proj")])
def test_a_map_s_places_are_those_of_the_image(network, layer):
    """What changes in a corner of the image changes the map there most."""
    torch.manual_seed(0)
    module = NetworkMaps(128, 64, network, [layer], **PLAIN)
    images = torch.rand(1, 3, 128, 128)
    changed = images.clone()
    changed[:, :, 96:, :32] = 1 - changed[:, :, 96:, :32]
    (before,), (after,) = module.all_maps(images), module.all_maps(changed)
    change = (after - before).abs().mean(1)[0]
    side = len(change)
    row, column = divmod(int(change.argmax()), side)
    assert row >= side * 3 // 4 and column < side // 4 and change[: side // 4, side // 2 :].max() < change.max() / 4


@pytest.mark.slow
def test_tokens_of_a_vit_are_places_behind_the_class_token():
    torch.manual_seed(0)
    module = NetworkMaps(96, 64, "vit_b_32", ["encoder.ln"], **PLAIN)
    assert module.layouts == [Layout("NTC", 1)]
    images = torch.rand(2, 3, 96, 96)
    tokens = module.extractor((images - 0.5) / 0.2)["0"]
    (maps,) = module.all_maps(images)
    assert tokens.shape == (2, 10, 768)
    for row in range(3):
        for column in range(3):
            torch.testing.assert_close(maps[:, :, row, column], tokens[:, 1 + 3 * row + column])


def test_shapes_say_the_layout_or_are_refused():
    assert layout_of((3, 96, 16, 16), (3, 96, 32, 32), "l") == Layout("NCHW")
    assert layout_of((3, 16, 16, 16), (3, 32, 32, 16), "l") == Layout("NHWC"), "as many channels as places"
    assert layout_of((3, 1, 1, 768), (3, 1, 1, 768), "l") == Layout("NHWC")
    assert layout_of((3, 5 + 196, 384), (3, 5 + 784, 384), "l") == Layout("NTC", 5), "a class and four registers"
    assert layout_of((3, 64, 49), (3, 64, 196), "l") == Layout("NCT")
    assert layout_of((3, 14 * 14, 8), (3, 29 * 29, 8), "l") == Layout("NTC"), "no whole number of patches"
    for small, large in (
        ((3, 6, 6, 6), (3, 6, 6, 6)),
        ((3, 96, 16, 15), (3, 96, 32, 30)),
        ((3, 9, 64), (3, 9, 64)),
        ((3, 50, 64), (3, 180, 64)),
        ((12, 16, 32), (48, 16, 32)),
        ((3, 100), (3, 400)),
        ((3, 2, 4, 4, 8), (3, 2, 8, 8, 8)),
        ((), ()),
    ):
        with pytest.raises(InputError, match=r"^l: .* becomes .*: name another layer$") as error:
            layout_of(small, large, "l")
        assert "\n" not in str(error.value)


def test_a_map_of_tokens_keeps_their_order():
    tokens = torch.arange(2 * 6 * 3.0).reshape(2, 6, 3)
    maps = as_maps(tokens, Layout("NTC", 2))
    assert maps.shape == (2, 3, 2, 2) and torch.equal(maps[:, :, 1, 0], tokens[:, 4])
    assert torch.equal(as_maps(tokens.transpose(1, 2), Layout("NCT", 2)), maps)
    assert torch.equal(as_maps(maps.permute(0, 2, 3, 1), Layout("NHWC")), maps)


def ridge_on(network, layer, side, **changes):
    given = {"kind": "ridge", "features": "network", "network": network, "weights": "random", "layers": [layer],
             "input_size": side, "map_size": 4, "alphas": [1.0, 100.0], "folds": 3}  # fmt: skip
    return read_predictor("own", given | changes)


@pytest.mark.slow
def test_a_swin_s_fields_are_read_from_its_places_and_come_back_from_a_file(subject_maker):
    """Voxels that are the brightness of a quadrant: fields on Swin's maps find it, on its channels they would not."""
    data = subject_maker(images=120, voxels=4, size=64)
    brightness = np.random.default_rng(0).integers(60, 196, (120, 2, 2, 1))
    data.images[:] = np.clip(brightness.repeat(32, 1).repeat(32, 2) + data.images / 8, 0, 255)
    data.responses = ((brightness.reshape(120, 4) - 128) / 40).astype(np.float32)
    data.single_trials = data.responses[data.rows_of(2)].repeat(2, 0)
    given = {"kind": "cnn-fwrf", "network": "swin_t", "weights": "random", "layers": ["features.0.1"], "input_size": 64,
             "map_size": 8, "field_sizes": [1.0], "field_spacing": 2.0, "alphas": [1.0, 100.0]}  # fmt: skip
    fitted = fit_kind(read_predictor("own", given), FitContext([data], 0))
    model = fitted.model
    assert fitted.config["features"]["layouts"] == [["NHWC", 0]]
    signs = torch.tensor([[-1, -1], [1, -1], [-1, 1], [1, 1]])
    assert torch.equal(model.field[:, :2].sign(), signs)
    r = pearson(predict_subject(model, data, 2, 50, torch.device("cpu")), data.responses[data.rows_of(2)])
    assert r.min() > 0.9
    again = build_features(input_size=64, **fitted.config["features"])
    again.load_state_dict(model.features.state_dict())
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(again(images)[0], model.features(images)[0])


def test_a_layer_that_is_no_tensor_is_one_line(subject_maker):
    wanted = LayerMaps(map_size=4, network="swin_t", weights="random", layers=("features.1.0.attn.getattr",))
    with pytest.raises(InputError, match=r"are not nodes of swin_t|cannot be told from that") as error:
        make_features(wanted, FitContext([subject_maker(size=64)], 0))
    assert "\n" not in str(error.value)


def test_a_network_with_a_fixed_grid_asks_for_images_of_its_patches(subject_maker):
    with pytest.raises(InputError, match=r"input_size: 50: vit_b_32 cannot take images of 50 px; .* multiple of 32"):
        ridge_on("vit_b_32", "encoder.ln", 50)
    with pytest.raises(InputError, match="input_size: 48: alexnet cannot take images of 48 px"):
        make_features(ridge_on("alexnet", "features.12", 48).read_features, FitContext([subject_maker()], 0))


def test_weights_of_another_grid_are_one_line(subject_maker, tmp_path):
    torch.save({"encoder.pos_embedding": torch.zeros(1, 5, 768)}, tmp_path / "w.pth")  # of 64 px
    settings = ridge_on("vit_b_32", "encoder.ln", 96, weights=str(tmp_path / "w.pth"))
    with pytest.raises(InputError, match=r"w.pth: not the weights of torchvision's vit_b_32 for images of 96 px"):
        make_features(settings.read_features, FitContext([subject_maker(size=96)], 0))
