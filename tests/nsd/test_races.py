"""Two processes that make one shared file at the same time, twenty times in either order, without Snakemake.

The fetching of one file of the bucket is raced in `test_shared_mirror`.
"""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from neurobust.core import io, locks
from neurobust.core.io import read_json, write_json
from neurobust.nsd import fetch_stimuli as images
from neurobust.nsd import layout, manifest, studies
from neurobust.nsd.settings import Data, Sessions
from neurobust.phantom import files, ownership
from neurobust.phantom import plant as planting
from neurobust.phantom.settings import PlantedNSD

pytestmark = pytest.mark.slow

RACES = 20
LATE = 0.02  # s that the slower of two is behind, or takes longer


def race(*works):
    """Run each in a process of its own, the later ones started later; their exit statuses."""
    processes = [multiprocessing.get_context("fork").Process(target=work) for work in works]
    for process in processes:
        process.start()
        time.sleep(LATE / 4)
    for process in processes:
        process.join(30)
    return [process.exitcode for process in processes]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(locks, "PAUSE", 0.002)


def slowly(function):
    """The same function, with a pause before it: the window in which the other process comes."""

    def slowed(*given, **named):
        time.sleep(LATE)
        return function(*given, **named)

    return slowed


@pytest.mark.parametrize("slow", [0, 1], ids=["first is slow", "second is slow"])
def test_two_studies_that_note_themselves_at_once_are_both_noted(tmp_path, slow):
    """In a mirror, in its records, and as users of one phantom."""

    def work(root, name, held):
        def run():
            if held:
                studies.write_json = slowly(write_json)
                ownership.write_json = slowly(write_json)
            data = Data(source="nsd", root=str(root), format="nii.gz", subjects={"subj01": Sessions(sessions=2)})
            studies.enter(data, tmp_path / name)
            manifest.add_record(root, {"key": name, "size": 1})
            ownership.claim(root.with_name(f"{root.name}-phantom"), tmp_path / name, "digest")

        return run

    for number in range(RACES):
        root = tmp_path / f"root{number}"
        assert race(*(work(root, name, index == slow) for index, name in enumerate(("a", "b")))) == [0, 0]
        both = {layout.study_id(root, tmp_path / name) for name in ("a", "b")}
        assert set(studies.read_studies(root)) == both
        assert set(manifest.read_records(root)) == {"a", "b"}
        assert set(ownership.read_marker(root.with_name(f"{root.name}-phantom")).studies) == both
        left = [path.name for path in tmp_path.rglob("*") if path.name.endswith((".tmp", ".lock"))]
        assert left == []


@pytest.mark.parametrize("slow", [0, 1], ids=["first is slow", "second is slow"])
def test_a_phantom_is_planted_once_by_two(tmp_path, slow, monkeypatch):
    settings = PlantedNSD(
        seed=0, shared_images=1, unique_images=1, planned_sessions=1, trials_per_session=12, stimulus_size=64,
        faces=0.5, formats=("nii.gz",), subjects={},
    )  # fmt: skip

    def outputs(root, _):
        return [str(root / "nsddata/a"), str(root / "nsddata/b")]

    def work(root, name, held):
        def build(root, _):
            for path in outputs(root, _):
                io.write_text(path, name)
                if held:
                    time.sleep(LATE)

        def run():
            planting.build_phantom = build
            planting.plant(root, settings, "code")

        return run

    monkeypatch.setattr(planting, "phantom_files", outputs)
    for number in range(RACES):
        root = tmp_path / f"root{number}"
        assert race(*(work(root, name, index == slow) for index, name in enumerate(("a", "b")))) == [0, 0]
        first, second = (Path(path).read_text() for path in outputs(root, None))
        assert first == second, "one planted it whole, and the other found it"


@pytest.mark.parametrize("slow", [0, 1], ids=["first is slow", "second is slow"])
def test_images_of_a_subject_are_made_once_by_two(tmp_path, tiny, slow):
    """Of one and of three sessions: whoever comes first, both have all that they need in the end."""
    whole = tmp_path / "whole"
    files.write_stimuli(whole, tiny.images)
    seen = {sessions: np.unique(tiny.design.nsd_ids(1, sessions)) for sessions in (1, 3)}
    copy_rows = images.copy_rows

    def work(root, output, sessions, held):
        def run():
            images.copy_rows = slowly(copy_rows) if held else copy_rows
            images.fetch_stimuli(lambda: None, root, "subj01", sessions, output)

        return run

    for number in range(RACES):
        root = tmp_path / f"root{number}"
        files.write_expdesign(root, tiny.design)
        layout.stimuli(root).parent.mkdir(parents=True)
        layout.stimuli(root).symlink_to(layout.stimuli(whole))
        output = layout.subject_stimuli(root, "subj01")
        order = [(sessions, (sessions == 3) == bool(slow)) for sessions in ((1, 3) if number % 2 else (3, 1))]
        assert race(*(work(root, output, sessions, held) for sessions, held in order)) == [0, 0]
        with h5py.File(output) as file:
            assert np.isin(seen[3], file["nsd_id"][()]).all()
            np.testing.assert_array_equal(file["imgBrick"], tiny.images[file["nsd_id"][()]])


@pytest.mark.parametrize("slow", [0, 1], ids=["first is slow", "second is slow"])
def test_a_file_that_two_write_is_one_of_the_two(tmp_path, slow):
    """Where nobody holds a lock, as for results that are equal: never a mixture, and nothing is left behind."""

    def work(path, name, held):
        def run():
            with io.replacing(path) as temporary:
                temporary.write_text("[")
                if held:
                    time.sleep(LATE)
                temporary.write_text(f'["{name}"]')

        return run

    for number in range(RACES):
        path = tmp_path / str(number) / "shared.json"
        assert race(*(work(path, name, index == slow) for index, name in enumerate(("a", "b")))) == [0, 0]
        assert read_json(path) in (["a"], ["b"])
        assert [other.name for other in path.parent.iterdir()] == ["shared.json"]
