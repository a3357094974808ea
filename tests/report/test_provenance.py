"""Code, configuration, inputs and machine of a study, where a reader finds them and nothing else depends on them."""

import subprocess

from msgspec.structs import replace

from neurobust.core.io import read_json, sha256_file, write_json
from neurobust.core.machine import processor
from neurobust.files.network_metrics import metrics_path
from neurobust.report.collect import collect_results
from neurobust.report.provenance import commit, digest


def test_a_configuration_is_known_by_what_it_says(tiny_study):
    config = tiny_study.config
    assert digest(dict(reversed(config.items()))) == digest(config) and len(digest(config)) == 64
    assert digest({**config, "seeds": [7]}) != digest(config)


def test_the_table_has_code_hours_machine_and_each_input_once(tiny_study, tmp_path):
    file = tmp_path / "dataset.h5"
    file.write_bytes(b"images")
    entry = {"file": file.name, "sha256": sha256_file(file)}
    for network in tiny_study.networks():
        path = metrics_path(tiny_study.root, network.path)
        found = read_json(path)
        found["provenance"]["inputs"] = {"dataset": entry}
        write_json(path, found)
    table = collect_results(tiny_study)["provenance"]
    value = table.set_index("name")["value"]
    assert value["configuration, SHA-256"] == digest(tiny_study.config)
    assert list(table[table["part"] == "input"]["name"]) == ["dataset (dataset.h5)"]
    assert value["dataset (dataset.h5)"] == entry["sha256"]
    seconds = collect_results(tiny_study)["compute"]["seconds_total"].sum()
    assert float(value["hours of all jobs"]) == round(seconds / 3600, 2) and "cores" in value["system"]
    own = collect_results(tiny_study, extras=False)["provenance"]
    assert set(own["part"]) == {"study", "code", "input"} and "commit" not in set(own["name"])
    assert collect_results(replace(tiny_study, config={}))["provenance"]["value"][0] == digest({})


def test_a_checkout_says_its_commit_and_an_installed_package_that_it_is_one(tmp_path):
    def git(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        return subprocess.run(["git", "-C", tmp_path, *who, *words], capture_output=True, text=True, check=True).stdout

    git("init", "-q")
    (tmp_path / "src").mkdir()
    file = tmp_path / "src/own.py"
    file.write_text("")
    assert commit(file) == "an installed package", "such as one in an environment inside somebody's repository"
    git("add", ".")
    git("commit", "-qm", "first")
    assert commit(file) == git("rev-parse", "HEAD").strip()
    file.write_text("changed = True")
    assert commit(file).endswith(" with local changes")


def test_a_system_that_names_no_processor_has_its_architecture(tmp_path):
    (tmp_path / "cpuinfo").write_text("model name\t: A Processor @ 2 GHz\nmodel name\t: another\n")
    assert processor(tmp_path / "cpuinfo") == "A Processor @ 2 GHz"
    assert processor(tmp_path / "none") != ""
