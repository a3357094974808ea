"""Fetching the weights that others publish, with a stand-in for the network: no test reaches one."""

import pytest
import torch
from safetensors.torch import load_file

from neurobust.predictors.core_weights import main


def test_what_is_published_is_written_as_a_state_dict(monkeypatch, tmp_path):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    published = timm.create_model("test_convnext")
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: published if pretrained else None)
    main(["timm/test_convnext", str(tmp_path / "w.safetensors")])
    found, wanted = load_file(tmp_path / "w.safetensors"), published.state_dict()
    assert found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("core", ["resnet18", "timm/no_such_network", "torchvision/no_such_network"])
def test_what_cannot_be_fetched_is_one_line_and_leaves_nothing(core, tmp_path):
    with pytest.raises(SystemExit) as caught:
        main([core, str(tmp_path / "w.safetensors")])
    assert str(caught.value).startswith("neurobust: error: ") and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
