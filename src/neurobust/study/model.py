"""A study, as everything behind the border sees it: frozen, typed, checked. Made by `study.read`. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from neurobust.attacks.corruptions.settings import Corruptions
from neurobust.attacks.plan import AttackPlan
from neurobust.attacks.semantic.description import Helper
from neurobust.attacks.semantic.plan import SemanticPlan
from neurobust.attacks.semantic.registry import SEMANTIC
from neurobust.attacks.semantic.transfer_settings import SemanticTransfer
from neurobust.attacks.semantic.verification_settings import VerificationPlan
from neurobust.attacks.shifted.settings import ShiftedSet
from neurobust.attacks.transfer_settings import Transfer
from neurobust.core.reference_range import BASELINE
from neurobust.core.settings import brief
from neurobust.explain.description import Analysis
from neurobust.networks.conditions import Architecture, Condition, Training, with_sweeps
from neurobust.networks.description import Task
from neurobust.networks.outside_settings import OutsideNetwork
from neurobust.nsd.settings import ROI, Data, Splits
from neurobust.phantom.settings import Phantom
from neurobust.predictors.description import Predictor
from neurobust.study.claims import Claim

OUTSIDE = "outside"  # in the place of an architecture, in the paths of networks that others trained


class NetworkName(NamedTuple):
    """The names that make up a network's path."""

    task: str
    architecture: str
    condition: str
    seed: int

    @classmethod
    def of(cls, folder: Path) -> NetworkName:
        """The network whose folder it is, by the end of its path."""
        task, architecture, condition, seed = folder.parts[-4:]
        return cls(task, architecture, condition, int(seed.removeprefix("seed")))

    @property
    def path(self) -> str:
        """Its folder below a stage's: task/architecture/condition/seed0."""
        return f"{self.task}/{self.architecture}/{self.condition}/seed{self.seed}"


class TaskPlan(Struct, frozen=True, kw_only=True):
    """A task of a study: what its images are and where they come from, how networks are trained on it, and with which
    conditions, architectures and seeds. source: the folder or file that the user brings, "" where nothing is brought;
    side: of the images, in pixels; images: how many there are; attack_images: how many of its test images attacks and
    analyses look at; cue: whether they bear one; budgets: of attacks, by norm, in the place of the study's."""

    name: str
    task: Task
    source: str
    training: Training
    conditions: tuple[str, ...]
    architectures: tuple[str, ...]
    seeds: tuple[int, ...]
    side: int
    images: int
    attack_images: int
    cue: bool = False
    budgets: dict[str, tuple[float, ...]] = {}


class Semantic(Struct, frozen=True):
    """The semantic attacks of a study: on how many images, which, and with which auxiliary networks; whether those made
    on an undefended network are shown to all; and its face verification, where it has one."""

    images: int
    attacks: dict[str, SemanticPlan]
    helpers: dict[str, Helper]
    transfer: SemanticTransfer | None = None
    verification: VerificationPlan | None = None

    @property
    def asked(self) -> bool:
        """Whether there is anything for which auxiliary networks are trained."""
        return bool(self.attacks) or self.verification is not None


def title_of(attack: str) -> str:
    """A semantic attack's name for readers; one that no registry knows has none but its own."""
    return SEMANTIC[attack].title or attack if attack in SEMANTIC else attack


class Study(Struct, frozen=True):
    """A study: what is measured, trained, attacked and shown. Mappings keep the order of the configuration, which is
    the page's. planted: what the phantom plants, where one is; config: the checked configuration that it was read from,
    for pages and records; claims: what the report tests, by name; shifted: published test sets, outside: networks
    that others trained, explain: what is explained, by name."""

    name: str
    results: str
    data: Data
    planted: Phantom | None
    rois: dict[str, ROI]
    splits: Splits
    predictors: dict[str, Predictor]
    predictor_seeds: tuple[int, ...]
    tasks: dict[str, TaskPlan]
    architectures: dict[str, Architecture]
    conditions: dict[str, Condition]
    seeds: tuple[int, ...]
    attacks: dict[str, AttackPlan]
    primary_attack: str
    corruptions: Corruptions | None
    semantic: Semantic
    transfer: Transfer | None
    config: dict[str, Any]
    claims: dict[str, Claim] = {}
    shifted: dict[str, ShiftedSet] = {}
    outside: dict[str, OutsideNetwork] = {}
    explain: dict[str, Analysis] = {}

    @property
    def root(self) -> Path:
        """The folder of everything that is computed."""
        return Path(self.results)

    @property
    def subjects(self) -> tuple[str, ...]:
        """The subjects, in the order of the configuration."""
        return tuple(self.data.subjects)

    @property
    def phantom(self) -> bool:
        """Whether its brains are planted by the pipeline itself."""
        return self.data.source == "phantom"

    @property
    def trained(self) -> dict[str, tuple[str, ...]]:
        """Task -> the conditions that its networks are trained with."""
        return {name: task.conditions for name, task in self.tasks.items()}

    def attacks_of(self, task: str) -> dict[str, AttackPlan]:
        """The attacks that a task's networks meet, at its budgets: all, but without a cue those that need one."""
        own = self.tasks[task]
        met = {name: plan for name, plan in self.attacks.items() if own.cue or not plan.attack.twins}
        return {name: replace(plan, budgets=own.budgets.get(plan.norm, plan.budgets)) for name, plan in met.items()}

    def helpers_of(self, task: str) -> tuple[str, ...]:
        """The auxiliary networks that the attacks with a budget read on a task, sorted."""
        return tuple(sorted({name for plan in self.attacks_of(task).values() for name in plan.attack.reads}))

    @property
    def reference_strengths(self) -> dict[str, float | None]:
        """Semantic attack -> the strength that tables quote; None: the middle one above 0."""
        return {name: plan.reference_strength for name, plan in self.semantic.attacks.items()}

    @property
    def predictor(self) -> str:
        """The predictor that pages show: the first."""
        return next(iter(self.predictors))

    def networks(
        self, conditions: Iterable[str] | None = None, tasks: Iterable[str] | None = None
    ) -> Iterator[NetworkName]:
        """The networks of some conditions and tasks (default: all), in the order of the study's lists."""
        chosen = set(self.conditions if conditions is None else conditions)
        for task in self.tasks if tasks is None else tasks:
            plan = self.tasks[task]
            for architecture in plan.architectures:
                for condition in plan.conditions:
                    if condition in chosen:
                        yield from (NetworkName(task, architecture, condition, seed) for seed in plan.seeds)

    def outsiders(self, tasks: Iterable[str] | None = None) -> Iterator[NetworkName]:
        """The networks that others trained, of some tasks (default: all), as paths have them. They are none of
        `networks`: nothing compares them."""
        chosen = set(self.tasks if tasks is None else tasks)
        for name, plan in self.outside.items():
            if plan.task in chosen:
                yield NetworkName(plan.task, OUTSIDE, name, 0)

    def blocks(self) -> Iterator[tuple[str, str]]:
        """The tasks with each architecture that is trained on them: networks are compared within such a block."""
        for name, task in self.tasks.items():
            yield from ((name, architecture) for architecture in task.architectures)

    def with_sweeps(self, names: Iterable[str] | None) -> tuple[str, ...]:
        """The conditions of these names, each with its sweep, in the study's order; all of them for None."""
        return with_sweeps(self.conditions, self.conditions if names is None else names)

    def conditions_of(self, roi: str) -> tuple[str, ...]:
        """The conditions that an ROI's page reads: `none`, those that the ROI guides, and the positive controls, which
        say whether a gain would be seen."""
        controls = self.positive_controls
        return tuple(n for n, c in self.conditions.items() if n == BASELINE or c.roi == roi or n in controls)

    @property
    def positive_controls(self) -> tuple[str, ...]:
        """The references that are known to be more robust than `none`: a study that cannot see it sees nothing."""
        return tuple(name for name, c in self.conditions.items() if c.reference is not None and c.reference.positive)

    def tasks_of(self, roi: str) -> tuple[str, ...]:
        """The tasks that an ROI's page shows: those on which it guides a condition; all where it guides none."""
        return self.compared_tasks(name for name, c in self.conditions.items() if name == BASELINE or c.roi == roi)

    def compared_tasks(self, conditions: Iterable[str]) -> tuple[str, ...]:
        """The tasks on which a comparison of some conditions says anything: not those that have `none` alone of them.

        A study without a guided condition compares its tasks all the same.
        """
        guided = set(conditions) - {BASELINE}
        return tuple(name for name, task in self.tasks.items() if guided & set(task.conditions)) or tuple(self.tasks)

    def surrogate(self, network: NetworkName) -> NetworkName:
        """The undefended network whose semantic adversarials a network meets: `none` of the task's next seed, counted
        round: all networks of a seed meet the same ones and none its own, but where there is one seed."""
        seeds = self.tasks[network.task].seeds
        following = seeds[(seeds.index(network.seed) + 1) % len(seeds)]
        return network._replace(condition=BASELINE, seed=following)

    def predictor_seed(self, seed: int) -> int:
        """The predictor's seed for a network's seed: the k-th goes with the k-th, counted round."""
        return self.predictor_seeds[self.seeds.index(seed) % len(self.predictor_seeds)]

    def recipe(self, task: str, architecture: str, condition: str) -> dict[str, Any]:
        """Everything that makes a network, but its seed and its files, as the JSON that `read_recipe` reads.

        The names of the condition's predictor and of its oracle's weights are left out: both are inputs, known by their
        content; and so is the name of its sweep.
        """
        chosen = brief(replace(self.conditions[condition], predictor=None, sweep=None))
        if "features" in chosen:
            chosen["features"].pop("weights", None)
        if "target" in chosen:
            chosen["target"] = self.conditions[condition].roi
        network = {"architecture": architecture, **brief(self.architectures[architecture])}
        return {**brief(self.tasks[task].training), **network, "condition": chosen}
