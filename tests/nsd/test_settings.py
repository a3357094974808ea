"""What a study says about data, ROIs and splits: every configuration is read, and comes back as it was."""

from __future__ import annotations

import json

import pytest
import yaml

from neurobust.core.errors import InputError
from neurobust.core.settings import options, read, written
from neurobust.nsd.settings import ROI, Data, Region, Sessions, Splits, StudySplits

DATA = {"source": "nsd", "root": "resources/nsd", "format": "nii.gz", "subjects": {"subj01": {"sessions": 40}}}
SPLITS = {"test": "special", "validation": 0.1, "seed": 0, "zscore": "train"}


def configurations(project):
    for path in sorted((project / "config").glob("*.yaml")):
        config = yaml.safe_load(path.read_text())
        if {"data", "rois", "splits"} <= set(config):
            yield path.name, config


def test_every_study_of_the_house_is_read(project):
    """And what goes into parameters and provenance of ROIs and splits is what the study says, no key more."""
    found = dict(configurations(project))
    assert {"config.yaml", "demo.yaml", "study-small.yaml"} <= set(found)
    for config in found.values():
        data = read(Data, config["data"], "config.data")
        assert written(data).items() >= config["data"].items()
        for section, kind, given in [
            ("splits", Splits, config["splits"]),
            *(("rois", ROI, roi) for roi in config["rois"].values()),
        ]:
            assert json.loads(json.dumps(written(read(kind, given, section)))) == given


def test_what_follows_from_the_data():
    data = read(Data, {**DATA, "subjects": {"subj01": {"sessions": 40}, "subj04": {"sessions": 30}}}, "data")
    assert data.sessions == {"subj01": 40, "subj04": 30}
    assert data.ran("subj01") == 40 and data.ran("subj04") == 30, "as published"
    assert data.from_bucket and data.only_needed_stimuli and data.folder.name == "nsd"
    less = {**DATA, "subjects": {"subj01": {"sessions": 2}}}
    assert read(Data, less, "data").ran("subj01") == 40
    assert read(Data, {**less, "source": "phantom"}, "data").ran("subj01") == 2, "all that is planted"
    assert not read(Data, {**DATA, "source": "phantom"}, "data").only_needed_stimuli
    assert not read(Data, {**DATA, "stimuli": "all"}, "data").only_needed_stimuli


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "s3"}, "data.source: 's3' is not known; choose one of phantom, nsd"),
        ({"format": "nii"}, "data.format: 'nii' is not known; choose one of nii.gz, hdf5"),
        ({"root": ""}, "data.root"),
        ({"endpoint": "mirror.lab"}, "data.endpoint"),
        ({"region": ""}, "data.region"),
        ({"keep_betas": "yes"}, "data.keep_betas"),
        ({"stimuli": "some"}, "data.stimuli: 'some' is not known; choose one of needed, all"),
        ({"betas": "b4"}, "data.betas: 'b4' is not known; choose one of b1, b2, b3"),
        ({"space": "fsaverage"}, "data.space: 'fsaverage' is not known; choose one of func1pt8mm, func1mm"),
        ({"subjects": {}}, "data.subjects"),
        ({"subjects": {"subj09": {"sessions": 1}}}, "subj0"),
        ({"subjects": {"subj01": {"sessions": 41}}}, "sessions"),
        ({"subjects": {"subj01": {}}}, "sessions"),
        ({"proxy": "x"}, "data: unknown key 'proxy'; known keys are "),
    ],
)
def test_faults_of_the_data_are_named(changes, message):
    with pytest.raises(InputError, match="data") as caught:
        read(Data, {**DATA, **changes}, "data")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_splits_know_the_facts_that_they_need():
    splits = read(StudySplits, {**SPLITS, "min_sessions": 30}, "splits")
    assert splits.special_sessions() == 30
    assert written(splits) == {**SPLITS, "min_sessions": 30}
    with pytest.raises(InputError, match=r"splits.min_sessions: missing; splits.test 'special' needs"):
        read(StudySplits, SPLITS, "splits").special_sessions()
    with pytest.raises(InputError, match="unknown key 'min_sessions'"):
        read(Splits, {**SPLITS, "min_sessions": 30}, "splits")
    named = read(StudySplits, {**SPLITS, "test": "legacy37", "sessions": 40}, "splits")
    assert named.public_sessions() == 37
    with pytest.raises(InputError, match=r"splits.sessions: missing; splits.test 'algonauts' needs"):
        read(StudySplits, {**SPLITS, "test": "algonauts"}, "splits").public_sessions()
    with pytest.raises(InputError, match=r"splits.test: 'legacy37' takes the last 3 sessions .* ran 3; name another"):
        read(StudySplits, {**SPLITS, "test": "legacy37", "sessions": 3}, "splits").public_sessions()


def test_parts_of_an_roi():
    given = {"atlas": "Kastner2015", "labels": ["LO1"], "plus": [{"atlas": "floc-bodies", "labels": ["EBA"]}]}
    roi = read(ROI, given, "rois.LO")
    assert [region.atlas for region in roi.added] == ["Kastner2015", "floc-bodies"] and roi.limits == ()
    within = read(ROI, {**given, "within": "nsdgeneral"}, "rois.LO")
    assert within.limits == (Region(atlas="nsdgeneral", labels=()),)
    inside = read(ROI, {**given, "within": given["plus"]}, "rois.LO")
    assert inside.limits == inside.plus


@pytest.mark.parametrize("kind", [Data, Sessions, Region, ROI, Splits, StudySplits])
def test_every_key_has_a_line_of_help(kind):
    assert all(option.help for option in options(kind))
