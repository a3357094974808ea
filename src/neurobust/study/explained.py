"""What is explained of a study, which files the jobs of that have and read: worked out from the study alone.

Functions of `wildcards` are input functions of rules, as in `paths`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from neurobust.core.io import canonical_json
from neurobust.core.settings import brief
from neurobust.explain.description import Analysis, Need, Scope
from neurobust.explain.registry import analysis_modules, of_scope
from neurobust.files.adversarials import adversarials_path
from neurobust.files.attack_table import attack_table_path
from neurobust.files.examples import examples_path
from neurobust.files.explained import (
    arrays_path,
    network_analysis_path,
    predictor_analysis_path,
    study_analysis_path,
)
from neurobust.files.network_metrics import metrics_path
from neurobust.files.roi import roi_path
from neurobust.files.stimuli import stimuli_path
from neurobust.files.stimulus_labels import stimulus_labels_path
from neurobust.files.weights import predictor_weights_path
from neurobust.networks.conditions import Condition
from neurobust.predictors.registry import reader_modules
from neurobust.study.mirror import Mirror
from neurobust.study.model import NetworkName, Study
from neurobust.study.pairs import FRAGILITY, gains_of, other_teachers
from neurobust.study.paths import Wildcards, network_of


class Explained:
    """The jobs of `explain`. Networks and predictors have one for what is cheap and one for each dear analysis."""

    def __init__(self, study: Study):
        self.study, self.results = study, study.results

    # --- which analyses ---

    def analyses(self, scope: Scope) -> dict[str, Analysis]:
        """Those of a scope, in the order of the registry."""
        return of_scope(self.study.explain, scope)

    def by_price(self, scope: Scope) -> tuple[dict[str, Analysis], dict[str, Analysis]]:
        """Those that share a job, and those with a job of their own; where all are dear, they share one."""
        found = self.analyses(scope)
        cheap = {name: settings for name, settings in found.items() if not settings.apart} or found
        return cheap, {name: settings for name, settings in found.items() if name not in cheap}

    @property
    def most_stimuli(self) -> int:
        """How many held-out stimuli analyses of predictors look at, at most: as many as attacks look at images."""
        return max(task.attack_images for task in self.study.tasks.values())

    def parameter(self, names: Iterable[str]) -> str:
        """Some analyses as a parameter of their job: what makes their numbers, as canonical JSON."""
        return canonical_json({name: brief(self.study.explain[name]) for name in names})

    # --- predictors ---

    def predictor_tables(
        self, analysis: str, rois: Iterable[str] | None = None, path: Callable[[Path], Path] = Path
    ) -> list[str]:
        """The table of an analysis of the predictor that pages show, for some ROIs (default: all) and every seed."""
        names = itertools.product(self.study.rois if rois is None else rois, self.study.predictor_seeds)
        shown = self.study.predictor
        return [str(path(predictor_analysis_path(self.results, shown, roi, seed, analysis))) for roi, seed in names]

    def teacher_tables(self) -> list[str]:
        """How fragile each of a study's several teachers is, where that is asked; the predictor that pages show is
        among `predictor_tables`."""
        names = itertools.product(other_teachers(self.study), self.study.predictor_seeds)
        return [str(predictor_analysis_path(self.results, *pair, seed, FRAGILITY)) for pair, seed in names]

    def measured_rois(self, wildcards: Wildcards, names: Iterable[str]) -> list[str]:
        """The ROIs whose responses some analyses of a predictor read: its own, and every other where one needs them."""
        return sorted(self.study.rois) if self._needed("others", names) else [wildcards.roi]

    def predictor_responses(self, wildcards: Wildcards, names: Iterable[str]) -> list[str]:
        """The responses of these ROIs, ROI by ROI, subject by subject."""
        pairs = itertools.product(self.measured_rois(wildcards, names), self.study.subjects)
        return [str(roi_path(self.results, subject, roi)) for roi, subject in pairs]

    def predictor_stimuli(self, wildcards: Wildcards) -> list[str]:
        """The subjects' images at the side at which a predictor sees them."""
        return self._stimuli(wildcards.predictor)

    def predictor_modules(self, wildcards: Wildcards, names: Iterable[str]) -> list[str]:
        """The modules of some analyses of a predictor, and those that rebuild it."""
        kind = self.study.predictors[wildcards.predictor].kind
        return sorted({*analysis_modules(names), *reader_modules([kind])})

    def stimulus_labels(self, names: Iterable[str]) -> list[str]:
        """What the stimuli show, where an analysis needs it and it is known."""
        known = self.study.phantom or self.study.data.coco_annotations is not None
        return [str(stimulus_labels_path(self.results))] if known and self._needed("concepts", names) else []

    def prf_files(self, mirror: Mirror) -> Callable[[Wildcards, list[str]], list[str]]:
        """The mirror's maps of population receptive fields, where some analyses compare a predictor with them."""
        return lambda _, names: mirror.prf_files() if self._needed("prfs", names) else []

    # --- networks ---

    def network_tables(
        self,
        analysis: str,
        conditions: Iterable[str] | None = None,
        tasks: Iterable[str] | None = None,
        path: Callable[[Path], Path] = Path,
    ) -> list[str]:
        """The table of an analysis of every network of some conditions and tasks (default: all)."""
        networks = self.study.networks(conditions, tasks)
        return [str(path(network_analysis_path(self.results, network.path, analysis))) for network in networks]

    def network_passes(self, network: NetworkName, settings: Analysis) -> float:
        """Passes through a network that an image costs under an analysis, those through predictors included."""
        rois = self.rois_of(network.task, network.condition) if "predictors" in settings.needs else []
        return settings.passes() + len(rois)

    def compared_rois(self, wildcards: Wildcards) -> list[str]:
        """The ROIs that a network is compared with, sorted: those that guide it; where none does, those that guide any
        network of its task. So one more ROI touches no network that another guides."""
        return self.rois_of(wildcards.task, wildcards.condition)

    def rois_of(self, task: str, condition: str) -> list[str]:
        """The same of any network of a task and a condition."""
        conditions, own = self.study.conditions, self.study.conditions[condition].target
        if own:
            return sorted(own)
        names = self.study.tasks[task].conditions
        return sorted({roi for name in names for roi in conditions[name].target or ()})

    def network_modules(self, wildcards: Wildcards, names: Iterable[str]) -> list[str]:
        """The modules of some analyses of a network, and those that rebuild the predictors that it is compared with."""
        rois = self.compared_rois(wildcards) if self._needed("predictors", names) else []
        kinds = {self.study.predictors[self._guide(roi)].kind for roi in rois}
        return sorted({*analysis_modules(names), *reader_modules(kinds)})

    def compared_predictors(self, wildcards: Wildcards, names: Iterable[str]) -> list[str]:
        """The predictors of the ROIs that a network is compared with, where an analysis needs them."""
        if not self._needed("predictors", names):
            return []
        seed = self.study.predictor_seed(int(wildcards.seed))
        rois = self.compared_rois(wildcards)
        return [str(predictor_weights_path(self.results, self._guide(roi), roi, seed)) for roi in rois]

    def compared_responses(self, wildcards: Wildcards, names: Iterable[str]) -> list[str]:
        """The responses of these ROIs, ROI by ROI, subject by subject, where an analysis needs them."""
        if not self._needed("stimuli", names):
            return []
        pairs = itertools.product(self.compared_rois(wildcards), self.study.subjects)
        return [str(roi_path(self.results, subject, roi)) for roi, subject in pairs]

    def compared_stimuli(self, wildcards: Wildcards, names: Iterable[str]) -> list[str]:
        """The subjects' images, at a side at which a predictor sees them."""
        there = self._needed("stimuli", names) and self.compared_rois(wildcards)
        return self._stimuli(self.study.predictor) if there else []

    def named_files(self, _: Wildcards, names: Iterable[str]) -> list[str]:
        """The files and folders that the settings of some analyses name."""
        return [path for name in names for path in self.study.explain[name].files.values()]

    def stored_examples(self, wildcards: Wildcards, names: Iterable[str]) -> list[str]:
        """A few images as each attack left them, where an analysis needs adversarials."""
        needed = self._needed("adversarials", names)
        return [str(examples_path(self.results, network_of(wildcards).path))] if needed else []

    def stored_transfer(self, wildcards: Wildcards, names: Iterable[str]) -> list[str]:
        """The adversarials that other networks meet, where the study has them and an analysis needs adversarials."""
        needed = self._needed("adversarials", names) and self.study.transfer
        return [str(adversarials_path(self.results, network_of(wildcards).path))] if needed else []

    def minimal_tables(self, wildcards: Wildcards, names: Iterable[str]) -> list[str]:
        """The tables of minimum-norm attacks in L2, where an analysis needs the distances that they found."""
        if not self._needed("minimal", names):
            return []
        attacks = self.study.attacks_of(wildcards.task)
        least = (name for name, plan in attacks.items() if plan.attack.minimum and plan.norm == "l2")
        return [str(attack_table_path(self.results, network_of(wildcards).path, name)) for name in least]

    # --- the whole study ---

    def study_tables(self, analysis: str, path: Callable[[Path], Path] = Path) -> list[str]:
        """The table of an analysis of all networks of each task and architecture."""
        blocks = self.study.blocks()
        return [str(path(study_analysis_path(self.results, *block, analysis))) for block in blocks]

    def block_metrics(self, wildcards: Wildcards) -> list[str]:
        """The metrics of every network of a task and an architecture."""
        return [str(metrics_path(self.results, network)) for network in self._block(wildcards)]

    def block_attacked(self, wildcards: Wildcards) -> list[str]:
        """What the primary attack did to each of them."""
        attack = self.study.primary_attack
        return [str(attack_table_path(self.results, network, attack)) for network in self._block(wildcards)]

    def block_tables(self, wildcards: Wildcards) -> list[str]:
        """The table of every analysis of each of them."""
        pairs = itertools.product(self._block(wildcards), self.analyses("network"))
        return [str(network_analysis_path(self.results, network, name)) for network, name in pairs]

    def _block(self, wildcards: Wildcards) -> list[str]:
        networks = self.study.networks(tasks=[wildcards.task])
        return [network.path for network in networks if network.architecture == wildcards.architecture]

    def gains(self, wildcards: Wildcards) -> str:
        """As a parameter: the conditions of a task whose gain is explained, each with its ROI and its control."""
        return canonical_json([gain._asdict() for gain in gains_of(self.study, wildcards.task)])

    # --- what pages read ---

    def all_tables(self) -> list[str]:
        """Every table of every analysis."""
        return [table for name in self.study.explain for table in self.tables(name)]

    def all_arrays(self) -> list[str]:
        """The arrays of every analysis that leaves some."""
        chosen = (name for name, settings in self.study.explain.items() if settings.leaves_arrays)
        return [arrays for name in chosen for arrays in self.tables(name, arrays_path)]

    def tables(self, analysis: str, path: Callable[[Path], Path] = Path) -> list[str]:
        """The tables of one analysis; path: of a table, what is wanted."""
        scope = self.study.explain[analysis].scope
        if scope == "predictor":
            return self.predictor_tables(analysis, path=path)
        return self.network_tables(analysis, path=path) if scope == "network" else self.study_tables(analysis, path)

    def maps(self) -> list[str]:
        """The arrays that tables of the report are made of: the Fourier maps of networks."""
        there = "fourier" in self.analyses("network")
        return self.network_tables("fourier", path=arrays_path) if there else []

    def of_roi(self, roi: str) -> list[str]:
        """What is explained of the predictor of an ROI, tables and arrays, but for what needs the other ROIs."""
        found: list[str] = []
        for name, settings in self.analyses("predictor").items():
            if "others" in settings.needs:
                continue
            found += self.predictor_tables(name, [roi])
            found += self.predictor_tables(name, [roi], path=arrays_path) if settings.leaves_arrays else []
        return found

    def _needed(self, need: Need, names: Iterable[str]) -> bool:
        return any(need in self.study.explain[name].needs for name in names)

    def _stimuli(self, predictor: str) -> list[str]:
        side = self.study.predictors[predictor].input_size
        return [str(stimuli_path(self.results, subject, side)) for subject in self.study.subjects]

    def _guide(self, roi: str) -> str:
        """The predictor of an ROI that networks are compared with: the one that the first condition with this target
        names, controls last; else the one that pages show."""
        guides = [c for c in self.study.conditions.values() if c.predictor is not None and roi in (c.target or ())]
        guides.sort(key=_is_control)
        return (guides[0].predictor if guides else None) or self.study.predictor


def _is_control(condition: Condition) -> bool:
    return condition.control is not None


def of_analyses(function: Callable[[Wildcards, list[str]], Any], *names: str) -> Callable[[Wildcards], Any]:
    """What depends on the analyses of a job: on these, or without any on the one in its wildcards."""
    return lambda wildcards: function(wildcards, list(names) or [wildcards.analysis])


def outputs(
    analyses: Mapping[str, Analysis | None], at: Callable[..., str], path: Callable[..., Path], *names: str
) -> list[str]:
    """What a job of some analyses writes: a table each, and arrays. at: makes a path of its function and names, which
    are wildcards here; None for settings: those of a job of one analysis, whichever it is."""
    found = [at(path, *names, name) for name in analyses]
    left = (name for name, settings in analyses.items() if settings is None or settings.leaves_arrays)
    return found + [str(arrays_path(at(path, *names, name))) for name in left]
