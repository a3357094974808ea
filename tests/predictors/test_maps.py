"""Voxel tables as volumes."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from neurobust.core.errors import InputError
from neurobust.core.io import write_parquet
from neurobust.predictors.maps import map_voxels


@pytest.fixture
def table(subject_maker, write_subject, tmp_path):
    rois = []
    frame = []
    for name, index in (("subj01", [0, 17, 139]), ("subj02", [3, 4])):
        rois.append(write_subject(subject_maker(name, voxels=len(index)))[0])
        frame.append(pd.DataFrame({"subject": name, "voxel_index": index, "r": np.arange(len(index)) / 10 + 0.1}))
    write_parquet(tmp_path / "voxels.parquet", pd.concat(frame))
    return tmp_path / "voxels.parquet", rois


def test_every_voxel_comes_to_its_place_with_the_affine_of_the_grid(table, tmp_path):
    voxels, rois = table
    map_voxels(voxels, rois, ["r"], tmp_path / "maps")
    image = nib.load(tmp_path / "maps/subj01_r.nii.gz")
    data = image.get_fdata()
    assert data.shape == (5, 7, 4) and image.header.get_zooms() == pytest.approx((1.8, 1.8, 1.8))
    assert np.allclose(image.affine, [[-1.8, 0, 0, 20], [0, 1.8, 0, -30], [0, 0, 1.8, -10], [0, 0, 0, 1]])
    for flat, value in ((0, 0.1), (17, 0.2), (139, 0.3)):
        assert data[np.unravel_index(flat, (5, 7, 4))] == pytest.approx(value)
    assert np.isfinite(data).sum() == 3
    assert np.isfinite(nib.load(tmp_path / "maps/subj02_r.nii.gz").get_fdata()).sum() == 2


def test_equal_maps_have_equal_bytes(table, tmp_path):
    voxels, rois = table
    for name in ("a", "b"):
        map_voxels(voxels, rois, ["r"], tmp_path / name)
    assert (tmp_path / "a/subj01_r.nii.gz").read_bytes() == (tmp_path / "b/subj01_r.nii.gz").read_bytes()


def test_faults_are_named(table, tmp_path):
    voxels, rois = table
    with pytest.raises(InputError, match="no column 'fev'"):
        map_voxels(voxels, rois, ["fev"], tmp_path / "maps")
    write_parquet(voxels, pd.DataFrame({"subject": ["subj01"], "voxel_index": [140], "r": [0.1]}))
    with pytest.raises(InputError, match="voxel 140 of subj01 lies outside the grid"):
        map_voxels(voxels, rois, ["r"], tmp_path / "maps")
    assert not (tmp_path / "maps").exists()
