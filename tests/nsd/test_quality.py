"""The gate behind extraction: wrong and misaligned betas are stopped by one line that names subject and cause."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import yaml

from neurobust.core.errors import InputError
from neurobust.core.settings import read
from neurobust.files.betas import open_betas
from neurobust.files.quality import read_quality
from neurobust.nsd import doctor, layout
from neurobust.nsd.extract import extract_betas
from neurobust.nsd.header import read_array
from neurobust.nsd.measured import SATURATED
from neurobust.nsd.mirror import Mirror
from neurobust.nsd.mirror_checks import CHECKS
from neurobust.nsd.quality import check_subject
from neurobust.nsd.settings import Data
from neurobust.phantom import files
from neurobust.phantom.build import build_phantom
from neurobust.phantom.design import Sizes, make_design
from neurobust.phantom.settings import PlantedNSD

SUBJECT, OTHER, GRID, SESSIONS, TRIALS = "subj01", "subj02", (18, 21, 16), 5, 120
SETTINGS = {
    "seed": 1, "shared_images": 40, "unique_images": 160, "planned_sessions": SESSIONS, "trials_per_session": TRIALS,
    "stimulus_size": 64, "faces": 0.25, "formats": ["nii.gz"],
    "subjects": {
        SUBJECT: {"grid": list(GRID), "sessions": SESSIONS}, OTHER: {"grid": list(GRID), "sessions": SESSIONS - 1}
    },
}  # fmt: skip
RUN = TRIALS // 12


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A phantom of two subjects with unequal sessions; nobody changes it."""
    root = tmp_path_factory.mktemp("sound")
    build_phantom(root, read(PlantedNSD, SETTINGS, "phantom"))
    return root


@pytest.fixture
def root(sound, tmp_path):
    """A copy that a test may damage: files are replaced there and never written into."""
    return shutil.copytree(sound, tmp_path / "nsd", copy_function=os.link)


def gate(root, results, subject=SUBJECT, sessions=SESSIONS):
    """What the gate finds of a subject after extraction, as the workflow runs both."""
    paths = [layout.session(root, subject, number) for number in range(1, sessions + 1)]
    extract_betas(root, subject, sessions, paths, results / "betas.h5")
    check_subject(root, results / "betas.h5", subject, results / "quality.json")
    return read_quality(results / "quality.json")


def betas(root, number, subject=SUBJECT):
    return read_array(layout.session(root, subject, number))[1]


def rewrite(root, number, values):
    files.write_nifti(layout.session(root, SUBJECT, number), values.astype(np.int16), files.BETA_TR)


def every_session(change):
    def damage(root):
        for number in range(1, SESSIONS + 1):
            rewrite(root, number, change(betas(root, number)))

    return damage


def one_session(number, change):
    return lambda root: rewrite(root, number, change(betas(root, number)))


def with_affine(edit):
    """Sessions with another affine in their headers, which their voxels follow."""

    def damage(root):
        import nibabel as nib

        for number in range(1, SESSIONS + 1):
            path = layout.session(root, SUBJECT, number)
            image = nib.load(path)
            values, affine = edit(np.asanyarray(image.dataobj), image.affine.copy())
            header = image.header.copy()
            header.set_sform(affine, 1)
            path.unlink()
            nib.Nifti1Image(values, affine, header).to_filename(path)

    return damage


def to_las(values, affine):
    affine[0] = -affine[0]
    return values[::-1], affine


def two_voxels(values, affine):
    affine[:3, 3] -= 2 * 1.8
    return np.roll(values, (2, 2, 2), (0, 1, 2)), affine


def exchange(*pairs):
    """Files take the places of others: (from, to), ...; means of sessions stay."""

    def damage(root):
        contents = {one: layout.session(root, SUBJECT, one).read_bytes() for one, _ in pairs}
        for one, other in pairs:
            path = layout.session(root, SUBJECT, other)
            path.unlink()
            path.write_bytes(contents[one])

    return damage


def late(root):
    """The whole recording one trial late, over the borders of sessions."""
    whole = np.concatenate([betas(root, number) for number in range(1, SESSIONS + 1)], axis=3)
    for number, part in enumerate(np.split(np.roll(whole, 1, 3), SESSIONS, axis=3), start=1):
        rewrite(root, number, part)


def wrong_ncsnr(root):
    values = read_array(layout.ncsnr(root, SUBJECT))[1].copy()
    known = np.isfinite(values)
    values[known] = np.random.default_rng(0).permutation(values[known])
    files.write_volume(root, SUBJECT, "ncsnr", values)


def wrong_design(root):
    sizes = Sizes(SETTINGS["shared_images"], SETTINGS["unique_images"], SESSIONS, TRIALS)
    files.write_expdesign(root, make_design(sizes, seed=2))


def as_text(values):
    """Runs joined in the order of their names: 1, 10, 11, 12, 2, ..."""
    runs = np.split(values, 12, axis=3)
    return np.concatenate([runs[int(name) - 1] for name in sorted(map(str, range(1, 13)))], axis=3)


def noisy_copy(root):
    rewrite(root, 4, betas(root, 2) * 0.5 + np.random.default_rng(0).normal(0, 20, (*GRID, TRIALS)))


def another_subject(root):
    for number in range(1, SESSIONS):
        path = layout.session(root, OTHER, number)
        path.unlink()
        os.link(layout.session(root, SUBJECT, number), path)


def shuffled(values):
    return values[..., np.random.default_rng(0).permutation(TRIALS)]


SEVEN = {
    "LAS, with its affine": (with_affine(to_las), "stored as LAS and not as RAS"),
    "two voxels away, with its affine": (with_affine(two_voxels), r"\[-2.0, -2.0, -2.0\] voxels away"),
    "two sessions swapped": (exchange((3, 4), (4, 3)), "sessions 3 and 4 look swapped"),
    "a session copied over another": (exchange((2, 4)), "session 4 is a copy of session 2"),
    "all trials late by one": (late, "all trials look late by 1 trial"),
    "ncsnr of something else": (wrong_ncsnr, "ncsnr.nii.gz.* like another subject's"),
    "another valid design": (wrong_design, "nsd_expdesign.mat looks like another design"),
}
OURS = {
    "mirrored, and the affine silent": (every_session(lambda v: v[::-1]), "look mirrored left to right"),
    "moved, and the affine silent": (every_session(lambda v: np.roll(v, 2, 1)), r"look moved by \(0, 2, 0\) voxels"),
    "runs sorted as text": (one_session(2, as_text), r"the runs of session 2 look out of order .*run 2 like run 10"),
    "sessions one too early": (
        exchange(*((n % SESSIONS + 1, n) for n in range(1, SESSIONS + 1))),
        "like sessions 2, 3, 4, 5, 1|the trials of the next",
    ),
    "one session late": (one_session(3, lambda v: np.roll(v, 1, 3)), "session 3 looks late by 1 trial"),
    "one session in percent": (one_session(2, lambda v: np.rint(v / 300)), "session 2 varies 0.00[0-9]+ times as much"),
    "a copy with noise": (noisy_copy, "session 4 holds, a little changed, the trials of session 2"),
    "another subject's": (another_subject, "looks? like another subject's"),
    "one session shuffled": (one_session(3, shuffled), "session 3 shows no trace of the images shown"),
    "one session upside down": (one_session(3, lambda v: -v), "session 3 looks? inverted"),
}  # fmt: skip
CASES = SEVEN | OURS


def forget_means(root):
    for path in root.rglob("meanbeta_session*"):
        path.unlink()


def forget_tables(root):
    for path in (layout.stim_info(root), layout.responses(root, SUBJECT), layout.responses(root, OTHER)):
        path.unlink()


@pytest.mark.parametrize("case", CASES)
def test_wrong_data_are_stopped_by_a_line_with_subject_and_cause(root, tmp_path, case):
    """With the published means of sessions and the tables, and without them, as a copy may lack both."""
    damage, cause = CASES[case]
    damage(root)
    subject, sessions = (OTHER, SESSIONS - 1) if damage is another_subject else (SUBJECT, SESSIONS)
    for forget in (lambda root: None, forget_means, forget_tables):
        forget(root)
        with pytest.raises(InputError, match=cause) as caught:
            gate(root, tmp_path, subject, sessions)
        assert subject in str(caught.value) and "\n" not in str(caught.value)
        assert not (tmp_path / "quality.json").exists(), "what needs the gate must not start"


def dead_slab(root):
    def without(values):
        values = values.copy()
        values[:, 3:5] = 0
        return values

    every_session(without)(root)


SOUND = {
    "untouched": (lambda root: None, SUBJECT, SESSIONS),
    "fewer sessions than another subject": (lambda root: None, OTHER, SESSIONS - 1),
    "fewer sessions than were run": (lambda root: None, SUBJECT, 3),
    "one session": (lambda root: None, SUBJECT, 1),
    "no published means": (forget_means, SUBJECT, SESSIONS),
    "a session all zeros": (one_session(3, np.zeros_like), SUBJECT, SESSIONS),
    "a dead slab of voxels": (dead_slab, SUBJECT, SESSIONS),
    "a dead half of the voxels in one session": (
        one_session(2, lambda v: v * (np.arange(GRID[0]) < 9)[:, None, None, None]), SUBJECT, SESSIONS,
    ),
    "a tired session": (
        one_session(4, lambda v: v + np.random.default_rng(0).normal(0, 3 * v.std(), v.shape)), SUBJECT, SESSIONS
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SOUND)
def test_sound_data_pass(root, tmp_path, case):
    damage, subject, sessions = SOUND[case]
    damage(root)
    if "tired" in case:
        forget_means(root)
    found = gate(root, tmp_path, subject, sessions)
    assert found.subject == subject and found.sessions == sessions
    assert found.empty_sessions == ((3,) if "zeros" in case else ())
    assert found.repeats_r > 5 * max(abs(found.early_r), abs(found.late_r), abs(found.chance_r))
    assert found.mean_r is None if "means" in case or "tired" in case else found.mean_r > 0.9999
    assert found.ncsnr_r > (0.95 if sessions > 3 else 0.7)
    assert found.tables == ("responses.tsv", "nsd_stim_info_merged.csv")


def test_the_doctor_says_the_same(root):
    section = {"source": "phantom", "root": str(root), "format": "nii.gz"}
    data = read(Data, section | {"subjects": {SUBJECT: {"sessions": SESSIONS}, OTHER: {"sessions": 4}}}, "data")
    check = "betas in place and in order"
    found = doctor.run_check(check, CHECKS[check], Mirror(data))
    assert found.status == doctor.PASS and f"{SUBJECT} ncsnr r 1.00, repeats r 0.38" in found.detail
    exchange((3, 4), (4, 3))(root)
    found = doctor.run_check(check, CHECKS[check], Mirror(data))
    assert found.status == doctor.FAIL and f"{SUBJECT}: sessions 3 and 4 look swapped" in found.detail
    layout.session(root, SUBJECT, 2).unlink()
    assert "subj01 lacks sessions" in doctor.run_check(check, CHECKS[check], Mirror(data)).detail


@pytest.mark.parametrize("damage", [to_las, two_voxels])
def test_the_doctor_compares_affines(root, damage):
    with_affine(damage)(root)
    section = {"source": "phantom", "root": str(root), "format": "nii.gz", "subjects": {SUBJECT: {"sessions": 5}}}
    check = "open: sessions of betas"
    found = doctor.run_check(check, CHECKS[check], Mirror(read(Data, section, "data")))
    assert found.status == doctor.FAIL and SUBJECT in found.detail and "it looks m" in found.detail


@pytest.fixture
def lab(root, snakemake, project, tmp_path):
    """`lab(*words)`: Snakemake on the tiny study with a lab's own mirror, read and fetched by nobody."""
    config = yaml.safe_load((project / "tests/slurm/tiny.yaml").read_text())
    config["data"] = {"source": "nsd", "root": str(root), "format": "nii.gz", "keep_betas": True, "stimuli": "all",
                      "accept_terms": True, "subjects": {SUBJECT: {"sessions": SESSIONS}}}  # fmt: skip

    def run(*words, check=True):
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(config))
        return snakemake(
            "--configfile", tmp_path / "study.yaml", "--cores", "1", *words, directory=tmp_path, check=check
        )

    run.config = config
    return run


UNGUIDED = "results/tiny/networks/digits/small/none/seed0"


@pytest.mark.slow
@pytest.mark.parametrize(
    "target", ["results/tiny/predictors/gnet/V1/seed0/model.safetensors", f"{UNGUIDED}/model.safetensors"]
)
def test_nothing_is_trained_on_wrong_data(root, lab, tmp_path, target):
    """The run ends with the gate's line, also where the network reads no brain."""
    exchange((3, 4), (4, 3))(root)
    done = lab("--", target, check=False)
    assert done.returncode != 0
    assert f"{SUBJECT}: sessions 3 and 4 look swapped" in done.text
    cortex = tmp_path / "results/tiny/cortex" / SUBJECT
    assert sorted(path.name for path in cortex.iterdir()) == ["betas.h5"], "no ROI either"
    assert not list(tmp_path.rglob("*.safetensors")) and not (tmp_path / "results/tiny/predictors").exists()


def test_another_look_and_another_subject_train_no_network_again(lab, tmp_path):
    results = tmp_path / "results/tiny"
    outputs = [f"{UNGUIDED}/{name}" for name in ("model.safetensors", "metrics.json", "history.parquet")]
    made = [tmp_path / output for output in outputs]
    verdict = results / "cortex" / SUBJECT / "quality.json"
    for path in (verdict.with_name("betas.h5"), verdict, results / "networks/digits/dataset.h5", *made):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("stands for it")
    lab("--touch", "-R", "train_network", "--", *outputs)  # Snakemake notes how they were made
    later = made[0].stat().st_mtime + 5
    lab.config["data"]["subjects"][OTHER] = {"sessions": SESSIONS - 1}
    for subject in (SUBJECT, OTHER):
        path = verdict.parents[1] / subject / "quality.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text("another")
        path.with_name("betas.h5").touch()
        os.utime(path, (later, later))
    assert "Nothing to be done" in lab("-n", "--", *outputs).text
    lab.config["training"]["learning_rate"] = 0.06
    assert "train_network" in lab("-n", "--quiet", "rules", "--", *outputs).text


# --- session by session ---


def test_drift_and_a_session_out_of_scale_are_told_session_by_session(root, tmp_path):
    """Planted: 30 units (0.1 percent signal change) more in each session, and a third session of twice the scale."""
    forget_means(root)
    for number in range(1, SESSIONS + 1):
        values = betas(root, number).astype(float)
        changed = np.where(abs(values) >= SATURATED, values, values * (2 if number == 3 else 1) + 30 * number)
        rewrite(root, number, np.clip(changed, -SATURATED, SATURATED))
    found = gate(root, tmp_path)
    with open_betas(tmp_path / "betas.h5") as file:
        own = [file.betas[file.session == number].astype(float) / 300 for number in range(1, SESSIONS + 1)]
    assert [each.session for each in found.by_session] == [1, 2, 3, 4, 5]
    for each, values in zip(found.by_session, own, strict=True):
        live = np.ptp(values, 0) > 0  # the phantom has voxels that are constant and voxels that saturate
        whole = values[:, live & (abs(values) < SATURATED / 300).all(0)]
        assert np.isclose(each.mean, whole.mean(), rtol=1e-5)
        assert np.isclose(each.scale, np.median(values[:, live].std(0, ddof=1)), rtol=1e-5)
        assert each.mean_r is None and each.repeats_r > 0.2
    scales = [each.scale for each in found.by_session]
    assert np.argmax(scales) == 2 and scales[2] > 1.5 * np.median(scales)
    assert np.isclose(found.scale_high, max(scales) / np.median(scales), rtol=1e-5)
    own = [each.repeats_r for each in found.by_session]
    assert min(own) < found.repeats_r < max(own)
    assert 0.2 < found.halves_r < found.ncsnr_r


def test_a_session_that_is_empty_or_alone_is_told_as_far_as_it_can(root, tmp_path):
    one_session(3, np.zeros_like)(root)
    empty = gate(root, tmp_path).by_session[2]
    assert (empty.session, empty.mean, empty.scale, empty.mean_r, empty.repeats_r) == (3, None, None, None, None)
    alone = gate(root, tmp_path, sessions=1)
    assert len(alone.by_session) == 1 and alone.by_session[0].repeats_r == alone.repeats_r
