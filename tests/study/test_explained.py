"""What is explained of a study, and what its jobs read."""

from types import SimpleNamespace

import pytest
import yaml

from neurobust.core.errors import InputError, messages_of
from neurobust.explain.registry import ANALYSES, usual_analyses
from neurobust.study.explained import Explained
from neurobust.study.jobs import study_jobs
from neurobust.study.named_files import check_named_files
from neurobust.study.read import read_study

READ = (
    "compared_predictors", "compared_responses", "compared_stimuli", "stored_examples", "stored_transfer",
    "minimal_tables", "network_modules",
)  # fmt: skip
NETWORKS = [name for name in ANALYSES if ANALYSES[name].scope == "network"]
EVERY = {name: {} for name in ANALYSES}


@pytest.fixture
def config(project):
    return yaml.safe_load((project / "config/demo.yaml").read_text()) | {"claims": None}


def explained(config, **changes):
    return Explained(read_study({**config, **changes}))


def more_rois(config):
    """The same study with one more ROI, which guides a condition of every task."""
    guided = {"target": ["EBA"], "predictor": "gnet", "loss": "mse", "weight": 0.8}
    conditions = {**config["conditions"], "EBA": guided, "EBA-shuffled": {**guided, "control": "shuffled"}}
    tasks = {
        name: {**task, "conditions": [*task.get("conditions", config["conditions"]), "EBA", "EBA-shuffled"]}
        for name, task in config["tasks"].items()
    }
    rois = {**config["rois"], "EBA": {"atlas": "floc-bodies", "labels": ["EBA"]}}
    return {**config, "rois": rois, "conditions": conditions, "tasks": tasks}


def all_that_a_job_reads(jobs, network):
    wildcards = SimpleNamespace(**network._asdict() | {"seed": str(network.seed)})
    found = {name: getattr(jobs, name)(wildcards, NETWORKS) for name in READ}
    return {**found, "rois": jobs.compared_rois(wildcards), "analyses": jobs.parameter(NETWORKS)}


def test_one_more_roi_touches_no_network_that_another_guides(config):
    before, after = explained(config, explain=EVERY), explained(more_rois(config), explain=EVERY)
    changed = {
        network.condition
        for network in before.study.networks()
        if all_that_a_job_reads(before, network) != all_that_a_job_reads(after, network)
    }
    assert changed == {"none", "adversarial", "oracle-cue"}, "what no ROI guides is compared with the new one too"
    guided = next(network for network in before.study.networks() if network.condition == "LO")
    read = all_that_a_job_reads(before, guided)
    assert read["rois"] == ["LO"] and len(read["compared_predictors"]) == 1 and len(read["compared_responses"]) == 2


def test_one_more_roi_touches_no_cheap_analysis_of_another_predictor(config):
    before, after = explained(config), explained(more_rois(config))
    names = list(before.by_price("predictor")[0])
    wildcards = SimpleNamespace(predictor="gnet", roi="LO", seed="0")
    for function in ("predictor_responses", "measured_rois", "predictor_modules"):
        assert getattr(before, function)(wildcards, names) == getattr(after, function)(wildcards, names)
    assert before.of_roi("LO") == after.of_roi("LO")
    every = explained(config, explain=EVERY)
    assert not [path for path in every.of_roi("LO") if "/transfer." in path], "it needs the responses of every ROI"


def test_without_the_section_a_study_has_what_costs_little(config):
    assert list(explained(config).study.explain) == list(usual_analyses())
    assert not any(settings.apart for settings in usual_analyses().values())
    assert explained(config, explain={}).all_tables() == []
    chosen = explained(config, explain={"low-frequency": {"cutoff": 0.5}, "mediation": {}})
    assert chosen.parameter(["low-frequency"]) == '{"low-frequency":{"cutoff":0.5}}'
    assert len(chosen.all_tables()) == 36 + 2


def test_the_dear_have_jobs_of_their_own(config):
    jobs = explained(config, explain=EVERY)
    for scope in ("predictor", "network"):
        cheap, dear = jobs.by_price(scope)
        assert not any(settings.apart for settings in cheap.values())
        assert all(settings.apart and settings.leaves_arrays for settings in dear.values())
    rules = [job.rule for job in study_jobs(jobs.study)]
    assert rules.count("explain_network") == 36 and rules.count("explain_study") == 2
    assert rules.count("explain_predictor_apart") == 3 * len(jobs.by_price("predictor")[1])
    alone = explained(config, explain={name: {} for name in EVERY if ANALYSES[name].apart})
    cheap, dear = alone.by_price("predictor")
    assert cheap and not dear, "where all are dear they share a job"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"distnce": {}}, r"config\.explain\.distnce: 'distnce' is not known; choose one of .*distance"),
        ({"low-frequency": {"cutoff": 2}}, r"config\.explain\.low-frequency\.cutoff: 2"),
        ({"distance": {"cutoff": 2}}, r"config\.explain\.distance: unknown key 'cutoff'"),
        ({"humans": {"trials": "seen.csv"}}, r"config\.explain\.humans\.stimuli: missing: .*; name their folder"),
    ],
)
def test_mistakes_in_the_section_are_one_line(config, given, message):
    with pytest.raises(InputError, match=message):
        explained(config, explain=given)


def test_what_an_analysis_reads_must_be_there_and_is_input_of_its_job(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shown").mkdir()
    jobs = explained(config, explain={"distance": {}, "humans": {"stimuli": "shown", "trials": "sen.csv"}})
    with pytest.raises(InputError) as error:
        check_named_files(jobs.study)
    assert list(messages_of(error.value)) == [
        "config.explain.humans.trials: 'sen.csv': no such file, what `humans` reads: put it there or correct the path"
    ]
    (tmp_path / "sen.csv").write_text("subj\n")
    check_named_files(jobs.study)
    swapped = explained(config, explain={"humans": {"stimuli": "sen.csv", "trials": "shown"}})
    with pytest.raises(InputError) as error:
        check_named_files(swapped.study)
    assert list(messages_of(error.value)) == [
        "config.explain.humans.stimuli: 'sen.csv': a file, not a folder: name the folder of what `humans` reads",
        "config.explain.humans.trials: 'shown': a folder, not what `humans` reads: name a file in it",
    ]
    assert jobs.named_files(SimpleNamespace(), ["humans"]) == ["shown", "sen.csv"]
    assert jobs.named_files(SimpleNamespace(), ["distance"]) == []


def test_the_true_distance_is_read_from_minimum_norm_attacks_in_l2(config, project):
    jobs = Explained(read_study(yaml.safe_load((project / "config/config.yaml").read_text()) | {"claims": None}))
    network = next(iter(jobs.study.networks()))
    wildcards = SimpleNamespace(**network._asdict() | {"seed": str(network.seed)})
    assert [path.rpartition("/")[2] for path in jobs.minimal_tables(wildcards, ["boundary"])] == ["fmn-l2.parquet"]
    assert jobs.minimal_tables(wildcards, ["distance"]) == []
