"""The page of a study while it runs: what is there, what is not, and never a part that looks whole."""

import base64
import re
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from neurobust.core.errors import InputError
from neurobust.core.io import replacing
from neurobust.files.attack_table import attack_table_path
from neurobust.files.network_metrics import metrics_path
from neurobust.files.quality import quality_path
from neurobust.files.roi import roi_path
from neurobust.report import live_page
from neurobust.report.live import begun_files, files_of
from neurobust.report.live_page import MARK, status_path, write_status


def clock():
    return datetime(2030, 1, 2, 3, 4, tzinfo=UTC)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to run in, as Snakemake does: what it notes there is read."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def page_of(study, folder):
    live = write_status(study, folder / "status.html", clock)
    return live, (folder / "status.html").read_text()


def fill_rest(study):
    """The files that the fixture leaves out: of the subject without an FFA, and pages."""
    for paths in files_of(study).values():
        for path in paths:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("")


BANNER = 'class="notice bad" id="part"'


def test_an_empty_study_has_a_page_that_says_so(new_study, place):
    study = new_study("results")
    live, text = page_of(study, place)
    total = sum(len(files) for files in files_of(study).values())
    assert live.count("there") == 0 and live.count("missing") == live.count("files") == total > 150
    assert BANNER in text and f"This is a part: 0 of {total} files were there at 2030-01-02 03:04 UTC." in text
    assert MARK in text and "so far</h2>" not in text and "<title>A part ·" in text
    assert "attacks/digits/resnet18/V1/seed1" in text and "seed0: metrics.json" in text.replace("</code>", "")


def test_half_a_study_shows_that_half(study, place):
    """Counts and means recomputed here; a condition without networks is not shown."""
    for condition, seed in (("LO", 0), ("LO", 1), ("V1", 1)):
        for task in study.tasks:
            assert metrics_path(study.root, f"{task}/resnet18/{condition}/seed{seed}").exists()
    lacking = {f"{task}/resnet18/LO/seed{seed}" for task in study.tasks for seed in (0, 1)} | {
        "digits/resnet18/V1/seed1"
    }
    half = copy_of(study, place / "results", lambda path: any(f"/{name}/" in f"/{path}" for name in lacking))
    live, text = page_of(half, place)
    assert BANNER in text and not live.complete
    networks = next(part for part in live.progress if part.name == "networks")
    assert (len(networks.there), len(networks.missing)) == (11, 5)
    lines = {line["condition"]: line for line in live.networks[0]["lines"]}
    assert set(lines) == {"none", "V1", "LO-shuffled"} and lines["V1"]["trained"] == "1 of 2"
    tables = [
        pd.read_parquet(attack_table_path(half.root, f"digits/resnet18/none/seed{seed}", "pgd-linf")) for seed in (0, 1)
    ]
    for place_of, budget in enumerate(study.attacks["pgd-linf"].budgets):
        own = [1 - table[table["budget"] == budget]["success"].mean() for table in tables]
        assert lines["none"]["robust"][place_of] == f"{100 * np.mean(own):.1f}"
    body = text[text.index("<main") : text.index('id="missing"')].lower()
    assert not any(word in body for word in (" minus ", "verdict", " vs ", "difference", "more robust"))
    missing = text[text.index('id="missing"') :]
    assert all(re.search(rf"networks/{name}</code>: metrics\.json", missing) for name in lacking)


def copy_of(study, results, leave):
    """A study with the files of another, but for those that are left out (a function of the path below its results)."""
    import shutil

    from msgspec.structs import replace

    for path in study.root.rglob("*"):
        if path.is_file() and not leave(path.relative_to(study.root).as_posix()):
            target = results / path.relative_to(study.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    return replace(study, results=str(results))


def test_a_full_study_says_that_all_is_there(tiny_study, place):
    fill_rest(tiny_study)
    live, text = page_of(tiny_study, place)
    assert live.complete and BANNER not in text and 'id="missing"' not in text
    assert f"All {live.count('files')} files are there" in text and "results/report/index.html" in text
    (tiny_study.root / "report/checks.html").unlink()
    assert BANNER in page_of(tiny_study, place)[1], "one page is missing"


def test_what_is_half_written_is_never_read(tiny_study, place, monkeypatch):
    """A job writes beside the file and renames; what Snakemake noted as begun is not opened, whatever lies there."""
    fill_rest(tiny_study)
    path = metrics_path(tiny_study.root, "digits/resnet18/LO/seed1")
    whole = path.read_bytes()
    path.unlink()
    with replacing(path) as temporary:
        temporary.write_bytes(whole[:40])
        live, _ = page_of(tiny_study, place)
        assert live.networks[0]["lines"][1]["trained"] == "1 of 2" and live.count("missing") == 1
        assert live.count("unreadable") == 0
        temporary.write_bytes(whole)
    note = place / ".snakemake/incomplete" / base64.urlsafe_b64encode(str(path).encode()).decode()
    if len(note.name) > 200:  # as Snakemake cuts long names
        note = note.with_name("@" + note.name[:200]) / note.name[200:]
    note.parent.mkdir(parents=True)
    note.write_text("{}")
    opened = []
    monkeypatch.setattr(live_page, "read_metrics", lambda file: opened.append(file))
    live, text = page_of(tiny_study, place)
    assert path not in opened and opened and begun_files() == {str(path)}
    assert (live.count("begun"), live.count("missing")) == (1, 0) and BANNER in text
    assert f"being written or broken off: <code>{path}</code>" in text


def test_what_cannot_be_read_is_named_and_is_not_there(tiny_study, place):
    fill_rest(tiny_study)
    table = attack_table_path(tiny_study.root, "digits/resnet18/LO/seed0", "pgd-linf")
    table.write_bytes(table.read_bytes()[:300])
    quality_path(tiny_study.root, "subj01").write_text('{"subject": ')
    live, text = page_of(tiny_study, place)
    assert live.count("unreadable") == 2 and BANNER in text and "2 cannot be read" in text
    assert f"<code>{table}</code>" in text and "subj01" not in [row["subject"] for row in live.brains]
    assert {line["condition"]: line["attacked"] for line in live.networks[0]["lines"]} == {
        "none": "2 of 2",
        "LO": "1 of 2",
    }


def test_nothing_of_the_results_is_touched(tiny_study, place):
    before = {
        path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tiny_study.root.rglob("*") if path.is_file()
    }
    write_status(tiny_study, status_path(tiny_study), clock)
    page = tiny_study.root / "status.html"
    after = {
        path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tiny_study.root.rglob("*") if path.is_file()
    }
    assert page in after and {path: value for path, value in after.items() if path != page} == before
    write_status(tiny_study, status_path(tiny_study), clock)
    assert page.read_bytes() == after[page][1], "again in its place, and the same at the same time"


def test_a_name_that_is_none_for_a_page_is_one_line(new_study, place):
    study = new_study("results")
    (place / "notes.html").write_text("<p>mine")
    for name, why in (
        ("status.txt", "let it end in .html"), ("no/such/a.html", "there is no such folder"),
        ("notes.html", "is no page of `neurobust status`, and stays"),
        ("results/report/index.html", "there is no such folder"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=re.escape(why)):
            status_path(study, name)
    (place / "results/report").mkdir(parents=True)
    (place / "folder.html").mkdir()
    for name, why in (("results/report/index.html", "lies among the results"), ("folder.html", "a folder")):
        with pytest.raises(InputError, match=why):
            status_path(study, name)
    assert status_path(study, "mine.html").name == "mine.html" and status_path(study).name == "status.html"
    write_status(study, status_path(study, "mine.html"), clock)
    assert status_path(study, "mine.html").exists(), "an earlier page of its own is replaced"


def test_a_subject_without_an_area_has_its_file_all_the_same(new_study):
    """The pipeline writes one without voxels: so it is expected."""
    study = new_study("results")
    assert roi_path(study.root, "subj02", "FFA") in files_of(study)["responses of ROIs"]
