"""A study, as everything behind the border sees it: frozen, typed, checked. Made by `study.read`. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct

from neurobust.attacks.plan import AttackPlan
from neurobust.networks.conditions import Condition


class NetworkName(NamedTuple):
    """The names that make up a network's path."""

    task: str
    architecture: str
    condition: str
    seed: int

    @property
    def path(self) -> str:
        """Its folder below a stage's: task/architecture/condition/seed0."""
        return f"{self.task}/{self.architecture}/{self.condition}/seed{self.seed}"


class Study(Struct, frozen=True):
    """A study: what is trained, attacked and shown. Mappings keep the order of the configuration, which is the page's.

    trained: task -> the conditions that its networks are trained with; reference_strengths: semantic attack -> the
    strength that tables quote (None: the middle one above 0); config: the checked configuration that it was read from.
    """

    name: str
    results: str
    phantom: bool
    rois: tuple[str, ...]
    subjects: tuple[str, ...]
    predictors: tuple[str, ...]
    predictor_seeds: tuple[int, ...]
    tasks: tuple[str, ...]
    architectures: tuple[str, ...]
    conditions: dict[str, Condition]
    trained: dict[str, tuple[str, ...]]
    seeds: tuple[int, ...]
    attack_images: int
    attacks: dict[str, AttackPlan]
    primary_attack: str
    reference_strengths: dict[str, float | None]
    transfer: bool
    corruptions: bool
    config: dict[str, Any]

    @property
    def root(self) -> Path:
        """The folder of everything that is computed."""
        return Path(self.results)

    @property
    def predictor(self) -> str:
        """The predictor that pages show: the first."""
        return self.predictors[0]

    def networks(
        self, conditions: Iterable[str] | None = None, tasks: Iterable[str] | None = None
    ) -> Iterator[NetworkName]:
        """The networks of some conditions and tasks (default: all), in the order of the study's lists."""
        chosen = set(self.conditions if conditions is None else conditions)
        for task in self.tasks if tasks is None else tasks:
            for architecture in self.architectures:
                for condition in self.trained[task]:
                    if condition in chosen:
                        yield from (NetworkName(task, architecture, condition, seed) for seed in self.seeds)

    def predictor_seed(self, seed: int) -> int:
        """The predictor's seed for a network's seed: the k-th goes with the k-th, counted round."""
        return self.predictor_seeds[self.seeds.index(seed) % len(self.predictor_seeds)]
