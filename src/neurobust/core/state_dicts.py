"""Weights that others trained, as a file of safetensors or of torch: read without running code, and laid onto a module.

Nothing is unpickled but tensors (`weights_only`), and nothing is downloaded.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from neurobust.core.errors import InputError, flat

NUMBERED = re.compile(r"(.*?)\d+$")  # a part that is one of several: layer4, blocks.11, encoder_layer_5
NESTED = ("state_dict", "model_state_dict", "model", "net")  # where checkpoints keep their state dict
# what wrappers call the statistics that they normalise by, the last as in the package robustness
NORMALISERS = (("mean", "std"), ("mu", "sigma"), ("new_mean", "new_std"))

State = Mapping[str, Tensor]


def read_state(path: Path, where: str) -> State:
    """The state dict of a file of safetensors or of torch; InputError, at `where`, for anything else."""
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise InputError(f"{where}: '{path}': not readable as safetensors ({flat(error)}); give its file") from None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what its readers raise
        if code := asked(error):
            raise InputError(
                f"{where}: '{path}': holds more than tensors ({code}), and code of a file is never run; save its state "
                "dict with torch.save(model.state_dict(), ...) or as safetensors"
            ) from None
        if isinstance(error, pickle.UnpicklingError):
            raise InputError(f"{where}: '{path}': not a file of torch; give a state dict") from None
        raise InputError(f"{where}: '{path}': not a file of torch ({flat(error)}); give a state dict") from None
    for part in (found, *(found[name] for name in NESTED if isinstance(found, Mapping) and name in found)):
        if isinstance(part, Mapping) and part and all(isinstance(value, Tensor) for value in part.values()):
            return {str(key): value for key, value in part.items()}
    keys = sorted(map(str, found))[:6] if isinstance(found, Mapping) else type(found).__name__
    raise InputError(f"{where}: '{path}': no state dict in it (it has {keys}); save model.state_dict()")


def asked(error: Exception) -> str:
    """What a file wanted to run, off torch's long message; empty where it is no file of torch at all."""
    text = " ".join(str(error).split())
    if "TorchScript" in text:
        return "TorchScript"
    found = re.search(r"unsupported global:?(?: GLOBAL)? ([\w.]+)", text, re.IGNORECASE)
    return found[1] if found else ""


def fitted(state: State, body: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The part of a state dict under the prefix that fits the body best, without it; and what is left over."""
    wanted, best = body.state_dict(), best_prefix(state, body)
    own = {key.removeprefix(best): value for key, value in state.items() if key.startswith(best)}
    inside = {name: value for name, value in own.items() if name in wanted}
    return inside, {key: value for key, value in state.items() if key.removeprefix(best) not in inside}


def best_prefix(state: State, body: nn.Module) -> str:
    """What stands before the names of a body in a state dict, such as `module.`: where most of them are there."""
    wanted = body.state_dict()
    prefixes = {key.removesuffix(name) for name in list(wanted)[:1] for key in state if key.endswith(name)}
    return max(sorted(prefixes) or [""], key=lambda prefix: sum(f"{prefix}{name}" in state for name in wanted))


def part_beyond(names: Iterable[str], whole: nn.Module) -> str:
    """The first part among names of weights that goes on counting where a network ends: `layer1.2` beside its layer1.0
    and layer1.1. Weights with such a part are those of a deeper network, also where all that is wanted fits. Empty for
    none: other names that the network has not, such as those of a classifier, say nothing.
    """
    modules = {name for name, _ in whole.named_modules()}
    counted = {found[1] for name in modules if (found := NUMBERED.match(name))}
    for name in names:
        parts = name.split(".")
        places = (".".join(parts[:end]) for end in range(1, len(parts)))
        missing = next((place for place in places if place not in modules), "")
        found = NUMBERED.match(missing)
        if found and found[1] in counted:
            return missing
    return ""


def normalisation(rest: Mapping[str, Tensor]) -> tuple[list[float], list[float]] | None:
    """The statistics of a wrapper around the network, where a state dict has them."""
    last = {key.rpartition(".")[2]: value for key, value in rest.items() if value.numel() == 3}
    for mean, std in NORMALISERS:
        if mean in last and std in last:
            return last[mean].flatten().tolist(), last[std].flatten().tolist()
    return None


def fill_part(
    body: nn.Module, path: Path, what: str, translated: Callable[[State], State] = lambda state: state,
    whole: nn.Module | None = None,
) -> tuple[list[float], list[float]] | None:  # fmt: skip
    """Give a network the weights of a file; what else the file has, such as a classifier, is passed over.

    translated: the file's state dict in other names or shapes, tried where it does not fit as it is. whole: the network
    with all its blocks, where the body is a part of it or may be taken for a deeper one. Returns the statistics that
    the file normalises by, None where it has none. Raises InputError where weights are missing or of another shape,
    of blocks that the whole network has not (ResNet34's fit a ResNet18), or there twice and not the same (a student's
    and a teacher's).
    """
    wanted = body.state_dict()
    state = read_state(path, "weights")
    named = state
    inside, rest = fitted(named, body)
    if lacking(inside, wanted):
        named = translated(state)
        inside, rest = fitted(named, body)
    problem = lacking(inside, wanted)
    if not problem and whole is not None:
        prefix = best_prefix(named, body)
        beyond = part_beyond((name.removeprefix(prefix) for name in rest), whole)
        problem = f"it has {beyond}, which that network has not" if beyond else ""
    if problem:
        raise InputError(f"{path}: not the weights of {what} ({problem}); give its file, or correct the network's name")
    twin = fitted(rest, body)[0]
    if not lacking(twin, wanted) and any(not torch.equal(twin[name], inside[name]) for name in twin):
        first = next(iter(wanted))
        found = {key.removesuffix(first) for key in state if key.endswith(first)}
        starts = sorted(
            start.rstrip(".") or "nothing" for start in found if all(start + name in state for name in twin)
        )
        below = f", below {', '.join(starts)}" if len(starts) > 1 else ""  # none of translated names
        raise InputError(f"{path}: two sets of weights of {what}{below}; save the one you mean")
    body.load_state_dict(inside, strict=False)
    return normalisation(rest)


def lacking(state: State, wanted: State) -> str:
    """The first thing that is wrong with a state dict; empty where it has all that is wanted."""
    for name, value in wanted.items():
        if name not in state and not name.endswith("num_batches_tracked"):
            return f"it lacks {name}"
        if name in state and state[name].shape != value.shape:
            return f"{name} is {list(state[name].shape)}, not {list(value.shape)}"
    return ""
