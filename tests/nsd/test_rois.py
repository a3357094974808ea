"""Colour tables and ROI voxels: names, hemispheres, -1, and grids."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from neurobust.core.errors import InputError
from neurobust.core.settings import read
from neurobust.nsd import layout
from neurobust.nsd.ctab import read_ctab, resolve_labels
from neurobust.nsd.labelled import label_volumes, labelled_voxels
from neurobust.nsd.rois import roi_voxels
from neurobust.nsd.settings import ROI
from neurobust.nsd.volumes import read_grid, read_volume
from neurobust.phantom import files
from neurobust.phantom.labels import ATLASES


@pytest.mark.parametrize("atlas", layout.ATLASES)
def test_every_label_volume_has_its_names(tiny, atlas):
    table = read_ctab(layout.ctab(tiny.root, "subj01", atlas))
    assert list(table.values()) == list(range(len(table)))
    assert list(table) == ["Unknown", *ATLASES[atlas]]
    volume, _ = read_volume(layout.roi(tiny.root, "subj01", atlas))
    assert set(np.unique(volume)) <= {-1, *table.values()}


def test_ragged_and_numeric_names(tmp_path):
    path = tmp_path / "x.ctab"
    path.write_text("0 Unknown\n1 V1v\t    \n2 V1d\t   \n\n15 LO1 255 0 0 0\n16 4\n")
    assert read_ctab(path) == {"Unknown": 0, "V1v": 1, "V1d": 2, "LO1": 15, "4": 16}
    assert resolve_labels(path, ["LO1", 4]) == [15, 16]  # YAML reads the name 4 as a number


@pytest.mark.parametrize(
    ("text", "message"),
    [("1 V1\nV2\n", "line 2"), ("1 V1\n1 V2\n", "repeats"), ("1 V1\n2 V1\n", "repeats"), ("", "empty")],
)
def test_broken_ctab(tmp_path, text, message):
    path = tmp_path / "x.ctab"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_ctab(path)


def test_unknown_label_lists_the_known_ones(tiny):
    path = layout.ctab(tiny.root, "subj01", "floc-faces")
    with pytest.raises(InputError, match="no label 'FFA'; it has OFA, FFA-1, FFA-2, mTL-faces, aTL-faces"):
        resolve_labels(path, ["FFA"])
    with pytest.raises(InputError, match="no label 'Unknown'"):
        resolve_labels(path, ["Unknown"])
    with pytest.raises(InputError, match="no such colour table"):
        read_ctab(path.with_name("x.ctab"))


def voxels_of(tiny, subject, spec):
    grid = read_grid(tiny.root, subject)
    ncsnr = read_volume(layout.ncsnr(tiny.root, subject), grid)[0].ravel()
    return roi_voxels(tiny.root, subject, read(ROI, spec, "rois.test"), grid, ncsnr)


def slow_voxels(tiny, subject, atlas, ids, hemispheres=("lh", "rh"), keep=lambda place: True):
    """The voxels of an ROI by three nested loops over what was written."""
    lh, rh = tiny.labels[subject, atlas]
    mask, _ = read_volume(layout.brainmask(tiny.root, subject))
    found, flat = [], 0
    for x in range(lh.shape[0]):
        for y in range(lh.shape[1]):
            for z in range(lh.shape[2]):
                place = (x, y, z)
                if hemispheres == ("lh", "rh"):
                    label = lh[place] if lh[place] != -1 else rh[place]
                else:
                    label = (lh if hemispheres == ("lh",) else rh)[place]
                if label in ids and mask[place] and keep(place):
                    found.append(flat)
                flat += 1
    return found


@pytest.mark.parametrize("subject", ["subj01", "subj02"])
def test_roi_is_the_c_order_index_of_its_labels(tiny, subject):
    spec = {"atlas": "Kastner2015", "labels": ["LO1", "LO2", "V1v", "FEF"]}
    expected = slow_voxels(tiny, subject, "Kastner2015", {15, 14, 1, 25})
    assert len(expected) > 5
    found = voxels_of(tiny, subject, spec)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, expected)


def test_labels_belong_to_their_atlas(tiny):
    kastner = voxels_of(tiny, "subj01", {"atlas": "Kastner2015", "labels": ["LO1"]})
    hcp = voxels_of(tiny, "subj01", {"atlas": "HCP_MMP1", "labels": ["LO1"]})
    np.testing.assert_array_equal(hcp, slow_voxels(tiny, "subj01", "HCP_MMP1", {20}))
    assert not np.array_equal(kastner, hcp)


@pytest.mark.parametrize("hemisphere", ["lh", "rh"])
def test_hemispheres(tiny, hemisphere):
    spec = {"atlas": "prf-visualrois", "labels": ["V2v"], "hemisphere": hemisphere}
    expected = slow_voxels(tiny, "subj01", "prf-visualrois", {3}, (hemisphere,))
    np.testing.assert_array_equal(voxels_of(tiny, "subj01", spec), expected)


def test_within_and_ncsnr(tiny):
    general = files.merge_hemispheres("nsdgeneral", *tiny.labels["subj01", "nsdgeneral"])
    ncsnr, _ = read_volume(layout.ncsnr(tiny.root, "subj01"))
    spec = {"atlas": "streams", "labels": ["early", "ventral"], "within": "nsdgeneral", "ncsnr_min": 0.3}
    expected = slow_voxels(
        tiny, "subj01", "streams", {1, 5}, keep=lambda place: general[place] == 1 and ncsnr[place] >= 0.3
    )
    everything = slow_voxels(tiny, "subj01", "streams", {1, 5})
    assert 0 < len(expected) < len(everything)
    np.testing.assert_array_equal(voxels_of(tiny, "subj01", spec), expected)


def test_unions_and_intersections(tiny):
    """LO of Kastner's atlas or of Glasser's, within the ventral and lateral streams of the left hemisphere or FFA."""
    spec = {
        "atlas": "Kastner2015", "labels": ["LO1", "LO2"],
        "plus": [{"atlas": "HCP_MMP1", "labels": ["LO1"], "hemisphere": "rh"},
                 {"atlas": "floc-bodies", "labels": ["EBA"]}],
        "within": [{"atlas": "streams", "labels": ["ventral", "lateral"], "hemisphere": "lh"},
                   {"atlas": "floc-faces", "labels": ["FFA-1"]}],
    }  # fmt: skip
    union = {*slow_voxels(tiny, "subj01", "Kastner2015", {14, 15}), *slow_voxels(tiny, "subj01", "floc-bodies", {1}),
             *slow_voxels(tiny, "subj01", "HCP_MMP1", {20}, ("rh",))}  # fmt: skip
    limit = {*slow_voxels(tiny, "subj01", "streams", {5, 6}, ("lh",)), *slow_voxels(tiny, "subj01", "floc-faces", {2})}
    assert 0 < len(union & limit) < len(union)
    np.testing.assert_array_equal(voxels_of(tiny, "subj01", spec), sorted(union & limit))
    del spec["within"]
    np.testing.assert_array_equal(voxels_of(tiny, "subj01", spec), sorted(union))


def test_labelled_voxels_are_those_above_zero_anywhere(tiny):
    grid = read_grid(tiny.root, "subj01")
    found = labelled_voxels(tiny.root, "subj01", grid)
    mask = np.zeros(grid.shape, bool)
    for atlas in ATLASES:
        for volume in tiny.labels["subj01", atlas]:
            mask |= volume > 0
    np.testing.assert_array_equal(found, np.flatnonzero(mask.ravel() & grid.mask))
    assert len(label_volumes(tiny.root, "subj01")) == 39


def test_minus_one_is_not_a_label(copied):
    """Only the labels count in a mirror with one atlas; cortex without a label and -1 do not."""
    for path in label_volumes(copied.root, "subj01").values():
        if not path.name.endswith("nsdgeneral.nii.gz"):
            path.unlink()
    grid = read_grid(copied.root, "subj01")
    merged = files.merge_hemispheres("nsdgeneral", *copied.labels["subj01", "nsdgeneral"])
    assert (merged == -1).any()
    assert (merged == 0).any()
    found = labelled_voxels(copied.root, "subj01", grid)
    np.testing.assert_array_equal(found, np.flatnonzero((merged == 1).ravel() & grid.mask))


def test_voxels_that_only_one_hemisphere_labels_are_extracted(tiny):
    """lh says unlabelled cortex, rh says 3: absent from the bilateral ROI, but there for an rh ROI."""
    place = np.ravel_multi_index((4, 5, 4), (9, 11, 8))
    bilateral = voxels_of(tiny, "subj01", {"atlas": "prf-visualrois", "labels": ["V2v"]})
    right = voxels_of(tiny, "subj01", {"atlas": "prf-visualrois", "labels": ["V2v"], "hemisphere": "rh"})
    assert place not in bilateral
    assert place in right
    assert place in labelled_voxels(tiny.root, "subj01", read_grid(tiny.root, "subj01"))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"atlas": "V1", "labels": ["V1v"]}, r"rois.test.atlas: 'V1' is not known; choose one of HCP_MMP1, "),
        ({"atlas": "streams", "labels": "early"}, r"rois.test.labels: 'early': expected a list"),
        ({"atlas": "streams", "labels": []}, r"rois.test.labels: \[\]: expected a list of length >= 1"),
        ({"labels": ["early"]}, r"rois.test: missing key 'atlas'"),
        (
            {"atlas": "streams", "labels": ["early"], "hemi": "lh"},
            r"rois.test: unknown key 'hemi'; known keys are ",
        ),
        ({"atlas": "streams", "labels": ["early"], "hemisphere": "left"}, r"'left' is not known; choose one of lh, rh"),
        ({"atlas": "streams", "labels": ["early"], "within": "mask"}, r"rois.test.within: 'mask' is not known; choose"),
        ({"atlas": "streams", "labels": ["early"], "within": []}, r"rois.test.within: \[\]: expected a list of length"),
        ({"atlas": "streams", "labels": ["early"], "plus": {"atlas": "MTL"}}, r"rois.test.plus: .*: expected a list"),
        ({"atlas": "streams", "labels": ["early"], "plus": [{"atlas": "MTL"}]}, r"rois.test.plus.0: missing key"),
        ({"atlas": "streams", "labels": ["early"], "plus": [{"atlas": "V1"}]}, r"rois.test.plus.0.atlas: 'V1'"),
        (
            {"atlas": "streams", "labels": ["early"], "ncsnr_min": "0.1"},
            r"ncsnr_min: '0.1': expected a number",
        ),
        (
            {"atlas": "streams", "labels": ["early"], "ncsnr_min": -1},
            r"ncsnr_min: -1: expected a number >= 0",
        ),
    ],
)
def test_bad_specs(tiny, spec, message):
    with pytest.raises(InputError, match=message):
        voxels_of(tiny, "subj01", spec)


def test_volumes_of_another_grid_are_refused(copied):
    files.write_nifti(layout.roi(copied.root, "subj01", "streams"), np.zeros((9, 8, 11)))
    with pytest.raises(InputError, match=r"streams.nii.gz: its grid \(9, 8, 11\)"):
        voxels_of(copied, "subj01", {"atlas": "streams", "labels": ["early"]})


def test_volume_errors(copied):
    path = layout.brainmask(copied.root, "subj01")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"brainmask.nii.gz: truncated or damaged"):
        read_grid(copied.root, "subj01")
    path.unlink()
    with pytest.raises(InputError, match=r"brainmask.nii.gz: no such file"):
        read_grid(copied.root, "subj01")
    with pytest.raises(InputError, match="'subj9' is not one of"):
        read_grid(copied.root, "subj9")


def test_paths_cost_no_heavy_import():
    """The workflow imports the layout in every job."""
    heavy = "{'numpy', 'h5py', 'torch', 'botocore'}"
    modules = "layout, manifest, regions, settings"
    code = f"import sys; from neurobust.nsd import {modules}; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
