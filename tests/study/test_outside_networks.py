"""Networks that others trained, at the border and in the DAG: checked like everything else, compared with nothing."""

import re
from types import SimpleNamespace

import pytest
import yaml

from neurobust.core.errors import InputError, messages_of
from neurobust.files.weights import network_weights_path
from neurobust.study.jobs import study_jobs
from neurobust.study.named_files import check_named_files
from neurobust.study.paths import Paths
from neurobust.study.read import read_study

GUESTS = {
    "Red": {"kind": "function", "network": "json:loads", "task": "phantom-scenes"},
    "Zoo": {
        "kind": "architecture",
        "network": "resnet18",
        "task": "digits",
        "weights": "theirs.safetensors",
        "side": 32,
    },
}


@pytest.fixture
def config(project):
    return {**yaml.safe_load((project / "config/demo.yaml").read_text()), "outside": GUESTS}


def test_they_are_no_networks_of_the_study(config):
    study = read_study(config)
    assert [network.path for network in study.outsiders()] == [
        "phantom-scenes/outside/Red/seed0",
        "digits/outside/Zoo/seed0",
    ]
    assert not {"Red", "Zoo"} & {network.condition for network in study.networks()}
    assert ("phantom-scenes", "outside") not in list(study.blocks())
    named = {
        job.names: job.rule for job in study_jobs(study) if "outside" in job.names and job.rule == "attack_network"
    }
    assert len(named) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "mnist"}, r"config\.outside\.Zoo\.task: unknown task 'mnist'; `tasks` has"),
        ({"network": "resnet19"}, r"config\.outside\.Zoo\.network: architecture 'resnet19' is not known"),
        ({"network": "vit_b_16", "side": 20}, r"config\.outside\.Zoo\.side: vit_b_16 cannot take images of 20 px"),
        ({"network": "vgg11", "stem": "cifar"}, r"config\.outside\.Zoo\.stem: 'cifar': vgg11 has no such stem"),
        ({"kind": "function", "network": "absent.module:make"}, r"network: 'absent\.module:make': no module"),
        ({"kind": "pickle"}, r"config\.outside\.Zoo\.kind: 'pickle'"),
        ({"outputs": "classes of mine\n"}, r"config\.outside\.Zoo\.outputs"),
        ({"wieghts": "x"}, r"config\.outside\.Zoo: unknown key 'wieghts'.*weights"),
    ],
)  # fmt: skip
def test_every_mistake_is_one_line(config, change, message):
    config["outside"] = {"Zoo": {**GUESTS["Zoo"], **change}}
    with pytest.raises(InputError, match=message) as error:
        read_study(config)
    assert "\n" not in str(error.value)


def test_a_name_that_timm_has_not_is_one_line_before_anything_runs(config):
    pytest.importorskip("timm")
    config["outside"] = {"Zoo": GUESTS["Zoo"] | {"kind": "timm", "network": "resnt18"}}
    with pytest.raises(InputError, match=r"^config\.outside\.Zoo\.network: 'resnt18': .*; nearest: resnet18$"):
        read_study(config)


def test_the_name_of_a_condition_is_taken(config):
    config["outside"] = {"LO": GUESTS["Red"]}
    with pytest.raises(InputError, match=r"config\.outside\.LO: a condition is called so; rename the network"):
        read_study(config)


def test_weights_are_asked_for_before_anything_runs(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wild = {"kind": "robustbench", "network": "cifar10/Linf/A", "weights": "zoo", "task": "digits"}
    study = read_study({**config, "claims": None, "outside": {"Zoo": GUESTS["Zoo"], "Wild": wild}})
    with pytest.raises(InputError) as error:
        check_named_files(study)
    text = "\n".join(messages_of(error.value))
    assert "config.outside.Zoo.weights: 'theirs.safetensors': no such file, the weights of a network" in text
    assert "config.outside.Wild.weights: 'zoo/cifar10/Linf/A.pt': no such file" in text


def jobs(text):
    table = text.rsplit("Job stats:", 1)[1].split("total")[0]
    return {name: int(count) for name, count in re.findall(r"(?m)^(\w+)\s+(\d+)$", table)}


@pytest.mark.slow
def test_each_meets_what_the_networks_of_its_task_meet(config, snakemake, project, tmp_path):
    """The same rules as for the study's own: attacks by cue, corruptions, a semantic attack, the transfer."""
    (tmp_path / "theirs.safetensors").write_text("stand-in")
    transfer = {"method": "pgd", "norm": "linf", "budget": 4, "steps": 2, "loss": "margin", "images": 8}
    given = {**config, "corruptions": {"set": "cifar", "types": ["brightness"], "images": 8}, "transfer": transfer}

    def planned(changes, *targets):
        (tmp_path / "study.yaml").write_text(yaml.safe_dump({**given, **changes}, sort_keys=False))
        return jobs(snakemake("-n", "--configfile", tmp_path / "study.yaml", "--", *targets, directory=tmp_path).text)

    alone, both = planned({"outside": {}}, "all"), planned({}, "all")
    more = {name: both[name] - alone.get(name, 0) for name in both}
    assert more["bring_network"] == 2 and more["corrupt_network"] == 2
    assert more["attack_network"] == 1 and more["attack_uncued"] == 1, "a task with a cue, one without"
    assert more["attack_semantic"] == sum(
        plan.tasks is None or guest["task"] in plan.tasks
        for plan in read_study(given).semantic.attacks.values() for guest in GUESTS.values()
    ) > 0  # fmt: skip
    assert more["transfer_attacks"] == 0 and more["train_network"] == 0 and more["explain_network"] == 0
    assert "bring_network" not in planned({}, "results/demo/report/roi/V1.html"), "no ROI's page reads them"


def test_the_files_of_jobs_know_them_by_the_path(config):
    """The modules that rebuild a network are those of its own; a transfer reads all of its task."""
    study = read_study({**config, "outside": GUESTS})
    files, own = Paths(study), SimpleNamespace(task="phantom-scenes", architecture="small", condition="LO", seed="0")
    red = SimpleNamespace(task="phantom-scenes", architecture="outside", condition="Red", seed="0")
    assert files.outside_modules(own) == [] and files.undefended(red) == []
    assert files.outside_modules(red) == ["neurobust.networks.outside", "json"]
    assert files.guest_modules(own) == ["json", "neurobust.networks.outside"]
    read = files.twins(own, network_weights_path)
    assert [path for path in read if "/outside/" in path] == files.of_outsiders(network_weights_path, [own.task])
    assert len(read) == 1 + len(files.networks(tasks=[own.task], architecture="small"))


def test_faults_of_several_entries_are_said_together(config):
    """Nothing is made up about an entry that cannot be read, and each other one is asked everything."""
    config["outside"] = {
        "Red": {**GUESTS["Red"], "kind": "pickle", "wieghts": "x"},
        "Zoo": {**GUESTS["Zoo"], "task": "mnist", "network": "resnet19"},
        "none": GUESTS["Zoo"],
    }
    config["semantic"] = {**config["semantic"], "transfer": {"images": 0}}
    with pytest.raises(InputError) as error:
        read_study(config)
    keys = sorted(line.removeprefix("config.").split(": ")[0] for line in messages_of(error.value))
    assert keys == ["outside.Red", "outside.Red.kind", "outside.Zoo.network", "outside.Zoo.task", "outside.none",
                    "semantic.transfer.images"]  # fmt: skip
