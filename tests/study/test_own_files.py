"""Attacks that read the user's own files: asked for before anything runs, inputs of jobs, one distance a norm."""

from types import SimpleNamespace

import pytest
import yaml

from neurobust.core.errors import InputError, messages_of
from neurobust.study.named_files import check_named_files
from neurobust.study.paths import Paths
from neurobust.study.read import read_study

LPIPS = {"method": "perceptual", "budgets": [0, 0.1], "backbone": "alex", "weights": "net.pt", "linear": "lin.pth"}
FEATURES = {"method": "perceptual", "budgets": [0, 0.1]}


@pytest.fixture
def given(project):
    config = yaml.safe_load((project / "config/demo.yaml").read_text())
    return lambda **attacks: {**config, "claims": None, "attacks": {**config["attacks"], **attacks}}


def test_files_are_asked_for_and_are_inputs_and_no_oracle_is(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = read_study(given(lpips=LPIPS))
    where = SimpleNamespace(task=next(iter(study.tasks)))
    assert Paths(study).attack_files(where) == ["lin.pth", "net.pt"] and "oracle" not in study.helpers_of(where.task)
    with pytest.raises(InputError) as error:
        check_named_files(study)
    text = "\n".join(messages_of(error.value))
    assert "config.attacks.lpips.weights: 'net.pt': no such file" in text
    assert "config.attacks.lpips.linear: 'lin.pth': no such file" in text
    study = read_study(given(features=FEATURES))
    assert Paths(study).attack_files(where) == [] and study.helpers_of(where.task) == ("oracle",)


def test_two_distances_under_one_norm_are_refused(given):
    with pytest.raises(InputError, match=r"config\.attacks\.lpips: its budgets are root of LPIPS \(alex\), those of"):
        read_study(given(features=FEATURES, lpips=LPIPS))
    random = {"method": "random-perceptual", **{key: LPIPS[key] for key in LPIPS if key != "method"}}
    assert read_study(given(lpips=LPIPS, chance=random)).attacks["chance"].attack.files == {
        "weights": "net.pt", "linear": "lin.pth",
    }  # fmt: skip


def test_two_of_three_keys_are_refused(given):
    half = {key: LPIPS[key] for key in LPIPS if key != "linear"}
    with pytest.raises(InputError, match=r"config\.attacks\.lpips: .*only backbone and weights; give all"):
        read_study(given(lpips=half))
