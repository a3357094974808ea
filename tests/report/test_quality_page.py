"""The page of data quality: planted faults show in its numbers, which are those of the files."""

import json
import re
import shutil
from html.parser import HTMLParser

import h5py
import numpy as np
import pandas as pd
import pytest

from neurobust.core.errors import InputError
from neurobust.core.io import read_json
from neurobust.files.betas import BetasIndex, betas_path, write_betas
from neurobust.report.collect import collect_results
from neurobust.report.page import Frame, render
from neurobust.report.quality_section import quality_section
from neurobust.report.site import PAGES
from neurobust.report.slices import levels_of, read_cortex
from neurobust.report.view import View

GRID = (20, 24, 12)


class Rows(HTMLParser):
    """The rows of each table of a page by its caption, cells as text."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.caption, self.rows, self.cell, self.inside = {}, "", [], None, False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "table":
            self.rows = []
        elif tag == "caption":
            self.caption, self.inside = "", True
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.cell = True
        elif tag == "small" and self.cell:
            self.rows[-1][-1] += " "

    def handle_endtag(self, tag):
        if tag == "caption":
            self.inside = False
        elif tag in ("td", "th"):
            self.cell = None
        elif tag == "table":
            self.tables[self.caption] = self.rows[1:]

    def handle_data(self, data):
        if self.inside:
            self.caption += data
        elif self.cell:
            self.rows[-1][-1] += data


def page_of(study):
    """The page of data quality without its figures, and its tables by caption."""
    view = View(study, collect_results(study))
    page = PAGES["quality"]
    text = render(
        view, {"reached": "<svg></svg>", "sessions": "<svg></svg>"}, Frame(page.title, None, page.name, page.sections)
    )
    return text, Rows(text).tables


@pytest.fixture(scope="module")
def tables(study):
    return page_of(study)[1]


def test_drift_and_a_session_out_of_scale_are_named(tables, study):
    """Planted in the files: the mean rises by 0.01 % a session, the fifth of ten has 2.4 times the scale."""
    one, other = tables["Drift of each subject’s sessions"]
    assert one == ["subj01", "10", "0.41 to 0.50", "+0.09", "0", "5 (×2.40)", "0.999 (session 1)", "0.080 (session 1)"]
    assert other[:2] == ["subj02", "10 without 3"] and other[3:6] == ["+0.09", "0", "5 (×2.40)"]
    whole = read_json(study.root / "cortex/subj01/quality.json")["by_session"]
    assert np.isclose(whole[4]["scale"] / np.median([each["scale"] for each in whole]), 2.4)


def test_an_area_on_the_edge_of_the_volume_is_counted(tables, study):
    """V4 of the fixture lies on it, V1 does not; counted here voxel by voxel."""
    shown = {(row[0], row[1]): row for row in tables["Voxels of each ROI and subject, and why some are left out"]}
    for (roi, subject), row in shown.items():
        with h5py.File(study.root / f"cortex/{subject}/{roi}.h5") as file:
            index, ceiling, ncsnr = file["voxel_index"][:], file["noise_ceiling"][:], file["ncsnr"][:]
            published = file["ncsnr_file"][:]
        places = [(int(i) // (24 * 12), int(i) // 12 % 24, int(i) % 12) for i in index]
        edge = sum(any(p in (0, n - 1) for p, n in zip(place, GRID, strict=True)) for place in places)
        nothing = sum(c < 5 and s == 0 for c, s in zip(ceiling, ncsnr, strict=True))
        kept = sum(c >= 5 for c in ceiling)
        counts = [len(index), len({z for _, _, z in places}), edge, nothing, len(index) - nothing - kept, kept]
        assert row[2:8] == [str(n) for n in counts] and nothing == 2
        assert row[8] == f"{100 * kept / len(index):.0f} %"
        assert row[9] == f"{np.corrcoef(ncsnr, published)[0, 1]:.3f}"
    assert int(shown["V4", "subj01"][4]) > 10 and shown["V1", "subj01"][4] == "0"
    said = quality_section(View(study, collect_results(study)))
    assert said["edges"] == f"At the edge of the volume: V4 of subj01 ({shown['V4', 'subj01'][4]}), V4 of subj02 " + (
        f"({shown['V4', 'subj02'][4]})."
    )
    assert said["poor"] == "Every area keeps at least half of its voxels."
    assert ("FFA", "subj02") not in shown, "a subject without the area"


def test_what_the_predictor_does_is_the_voxels_own(tables, study):
    for roi, subject, voxels, found, negative, above in tables["What becomes of the voxels in the predictor"]:
        table = pd.read_parquet(study.root / f"predictors/gnet/{roi}/seed0/voxels.parquet").query("subject == @subject")
        assert int(voxels) == len(table) and found == "–", "the fixture has no test"
        assert negative == f"{100 * (table['r'] < 0).mean():.0f} %"
        with h5py.File(study.root / f"cortex/{subject}/{roi}.h5") as file:
            kept = (file["noise_ceiling"][:] >= 5).sum()
        assert above == f"{100 * (table['r_normalised'] > 1).sum() / kept:.0f} %"


def test_predicted_voxels_are_counted_where_they_were_tested(tiny_study):
    path = tiny_study.root / "predictors/gnet/LO/seed0/voxels.parquet"
    frame = pd.read_parquet(path)
    frame["p_fdr"] = np.where(np.arange(len(frame)) % 4 == 0, 0.01, 0.5)
    frame.to_parquet(path)
    rows = page_of(tiny_study)[1]["What becomes of the voxels in the predictor"]
    assert [row[3] for row in rows] == ["26 %", "25 %"], "23 of 90, 20 of 80"


def decoded(address):
    """The pixels (H, W, 4) of a picture in a page."""
    import base64
    import io

    from PIL import Image

    return np.array(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))


def test_a_slice_has_each_voxel_in_its_place(study):
    """Painted here voxel by voxel: of the first ROI its fullest slice, seen from above with the second axis upwards."""
    view = View(study, collect_results(study))
    part = quality_section(view)["pictures"][0]
    voxels = read_cortex(view, "subj01").rois["V1"].voxel_index
    level = max(range(GRID[2]), key=lambda z: (sum(int(i) % 12 == z for i in voxels), -z))
    found = decoded(part["coverage"][0].address)
    wanted = np.zeros((GRID[1], GRID[0]), bool)
    for i in voxels:
        if int(i) % 12 == level:
            wanted[GRID[1] - 1 - int(i) // 12 % 24, int(i) // (24 * 12)] = True
    assert np.array_equal(found[..., 3] == 255, wanted) and f"slice {level + 1}" in part["coverage"][0].note
    assert found.shape == (24, 20, 4) and (found[..., 3] == 70).any(), "other areas are pale"
    assert levels_of(np.array([3, 4, 5])) == [3, 4, 5] and levels_of(np.arange(61)) == [5, 15, 25, 35, 45, 55]
    colours = {tuple(pixel[:3]) for pixel in decoded(part["ceilings"][0].address).reshape(-1, 4) if pixel[3] == 255}
    assert len(colours) > 1, "ceilings differ"


def test_labelled_voxels_are_shown_where_betas_are_kept(tiny_study):
    view = View(tiny_study, collect_results(tiny_study))
    alone = read_cortex(view, "subj01").labelled
    assert np.array_equal(alone, read_cortex(view, "subj01").rois["LO"].voxel_index)
    index = np.arange(0, 400, dtype=np.int64)
    betas = BetasIndex("subj01", GRID, np.eye(4), index, np.arange(4), np.ones(4, np.int16))
    write_betas(betas_path(tiny_study.root, "subj01"), betas, [np.zeros((4, 400), np.int16)], dict)
    assert np.array_equal(read_cortex(view, "subj01").labelled, index)


def test_a_study_whose_files_know_no_sessions_says_less(tiny_study):
    """Files of an earlier version: no sessions, no halves. The page is there without what was not measured."""
    for subject in tiny_study.subjects:
        path = tiny_study.root / f"cortex/{subject}/quality.json"
        old = {
            name: value
            for name, value in json.loads(path.read_text()).items()
            if name not in ("by_session", "halves_r")
        }
        path.write_text(json.dumps(old))
    text, tables = page_of(tiny_study)
    assert "Drift of each subject’s sessions" not in tables and 'href="#sessions"' not in text
    assert tables["Are the betas in place and in order?"][0][2:4] == ["0.999", "–"]
    shutil.rmtree(tiny_study.root / "cortex")
    bare = page_of(tiny_study)[0]
    assert 'id="coverage"' not in bare and 'id="reached"' in bare


def test_a_damaged_file_is_named(tiny_study):
    path = tiny_study.root / "cortex/subj01/LO.h5"
    with h5py.File(path, "a") as file:
        del file.attrs["shape"]
    with pytest.raises(InputError, match=r"LO\.h5: not a readable ROI file"):
        collect_results(tiny_study)


def test_every_figure_says_how_a_good_and_a_bad_one_look(study):
    text = page_of(study)[0]
    sections = re.split(r"<section ", text)[1:]
    assert len(sections) == 4
    for section in sections:
        assert section.count("<strong>Good:</strong>") == section.count("<strong>Bad:</strong>") >= 1
