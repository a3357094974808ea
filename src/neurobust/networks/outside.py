"""Networks that this pipeline did not train: built by name, filled from a state dict, and written as ours are.

Nothing is unpickled but tensors (`weights_only`), and nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from neurobust.core.errors import InputError, flat
from neurobust.core.io import provenance, save_weights
from neurobust.core.places import load
from neurobust.core.seeding import derive_seed
from neurobust.core.settings import read, written
from neurobust.core.state_dicts import NORMALISERS, State, fitted, normalisation, read_state
from neurobust.core.timm_names import check_timm
from neurobust.core.training import pick_device
from neurobust.files.dataset import Dataset, read_dataset
from neurobust.files.network_metrics import NetworkMetrics, write_metrics
from neurobust.files.pixels import to_pixels
from neurobust.files.splits import TEST
from neurobust.networks.architectures import build_bare, last_linear
from neurobust.networks.outside_settings import OutsideNetwork

PROBED = 2  # images that a network is tried on


class Outside(nn.Module):
    """Logits (N, K) of the task's classes for [0, 1] RGB images: scaled, normalised, shown to the body, chosen from."""

    mean: Tensor
    std: Tensor
    outputs: Tensor

    def __init__(
        self, body: nn.Module, mean: Sequence[float], std: Sequence[float], side: int | None, outputs: Sequence[int]
    ):
        super().__init__()
        self.body, self.side = body, side
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).reshape(3, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).reshape(3, 1, 1))
        self.register_buffer("outputs", torch.tensor(outputs, dtype=torch.int64))

    def forward(self, images: Tensor) -> Tensor:
        """Logits of `images` (N, 3, H, W)."""
        if self.side is not None and self.side != images.shape[-1]:
            images = nn.functional.interpolate(images, (self.side, self.side), mode="bilinear", antialias=True)
        logits: Tensor = self.body((images - self.mean) / self.std)
        return logits[:, self.outputs] if len(self.outputs) else logits


# --- weights ---


def fill(body: nn.Module, state: State, path: Path, where: str) -> tuple[list[float], list[float]] | None:
    """Give a body the weights of a file; the statistics that the file normalises by, None where it has none.

    Raises InputError, naming the first key, where weights are missing, left over, of another shape or no plain numbers.
    """
    inside, rest = fitted(state, body)
    wanted = {name: value for name, value in body.state_dict().items() if not name.endswith("num_batches_tracked")}
    problems = [f"it lacks {name}" for name in wanted if name not in inside]
    problems += [
        f"{name} is {list(inside[name].shape)}, not {list(value.shape)}"
        for name, value in wanted.items() if name in inside and inside[name].shape != value.shape
    ]  # fmt: skip
    problems += [f"{name} {problem}" for name in inside if (problem := no_weight(inside[name], wanted.get(name)))]
    found = normalisation(rest)
    known = [name for pair in NORMALISERS for name in pair] if found else []
    problems += [f"{key} is no part of it" for key in rest if key.rpartition(".")[2] not in known]
    if problems:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise InputError(
            f"{where}: '{path}': not the weights of this network: {problems[0]}{more}; correct the file or `network`"
        )
    body.load_state_dict(inside, strict=False)
    return found


def no_weight(value: Tensor, wanted: Tensor | None) -> str:
    """Why a tensor of a file is no weight, whatever its shape; empty where it is one. wanted: what it is for."""
    if value.layout != torch.strided or value.is_meta or value.is_complex():
        return f"({value.dtype}, {value.layout}, {value.device.type}) is no plain numbers"
    if wanted is not None and wanted.is_floating_point() and not value.is_floating_point():
        return f"is {value.dtype}, not {wanted.dtype}"
    return "has values that are no numbers" if value.float().isnan().any() else ""


# --- bodies ---


def build_body(wanted: OutsideNetwork, outputs: int, side: int, where: str) -> nn.Module:
    """The network itself, without weights of its own but those that its function gives it. Raises InputError, at
    `where`, for a name that there is not."""
    with torch.random.fork_rng(devices=[]):
        return BUILDERS[wanted.kind](wanted, outputs, side, where)


def _of_function(wanted: OutsideNetwork, outputs: int, side: int, where: str) -> nn.Module:
    try:
        body = cast(Callable[[], Any], load(wanted.network))()
    except Exception as error:  # code that we do not know
        raise InputError(
            f"{where}.network: {wanted.network!r} gave no network ({type(error).__name__}: {flat(error)}); correct it"
        ) from error
    if not isinstance(body, nn.Module):
        raise InputError(f"{where}.network: {wanted.network!r} gave a {type(body).__name__}; return a torch module")
    for name, value in body.state_dict().items():
        if not isinstance(value, Tensor) or is_lazy(value) or value.is_meta:
            raise InputError(
                f"{where}.network: {wanted.network!r}: {name} of its module is no tensor with values; return a network "
                "that is whole and not quantised"
            )
    return body


def _of_architecture(wanted: OutsideNetwork, outputs: int, side: int, where: str) -> nn.Module:
    return build_bare(wanted.network, outputs, wanted.stem, side)


def _of_timm(wanted: OutsideNetwork, outputs: int, side: int, where: str) -> nn.Module:
    try:
        import timm
    except ImportError as error:
        raise InputError(f"{where}.kind: 'timm': not installed ({error}); install timm beside neurobust") from None
    check_timm(wanted.network, f"{where}.network: {wanted.network!r}")
    body: nn.Module = timm.create_model(wanted.network, pretrained=False, num_classes=outputs)
    return body


def _of_robustbench(wanted: OutsideNetwork, outputs: int, side: int, where: str) -> nn.Module:
    dataset, threat, name = wanted.network.split("/")
    try:
        from robustbench.model_zoo import model_dicts
        from robustbench.model_zoo.enums import BenchmarkDataset, ThreatModel
    except ImportError as error:
        raise InputError(
            f"{where}.kind: 'robustbench': its package has the architectures and is not installed ({error}); install "
            "it, or name the file as `weights` of a network of kind architecture, timm or function"
        ) from None
    try:
        entry = model_dicts[BenchmarkDataset(dataset)][ThreatModel(threat)][name]
    except (KeyError, ValueError):
        raise InputError(
            f"{where}.network: {wanted.network!r}: RobustBench lists no such model; give {dataset}/{threat} and one of "
            "its names"
        ) from None
    body: nn.Module = entry["model"]()
    return body


BUILDERS: dict[str, Callable[[OutsideNetwork, int, int, str], nn.Module]] = {
    "function": _of_function, "architecture": _of_architecture, "timm": _of_timm, "robustbench": _of_robustbench,
}  # fmt: skip
SIZED = ("architecture", "timm")  # built with as many outputs as their weights have


def outputs_of(wanted: OutsideNetwork, state: State | None, side: int, where: str) -> int:
    """How many logits a network has by its weights; 0 where its code says so."""
    if state is None or wanted.kind not in SIZED:
        return 0
    probe = build_body(wanted, PROBED, side, where)
    name, _ = last_linear(probe, wanted.network)
    weight = fitted(state, probe)[0].get(f"{name}.weight")
    if weight is None:
        raise InputError(
            f"{where}.weights: '{wanted.file}': not the weights of {wanted.network}: it lacks {name}.weight; correct "
            "the file or `network`"
        )
    return len(weight)


# --- the whole ---


def build_outside(wanted: OutsideNetwork, data: Dataset, where: str) -> tuple[Outside, dict[str, Any]]:
    """A network as a study shows it to attacks, and what rebuilds it. Raises InputError, at `where`, for what does not
    fit the task: its classes, its size, its weights."""
    side = wanted.side or data.side
    state = None if wanted.file is None else read_state(Path(wanted.file), f"{where}.weights")
    count = outputs_of(wanted, state, side, where)
    body = build_body(wanted, count, side, where)
    found = None if state is None else fill(body, state, Path(wanted.file or ""), f"{where}.weights")
    mean, std = found or packaged(body, wanted)
    if wanted.mean is not None and wanted.std is not None:
        mean, std = list(wanted.mean), list(wanted.std)
    network = Outside(body, mean, std, wanted.side, ()).eval().float().requires_grad_(False)
    logits = probe_outputs(network, data, wanted, where)
    chosen = classes_of(wanted, data, logits, where)
    config = {
        "outside": written(wanted), "num_outputs": count, "image_size": side, "mean": list(mean), "std": list(std),
        "outputs": chosen, "num_classes": len(data.classes),
    }  # fmt: skip
    return Outside(network.body, mean, std, wanted.side, chosen).eval().requires_grad_(False), config


def packaged(body: nn.Module, wanted: OutsideNetwork) -> tuple[list[float], list[float]]:
    """The statistics that a package normalises its model's images by; those that change nothing where it says none."""
    known = getattr(body, "pretrained_cfg", {}) if wanted.kind == "timm" else {}
    return list(known.get("mean", (0.0, 0.0, 0.0))), list(known.get("std", (1.0, 1.0, 1.0)))


def probe_outputs(network: nn.Module, data: Dataset, wanted: OutsideNetwork, where: str) -> int:
    """How many logits it gives of an image of the task; InputError where it takes none."""
    images = to_pixels(data.images[:PROBED], torch.device("cpu"))
    try:
        with torch.no_grad():
            found = network(images)
    except Exception as error:  # code that we do not know
        given = f"{wanted.side}" if wanted.side else "missing"
        raise InputError(
            f"{where}.side: {given}: the network takes no images of {wanted.side or data.side} px ({flat(error)}); "
            "give the side that it was trained at"
        ) from error
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(images):
        shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise InputError(f"{where}.network: gives {shape} for {len(images)} images; it must give (images, classes)")
    if not found.is_floating_point():
        raise InputError(f"{where}.network: gives {found.dtype}; it must give logits, as real numbers")
    if found.dtype == torch.float64:
        raise InputError(f"{where}.network: gives {found.dtype} for images of {images.dtype}; cast its logits to that")
    return found.shape[1]


def classes_of(wanted: OutsideNetwork, data: Dataset, logits: int, where: str) -> list[int]:
    """Which of a network's logits are the task's classes; empty where all are, in their order."""
    count, key = len(data.classes), f"{where}.outputs"
    if wanted.outputs is None:
        if logits != count:
            raise InputError(
                f"{key}: missing: the network has {logits} logits and the task '{data.task}' {count} classes; list "
                "those that are its classes, or give a file of class folders"
            )
        return []
    chosen = list(wanted.outputs) if not isinstance(wanted.outputs, str) else by_folder(wanted.outputs, data, key)
    if len(chosen) != count:
        raise InputError(f"{key}: {len(chosen)} of them; the task '{data.task}' has {count} classes: list one for each")
    if wrong := [index for index in chosen if index >= logits]:
        raise InputError(f"{key}: {wrong[0]}: the network has {logits} logits; count them from 0")
    return chosen


def by_folder(path: str, data: Dataset, key: str) -> list[int]:
    """The places of a task's class folders in a file of all."""
    try:
        lines = [line.split()[0] for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeError) as error:
        raise InputError(f"{key}: '{path}': not readable as text ({flat(error)}); give a class folder a line") from None
    if not data.folders:
        raise InputError(f"{key}: '{path}': the classes of the task '{data.task}' are no folders; list numbers instead")
    places = {name: index for index, name in enumerate(lines)}
    if missing := [folder for folder in data.folders if folder not in places]:
        raise InputError(f"{key}: '{path}': lacks {missing[0]}, a class of the task '{data.task}'; complete it")
    return [places[folder] for folder in data.folders]


def bring_network(
    dataset: Path, wanted: OutsideNetwork, name: str, output: Path, metrics: Path, image_batch: int = 128
) -> None:
    """Write a network from outside as the pipeline's own lie: its weights, and its accuracy on the task's test images.

    Raises InputError for what cannot be used.
    """
    data, where = read_dataset(dataset), f"config.outside.{name}"
    network, config = build_outside(wanted, data, where)
    weights = {} if wanted.file is None else {"weights": wanted.file}
    origin = provenance({"dataset": dataset, **weights}, params=written(wanted))
    state = {key: value.clone() for key, value in network.state_dict().items()}  # shared weights are written twice
    check_rebuilt(network, state, config, to_pixels(data.images[:PROBED], torch.device("cpu")), where)
    save_weights(output, state, {**config, "provenance": origin})
    rows, device = data.rows(TEST), pick_device()
    network.to(device)
    with torch.no_grad():
        found = [
            answers(network, to_pixels(np.stack([data.images[row] for row in part]), device), where).cpu().numpy()
            for part in np.array_split(rows, -(-len(rows) // image_batch))
        ]
    write_metrics(metrics, NetworkMetrics(
        task=data.task, architecture="outside", condition=name, seed=0, n_test=len(rows),
        clean_accuracy=float((np.concatenate(found) == data.labels[rows]).mean()), provenance=origin,
    ))  # fmt: skip


@torch.no_grad()
def check_rebuilt(network: nn.Module, state: State, config: Mapping[str, Any], images: Tensor, where: str) -> None:
    """Raise InputError where a network and what its weights make again differ: jobs would attack another one.

    One that draws random numbers differs from itself, and is let pass.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("outside", "again"))  # what it draws while it is built is drawn anew
        again = rebuild(state, config).eval()
    logits, repeated, found = network(images), network(images), again(images)
    if torch.equal(logits, repeated) and not torch.allclose(logits, found, rtol=1e-3, atol=1e-4, equal_nan=True):
        raise InputError(
            f"{where}.network: built again, it gives other logits: something that its weights do not hold differs "
            "from call to call; make it a parameter or a buffer"
        )


def answers(network: nn.Module, images: Tensor, where: str) -> Tensor:
    """The classes (n,) that a network gives to images (n, 3, H, W), -1 where its logits are not finite: no answer is
    an error. Raises InputError where it does not give logits for each."""
    logits = network(images)
    if logits.ndim != 2 or len(logits) != len(images):
        raise InputError(
            f"{where}.network: gives {list(logits.shape)} for {len(images)} images; it must give (images, classes)"
        )
    return torch.where(logits.isfinite().all(1), logits.argmax(1), -1)


def rebuild(state: State, config: Mapping[str, Any]) -> Outside:
    """The network of a file of `bring_network`, on the CPU. Raises KeyError or RuntimeError where it is none."""
    wanted = read(OutsideNetwork, config["outside"], "outside")
    body = build_body(wanted, config["num_outputs"], config["image_size"], "outside")
    network = Outside(body, config["mean"], config["std"], wanted.side, config["outputs"]).float()
    network.load_state_dict(dict(state))
    return network
