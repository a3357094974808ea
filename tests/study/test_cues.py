"""A study whose images bear a cue: what needs one, and where the scenes of each world lie."""

import copy
from types import SimpleNamespace

import pytest

from neurobust.core.errors import InputError
from neurobust.study.jobs import study_jobs
from neurobust.study.paths import Paths
from neurobust.study.read import read_study

CUED = {"kind": "pattern", "amplitude": 2, "reliability": 0.8}
CONFLICT = {"method": "cue-conflict", "budgets": [0, 1]}


def with_conflict(demo_config, cue=None, primary=None, tasks=None):
    """The demo's configuration with the attack cue-conflict."""
    config = copy.deepcopy(demo_config)
    config["attacks"]["conflict"] = CONFLICT
    if cue is not None:
        config["phantom"]["cue"] = cue
    if primary is not None:
        config["primary_attack"] = primary
    if tasks is not None:
        del config["semantic"]
        config["tasks"] = {name: config["tasks"][name] for name in tasks}
    return config


def test_a_task_without_a_cue_leaves_out_what_needs_one(demo_config):
    study = read_study(with_conflict(demo_config, CUED))
    assert {name: task.cue for name, task in study.tasks.items()} == {"phantom-scenes": True, "digits": False}
    assert list(study.attacks_of("phantom-scenes")) == list(study.attacks)
    assert list(study.attacks_of("digits")) == [name for name in study.attacks if name != "conflict"]
    files = Paths(study).results_of(study.conditions, [])
    assert {file.split("/")[3] for file in files if file.endswith("conflict.parquet")} == {"phantom-scenes"}
    jobs = {job.names[0]: job.units for job in study_jobs(study) if job.rule == "attack_network"}
    before = {job.names[0]: job.units for job in study_jobs(read_study(demo_config)) if job.rule == "attack_network"}
    pixels = 32**2 / 1000
    assert jobs["digits"] == before["digits"]
    assert jobs["phantom-scenes"] == pytest.approx(before["phantom-scenes"] + 32 * pixels)  # one pass per image


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {},
            "config.attacks.conflict: cue-conflict needs a task whose images bear a cue, and there is none; name",
        ),
        (
            {"cue": CUED, "tasks": ["digits"]},
            "config.attacks.conflict: cue-conflict needs a task whose images bear a cue",
        ),
        (
            {"cue": CUED, "primary": "conflict"},
            "config.primary_attack: 'conflict' needs a cue, which the task 'digits'",
        ),
        (
            {"cue": {"kind": "pattern", "strength": 2}},
            "config.phantom.cue: unknown key 'strength'; known keys are kind",
        ),
        ({"cue": {"kind": "hue", "amplitude": 3}}, "config.phantom.cue: amplitude 3 of a hue is more than 1"),
    ],
)
def test_faults_of_cues_are_one_line(demo_config, changes, message):
    with pytest.raises(InputError) as caught:
        read_study(with_conflict(demo_config, **changes))
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_each_planted_world_has_its_own_scenes(demo_config):
    """Beside its brains: two worlds on one machine never replace each other's."""
    world = copy.deepcopy(demo_config)
    world["data"]["root"] = "resources/worlds/no-cue"
    real = copy.deepcopy(demo_config)
    real["data"].update(source="nsd", root="resources/nsd", accept_terms=True)
    task = SimpleNamespace(task="phantom-scenes")
    found = [Paths(read_study(config)).task_source(task) for config in (demo_config, world, real)]
    planted = "resources/phantom/tasks/phantom-scenes.npz"
    beside = "results/demo/tasks/phantom-scenes.npz"
    assert found == [planted, "resources/worlds/no-cue/tasks/phantom-scenes.npz", beside]


def test_a_conflict_may_be_the_primary_attack_where_every_task_bears_a_cue(demo_config):
    study = read_study(with_conflict(demo_config, CUED, primary="conflict", tasks=["phantom-scenes"]))
    assert study.primary_attack == "conflict"


def test_responses_of_a_phantom_are_its_own_or_permuted(demo_config):
    config = copy.deepcopy(demo_config)
    config["phantom"]["responses"] = "shuffled"
    with pytest.raises(
        InputError, match=r"config\.phantom\.responses: 'shuffled' is not known; choose one of own, permuted"
    ):
        read_study(config)
