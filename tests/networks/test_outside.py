"""Networks that others trained: bit-equal logits, one line for every mistake, and nothing unpickled but tensors."""

import os
import pickle
import sys
import types

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from neurobust.core.errors import InputError
from neurobust.core.settings import read
from neurobust.files.dataset import Source, read_dataset, write_dataset
from neurobust.files.network_metrics import read_metrics
from neurobust.files.pixels import to_pixels
from neurobust.networks.architectures import build_bare, load_network
from neurobust.networks.outside import bring_network
from neurobust.networks.outside_settings import OutsideNetwork

CLASSES, SIDE, N = 4, 32, 12  # N test images, and as many to train on, which nothing here looks at


@pytest.fixture
def dataset(tmp_path):
    """Twelve test images, three of each class, whose red says the class; class folders."""
    images = np.random.default_rng(0).integers(0, 256, (2 * N, SIDE, SIDE, 3), dtype=np.uint8)
    labels, split = np.arange(2 * N) % CLASSES, np.repeat(np.array([0, 2], np.uint8), N)
    images[..., 0] = 60 * labels[:, None, None]
    names = [f"n0{label}" for label in range(CLASSES)]
    source = Source(labels, split, names, (SIDE, SIDE), iter([images]), dict, folders=tuple(names))
    write_dataset(tmp_path / "dataset.h5", "planted", source, {})
    return tmp_path / "dataset.h5"


def bring(dataset, folder, name="guest", **given):
    wanted = read(OutsideNetwork, {"task": "planted", **given}, f"config.outside.{name}")
    bring_network(dataset, wanted, name, folder / "model.safetensors", folder / "metrics.json")
    return load_network(folder / "model.safetensors")


def pixels(dataset):
    return to_pixels(read_dataset(dataset).images[:], torch.device("cpu"))


def trained(name, outputs=CLASSES, stem="imagenet", side=SIDE):
    """A network with moved batch statistics, as training leaves them."""
    torch.manual_seed(3)
    network = build_bare(name, outputs, stem, side).train()
    for _ in range(3):
        network(torch.rand(4, 3, side, side))
    return network.eval()


class Red(nn.Module):
    """Reads the class off the mean red; `by`: it answers that many classes further on."""

    def __init__(self, by=0):
        super().__init__()
        self.by = by

    def forward(self, images):
        seen = (images[:, 0].mean((1, 2)) * 255 / 60).round().long()
        return nn.functional.one_hot((seen + self.by) % CLASSES, CLASSES).float()


class Wayward(nn.Module):
    """Keeps what is no weight and differs whenever it is built; `fewer`: answers some of many images alone."""

    def __init__(self, fewer=False):
        super().__init__()
        self.kept, self.fewer = torch.rand(CLASSES), fewer

    def forward(self, images):
        logits = images.mean((1, 2, 3))[:, None] + self.kept * (not self.fewer)
        return logits.expand(-1, CLASSES)[: 2 if self.fewer else None]


class Silent(Red):
    """Has no answer where it sees the first class."""

    def forward(self, images):
        logits = super().forward(images)
        return torch.where(logits[:, :1] > 0, torch.nan, logits)


@pytest.fixture
def guests(monkeypatch):
    """A module of a user's own."""
    module = types.ModuleType("guests")
    module.right, module.wrong = Red, lambda: Red(by=1)
    module.many = lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 10))
    module.broken = lambda: 1 / 0
    module.text = lambda: "no network"
    module.tall = lambda: nn.Conv2d(3, CLASSES, 1)
    module.lazy = lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(CLASSES))
    module.empty = lambda: nn.Linear(3, CLASSES, device="meta")
    module.wayward, module.fewer, module.silent = Wayward, lambda: Wayward(fewer=True), Silent
    monkeypatch.setitem(sys.modules, "guests", module)
    return module


@pytest.mark.parametrize(("name", "expected"), [("right", 1.0), ("wrong", 0.0)])
def test_a_function_of_known_accuracy(dataset, guests, tmp_path, name, expected):
    network = bring(dataset, tmp_path, kind="function", network=f"guests:{name}")
    labels = torch.from_numpy(read_dataset(dataset).labels)
    assert (network(pixels(dataset)).argmax(1) == labels).float().mean() == expected
    found = read_metrics(tmp_path / "metrics.json")
    assert (found.clean_accuracy, found.condition, found.architecture, found.n_test) == (
        expected,
        "guest",
        "outside",
        N,
    )


def test_no_answer_is_an_error_of_its_clean_accuracy(dataset, guests, tmp_path):
    """The largest of logits that are no numbers is the first: a quarter of the images would be right."""
    bring(dataset, tmp_path, kind="function", network="guests:silent")
    assert read_metrics(tmp_path / "metrics.json").clean_accuracy == 1 - 1 / CLASSES


@pytest.mark.slow
@pytest.mark.parametrize(("name", "stem"), [("small", "imagenet"), ("resnet18", "cifar")])
@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_a_state_dict_gives_bit_equal_logits(dataset, tmp_path, name, stem, suffix):
    """Of another number of outputs than the task has classes, wrapped, parallel, under another key."""
    theirs, path = trained(name, outputs=7, stem=stem), tmp_path / f"theirs.{suffix}"
    state = {f"module.{key}": value for key, value in theirs.state_dict().items()}
    save_file(state, path) if suffix == "safetensors" else torch.save({"epoch": 3, "state_dict": state}, path)
    mean, std, chosen = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), [6, 0, 2, 3]
    given = {"kind": "architecture", "network": name, "weights": str(path), "stem": stem}
    ours = bring(dataset, tmp_path, **given, mean=mean, std=std, outputs=chosen)
    images = pixels(dataset)
    with torch.no_grad():
        normalised = (images - torch.tensor(mean).reshape(3, 1, 1)) / torch.tensor(std).reshape(3, 1, 1)
        assert torch.equal(ours(images), theirs(normalised)[:, chosen])
    assert not ours.training and not any(part.requires_grad for part in ours.parameters())


def test_the_files_own_normalisation_is_taken_and_a_side_scales(dataset, tmp_path):
    """As RobustBench's ImageNet networks are stored: `normalize.mean`, `normalize.std`, `model.*`."""
    theirs = trained("small", side=16)
    mean, std = torch.tensor([0.1, 0.2, 0.3]).reshape(1, 3, 1, 1), torch.tensor([0.5, 0.6, 0.7]).reshape(1, 3, 1, 1)
    state = {"normalize.mean": mean, "normalize.std": std}
    state |= {f"model.{key}": value for key, value in theirs.state_dict().items()}
    save_file(state, tmp_path / "theirs.safetensors")
    given = {"kind": "architecture", "network": "small", "weights": str(tmp_path / "theirs.safetensors")}
    ours, images = bring(dataset, tmp_path, **given, side=16), pixels(dataset)
    with torch.no_grad():
        scaled = nn.functional.interpolate(images, (16, 16), mode="bilinear", antialias=True)
        assert torch.equal(ours(images), theirs((scaled - mean[0]) / std[0]))


def test_outputs_by_class_folder(dataset, guests, tmp_path):
    (tmp_path / "all.txt").write_text("\n".join(f"n0{k} class {k}" for k in (9, 3, 8, 2, 1, 0, 7, 6, 5, 4)))
    network = bring(dataset, tmp_path, kind="function", network="guests:many", outputs=str(tmp_path / "all.txt"))
    assert network.outputs.tolist() == [5, 4, 3, 1]
    (tmp_path / "few.txt").write_text("n00\nn01\nn02")
    with pytest.raises(InputError, match=r"guest\.outputs: '.*few\.txt': lacks n03, a class of the task 'planted'"):
        bring(dataset, tmp_path, kind="function", network="guests:many", outputs=str(tmp_path / "few.txt"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"network": "guests:many"}, r"outputs: missing: the network has 10 logits and the task 'planted' 4 classes"),
        ({"network": "guests:many", "outputs": [1, 2]}, r"outputs: 2 of them; the task 'planted' has 4 classes"),
        ({"network": "guests:many", "outputs": [1, 2, 3, 10]}, r"outputs: 10: the network has 10 logits; count"),
        ({"network": "guests:many", "side": 16}, r"side: 16: the network takes no images of 16 px \(.*\); give"),
        ({"network": "guests:broken"}, r"network: 'guests:broken' gave no network \(ZeroDivisionError"),
        ({"network": "guests:absent"}, r"network: 'guests:absent' gave no network \(AttributeError"),
        ({"network": "guests:text"}, r"network: 'guests:text' gave a str; return a torch module"),
        ({"network": "guests:tall"}, r"network: gives \[2, 4, 32, 32\] for 2 images; it must give \(images, classes\)"),
        ({"network": "guests:lazy"}, r"network: 'guests:lazy': 1\.weight of its module is no tensor with values"),
        ({"network": "guests:empty"}, r"network: 'guests:empty': weight of its module is no tensor with values"),
        ({"network": "guests:wayward"}, r"network: built again, it gives other logits: something that its weights do"),
        ({"network": "guests:fewer"}, r"network: gives \[2, 4\] for \d+ images; it must give \(images, classes\)"),
        ({"network": "guests"}, r"network: 'guests': give package\.module:function"),
        ({"kind": "architecture", "network": "small"}, r"weights: missing: a network of kind architecture needs them"),
        ({"kind": "robustbench", "network": "Standard", "weights": "zoo"}, r"network: 'Standard': give dataset/threat"),
        ({"network": "guests:right", "mean": [0, 0, 0]}, r"mean and std: one without the other"),
        ({"network": "guests:right", "std": [0, 1, 1], "mean": [0, 0, 0]}, r"std: \[0\.0, 1\.0, 1\.0\]: give"),
    ],
)  # fmt: skip
def test_every_mistake_is_one_line(dataset, guests, tmp_path, given, message):
    with pytest.raises(InputError, match=rf"^config\.outside\.guest(\.|: ){message}") as error:
        bring(dataset, tmp_path, **{"kind": "function", **given})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("layer2.0.weight"), r"it lacks layer2\.0\.weight"),
        (lambda state: state.update({"extra.weight": torch.zeros(2)}), r"extra\.weight is no part of it"),
        (lambda state: state.update({"layer1.0.weight": torch.zeros(2)}), r"layer1\.0\.weight is \[2\], not \[32, 3"),
        (lambda state: state["fc.bias"].fill_(torch.nan), r"fc\.bias has values that are no numbers; correct the file"),
        (lambda state: state.update({"fc.bias": state["fc.bias"].to_sparse()}), r"fc\.bias \(.*sparse.*is no plain"),
        (lambda state: state.update({"fc.bias": state["fc.bias"].long()}), r"fc\.bias is torch.int64, not torch.float"),
        (lambda state: state.pop("fc.weight"), r"it lacks fc\.weight"),
        (lambda state: state.clear(), "no state dict in it"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_named(dataset, tmp_path, change, message):
    state = dict(trained("small").state_dict())
    change(state)
    torch.save(state, tmp_path / "theirs.pt")
    with pytest.raises(InputError, match=rf"config\.outside\.guest\.weights: '.*theirs\.pt': .*{message}") as error:
        bring(dataset, tmp_path, kind="architecture", network="small", weights=str(tmp_path / "theirs.pt"))
    assert "\n" not in str(error.value)


class Code:
    """Makes a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2))])
def test_a_pickle_that_needs_code_is_refused_and_not_run(dataset, tmp_path, write):
    write({"state_dict": Code(str(tmp_path / "ran"))}, tmp_path / "theirs.pt")
    with pytest.raises(
        InputError,
        match=r"guest\.weights: '.*theirs\.pt': holds more than tensors \((posix|nt)\.mkdir\).*; save its state dict",
    ):
        bring(dataset, tmp_path, kind="architecture", network="small", weights=str(tmp_path / "theirs.pt"))
    assert not (tmp_path / "ran").exists()
    (tmp_path / "theirs.safetensors").write_bytes(b"none")
    with pytest.raises(InputError, match=r"theirs\.safetensors': not readable as safetensors"):
        bring(dataset, tmp_path, kind="architecture", network="small", weights=str(tmp_path / "theirs.safetensors"))


def test_robustbench_layout(dataset, tmp_path, monkeypatch):
    """`models/<dataset>/<threat>/<name>.pt`, whose architecture its package has: stood in for by one of its form."""
    given = {"kind": "robustbench", "network": "cifar10/Linf/Standard", "weights": str(tmp_path / "models")}
    theirs, path = trained("small"), tmp_path / "models/cifar10/Linf/Standard.pt"
    path.parent.mkdir(parents=True)
    torch.save({"state_dict": theirs.state_dict()}, path)
    with pytest.raises(InputError, match=r"guest\.kind: 'robustbench': its package .* is not installed"):
        monkeypatch.setitem(sys.modules, "robustbench", None)
        bring(dataset, tmp_path, **given)
    zoo, enums = types.ModuleType("robustbench.model_zoo"), types.ModuleType("robustbench.model_zoo.enums")
    enums.BenchmarkDataset, enums.ThreatModel = (lambda value: value), (lambda value: value)
    zoo.model_dicts = {
        "cifar10": {"Linf": {"Standard": {"model": lambda: build_bare("small", CLASSES, "imagenet", 32)}}}
    }
    for name, module in (("", types.ModuleType("robustbench")), (".model_zoo", zoo), (".model_zoo.enums", enums)):
        monkeypatch.setitem(sys.modules, f"robustbench{name}", module)
    network, images = bring(dataset, tmp_path, **given), pixels(dataset)
    with torch.no_grad():
        assert torch.equal(network(images), theirs(images))
    with pytest.raises(InputError, match=r"network: 'cifar10/L2/Standard': RobustBench lists no such model"):
        path.parent.parent.joinpath("L2").mkdir()
        torch.save(theirs.state_dict(), path.parent.parent / "L2/Standard.pt")
        bring(dataset, tmp_path, **{**given, "network": "cifar10/L2/Standard"})


def test_timm_without_timm(dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    torch.save(trained("small").state_dict(), tmp_path / "theirs.pt")
    with pytest.raises(InputError, match=r"guest\.kind: 'timm': not installed"):
        bring(dataset, tmp_path, kind="timm", network="resnet18", weights=str(tmp_path / "theirs.pt"))


@pytest.mark.slow
def test_any_model_of_timm(dataset, tmp_path):
    """Its own normalisation, 9 logits of which 4 are asked for, at the side that it was trained at."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    theirs = timm.create_model("test_vit", pretrained=False, num_classes=9).eval()
    torch.save(theirs.state_dict(), tmp_path / "theirs.pt")
    given = {"kind": "timm", "weights": str(tmp_path / "theirs.pt"), "outputs": [8, 1, 2, 3]}
    side = theirs.pretrained_cfg["input_size"][-1]
    ours, images = bring(dataset, tmp_path, **given, network="test_vit", side=side), pixels(dataset)
    mean, std = (torch.tensor(theirs.pretrained_cfg[name]).reshape(3, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        scaled = nn.functional.interpolate(images, (side, side), mode="bilinear", antialias=True)
        assert torch.equal(ours(images), theirs((scaled - mean) / std)[:, [8, 1, 2, 3]])
    with pytest.raises(InputError, match=r"network: 'test_vti': timm has no model 'test_vti'.*nearest: test_vit"):
        bring(dataset, tmp_path, **given, network="test_vti")
