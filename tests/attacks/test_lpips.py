"""LPIPS of the user's own files: the paper's formula slowly, the files as the package has them, clear refusals."""

import math
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torchvision import models

from neurobust.attacks.evaluate import networks_of
from neurobust.attacks.helpers import Helpers
from neurobust.attacks.lpips import CHANNELS, CUTS, LPIPS, Lpips, bring
from neurobust.attacks.own_model import attack
from neurobust.attacks.perceptual import distance_in
from neurobust.attacks.plan import read_plan
from neurobust.attacks.registry import attack_modules
from neurobust.core.errors import InputError

# Behind which layers of torchvision's each backbone is read, and the smallest images that reach the last.
PLACES = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29), "squeeze": (1, 4, 7, 9, 10, 11, 12)}
BUILD = {"alex": models.alexnet, "vgg": models.vgg16, "squeeze": models.squeezenet1_1}
SMALLEST = {"alex": 31, "vgg": 16, "squeeze": 17}


def linear_of(backbone, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {f"lin{place}.model.1.weight": torch.rand(1, count, 1, 1, generator=generator)
            for place, count in enumerate(CHANNELS[backbone])}  # fmt: skip


def features_of(backbone, seed=0):
    """Torchvision's own layers, without the classifier, with random weights as large as they usually are."""
    with torch.device("meta"):
        network = torch.nn.Sequential(OrderedDict(features=BUILD[backbone]().features))
    network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    for value in network.parameters():
        value.data.normal_(0, 0.1 if value.ndim == 1 else value[0].numel() ** -0.5, generator=generator)
    return network.requires_grad_(False)


@pytest.fixture
def files(tmp_path):
    """Random weights of AlexNet, as torchvision saves them, and random linear weights, as the package does."""
    torch.save(features_of("alex").state_dict() | {"classifier.1.weight": torch.zeros(3, 2)}, tmp_path / "alexnet.pt")
    torch.save(linear_of("alex"), tmp_path / "alex.pth")
    return {"backbone": "alex", "weights": str(tmp_path / "alexnet.pt"), "linear": str(tmp_path / "alex.pth")}


def settings(**given):
    return read_plan("a", {"method": "perceptual", "budgets": [0, 0.2], **given}).attack


def slow_lpips(network, linear, places, one, other):
    """Equation 1 of Zhang et al. in a loop over places: one pair of images (3, H, W), as float64."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    total, maps = 0.0, []
    for image in (one, other):
        scaled = torch.from_numpy((image.permute(1, 2, 0).double().numpy() - mean) / std).permute(2, 0, 1)[None]
        found, shown = [], scaled
        for index, layer in enumerate(network.double().features[: places[-1] + 1]):
            shown = layer(shown)
            if index in places:
                found.append(shown[0].detach().numpy())
        maps.append(found)
    for place, (a, b) in enumerate(zip(*maps, strict=True)):
        weights = linear[f"lin{place}.model.1.weight"].flatten().double().numpy()
        sums = []
        for row in range(a.shape[1]):
            for column in range(a.shape[2]):
                u, v = a[:, row, column], b[:, row, column]
                u, v = u / (np.linalg.norm(u) + 1e-10), v / (np.linalg.norm(v) + 1e-10)
                sums.append((weights * (u - v) ** 2).sum())
        total += np.mean(sums)
    return total


@pytest.mark.parametrize("backbone", ["alex", "vgg", "squeeze"])
def test_it_is_the_formula_of_the_paper(tmp_path, backbone):
    network, linear = features_of(backbone, 1), linear_of(backbone, 1)
    torch.save(network.state_dict(), tmp_path / "net.pt")
    torch.save(linear, tmp_path / "lin.pth")
    own = bring(settings(backbone=backbone, weights=str(tmp_path / "net.pt"), linear=str(tmp_path / "lin.pth")))[LPIPS]
    side = max(32, SMALLEST[backbone])
    images, others = torch.rand(2, 2, 3, side, side, generator=torch.Generator().manual_seed(0))
    others[1] = images[1]
    found = distance_in(own.embed)(images, others)
    expected = slow_lpips(network, linear, PLACES[backbone], images[0], others[0])
    assert found[0].item() == pytest.approx(math.sqrt(expected), rel=1e-4)
    assert found[1] == 0
    assert not own.training and not any(parameter.requires_grad for parameter in own.parameters())


@pytest.mark.parametrize("backbone", ["alex", "vgg", "squeeze"])
def test_images_that_are_too_small_are_one_line(backbone):
    network, side = Lpips(backbone), SMALLEST[backbone]
    network.body.load_state_dict(features_of(backbone).state_dict(), strict=False)
    assert len(network.embed(torch.rand(1, 3, side, side))) == len(CUTS[backbone])
    with pytest.raises(InputError, match=rf"LPIPS \({backbone}\) of images \({side - 1}, {side - 1}\): too small"):
        network.embed(torch.rand(1, 3, side - 1, side - 1))


def test_the_gradient_is_a_number_where_features_are_dead(files):
    own = bring(settings(**files))[LPIPS]
    images, points = torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32)
    points[..., 10:20, 10:20] = 0.5
    points.requires_grad_()
    (slope,) = torch.autograd.grad(distance_in(own.embed)(images, points).sum(), points)
    assert slope.isfinite().all() and (slope != 0).any()


def test_a_file_of_the_whole_package_serves_as_both(files, tmp_path):
    """`torch.save(lpips.LPIPS(...).state_dict())`: its backbone has other names."""
    backbone, linear = torch.load(files["weights"], weights_only=True), torch.load(files["linear"], weights_only=True)
    whole = {f"net.slice1.{name.removeprefix('features.')}": value
             for name, value in backbone.items() if name.startswith("features.")}  # fmt: skip
    torch.save(whole | linear | {f"lins.{key[3:]}": value for key, value in linear.items()}, tmp_path / "lpips.pt")
    both = bring(settings(backbone="alex", weights=str(tmp_path / "lpips.pt"), linear=str(tmp_path / "lpips.pt")))
    images = torch.rand(1, 3, 32, 32)
    for one, other in zip(both[LPIPS].embed(images), bring(settings(**files))[LPIPS].embed(images), strict=True):
        assert torch.equal(one, other)


def test_what_is_not_its_files_is_refused_in_one_line(files, tmp_path):
    def refused(match, **changes):
        with pytest.raises(InputError, match=match) as caught:
            bring(settings(**files | changes))
        assert "\n" not in str(caught.value)

    def saved(**changes):
        torch.save(linear_of("alex") | changes, tmp_path / "odd.pth")
        return str(tmp_path / "odd.pth")

    refused("not the weights of the backbone of LPIPS", weights=files["linear"])
    refused("it lacks lin0.model.1.weight", linear=files["weights"])
    refused(r"\(lin1.model.1.weight has 192 weights, not 128\)", backbone="vgg", weights=vgg_file(tmp_path))
    refused("weights below 0", linear=saved(**{"lin2.model.1.weight": -torch.ones(1, 384, 1, 1)}))
    refused("no numbers", linear=saved(**{"lin4.model.1.weight": torch.full((1, 256, 1, 1), math.nan)}))
    spoiled = features_of("alex").state_dict()
    spoiled["features.3.bias"][0] = math.nan
    torch.save(spoiled, tmp_path / "spoiled.pt")
    refused("has weights that are no numbers", weights=str(tmp_path / "spoiled.pt"))
    torch.save(features_of("alex"), tmp_path / "pickled.pt")
    refused(r"holds more than tensors \(torch.nn.modules.container.Sequential\)", weights=str(tmp_path / "pickled.pt"))
    (tmp_path / "text.pth").write_text("no weights")
    refused("not a file of torch", linear=str(tmp_path / "text.pth"))


def vgg_file(folder):
    torch.save(features_of("vgg").state_dict(), folder / "vgg.pt")
    return str(folder / "vgg.pt")


def test_one_file_without_the_others_is_refused(files):
    for key in files:
        given = {name: value for name, value in files.items() if name != key}
        with pytest.raises(InputError, match="give all three or none"):
            settings(**given)
    assert settings().reads == ("oracle",) and settings(**files).reads == ()
    assert settings(**files).unit == "root of LPIPS (alex)" and settings().unit == "of LPIPS form"


def test_a_model_of_one_s_own_is_attacked_within_true_lpips(files, tmp_path):
    """Without an oracle; what it finds is inside by the distance itself, and the change that it finds is no noise."""
    torch.manual_seed(2)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 4)).eval()
    images = 0.3 + 0.4 * torch.rand(6, 3, 32, 32)
    labels = model(images).argmax(1)
    found = attack(model, images, labels, "perceptual", (0, 0.05, 0.4), steps=8, rounds=3, **files)
    assert found.unit and found.accuracy[0] == 1 and found.accuracy[0.4] < 0.5
    apart = distance_in(bring(settings(**files))[LPIPS].embed)(images, found.adversarial)
    broken = found.success[:, -1]
    assert (apart[broken] <= 0.4).all() and torch.allclose(found.distance[broken], apart[broken], rtol=1e-3)
    chance = attack(model, images, labels, "random-perceptual", (0, 0.05, 0.4), repeats=5, **files)
    assert chance.success.sum() <= found.success.sum()


def test_a_study_s_cells_stand_for_what_the_files_hold(files):
    plan, nothing = read_plan("a", {"method": "perceptual", "budgets": [0, 0.2], **files}), Helpers({}, {})
    networks, digests = networks_of(plan, nothing, torch.device("cpu"))
    assert set(networks) == {LPIPS} and set(digests) == {"weights", "linear"}
    torch.save(linear_of("alex", 5), files["linear"])
    again, others = networks_of(plan, nothing, torch.device("cpu"))
    assert others["weights"] == digests["weights"] and others["linear"] != digests["linear"]
    assert not torch.equal(again[LPIPS].root0, networks[LPIPS].root0)
    assert "neurobust.attacks.lpips" in attack_modules({"a": plan})
