"""Rates of the machine that will run a study, from half a minute on it: for `plan`, before anything has run there.

What is timed are a network's epochs, plain and with a predictor in the loop, a predictor's steps, an attack's passes,
the reader of images and a digest, in the sizes of the study. The stages time them; here it is said what is timed, and
in which units.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from msgspec import field
from msgspec.structs import replace

from neurobust.core.errors import InputError, messages_of
from neurobust.core.io import read_json, write_json
from neurobust.core.reference_range import BASELINE
from neurobust.core.settings import Count, NotNegative, Positive, Settings, field_names, read
from neurobust.networks.conditions import COSTS, Recipe, read_recipe
from neurobust.predictors.gnet_settings import GNetSettings
from neurobust.study.jobs import read_out, training_units
from neurobust.study.model import Study, TaskPlan
from neurobust.study.rates import DIGEST, READER, READERS, Speeds

SECONDS = 30.0  # in all, apart from what does not count
SHARES = 6  # of these seconds: two trainings, a predictor, an attack's two passes, and reader and digest together


@dataclass(frozen=True)
class Node:
    """What a job finds on a machine: the name of what it computes on, the seconds until it could begin, how many
    threads read for the device, and the bytes of a GPU's memory, 0 where there is none."""

    device: str
    start: float
    threads: int
    memory: float


@dataclass(frozen=True)
class Stopwatch:
    """What the stages time on a node: `networks.probe`, `predictors.probe`, `attacks.probe` and `core.timing` say what
    their functions give."""

    node: Node
    training: Callable[..., float]
    network: Callable[[Recipe, int], Any]
    write_gnet: Callable[[GNetSettings, int, Path], None]
    gnet: Callable[[GNetSettings, int, int, float], float]
    passes: Callable[[Any, int, float], tuple[float, float]]
    reader: Callable[[int, float], float]
    digest: Callable[[float], float]


class Probed(Settings, frozen=True, kw_only=True):
    """What the file of a probe says: see `rates.Speeds`. What an older one lacks is as documented."""

    device: str = ""
    rates: dict[str, Positive] = field(default_factory=dict)
    start: NotNegative | None = None
    reader: Positive = READER
    digest: Positive = DIGEST
    threads: Count = READERS
    memory: NotNegative = 0.0


def probe_path(study: Study, folder: Path) -> Path:
    """Where the rates of a study's machine lie."""
    return folder / study.results / "preflight" / "probe.json"


def probe_machine(study: Study, timed: Stopwatch, output: Path, seconds: float = SECONDS) -> None:
    """Write the node, `rates` in seconds per unit of the rules whose work is timed (`study.jobs` says their units), and
    `reader` and `digest` as in `rates.Speeds`."""
    (task, architecture), _ = Counter((name.task, name.architecture) for name in study.networks()).most_common(1)[0]
    plan, cost, share = _ever_new(study.tasks[task]), COSTS.get(architecture, 1.0), seconds / SHARES
    kinds = Counter(name.condition for name in study.networks(tasks=[task]) if name.architecture == architecture)
    chosen = [name for name in (BASELINE, *_in_the_loop(study, kinds)) if name in kinds]
    gnet = next((kind for kind in study.predictors.values() if isinstance(kind, GNetSettings)), None)
    rates, took, units = {}, 0.0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "gnet.safetensors"
        if gnet is not None:
            voxels, images = read_out(study)
            timed.write_gnet(gnet, voxels * len(study.subjects), weights)
            rates["train_predictor"] = timed.gnet(gnet, voxels, images, share) / (gnet.input_size**2 / 1000)
        for name in chosen:
            condition, recipe = study.conditions[name], _recipe(study, task, architecture, name)
            count = sum(_looks_alike(study, name, other) for other in kinds.elements())
            files = [weights] * (condition.target is not None)
            took += count * timed.training(recipe, plan.side, files, share)
            units += count * training_units(study, plan, condition, cost) / (plan.images * plan.training.epochs)
    if chosen:
        rates["train_network"] = took / units
    recipe = _recipe(study, task, architecture, next(iter(kinds)))
    gradient, look = timed.passes(timed.network(recipe, plan.side), plan.side, 2 * share)
    pixels = plan.side**2 / 1000
    rates |= dict.fromkeys(("attack_network", "explain_network", "explain_network_apart"), gradient / (pixels * cost))
    rates |= dict.fromkeys(("transfer_attacks", "corrupt_network", "classify_shifted"), look / (pixels * cost))
    reader, digest = timed.reader(plan.side, share / 2) / pixels, timed.digest(share / 2)
    write_json(output, {**asdict(timed.node), "rates": rates, "reader": reader, "digest": digest})


def _ever_new(plan: TaskPlan) -> TaskPlan:
    """A task whose epochs all ask the predictor: with `versions` only the first do, and what is timed is chance."""
    return replace(plan, training=replace(plan.training, versions=None))


def _recipe(study: Study, task: str, architecture: str, condition: str) -> Recipe:
    """How a network is trained, from random weights (a probe fetches nothing) and on images that are ever new."""
    return read_recipe(study.recipe(task, architecture, condition) | {"pretrained": False, "versions": None})


def _in_the_loop(study: Study, kinds: Counter[str]) -> list[str]:
    """The commonest condition that a single G-net guides on the task's images, where there is one."""
    return [name for name, _ in kinds.most_common() if _single(study, name)][:1]


def _single(study: Study, name: str) -> bool:
    condition = study.conditions[name]
    kind = study.predictors.get(condition.predictor or "")
    plain = condition.guided and condition.on_task and not condition.on_stimuli and condition.subjects is None
    return plain and len(condition.target or ()) == 1 and isinstance(kind, GNetSettings)


def _looks_alike(study: Study, name: str, other: str) -> bool:
    """Whether a network of the condition `other` is priced like one of `name`: with a predictor or without."""
    return (study.conditions[name].predictor is None) == (study.conditions[other].predictor is None)


def probed_machine(study: Study, folder: Path, gpu: bool) -> tuple[Speeds, str]:
    """What a probe found of the study's machine, and its device; what is documented where it was not asked.

    Raises InputError for a file that holds something else: rates that are no numbers above 0 make no plan."""
    path = probe_path(study, folder)
    if not path.exists():
        return Speeds(gpu=gpu), ""
    try:
        given = read_json(path)
        known = {key: given[key] for key in field_names(Probed) if key in given} if isinstance(given, dict) else given
        found = read(Probed, known, str(path))
    except InputError as error:
        wrong = messages_of(error)[0].split("; ")[0]
        raise InputError(f"{wrong}; delete the file, and let the target `probe` measure again") from error
    numbers = {key: getattr(found, key) for key in field_names(Probed) if key != "device"}
    return Speeds(gpu=gpu, **numbers), found.device
