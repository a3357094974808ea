"""What can be set of each kind of predictor, and what reading it costs."""

import contextlib
import copy
import subprocess
import sys

import pytest
import yaml

from neurobust.core.errors import InputError
from neurobust.core.places import load
from neurobust.core.settings import options, written
from neurobust.core.sources import source_files
from neurobust.predictors.gnet_settings import PUBLISHED
from neurobust.predictors.registry import PREDICTORS, predictor_modules, read_predictor, reader_modules
from neurobust.study.read import read_study

PUBLISHED_KEYS = {"learning_rate", "batch_size", "epochs", "l1", "weight_floor"}


def test_the_settings_of_every_kind_are_accepted_and_read_again_the_same(read, kind_settings):
    settings = read(kind_settings)
    assert isinstance(settings, PREDICTORS[kind_settings["kind"]])
    assert (
        written(settings).items()
        >= {k: tuple(v) if isinstance(v, list) else v for k, v in kind_settings.items()}.items()
    )
    assert read(written(settings)) == settings and settings.passes() > 0


def test_the_settings_of_every_study_are_accepted(project):
    files = [path for path in (project / "config").glob("*.yaml") if path.name != "schema.yaml"]
    files.append(project / "tests/slurm/tiny.yaml")
    found = [
        read_predictor(name, given)
        for path in files
        for name, given in yaml.safe_load(path.read_text()).get("predictors", {}).items()
    ]
    assert len(found) >= 5


def test_the_check_of_a_configuration_agrees(project, kind_settings):
    config = yaml.safe_load((project / "config/demo.yaml").read_text())
    config["predictors"]["other"] = kind_settings | {"input_size": 64}
    read_study(copy.deepcopy(config))
    config["predictors"]["other"]["trunk_width" if kind_settings["kind"] != "gnet" else "folds"] = 4
    with pytest.raises(InputError, match=r"predictors\.other"):
        read_study(config)


def test_what_a_kind_must_say_is_asked_for(read, kind_settings):
    optional = {"channels", "patience"} if kind_settings["kind"] != "gnet" else set()
    if kind_settings.get("schedule") == "published":
        optional = {"schedule", *PUBLISHED_KEYS}
    if kind_settings["kind"] == "core":
        optional = set(kind_settings) - {"core", "weights", "layers", "readout"}
    for key in set(kind_settings) - optional:
        with pytest.raises(InputError, match=rf"^predictors.other: missing key '{key}'"):
            read({k: v for k, v in kind_settings.items() if k != key})


def test_keys_of_another_kind_are_refused_by_name(read, kind_settings):
    alien = "trunk_width" if kind_settings["kind"] != "gnet" else "folds"
    with pytest.raises(InputError, match=rf"predictors.other: unknown key '{alien}'; known keys are "):
        read(kind_settings | {alien: 4})


RIDGE = {"kind": "ridge", "input_size": 64, "map_size": 4, "alphas": [1], "folds": 2}
FAULTS = [
    ({"kind": "hnet", "input_size": 64}, "predictors.other.kind: 'hnet' is not known; choose one of gnet, resnet-pcs"),
    ({"input_size": 64}, "predictors.other: missing key 'kind'"),
    (RIDGE | {"features": "gabor", "orientations": 4}, "predictors.other: missing key 'frequencies'"),
    (RIDGE | {"features": "network", "network": "resnet18", "layers": ["layer1"]},
     "predictors.other: missing key 'weights'"),
    (RIDGE | {"features": "network", "network": "resnet18", "weights": "random", "layers": ["layer1", "layer1"]},
     "predictors.other.layers: ['layer1', 'layer1'] has non-unique elements"),
    (RIDGE | {"features": "pixels", "alphas": [0]}, "predictors.other.alphas.0: 0: expected a number > 0"),
    (RIDGE | {"features": "pixels", "input_size": 15}, "other.input_size: 15: expected a whole number >= 16"),
    (RIDGE | {"features": "pixels", "folds": 1}, "predictors.other.folds: 1: expected a whole number >= 2"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "message"), FAULTS)
def test_faults_are_one_line(read, settings, message):
    with pytest.raises(InputError) as caught:
        read(settings)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_gnet_needs_47_pixels(read, settings):
    with pytest.raises(InputError, match="input_size: 46: expected a whole number >= 47"):
        read(settings | {"input_size": 46})
    assert read(settings | {"input_size": 47}).input_size == 47


def test_the_published_schedule_has_its_own_numbers_and_no_patience(read, settings):
    shape = {k: v for k, v in settings.items() if k not in PUBLISHED_KEYS | {"patience"}}
    plain = read(shape | {"schedule": "published"})
    assert plain.loop == PUBLISHED and written(plain)["epochs"] == 50
    assert plain == read(shape | {"schedule": "published", **{key: getattr(PUBLISHED, key) for key in PUBLISHED_KEYS}})
    assert read(shape | {"schedule": "published", "epochs": 2}).loop.epochs == 2
    with pytest.raises(InputError, match="key 'patience' is not allowed here"):
        read(settings | {"schedule": "published"})


def test_a_price_is_that_of_the_settings(read, settings):
    """Epochs where there are epochs, the published default among them; more epochs cost more."""
    shape = {k: v for k, v in settings.items() if k not in PUBLISHED_KEYS | {"patience"}}
    plain = read(shape | {"schedule": "published"}).passes()
    assert plain == read(shape | {"schedule": "published", "epochs": 50}).passes()
    assert plain == 2 * read(settings | {"epochs": 50}).passes() == 100
    assert read(settings).passes() == settings["epochs"]


@pytest.mark.parametrize("kind", list(PREDICTORS))
def test_the_price_without_keys_is_that_at_the_defaults(read, every_kind, kind):
    """Over the registry: leaving out what may be left out costs what writing the defaults out costs."""
    found = [given for given in every_kind if given["kind"] == kind]
    assert found, f"conftest has no settings of {kind}"
    for given in found:
        short = given
        for key in given:
            less = {k: v for k, v in short.items() if k != key}
            with contextlib.suppress(InputError):
                read(less)
                short = less
        assert read(short).passes() == read(written(read(short))).passes() > 0


def test_files_that_settings_name(read, settings):
    assert read(settings).files == {}
    assert read(settings | {"prefilter": "weights/alexnet.pth"}).files == {"prefilter": "weights/alexnet.pth"}
    network = RIDGE | {"features": "network", "network": "resnet18", "layers": ["layer1"]}
    assert read(network | {"weights": "random"}).files == {}
    assert read(network | {"weights": "w.pth"}).files == {"weights": "w.pth"}


@pytest.mark.parametrize("kind", list(PREDICTORS))
def test_every_kind_names_its_code_its_paper_and_says_what_its_keys_mean(kind):
    described = PREDICTORS[kind]
    assert callable(load(described.fit)) and callable(load(described.build)) and described.source
    assert not described.fields or callable(load(described.fields))
    for option in options(described):
        assert option.help, f"{kind}: {option.name} has no line of help"


def test_reading_settings_imports_nothing_heavy(settings):
    code = f"""
import sys
from neurobust.predictors.registry import PREDICTORS, predictor_modules, read_predictor
read_predictor("a", {settings!r}).passes()
[predictor_modules(kind) for kind in PREDICTORS]
print(sorted({{"torch", "torchvision", "pandas", "h5py", "scipy"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def names_of(files):
    return {path.stem for path in files}


def test_a_job_depends_on_the_code_of_its_own_kind_alone(project):
    """A line in fwrf.py trains no G-net again, and one in the fit of a G-net no network that a G-net guides."""
    script = project / "workflow/scripts/predictors/train_predictor.py"
    assert not names_of(source_files(script)) & {"gnet", "fwrf", "ridge", "linear", "resnet_pcs", "features"}
    trained = {kind: names_of(source_files(script, *predictor_modules(kind))) for kind in PREDICTORS}
    assert trained["gnet"] >= {"gnet", "fit_gnet", "gnet_settings", "gnet_fields", "published", "loss", "gabor"}
    assert not trained["gnet"] & {"fwrf", "fit_fwrf", "features", "ridge", "resnet_pcs", "linear", "ridge_settings"}
    for kind in ("gabor-fwrf", "cnn-fwrf"):
        assert trained[kind] >= {"fwrf", "fit_fwrf", "fwrf_settings", "features", "ridge"}
        assert not trained[kind] & {"gnet", "fit_gnet", "gnet_fields", "fit_ridge", "resnet_pcs"}
    assert trained["ridge"] >= {"ridge", "fit_ridge", "linear"} and not trained["ridge"] & {"fwrf", "fit_fwrf", "gnet"}
    assert not trained["resnet-pcs"] & {"gnet", "fwrf", "ridge", "features"}
    loaded = {kind: names_of(source_files(script, *reader_modules([kind]))) for kind in PREDICTORS}
    assert {"gnet", "gnet_settings", "model"} <= loaded["gnet"] and not loaded["gnet"] & {"fit_gnet", "gnet_fields"}
    assert reader_modules(["gnet", "ridge"]) == sorted({*reader_modules(["gnet"]), *reader_modules(["ridge"])})
