"""What the configuration accepts of each kind of predictor."""

import copy

import pytest
import yaml

from neurobust.core.errors import InputError
from neurobust.study.config import check_config


@pytest.fixture
def check(project):
    """A function: check the demo's configuration with one more predictor, "other"."""
    config = yaml.safe_load((project / "config/demo.yaml").read_text())

    def run(settings):
        changed = copy.deepcopy(config)
        changed["predictors"]["other"] = settings
        check_config(changed, project / "config/schema.yaml")

    return run


def test_the_settings_of_every_kind_are_accepted(check, kind_settings):
    check(kind_settings | {"input_size": 64})


def test_what_a_kind_must_say_is_asked_for(check, kind_settings):
    optional = {"channels", "patience"} if kind_settings["kind"] != "gnet" else set()
    if kind_settings.get("schedule") == "published":
        optional = {"schedule", "learning_rate", "batch_size", "epochs", "l1", "weight_floor"}
    for key in set(kind_settings) - optional - {"kind"}:
        with pytest.raises(InputError, match=rf"^config: predictors.other: missing key '{key}'$"):
            check(
                {k: v for k, v in kind_settings.items() if k != key}
                | ({"input_size": 64} if key != "input_size" else {})
            )


def test_keys_of_another_kind_are_refused_by_name(check, kind_settings):
    alien = "trunk_width" if kind_settings["kind"] != "gnet" else "folds"
    with pytest.raises(InputError, match=rf"predictors.other: key '{alien}' is not allowed here; choose one of kind"):
        check(kind_settings | {"input_size": 64, alien: 4})


FAULTS = [
    ({"kind": "hnet", "input_size": 64}, "predictors.other.kind: 'hnet' is not known; choose one of gnet, resnet-pcs"),
    ({"input_size": 64}, "predictors.other: missing key 'kind'"),
    ({"kind": "ridge", "features": "gabor", "input_size": 64, "map_size": 4, "alphas": [1], "folds": 2,
      "orientations": 4}, "predictors.other: missing key 'frequencies'"),
    ({"kind": "ridge", "features": "network", "input_size": 64, "map_size": 4, "alphas": [1], "folds": 2,
      "network": "resnet18", "layers": ["layer1"]}, "predictors.other: missing key 'weights'"),
    ({"kind": "ridge", "features": "pixels", "input_size": 64, "map_size": 4, "alphas": [0], "folds": 2},
     "predictors.other.alphas.0: 0 is less than or equal to the minimum of 0"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "message"), FAULTS)
def test_faults_are_one_line(check, settings, message):
    with pytest.raises(InputError) as caught:
        check(settings)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_the_published_schedule_has_no_patience(check, settings):
    check(
        {k: v for k, v in settings.items() if k not in ("patience", "batch_size")}
        | {"schedule": "published", "input_size": 64}
    )
    with pytest.raises(InputError, match="key 'patience' is not allowed here"):
        check(settings | {"schedule": "published", "input_size": 64})
