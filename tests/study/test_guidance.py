"""Guidance on stimuli, and references with images or filters of their own: what a study makes of them."""

import copy
import json
import re
from collections import Counter
from types import SimpleNamespace

import pytest
import yaml

from neurobust.core.errors import InputError
from neurobust.core.io import canonical_json
from neurobust.networks.conditions import read_recipe
from neurobust.study.config import as_written
from neurobust.study.jobs import STAGE_OF, study_jobs
from neurobust.study.mirror import Mirror
from neurobust.study.paths import Paths
from neurobust.study.read import read_study

V1 = {"target": ["V1", "LO"], "predictor": "gnet", "loss": "mse", "weight": 0.8}
ADDED = {
    "V1-stimuli": {**V1, "on": "stimuli"},
    "V1-both": {**V1, "on": "both"},
    "V1-labels": {**V1, "on": "stimuli", "control": "labels"},
    "V1-labels-task": {**V1, "control": "labels"},
    "V1-pairs": {"target": ["V1", "LO"], "loss": "mse", "weight": 0.8, "pairs": True},
    "low-pass": {"weight": 0.8, "reference": {"kind": "low-pass", "cutoff": 6}},
}


@pytest.fixture(scope="module")
def demo_config(project):
    return as_written(yaml.safe_load((project / "tests/study/plain.yaml").read_text()))


@pytest.fixture
def config(demo_config):
    config = copy.deepcopy(demo_config)
    config["conditions"].update(copy.deepcopy(ADDED))
    config["tasks"] = {"scenes": {"kind": "phantom-scenes", "training": {"epochs": 4}}}
    config["semantic"] = None
    return config


def wildcards(condition, seed=0):
    return SimpleNamespace(task="scenes", architecture="resnet18", condition=condition, seed=str(seed))


def test_yaml_may_read_on_as_true():
    """Python's YAML is 1.1, where `on` is a truth value, also as a key."""
    given = yaml.safe_load("conditions: {a: {on: stimuli, pairs: true}, b: 3}\nstudy: x")
    assert given["conditions"]["a"] == {True: "stimuli", "pairs": True}
    assert as_written(given) == {"conditions": {"a": {"on": "stimuli", "pairs": True}, "b": 3}, "study": "x"}
    assert as_written([1]) == [1] and as_written({"conditions": 3}) == {"conditions": 3}


def test_a_study_whose_key_was_read_as_true(config):
    expected = read_study(config)
    config["conditions"]["V1-both"] = {True: "both", **V1}
    found = read_study(config)
    assert found.conditions == expected.conditions and found.config == expected.config
    json.dumps(found.config)


def test_the_parameters_of_what_was_there_before_are_the_same(config):
    """Recorded before there was `on`: what a job is known by."""
    config["architectures"] = {"resnet18": {"stem": "imagenet", "pretrained": False}}
    config["training"] = {"epochs": 3}
    config["tasks"]["scenes"].pop("training")
    config["conditions"]["at"] = {"weight": 0.5, "reference": {"kind": "adversarial"}}
    study = read_study(config)
    recorded = {
        "none": '{"weight":0.8}',
        "V1": '{"loss":"mse","target":"V1","weight":0.8}',
        "LO-shuffled": '{"control":"shuffled","loss":"mse","target":"LO","weight":0.8}',
        "V1-pairs": '{"loss":"mse","pairs":true,"target":"V1+LO","weight":0.8}',
        "at": '{"reference":{"kind":"adversarial"},"weight":0.5}',
    }
    for name, condition in recorded.items():
        expected = (
            f'{{"architecture":"resnet18","condition":{condition},"epochs":3,"pretrained":false,"stem":"imagenet"}}'
        )
        assert canonical_json(study.recipe("scenes", "resnet18", name)) == expected


def test_new_keys_reach_the_recipe(config):
    study = read_study(config)
    for name in ADDED:
        condition = read_recipe(json.loads(canonical_json(study.recipe("scenes", "resnet18", name)))).condition
        given = study.conditions[name]
        assert (condition.on, condition.control, condition.pairs) == (given.on, given.control, given.pairs)
        assert condition.reference == given.reference and condition.passes == given.passes


def test_inputs_of_networks_that_are_guided_on_stimuli(config):
    files = Paths(read_study(config))
    seen = {
        "responses": [f"results/demo/cortex/{subject}/V1.h5" for subject in ("subj01", "subj02")],
        "stimuli": [f"results/demo/stimuli/{subject}/32.h5" for subject in ("subj01", "subj02")],
    }
    assert files.control_files(wildcards("V1-stimuli")) == files.control_files(wildcards("V1-both")) == seen
    labels = {"labels": ["results/demo/stimuli/labels.parquet"]}
    assert files.control_files(wildcards("V1-labels")) == {**seen, **labels}
    assert files.control_files(wildcards("V1-labels-task")) == files.control_files(wildcards("V1")) == {}
    assert len(files.control_files(wildcards("V1-pairs"))["responses"]) == 4, "measured: of every ROI"
    assert len(files.target_predictors(wildcards("V1-stimuli"))) == 2
    assert "neurobust.networks.labels" in files.network_modules(wildcards("V1-labels"))


def test_prices(config):
    """A second pass of each step over the stimuli, which predictors see once; the files that it needs are jobs."""
    study = read_study(config)
    units = {job.names[2]: job.units for job in study_jobs(study) if job.rule == "train_network"}
    plain = 1350 * 4 * 32**2 / 1000  # images, epochs, pixels
    shown_to_predictors = (10 + 8) * 240 / 3 * 2 * 64**2 / 4 / 3000  # stimuli of two subjects, two predictors
    assert units["none"] == units["low-pass"] == pytest.approx(plain)
    assert units["V1-pairs"] == pytest.approx(2 * plain)
    assert units["V1-stimuli"] == pytest.approx(2 * plain + shown_to_predictors)
    on_task = units["V1-labels-task"] - plain
    assert on_task > 0 and units["V1-both"] == pytest.approx(units["V1-stimuli"] + on_task)
    built = {job.names for job in study_jobs(study) if job.rule == "build_stimuli"}
    assert built == {(subject, size) for subject in ("subj01", "subj02") for size in ("32", "64")}
    assert sum(job.rule == "build_labels" for job in study_jobs(study)) == 1
    for name in ("V1-labels", "V1-stimuli", "V1-both", "V1-pairs"):
        del config["conditions"][name]
    config["explain"] = {"distance": {}}  # what predictors tell apart takes labels too
    rules = [(job.rule, job.names[-1:]) for job in study_jobs(read_study(config))]
    assert ("build_labels", ()) not in rules and ("build_stimuli", ("32",)) not in rules


def test_the_dag_has_the_categories_and_the_stimuli_of_the_task_s_size(config, snakemake, tmp_path):
    """A dry run from nothing, of a file that says `on: stimuli` as a user writes it."""
    text = yaml.safe_dump(config).replace("'on':", "on:")
    assert "on: stimuli" in text
    (tmp_path / "study.yaml").write_text(text)
    done = snakemake(
        "--configfile", tmp_path / "study.yaml", "-n", "--quiet", "rules", "--", "all", directory=tmp_path
    ).text  # fmt: skip
    counts = dict(re.findall(r"(?m)^(\w+) +(\d+)$", done[done.index("Job stats:") :]))
    expected = Counter(job.rule for job in study_jobs(read_study(config)))
    assert {rule: int(counts.get(rule, 0)) for rule in STAGE_OF} == {rule: expected[rule] for rule in STAGE_OF}
    assert expected["build_labels"] == 1 and expected["build_stimuli"] == 4


def test_categories_of_real_stimuli_come_from_the_user(project, config):
    assert Mirror(read_study(config)).annotations == "resources/phantom/coco/annotations_trainval2017.zip"
    real = as_written(yaml.safe_load((project / "config/config.yaml").read_text()))
    roi, predictor = next(iter(real["rois"])), next(iter(real["predictors"]))
    added = {"target": [roi], "predictor": predictor, "loss": "mse", "weight": 0.8, "control": "labels"}
    real["conditions"]["x"] = {**added, "on": "task"}
    assert Mirror(read_study(real)).annotations is None
    real["conditions"]["x"] = {**added, "on": "both"}
    with pytest.raises(InputError) as caught:
        read_study(real)
    assert str(caught.value) == (
        "config.conditions.x.control: 'labels' on stimuli needs their categories: give COCO's annotations as "
        "`data.coco_annotations`"
    )
    real["data"]["coco_annotations"] = "resources/coco.zip"
    assert Mirror(read_study(real)).annotations == "resources/coco.zip"


def test_a_filter_that_is_matched_reads_the_guided_network(config):
    config["conditions"]["low-V1"] = {"weight": 0.8, "reference": {"kind": "low-pass", "match": "V1-stimuli"}}
    files = Paths(read_study(config)).control_files(wildcards("low-V1", 1))
    assert files == {"guided": ["results/demo/networks/scenes/resnet18/V1-stimuli/seed1/model.safetensors"]}
    for name, message in (
        ("V7", "config.conditions.low-V1.reference.match: unknown condition 'V7'; `conditions` has none, V1"),
        ("none", "config.conditions.low-V1.reference.match: 'none' has no target; name a guided condition"),
    ):
        config["conditions"]["low-V1"]["reference"]["match"] = name
        with pytest.raises(InputError) as caught:
            read_study(config)
        assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
    config["conditions"]["low-V1"]["reference"]["match"] = "V1"
    config["tasks"]["scenes"]["conditions"] = ["none", "low-V1"]
    with pytest.raises(InputError) as caught:
        read_study(config)
    assert str(caught.value) == "config.tasks.scenes.conditions: 'low-V1' is matched with 'V1', which this task lacks"


def test_the_oracle_needs_a_task_with_a_cue(config):
    """It is left out for tasks without a cue, unless a task asks for it."""
    config["conditions"]["oracle"] = {"weight": 0.8, "reference": {"kind": "oracle-cue"}}
    with pytest.raises(InputError) as caught:
        read_study(config)
    assert str(caught.value) == (
        "config.conditions.oracle.reference: it needs a task whose images bear a cue, and there is none; name a task "
        "of kind phantom-scenes and set phantom.cue"
    )
    config["phantom"]["cue"] = {"kind": "pattern"}
    config["tasks"]["digits"] = {"kind": "digits", "training": {"epochs": 1}}
    study = read_study(config)
    assert "oracle" in study.tasks["scenes"].conditions
    assert set(study.conditions) - set(study.tasks["digits"].conditions) == {"oracle"}
    config["tasks"]["digits"]["conditions"] = ["none", "oracle"]
    with pytest.raises(InputError) as caught:
        read_study(config)
    assert str(caught.value) == (
        "config.tasks.digits.conditions: 'oracle' needs images that bear a cue, which this task has not"
    )


def test_an_ensemble_reads_all_seeds_of_each_roi_and_its_plan_trains_them(config):
    config["predictor_seeds"] = [4, 5, 6]
    config["seeds"] = [0, 1]
    config["conditions"]["all-seeds"] = {**V1, "ensemble": True}
    study = read_study(config)
    files = Paths(study)
    found = [
        re.search(r"/(V1|LO)/seed(\d)/model", path).groups() for path in files.target_predictors(wildcards("all-seeds"))
    ]
    assert found == [(roi, seed) for roi in ("V1", "LO") for seed in "456"]
    assert files.target_predictors(wildcards("all-seeds", 1)) == files.target_predictors(wildcards("all-seeds"))
    assert len(files.target_predictors(wildcards("V1-stimuli"))) == 2, "others take a seed each, as before"
    recipe = study.recipe("scenes", "resnet18", "all-seeds")
    assert recipe["condition"]["ensemble"] is True and read_recipe(recipe).condition.ensemble
    assert "ensemble" not in study.recipe("scenes", "resnet18", "V1-both")["condition"]
    jobs = {job.names for job in study_jobs(study) if job.rule == "train_predictor"}
    assert {("gnet", "LO", f"seed{seed}") for seed in (4, 5, 6)} <= jobs


def test_an_ensemble_of_one_and_one_of_measured_responses_are_refused(config):
    config["predictor_seeds"] = [0]
    config["conditions"]["V1-stimuli"]["ensemble"] = True
    with pytest.raises(InputError, match=r"conditions.V1-stimuli.ensemble: a mean over 1 of `predictor_seeds`"):
        read_study(config)
    del config["conditions"]["V1-stimuli"]["ensemble"]
    config["conditions"]["V1-pairs"]["ensemble"] = True
    with pytest.raises(InputError, match=r"conditions.V1-pairs.ensemble: measured responses have no predictor's seeds"):
        read_study(config)
