"""What each layer of a predictor adds, and the core that voxels share."""

import torch

from neurobust.core.io import save_weights
from neurobust.predictors.fitting import FitContext
from neurobust.predictors.gnet import LAYERS, GNet
from neurobust.predictors.target import load_target
from neurobust.predictors.train import fit_kind


def test_contributions_add_up_to_the_response_but_for_a_constant(kind_settings, read, subject):
    """Of every kind; and only what was trained is a core."""
    settings = read(kind_settings)
    model = fit_kind(settings, FitContext([subject], 0)).model.eval()
    images = torch.rand(5, 3, settings.input_size, settings.input_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        response, parts, core = model(images), model.contributions(images), model.core_features(images)
    assert (core is not None) == (settings.kind == "gnet")
    assert core is None or (core.ndim == 2 and len(core) == 5 and not core.isnan().any())
    if settings.kind == "resnet-pcs":
        assert parts == {}
        return
    rest = response - sum(parts.values())
    assert torch.allclose(rest, rest[:1].expand_as(rest), atol=1e-4) and response.std() > 0
    assert settings.kind != "gnet" or list(parts) == list(LAYERS)


def test_a_target_of_one_predictor_hands_them_on(tmp_path):
    torch.manual_seed(0)
    config = {"voxels": {"a": 3, "b": 2}, "input_size": 48, "prefilter_channels": (4, 6), "trunk_width": 2}
    model = GNet(**config).eval()
    save_weights(tmp_path / "model.safetensors", model.state_dict(), {"kind": "gnet", **config})
    images = torch.rand(4, 3, 80, 80)
    alone, ensemble = load_target(tmp_path / "model.safetensors"), load_target([tmp_path / "model.safetensors"] * 2, 2)
    several = load_target([tmp_path / "model.safetensors"] * 2)
    for name, part in alone.contributions(images).items():
        assert part.shape == (4, 5) and torch.allclose(ensemble.contributions(images)[name], part, atol=1e-5)
    assert several.contributions(images) == {} and several.core_features(images) is None
    assert len(alone.core_features(images)) == 4
