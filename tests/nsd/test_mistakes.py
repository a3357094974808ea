"""Planted mistakes, of the kinds that published code has made with NSD: each must fail the check of its invariant."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io

from neurobust.core.errors import InputError
from neurobust.nsd import betas, coco, ctab, extract, held_out, layout, responses, rois, stimuli, volumes
from neurobust.nsd import design as design_module
from neurobust.nsd.design import Design
from neurobust.phantom import files

specification = importlib.util.spec_from_file_location("invariants", Path(__file__).with_name("test_invariants.py"))
invariants = importlib.util.module_from_spec(specification)
specification.loader.exec_module(invariants)
INVARIANTS, SHARED, TRIALS = invariants.INVARIANTS, invariants.SHARED, invariants.TRIALS


@pytest.fixture
def world(tiny, tmp_path):
    return invariants.World(tiny, tmp_path)


def edit_mat(path: Path, **changes) -> None:
    raw = {name: value for name, value in scipy.io.loadmat(path).items() if not name.startswith("__")}
    scipy.io.savemat(path, raw | {name: change(raw[name].copy()) for name, change in changes.items()})


def edit_table(path: Path, separator: str, change) -> None:
    table = pd.read_csv(path, sep=separator)
    change(table).rename(columns={"Unnamed: 0": ""}).to_csv(path, sep=separator, index=False, na_rep="NaN")


def in_design(**changes):
    return lambda world, patch: edit_mat(layout.expdesign(world.copy()), **changes)


def in_stim_info(change):
    return lambda world, patch: edit_table(layout.stim_info(world.copy()), ",", change)


def in_behaviour(change):
    return lambda world, patch: edit_table(layout.responses(world.copy(), "subj01"), "\t", change)


def in_code(place, name, wrong):
    """Replace `place.name` by `wrong(right)`."""
    return lambda world, patch: patch.setattr(place, name, wrong(getattr(place, name)))


def one_image_four_times(ordering):
    ordering[0, 0] = ordering[0, 1]
    return ordering


def ends_swapped(row):
    row[0, [0, -1]] = row[0, [-1, 0]]
    return row


def loaded(change):
    """A design that is read with a slip."""
    return in_code(design_module, "read_design", lambda right: lambda path: (change(right(path)[0]), right(path)[1]))


def fortran_read(right):
    def read(path, voxel_index, shape, trials):
        volume = volumes.read_array(path)[1].reshape(-1, trials, order="F")
        return volume[voxel_index].T

    return read


def transposed_read(right):
    def read(path, voxel_index, shape, trials):
        with h5py.File(path) as file:
            return file["betas"][()].reshape(trials, -1)[:, voxel_index]

    return read


def added_hemispheres(world, patch):
    lh, rh = world.tiny.labels["subj01", "nsdgeneral"]
    files.write_nifti(layout.roi(world.copy(), "subj01", "nsdgeneral"), lh + rh)


def transposed_label(world, patch):
    path = layout.roi(world.copy(), "subj01", "streams")
    files.write_nifti(path, volumes.read_array(path)[1].transpose(2, 1, 0))


def moved_label(world, patch):
    import nibabel as nib

    path = layout.roi(world.copy(), "subj01", "streams")
    image = nib.load(path)
    affine = image.affine.copy()
    affine[0, 3] += 1.8
    nib.Nifti1Image(np.asanyarray(image.dataobj), affine).to_filename(path)


def anatomical_mask(world, patch):
    import nibabel as nib

    path = layout.brainmask(world.copy(), "subj01")
    image = nib.load(path)
    nib.Nifti1Image(np.asanyarray(image.dataobj), np.diag([0.8, 0.8, 0.8, 1])).to_filename(path)


def unnamed_label(world, patch):
    path = layout.ctab(world.copy(), "subj01", "Kastner2015")
    path.write_text("\n".join(path.read_text().splitlines()[:20]) + "\n")


def first_digit(path):
    lines = Path(path).read_text().splitlines()
    return {line.split()[1]: int(line[0]) for line in reversed(lines)}


def blanks_kept(path):
    return {line.split(" ", 1)[1]: int(line.split(" ")[0]) for line in Path(path).read_text().splitlines()}


def order_of_text(paths, n_sessions):
    return sorted(map(Path, paths))


def over_all_sessions(right):
    return lambda scores, session, fit=None: right(scores, np.ones_like(session), fit)


def by_run(right):
    """Every session's runs z-scored one by one: runs of 3 and 2 trials here, of 63 and 62 there."""
    return lambda scores, session, fit=None: right(scores, np.arange(len(session)) // 5, fit)


def population_deviation(right):
    return lambda scores, session, fit=None: right(scores, session, fit) * np.float32(np.sqrt(TRIALS / (TRIALS - 1)))


def constant_is_zero(right):
    return lambda scores, session, fit=None: np.nan_to_num(right(scores, session, fit))


def every_trial_seen(right):
    return lambda scores, session, fit=None: right(scores, session)


def nan_spreads(scores, table):
    filled = np.where((table >= 0)[..., None], scores[table], np.nan)
    with np.errstate(all="ignore"):
        return np.stack([row[:count].mean(0) for row, count in zip(filled, (table >= 0).sum(1), strict=True)])


def thirds(right):
    return lambda scores, table: right(scores, table) * ((table >= 0).sum(1, keepdims=True) / 3).astype(np.float32)


def newest_first(right):
    def table_of(ids):
        images, counts, table = right(ids)
        return images, counts, np.sort(table, axis=1)[:, ::-1]

    return table_of


def split_of_position(right):
    """The draw belongs to the place in the list and not to the image, so subjects and trials differ."""

    def split(design, images, *arguments, **settings):
        result = right(design, images, *arguments, **settings)
        drawn = np.random.default_rng(len(images)).random(len(images)) < 0.2
        return np.where(result == 2, 2, drawn).astype(np.uint8)

    return split


def shared_by_number(right):
    """Held out are ids below 1000 (here: 20), as if shared images came first in the pool."""
    return lambda design, images, *a, **k: np.where(images < SHARED, 2, right(design, images, *a, **k) == 1)


def noise_of(variance):
    """ncsnr with another measure of the noise."""

    def ncsnr(scores, table, half=None):
        trials = table[(table[:, :3] >= 0).all(1), :3]
        noise_variance = variance(scores[trials].astype(float))
        return np.sqrt(np.maximum(0, 1 - noise_variance) / noise_variance)

    return lambda right: ncsnr


def twice_is_enough(right):
    return lambda scores, table, half=None: right(scores, np.where(table == -1, table[:, :1], table), half)


def rolled(right):
    return lambda self, subject, n_sessions: np.roll(right(self, subject, n_sessions), 1)


def shuffled(right):
    return lambda self, *a: np.random.default_rng(0).permutation(right(self, *a))


def next_image(right):
    return lambda path, file, images: (right(path, file, images) + 1) % len(file["imgBrick"])


def trial_moved(pattern):
    return np.roll(pattern.reshape(6, -1), 80, 1).reshape(pattern.shape)


def repeats_swapped(table):
    return table.rename(columns={"subject2_rep0": "subject2_rep1", "subject2_rep1": "subject2_rep0"})


def in_fortran_order(index, grid):
    return np.ravel_multi_index(np.unravel_index(index, grid.shape), grid.shape, order="F")


def fortran_index(right):
    return lambda root, subject, grid: np.sort(in_fortran_order(right(root, subject, grid), grid))


def fortran_order(right):
    def voxels(root, subject, grid):
        index = right(root, subject, grid)
        return index[np.argsort(in_fortran_order(index, grid))]

    return voxels


def transposed_mask(right):
    def grid_of(root, subject, space):
        grid = right(root, subject, space)
        return replace(grid, mask=grid.mask.reshape(grid.shape).T.ravel())

    return grid_of


def what_is_there(right):
    return lambda paths, n: right(paths, n) if len(paths) == n else [*sorted(paths), sorted(paths)[-1]]


def mask_of(inside):
    """A region is what `inside` says of its labels, whatever their names."""
    return lambda root, s, region, grid: inside(rois.read_labels(layout.roi(root, s, region.atlas), grid).ravel())


def planned_counts(right):
    def table_of(ids):
        images, counts, table = right(ids)
        return images, np.full_like(counts, 3), table

    return table_of


def seen_twice(design, n_sessions):
    return design.shared[np.bincount(design.trial_images(n_sessions), minlength=60)[:SHARED] >= 2]


def other_atlas(right):
    return lambda root, subject, atlas: right(root, subject, "HCP_MMP1")


def sessions_rolled(right):
    return lambda design, n_sessions: np.roll(right(design, n_sessions), 1)


def uncropped_box(right):
    return lambda box, crop, width, height: right(box, (0, 0, 0, 0), width, height)


def left_first(right):
    return lambda text: right(text)[2:] + right(text)[:2]


def uncut_box(box, crop, width, height):
    top, bottom, left, right = crop
    across, down = (1 - left - right) * width, (1 - top - bottom) * height
    x, y = box[0] - left * width, box[1] - top * height
    return x / across, y / down, (x + box[2]) / across, (y + box[3]) / down


MISTAKES = [
    (1, "an image four times", in_design(masterordering=one_image_four_times)),
    (1, "numbers from 1 taken as from 0", loaded(lambda d: replace(d, ordering=d.ordering + 1))),
    (2, "sharedix unsorted", in_design(sharedix=ends_swapped)),
    (2, "shared images not first", in_design(subjectim=ends_swapped)),
    (2, "ids from 1 taken as from 0", loaded(lambda d: replace(d, images=d.images + 1, shared=d.shared + 1))),
    (3, "ids one too high", in_code(Design, "nsd_ids", lambda right: lambda self, *a: right(self, *a) + 1)),
    (3, "subject counted from 0", loaded(lambda d: replace(d, images=np.roll(d.images, -1, axis=0)))),
    (3, "10k number taken for the id", in_code(Design, "nsd_ids", lambda right: lambda d, s, n: d.trial_images(n))),
    (3, "pool order taken for the subject's", loaded(lambda d: replace(d, images=np.sort(d.images, axis=1)))),
    (4, "62 before 63", in_design(stimpattern=lambda p: p[:, [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10]])),
    (4, "a trial moved to another run", in_design(stimpattern=trial_moved)),
    (5, "basiccnt of the next session", in_design(basiccnt=lambda c: np.roll(c, 1, axis=1))),
    (5, "basiccnt upside down", in_design(basiccnt=lambda c: c[::-1])),
    (6, "nsdId from 1", in_stim_info(lambda t: t.assign(nsdId=t["nsdId"] + 1))),
    (6, "trials from 0", in_stim_info(lambda t: t.assign(subject1_rep0=t["subject1_rep0"] - (t["subject1"] == 1)))),
    (6, "repeats out of order", in_stim_info(repeats_swapped)),
    (6, "shared1000 one row late", in_stim_info(lambda t: t.assign(shared1000=np.roll(t["shared1000"], 1)))),
    (6, "phantom trials", in_code(Design, "trial_images", lambda right: lambda self, n: self.ordering)),
    (7, "rows without an answer dropped", in_behaviour(lambda t: t[t["MISSINGDATA"] == 0])),
    (7, "73KID from 0", in_behaviour(lambda t: t.assign(**{"73KID": t["73KID"] - 1}))),
    (7, "rows of two sessions swapped", in_behaviour(lambda t: pd.concat([t[30:60], t[:30], t[60:]]))),
    (7, "ISOLD of the session only", in_behaviour(lambda t: t.assign(ISOLD=t["ISOLDCURRENT"]))),
    (7, "runs of 62 and 63", in_behaviour(lambda t: t.assign(RUN=np.tile(np.repeat(np.arange(1, 13), [2, 3] * 6), 5)))),
    (8, "nii.gz read in C order", in_code(betas, "read_nifti_session", fortran_read)),
    (8, "hdf5 read without reversing its axes", in_code(betas, "read_hdf5_session", transposed_read)),
    (9, "divided", in_code(extract, "read_session", lambda right: lambda *a: (right(*a) / 300).astype(np.int16))),
    (9, "divided betas not refused", in_code(betas, "check_shape", lambda right: lambda *a: None)),
    (10, "Fortran flattening", in_code(extract, "labelled_voxels", fortran_index)),
    (10, "voxels in the order of Fortran", in_code(extract, "labelled_voxels", fortran_order)),
    (10, "a transposed mask", in_code(extract, "read_grid", transposed_mask)),
    (11, "sessions sorted as text", in_code(extract, "order_sessions", lambda right: order_of_text)),
    (11, "sessions as they come", in_code(extract, "order_sessions", lambda right: lambda paths, n: list(paths))),
    (11, "a missing session shifts the rest", in_code(extract, "order_sessions", what_is_there)),
    (12, "cast to bool", in_code(rois, "region_mask", lambda right: mask_of(lambda labels: labels.astype(bool)))),
    (12, "!= -1", in_code(rois, "region_mask", lambda right: mask_of(lambda labels: labels != -1))),
    (12, "lh + rh", added_hemispheres),
    (13, "first digit of a label", in_code(ctab, "read_ctab", lambda right: first_digit)),
    (13, "blanks in names", in_code(ctab, "read_ctab", lambda right: blanks_kept)),
    (13, "names of another atlas", in_code(layout, "ctab", other_atlas)),
    (13, "a label without a name", unnamed_label),
    (14, "a transposed label volume", transposed_label),
    (14, "a label volume one voxel off", moved_label),
    (14, "a mask in anatomical space", anatomical_mask),
    (15, "NaN spreads", in_code(responses, "average_repeats", lambda right: nan_spreads)),
    (15, "a lost session counts as 0", in_code(responses, "zscore_sessions", constant_is_zero)),
    (16, "over all sessions", in_code(responses, "zscore_sessions", over_all_sessions)),
    (16, "by run", in_code(responses, "zscore_sessions", by_run)),
    (16, "ddof 0", in_code(responses, "zscore_sessions", population_deviation)),
    (16, "test trials seen", in_code(responses, "zscore_sessions", every_trial_seen)),
    (17, "planned trials counted", in_code(responses, "repeats_table", planned_counts)),
    (17, "always divided by three", in_code(responses, "average_repeats", thirds)),
    (17, "newest first", in_code(responses, "repeats_table", newest_first)),
    (17, "one trial too many per session", in_code(Design, "sessions", sessions_rolled)),
    (18, "all shared images", in_code(Design, "special", lambda right: lambda self, n: self.shared)),
    (18, "two trials are enough", in_code(Design, "special", lambda right: seen_twice)),
    (18, "counted over the plan", in_code(Design, "special", lambda right: lambda self, n: right(self, 6))),
    (19, "drawn by position", in_code(held_out, "image_splits", split_of_position)),
    (19, "shared by number", in_code(responses, "image_splits", shared_by_number)),
    (20, "ddof 0 over repeats", in_code(responses, "ncsnr", noise_of(lambda s: s.var(1).mean(0)))),
    (20, "mean of deviations", in_code(responses, "ncsnr", noise_of(lambda s: s.std(1, ddof=1).mean(0) ** 2))),
    (20, "images with two trials", in_code(responses, "ncsnr", twice_is_enough)),
    (20, "three repeats for all", in_code(responses, "noise_ceiling", lambda right: lambda s, _: right(s, [0, 0, 1]))),
    (20, "single trials", in_code(responses, "noise_ceiling", lambda right: lambda s, _: right(s, [1]))),
    (21, "trials one off", in_code(Design, "nsd_ids", rolled)),
    (21, "trials shuffled", in_code(Design, "nsd_ids", shuffled)),
    (22, "images from 1", in_code(stimuli, "brick_rows", next_image)),
    (22, "PNG names from 0", in_code(layout, "shared_png", lambda right: lambda root, n, i: right(root, n, i - 1))),
    (23, "left and right before top and bottom", in_code(coco, "parse_crop", left_first)),
    (23, "boxes not cropped", in_code(coco, "crop_box", uncropped_box)),
    (23, "boxes not cut at the border", in_code(coco, "crop_box", lambda right: uncut_box)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "plant"), [pytest.param(number, plant, id=f"{number}-{name}") for number, name, plant in MISTAKES]
)
def test_a_planted_mistake_is_caught(world, monkeypatch, number, plant):
    plant(world, monkeypatch)
    with pytest.raises((AssertionError, InputError, pytest.fail.Exception)):
        INVARIANTS[number](world)


def test_every_invariant_has_a_mistake():
    assert sorted(INVARIANTS) == list(range(1, 24))
    assert {number for number, _, _ in MISTAKES} == set(INVARIANTS)
