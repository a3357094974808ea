"""The studies in config/: valid, and what each of them says."""

import pytest
import yaml
from snakemake.utils import update_config

from neurobust.study.pairs import gains_of
from neurobust.study.read import read_study


@pytest.mark.parametrize("name", ["demo", "config", "study-small", "semantic", "factors", "teachers", "calibration"])
def test_the_shipped_studies_are_valid(project, name):
    read_study(yaml.safe_load((project / f"config/{name}.yaml").read_text()))


def test_the_hierarchy_is_one_recipe_of_the_factors_with_more_seeds(project):
    config = {}
    for name in ("factors", "hierarchy"):
        update_config(config, yaml.safe_load((project / f"config/{name}.yaml").read_text()))
    study = read_study(config)
    assert len({network.condition for network in study.networks()}) == 17 and len(study.seeds) == 10
    areas = [gain.roi for gain in gains_of(study, "phantom-scenes")]
    assert areas == ["V1", "V2", "hV4", "LO", "TO", "FFA", "FEF"]
    assert all(gain.control == f"{gain.condition}-shuffled" for gain in gains_of(study, "phantom-scenes"))


def test_the_small_study_has_the_demo_s_phantom_every_roi_and_every_control(project, demo_config):
    from neurobust.phantom.cortex import REGIONS

    study = yaml.safe_load((project / "config/study-small.yaml").read_text())
    assert study["data"] == demo_config["data"] | {"root": "resources/phantom-small"}
    assert {k: v for k, v in study["phantom"].items() if k != "face_task"} == demo_config["phantom"]
    planted = {region.label for region in REGIONS} - {"OFA", "FEF"}
    assert {label for roi in study["rois"].values() for label in roi["labels"]} == planted
    controls = {c.get("control") for c in study["conditions"].values() if "target" in c}
    assert controls >= {"shuffled", "random", "gaussian", "pixels", "features", "phase-scrambled", "subsampled"}
    assert {roi for c in study["conditions"].values() for roi in c.get("target", [])} == set(study["rois"])
    assert len(study["seeds"]) == 3


@pytest.mark.parametrize("world", ["no-cue", "no-brain", "hue"])
def test_the_worlds_of_the_calibration_differ_in_what_they_say(project, world):
    """A file given after calibration.yaml changes its keys, as Snakemake merges them."""
    base = yaml.safe_load((project / "config/calibration.yaml").read_text())
    change = yaml.safe_load((project / f"config/calibration-{world}.yaml").read_text())
    update_config(base, change)
    study = read_study(base | {"claims": None})
    planted = study.planted
    assert (planted.cue.strength == 0) == (world == "no-cue")
    assert (planted.responses == "permuted") == (world == "no-brain")
    assert (planted.cue.kind == "hue") == (world == "hue")
    assert study.results == f"results/calibration-{world}" and study.data.root == f"resources/calibration-{world}"
    trained = set(study.trained["phantom-scenes"])
    assert {"none", "V1", "LO", "LO-shuffled", "adversarial"} <= trained and len(study.seeds) == 8
    assert trained < set(base["conditions"]) and len(base["conditions"]) == 18, "an hour on two cores: 344 networks"
    assert len(trained) == {"no-brain": 9, "no-cue": 6, "hue": 10}[world]


def test_the_calibration_has_every_control_and_asks_the_world_of_the_effect_why(project):
    study = read_study(yaml.safe_load((project / "config/calibration.yaml").read_text()) | {"claims": None})
    controls = {c.control for c in study.conditions.values() if c.roi == "LO" and c.on_task}
    assert controls == {None, "shuffled", "labels", "random", "pixels"}
    assert {c.loss for c in study.conditions.values() if c.guided} == {"mse", "cka"}
    assert {"cue-bias", "dimensionality", "mediation"} <= set(study.explain) and len(study.seeds) >= 8
