"""Which files a study has and which a job of it reads: what the rules take as input, worked out from the study alone.

Functions of `wildcards` are input functions of rules: they take any object with a rule's wildcards as attributes.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from neurobust.core.reference_range import BASELINE
from neurobust.core.settings import brief
from neurobust.files.attack_table import attack_table_path
from neurobust.files.canaries import canaries_path
from neurobust.files.checks import checks_path
from neurobust.files.corruption_table import corruption_table_path
from neurobust.files.examples import examples_path
from neurobust.files.network_metrics import metrics_path
from neurobust.files.predictor_tables import voxels_path
from neurobust.files.quality import quality_path
from neurobust.files.roi import roi_path
from neurobust.files.semantic_table import semantic_table_path
from neurobust.files.shifted_table import shifted_table_path
from neurobust.files.stimuli import stimuli_path
from neurobust.files.stimulus_labels import stimulus_labels_path
from neurobust.files.transfer_table import transfer_table_path
from neurobust.files.weights import network_weights_path, predictor_weights_path
from neurobust.predictors.registry import predictor_modules, reader_modules
from neurobust.study.model import OUTSIDE, NetworkName, Study
from neurobust.study.pairs import guides

# A network's folder below a stage's, as a pattern of wildcards.
NETWORK = "{task}/{architecture}/{condition}/seed{seed}"
# What a study keeps in its folder of results: names that no other study's folder there should have.
FOLDERS = (
    "cortex", "stimuli", "predictors", "tasks", "networks", "attacks", "explain", "report", "preflight", "benchmarks",
)  # fmt: skip


class Wildcards(Protocol):
    """The wildcards of a rule: those that the rule's output names."""

    task: str
    architecture: str
    condition: str
    seed: str
    roi: str
    subject: str
    predictor: str
    helper: str
    semantic: str
    shifted: str
    analysis: str


def network_of(wildcards: Wildcards) -> NetworkName:
    """The network that a rule's wildcards name."""
    return NetworkName(wildcards.task, wildcards.architecture, wildcards.condition, int(wildcards.seed))


class Paths:
    """The files of one study."""

    def __init__(self, study: Study):
        self.study, self.results = study, study.results
        self.logs = study.results.replace("results", "logs", 1)
        self.benchmarks = f"{study.results}/benchmarks"

    # --- networks ---

    def networks(
        self,
        conditions: Iterable[str] | None = None,
        tasks: Iterable[str] | None = None,
        architecture: str | None = None,
    ) -> list[str]:
        """The folders, below a stage's, of networks: of some conditions, tasks and one architecture (default: all)."""
        names = self.study.networks(conditions, tasks)
        return [name.path for name in names if architecture in (None, name.architecture)]

    def task_source(self, wildcards: Wildcards) -> str:
        """Where the images of a task lie that are not part of a library: a folder, a file, or the phantom's."""
        task = self.study.tasks[wildcards.task]
        return self.rendered(task.task.kind) if task.task.phantom else task.source

    def rendered(self, kind: str) -> str:
        """Where the phantom's images of a kind of task lie: beside its brains, so that each world has its own; where
        brains are real, with what the study computes."""
        root = str(self.study.data.folder) if self.study.phantom else self.results
        return f"{root}/tasks/{kind}.npz"

    def planted_source(self, wildcards: Wildcards) -> list[str]:
        """The source as an input where a rule makes it. What the user brings is checked by the job, in one clear line,
        so that a study can be planned before its images are there; its files are digested into the dataset's
        provenance."""
        return [self.task_source(wildcards)] if self.study.tasks[wildcards.task].task.phantom else []

    def task_spec(self, wildcards: Wildcards) -> dict[str, Any]:
        """What of a task's configuration makes its images."""
        spec: dict[str, Any] = brief(self.study.tasks[wildcards.task].task)
        return spec

    @property
    def gate(self) -> list[str]:
        """The verdicts on the data, which every training of a study of real brains waits for, also where it reads none.

        None where the data are a phantom's, which this pipeline wrote, or where no brain guides a network.
        """
        guided = any(condition.target for condition in self.study.conditions.values())
        if not (self.study.data.from_bucket and guided):
            return []
        return [str(quality_path(self.results, subject)) for subject in self.study.subjects]

    def target_predictors(self, wildcards: Wildcards) -> list[str]:
        """The predictors that a condition's target is made of, of an ensemble all seeds of an ROI one after the other;
        none for a condition without a target."""
        condition = self.study.conditions[wildcards.condition]
        if not condition.ensemble or condition.predictor is None:
            return self.predictor_files(wildcards, condition.target, predictor_weights_path)
        members = itertools.product(condition.target or (), self.study.predictor_seeds)
        return [str(predictor_weights_path(self.results, condition.predictor, roi, seed)) for roi, seed in members]

    def predictor_files(
        self, wildcards: Wildcards, rois: Iterable[str] | None, path: Callable[[str, str, str, int], Path]
    ) -> list[str]:
        """A file of a condition's predictor of each of some ROIs; path: of results, predictor, ROI and seed."""
        predictor = self.study.conditions[wildcards.condition].predictor
        if predictor is None:
            return []
        seed = self.study.predictor_seed(int(wildcards.seed))
        return [str(path(self.results, predictor, roi, seed)) for roi in rois or ()]

    def control_files(self, wildcards: Wildcards) -> dict[str, list[str]]:
        """What a condition reads beside predictors, by name (`networks.inputs`)."""
        condition = self.study.conditions[wildcards.condition]
        files: dict[str, list[str]] = {}
        if condition.features is not None and condition.features.weights:
            files["oracle"] = [condition.features.weights]
        if condition.match:
            files["voxels"] = self.predictor_files(wildcards, condition.target, voxels_path)
            files["matched"] = self.predictor_files(wildcards, condition.match, voxels_path)
        if condition.reference is not None and condition.reference.matched is not None:
            matched = network_of(wildcards)._replace(condition=condition.reference.matched)
            files["guided"] = [str(network_weights_path(self.results, matched.path))]
        if condition.on_stimuli:
            size, rois = self.study.tasks[wildcards.task].side, condition.target or ()
            if not condition.pairs:
                rois = rois[:1]  # its images and their splits, which are those of every ROI
            pairs = list(itertools.product(self.study.subjects, rois))
            files["responses"] = [str(roi_path(self.results, subject, roi)) for subject, roi in pairs]
            files["stimuli"] = [str(stimuli_path(self.results, subject, size)) for subject, _ in pairs]
            if condition.removes.categories:
                files["labels"] = [str(stimulus_labels_path(self.results))]
        return files

    def network_modules(self, wildcards: Wildcards) -> list[str]:
        """The modules of a condition's loss, control, reference and predictor, which no import of training names."""
        condition = self.study.conditions[wildcards.condition]
        kinds = [] if condition.predictor is None else [self.study.predictors[condition.predictor].kind]
        return sorted({*condition.modules(), *reader_modules(kinds)})

    def predictor_modules(self, wildcards: Wildcards) -> list[str]:
        """The modules of a predictor's kind, which no import of training names."""
        return list(predictor_modules(self.study.predictors[wildcards.predictor].kind))

    def predictor_weights(self, wildcards: Wildcards) -> list[str]:
        """The weights files that a predictor's settings name: AlexNet's for G-net, any network's for its features."""
        return list(self.study.predictors[wildcards.predictor].files.values())

    # --- attacks ---

    def twins(self, wildcards: Wildcards, path: Callable[[str, str], Path]) -> list[str]:
        """A file of every network of one task and architecture, and of those of the task that others trained; path: of
        results and network."""
        own = self.of_networks(path, None, [wildcards.task], wildcards.architecture)
        return own + self.of_outsiders(path, [wildcards.task])

    def undefended(self, wildcards: Wildcards) -> list[str]:
        """The twin of a network whose adversarials it is shown: `none` of its seed; nothing for `none` itself and for
        networks that others trained."""
        if wildcards.architecture == OUTSIDE or wildcards.condition == BASELINE:
            return []
        if BASELINE not in self.study.tasks[wildcards.task].conditions:
            return []
        twin = network_of(wildcards)._replace(condition=BASELINE)
        return [str(network_weights_path(self.results, twin.path))]

    def transfer_tables(self) -> list[str]:
        """The transfer of every task and architecture, where the study asks for it."""
        blocks = self.study.blocks() if self.study.transfer else ()
        return [str(transfer_table_path(self.results, *block)) for block in blocks]

    def corruption_tables(self) -> list[str]:
        """The networks' answers to corrupted images, where the study asks for them."""
        return self.of_networks(corruption_table_path) if self.study.corruptions else []

    def resize(self, wildcards: Wildcards) -> str:
        """The shorter side of a task's images before their centre crop, as JSON; null where its kind has no such."""
        return json.dumps(getattr(self.study.tasks[wildcards.task].task, "resize", None))

    def shifted_tables(self) -> list[str]:
        """The networks' answers to published test sets, each of one task's networks."""
        return [
            str(shifted_table_path(self.results, network, name))
            for name, plan in self.study.shifted.items()
            for network in self.networks(tasks=[plan.task])
        ]

    def helpers(self, task: str, names: Iterable[str], path: Callable[[str, str, str], Path]) -> list[str]:
        """A file of some auxiliary networks of a task; path: of results, task and name."""
        return [str(path(self.results, task, name)) for name in names]

    def attack_helpers(self, wildcards: Wildcards, path: Callable[[str, str, str], Path]) -> list[str]:
        """A file of each auxiliary network that the attacks with a budget read on a task."""
        return self.helpers(wildcards.task, self.study.helpers_of(wildcards.task), path)

    def attack_files(self, wildcards: Wildcards) -> list[str]:
        """The user's own files that the attacks with a budget read on a task."""
        plans = self.study.attacks_of(wildcards.task).values()
        return sorted({path for plan in plans for path in plan.attack.files.values()})

    def semantic_files(self, path: Callable[[str, str, str], Path]) -> list[str]:
        """A file of every semantic attack on every network that meets it, in the study's order; path: of results,
        network and attack."""
        return [
            str(path(self.results, network, name))
            for name, plan in self.study.semantic.attacks.items()
            for network in self.networks(self.study.with_sweeps(plan.conditions), plan.tasks)
        ]

    def lender(self, wildcards: Wildcards) -> NetworkName:
        """The undefended network whose semantic adversarials a network meets."""
        return self.study.surrogate(network_of(wildcards))

    def outside_modules(self, wildcards: Wildcards) -> list[str]:
        """The modules that rebuild a network from outside; none for one of the study's own."""
        return self.study.outside[wildcards.condition].modules() if wildcards.architecture == OUTSIDE else []

    def guest_modules(self, wildcards: Wildcards) -> list[str]:
        """The modules that rebuild the networks from outside of one task."""
        guests = self.study.outsiders([wildcards.task])
        return sorted({module for guest in guests for module in self.study.outside[guest.condition].modules()})

    def outside_weights(self, wildcards: Wildcards) -> list[str]:
        """The files that a network from outside is made of."""
        wanted = self.study.outside[wildcards.condition]
        return [path for path in (wanted.file, wanted.outputs) if isinstance(path, str)]

    def of_outsiders(self, path: Callable[[str, str], Path], tasks: Iterable[str] | None = None) -> list[str]:
        """A file of every network that others trained for some tasks (default: all); path: of results and network."""
        return [str(path(self.results, network.path)) for network in self.study.outsiders(tasks)]

    def outside_results(self) -> list[str]:
        """What the report reads of the networks that others trained."""
        found = self.of_outsiders(metrics_path) + self.of_outsiders(checks_path)
        for network in self.study.outsiders():
            attacks = self.study.attacks_of(network.task)
            found += [str(attack_table_path(self.results, network.path, name)) for name in attacks]
        for name, plan in self.study.semantic.attacks.items():
            met = self.study.outsiders(plan.tasks)
            found += [str(semantic_table_path(self.results, network.path, name)) for network in met]
        for name, shown in self.study.shifted.items():
            met = self.study.outsiders([shown.task])
            found += [str(shifted_table_path(self.results, network.path, name)) for network in met]
        return found + (self.of_outsiders(corruption_table_path) if self.study.corruptions else [])

    def semantic_transfers(self, path: Callable[[str, str, str], Path]) -> list[str]:
        """A file of every semantic attack on every network that meets a surrogate's adversarials beside its own; path:
        of results, network and attack. The only `none` of a task is its own surrogate, and meets nobody's."""
        if self.study.semantic.transfer is None:
            return []
        return [
            str(path(self.results, network.path, name))
            for name, plan in self.study.semantic.attacks.items()
            for network in self.study.networks(self.study.with_sweeps(plan.conditions), plan.tasks)
            if self.study.surrogate(network) != network
        ]

    def transfer_galleries(
        self, pictures: Callable[[str, str, str], Path], tables: Callable[[str, str, str], Path]
    ) -> list[str]:
        """What galleries of semantic transfer show: of each task's first seed what networks say of a surrogate's
        adversarials, and pictures of these; pictures, tables: paths of results, network and attack."""
        if self.study.semantic.transfer is None:
            return []
        found = []
        for name, plan in self.study.semantic.attacks.items():
            for network in self.study.networks(self.study.with_sweeps(plan.conditions), plan.tasks):
                lender = self.study.surrogate(network)
                if network.seed == self.study.tasks[network.task].seeds[0] and lender != network:
                    found += [pictures(self.results, lender.path, name), tables(self.results, network.path, name)]
        return list(dict.fromkeys(map(str, found)))

    def verification_files(self, path: Callable[[str, str], Path]) -> list[str]:
        """A file of every network that verifies faces, in the study's order; none where the study does not ask."""
        plan = self.study.semantic.verification
        return [] if plan is None else self.of_networks(path, self.study.with_sweeps(plan.conditions), plan.tasks)

    # --- report ---

    def of_networks(
        self,
        path: Callable[[str, str], Path],
        conditions: Iterable[str] | None = None,
        tasks: Iterable[str] | None = None,
        architecture: str | None = None,
    ) -> list[str]:
        """One file of each of these `networks`; path: a function of results and network."""
        return [str(path(self.results, network)) for network in self.networks(conditions, tasks, architecture)]

    def results_of(
        self, conditions: Iterable[str], rois: Iterable[str], tasks: Iterable[str] | None = None
    ) -> list[str]:
        """Every file that a page about some conditions and ROIs reads; tasks: default, those that compare them."""
        conditions, rois, study = list(conditions), list(rois), self.study
        tasks = study.compared_tasks(conditions) if tasks is None else tuple(tasks)
        own = (metrics_path, examples_path, checks_path)
        files = [file for path in own for file in self.of_networks(path, conditions, tasks)]
        networks = list(study.networks(conditions, tasks))
        attacks = [(network.path, attack) for network in networks for attack in study.attacks_of(network.task)]
        taught = guides(study, dict.fromkeys(network.condition for network in networks))
        predictors = dict.fromkeys([*((study.predictor, roi) for roi in rois), *taught])
        found = [attack_table_path(self.results, network, attack) for network, attack in attacks]
        found += [canaries_path(self.results, task) for task in tasks]
        found += [voxels_path(self.results, *pair, seed) for pair in predictors for seed in study.predictor_seeds]
        found += [quality_path(self.results, subject) for subject in study.subjects]
        found += [roi_path(self.results, subject, roi) for subject, roi in itertools.product(study.subjects, rois)]
        return files + [str(path) for path in found]
