"""Our AutoAttack with the settings that config/config.yaml ships beside an independent one (torchattacks).

    python benchmarks/autoattack.py [--networks cnn cnn-robust vit resnet18 resnet18-narrow ...]
                                    [--norms linf l2] [--images 128] [--queries 5000]
                                    [--try steps,targets,queries ...] [--no-peer] [--device cpu]

Digits at 8 pixels; an undefended CNN, one trained on adversarials, a small vision transformer and, where asked for, two
ResNet18 trained on adversarials (a minute, kept in the temporary folder): torchvision's, whose stages see 2, 1, 1 and 1
pixels, and `resnet18-narrow`, of a quarter of its width and with the CIFAR stem, whose stages see 8, 4, 2 and 1.
`scenes-resnet18`, `scenes-vit`: trained on adversarials of the phantom's scenes at 32 pixels.
Three budgets per norm, which leave about three quarters, a half and a quarter of the images standing, and less where
the ensemble beats the minimum-norm attack that they come from. Per side: robust accuracy, passes and seconds (of the
CPU, or on the clock where a GPU works) over the three budgets. `--queries`: of the peer's Square; `--try`: other
settings of ours beside the shipped ones.
"""

from __future__ import annotations

import argparse
import runpy
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from attacks import TRAINING_BUDGET, run, train
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torchvision.models import VisionTransformer
from torchvision.models.resnet import BasicBlock, ResNet

from neurobust.core.training import pick_device
from neurobust.networks.architectures import build_network
from neurobust.phantom.scenes import CATEGORIES, render_all, sample_scenes

HOME = Path(__file__).parents[1]
UNDER_ATTACK = runpy.run_path(str(HOME / "tests/networks_under_attack/make.py"))
STANDING = (0.75, 0.5, 0.25)  # shares of the images at the three budgets, about
NAMES = {"linf": "Linf", "l2": "L2"}
STEPS = 100  # of the peer's APGD and FAB
EPOCHS = 12
SCENES = {"scenes-resnet18": 5, "scenes-vit": 30}  # epochs of their training
SCENE_BUDGET = 2 / 255  # largest change of a pixel that they are trained against
TRAIN = 1400  # images that may be trained on, the first ones
TRAIN_SCENES = 3000


class Counted(nn.Module):
    """A network that counts the images that pass through it, forward and backward."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body, self.forwards, self.backwards = body, 0, 0

    def forward(self, images: Tensor) -> Tensor:
        self.forwards += len(images)
        logits = self.body(images)
        if logits.requires_grad:
            logits.register_hook(self.back)
        return logits

    def back(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


def data(name: str) -> tuple[Tensor, Tensor]:
    """The images (n, 3, S, S) in [0,1] that a network reads, and their labels; the digits' first TRAIN, the
    phantom's first TRAIN_SCENES, may be trained on. Digits are 8 pixels wide, scenes 32."""
    if name in SCENES:
        scenes = sample_scenes(TRAIN_SCENES + 600, "benchmark of autoattack", faces=0.0)
        images = render_all(scenes, 32)
        labels = np.array([CATEGORIES.index(scene.category) for scene in scenes])
    else:
        images, labels = UNDER_ATTACK["read_digits"]()
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div(255).contiguous(), torch.from_numpy(labels)


class NarrowResNet18(ResNet):
    """ResNet18 of a quarter of the width (16, 32, 64, 128 channels), with the CIFAR stem: a convolution of stride 1."""

    def __init__(self):
        super().__init__(BasicBlock, [2, 2, 2, 2], num_classes=10)
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.maxpool, self.fc = nn.Identity(), nn.Linear(128, 10)

    def _make_layer(self, block: Any, planes: int, *given: Any, **named: Any) -> nn.Sequential:
        self.inplanes = 16 if planes == 64 else self.inplanes
        return super()._make_layer(block, planes // 4, *given, **named)


def lightened(network: nn.Module, images: Tensor) -> nn.Module:
    """The same ResNet18 at two thirds of the time and less: logits agree to rounding, and both sides attack this one.

    Batch norm is folded into the convolutions before it, and 3 x 3 convolutions of maps of one pixel become those of
    1 x 1 that they are: the rest of their weights meets zeros, which is half of a ResNet18's on images of 8 pixels.
    """
    sides: dict[nn.Conv2d, tuple[int, ...]] = {}
    convolutions = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
    hooks = [
        part.register_forward_pre_hook(lambda part, given: sides.update({part: tuple(given[0].shape[2:])}))
        for part in convolutions
    ]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    for part, side in sides.items():
        if side == (1, 1) and part.kernel_size == (3, 3):
            part.weight = nn.Parameter(part.weight[:, :, 1:2, 1:2].contiguous())
            part.kernel_size, part.padding, part.stride = (1, 1), (0, 0), (1, 1)
    return fuse(network).eval().requires_grad_(False)


def untrained(name: str) -> nn.Module:
    """A network of ten classes with random weights, always the same."""
    torch.manual_seed(0)
    if name == "resnet18-narrow":
        return NarrowResNet18()
    if name == "scenes-vit":
        return VisionTransformer(32, 8, num_layers=4, num_heads=4, hidden_dim=96, mlp_dim=192, num_classes=10)
    return build_network("resnet18", 10)


def victim(name: str, device: torch.device) -> nn.Module:
    """A network to attack, by name; one whose weights are no file of the tests is trained where it was not yet."""
    if name not in ("resnet18", "resnet18-narrow", *SCENES):
        return UNDER_ATTACK["load"](name)
    epochs = SCENES.get(name, EPOCHS)
    network, path = untrained(name), Path(tempfile.gettempdir()) / f"neurobust-autoattack-{name}-{epochs}.pt"
    if path.exists():
        network.load_state_dict(torch.load(path, weights_only=True))
    else:
        images, labels = data(name)
        budget, count = (SCENE_BUDGET, TRAIN_SCENES) if name in SCENES else (TRAINING_BUDGET, TRAIN)
        network, images, labels = network.to(device), images[:count].to(device), labels[:count].to(device)
        train(network, images, labels, epochs, budget, adam="vit" in name)
        network.cpu()
        torch.save(network.state_dict(), path)
    return network.eval()


def attacked(name: str, network: nn.Module, count: int) -> tuple[Tensor, Tensor]:
    """Held-out images and labels; of the scenes, which are hard to learn, those that the network reads rightly."""
    images, labels = data(name)
    if name not in SCENES:
        return images[TRAIN : TRAIN + count], labels[TRAIN : TRAIN + count]
    images, labels = images[TRAIN_SCENES:], labels[TRAIN_SCENES:]
    with torch.no_grad():
        right = network(images).argmax(1) == labels
    print(f"{name}: {100 * right.double().mean():.1f} % of {len(images)} scenes read rightly", flush=True)
    return images[right][:count], labels[right][:count]


def budgets_of(network: nn.Module, images: Tensor, labels: Tensor, norm: str) -> list[float]:
    """Three budgets, in pixel units, at which about STANDING of the images stand, by the minimum-norm attack."""
    largest = 1.0 if norm == "linf" else 10.0
    found = run(network, images, labels, "fmn", norm=norm, steps=60, unit="1", budgets=[0, largest])
    return [round(torch.nanquantile(found.distance.flatten(), 1 - share).item(), 4) for share in STANDING]


def ours(network: Counted, images: Tensor, labels: Tensor, norm: str, budgets: list[float], **settings: Any) -> Tensor:
    """Robust accuracy at each budget."""
    given = {"norm": norm, "unit": "1", "budgets": [0, *budgets], **settings}
    result = run(network, images, labels, "autoattack", **given)
    return 1 - result.success[:, 1:].double().mean(0)


def theirs(network: Counted, images: Tensor, labels: Tensor, norm: str, budgets: list[float], queries: int) -> Tensor:
    """Robust accuracy at each budget, one run for each: its interface has one."""
    import torchattacks

    robust = []
    for budget in budgets:
        peer = torchattacks.AutoAttack(network, norm=NAMES[norm], eps=budget, n_classes=10, seed=0)
        *climbing, square = peer._autoattack.attacks
        for attack in climbing:
            attack.steps = STEPS  # the protocol's; the package sets 10
        square.n_queries = queries
        found = peer(images, labels)
        with torch.no_grad():
            robust.append((network.body(found).argmax(1) == labels).double().mean())
    return torch.stack(robust)


def seconds_now(device: torch.device) -> float:
    """A clock: CPU seconds of this process, or those on the wall once a GPU has done what it was asked."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def compare(name: str, norm: str, sides: dict[str, Any], count: int, device: torch.device) -> None:
    """Print what every side leaves standing of some images and what it cost, on one network and norm."""
    network = victim(name, device).requires_grad_(False)
    images, labels = attacked(name, network, count)
    network = lightened(network, images[:1]) if "resnet18" in name else network
    network, images, labels = network.to(device), images.to(device), labels.to(device)
    budgets = budgets_of(network, images, labels, norm)
    with torch.no_grad():
        clean = (network(images).argmax(1) == labels).double().mean().item()
    print(f"{name}, {norm}, {device}, {len(images)} images, clean {100 * clean:.1f}, budgets {budgets}", flush=True)
    unit = "CPU s" if device.type == "cpu" else "s"
    for side, attack in sides.items():
        counted, start = Counted(network), seconds_now(device)
        robust = attack(counted, images, labels, norm, budgets)
        seconds = seconds_now(device) - start
        text = " ".join(f"{100 * value:6.2f}" for value in robust.tolist())
        print(f"  {side:28s} {text}   {counted.forwards / 1e3:8.1f}k forwards {counted.backwards / 1e3:7.1f}k "
              f"backwards {seconds:6.1f} {unit}", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["cnn", "cnn-robust", "vit"])
    parser.add_argument("--norms", nargs="+", default=["linf", "l2"])
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--queries", type=int, default=5000)
    parser.add_argument("--try", nargs="*", default=[], dest="tried", metavar="STEPS,TARGETS,QUERIES")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--device", type=torch.device, default=pick_device())
    options = parser.parse_args()
    torch.set_num_threads(1)
    shipped = yaml.safe_load((HOME / "config/config.yaml").read_text())["attacks"]["autoattack"]
    settings = {"ours, as shipped": {key: shipped[key] for key in ("steps", "targets", "queries") if key in shipped}}
    for text in options.tried:
        steps, targets, queries = map(int, text.split(","))
        settings[f"ours, {text}"] = {"steps": steps, "targets": targets, "queries": queries}
    sides: dict[str, Any] = {
        name: lambda *given, chosen=chosen: ours(*given, **chosen) for name, chosen in settings.items()
    }
    if not options.no_peer:
        sides["torchattacks"] = lambda *given: theirs(*given, options.queries)
    for name in options.networks:
        for norm in options.norms:
            compare(name, norm, sides, options.images, options.device)


if __name__ == "__main__":
    main()
