"""Inputs that are not what they should be: one clear line that names the file, and no output."""

from __future__ import annotations

import gzip
import struct

import h5py
import nibabel as nib
import numpy as np
import pytest
import scipy.io

from neurobust.core.errors import InputError
from neurobust.nsd import layout
from neurobust.nsd.extract import extract_betas
from neurobust.nsd.responses import extract_roi
from neurobust.nsd.settings import ROI, StudySplits
from neurobust.nsd.stimuli import build_stimuli
from neurobust.nsd.tables import read_behaviour, read_stim_info
from neurobust.nsd.verify import verify
from neurobust.phantom import files

GRID, TRIALS = (9, 11, 8), 30
SPLITS = StudySplits(test="shared", validation=0.2, seed=0, zscore="all")


def session(root):
    return layout.session(root, "subj01", 2)


def twin(root):
    return layout.session(root, "subj01", 2, "hdf5")


def mask(root):
    return layout.brainmask(root, "subj01")


def labels(root):
    return layout.roi(root, "subj01", "streams")


def ncsnr(root):
    return layout.ncsnr(root, "subj01")


def table(root):
    return layout.ctab(root, "subj01", "streams")


def patch_header(offset, fmt, *values):
    """Write values over bytes of a NIfTI header."""

    def damage(path):
        raw = bytearray(gzip.decompress(path.read_bytes()))
        struct.pack_into(fmt, raw, offset, *values)
        path.write_bytes(gzip.compress(bytes(raw), 1))

    return damage


def content(data: bytes):
    return lambda path: path.write_bytes(data)


def unzipped(path):
    path.write_bytes(gzip.decompress(path.read_bytes()))


def cut_to(share):
    return lambda path: path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def volume(values):
    """Replace a volume by another."""
    return lambda path: files.write_nifti(path, np.asarray(values))


def one_voxel(value, dtype=None):
    """A volume with one wrong value, inside the brain."""

    def damage(path):
        data = np.asanyarray(nib.load(path).dataobj).copy()
        data = data.astype(dtype or data.dtype)
        data[4, 4, 3] = value
        files.write_nifti(path, data)

    return damage


def moved(path):
    image = nib.load(path)
    nib.Nifti1Image(np.asanyarray(image.dataobj), image.affine + np.eye(4) * [0.1, 0.1, 0.1, 0]).to_filename(path)


def hdf5(name="betas", **options):
    def damage(path):
        with h5py.File(path, "w") as file:
            if not options:
                file.create_group(name)
            else:
                file.create_dataset(name, **options)

    return damage


def mat(**changes):
    def damage(path):
        raw = {name: value for name, value in scipy.io.loadmat(path).items() if not name.startswith("__")}
        for name, change in changes.items():
            raw[name] = change(raw[name].copy())
        scipy.io.savemat(path, raw)

    return damage


def put(place, value):
    def change(array):
        array[place] = value
        return array

    return change


SESSIONS = {
    "no file": lambda path: path.unlink(),
    "an empty file": content(b""),
    "an error page": content(b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"),
    "not compressed": unzipped,
    "an empty gzip": content(gzip.compress(b"")),
    "a header only": lambda path: path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:352])),
    "half a header": lambda path: path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:100])),
    "one percent": cut_to(0.01),
    "all but a percent": cut_to(0.99),
    "garbage after the end": lambda path: path.write_bytes(path.read_bytes() + b"garbage"),
    "two sessions in one": lambda path: path.write_bytes(path.read_bytes() * 2),
    "header size of Analyze 2": patch_header(0, "<i", 540),
    "magic of a pair": patch_header(344, "4s", b"ni1\0"),
    "no dimensions": patch_header(40, "<h", 0),
    "nine dimensions": patch_header(40, "<h", 9),
    "a dimension of zero": patch_header(42, "<h", 0),
    "a negative dimension": patch_header(42, "<h", -9),
    "five dimensions": patch_header(40, "<6h", 5, 9, 11, 8, 30, 2),
    "31 trials": patch_header(48, "<h", 31),
    "29 trials": patch_header(48, "<h", 29),
    "swapped axes": patch_header(42, "<3h", 8, 11, 9),
    "an unknown type": patch_header(70, "<h", 77),
    "bytes": patch_header(70, "<2h", 2, 8),
    "unsigned 16 bit": patch_header(70, "<2h", 512, 16),
    "32 bit": patch_header(70, "<2h", 8, 32),
    "float": patch_header(70, "<2h", 16, 32),
    "complex": patch_header(70, "<2h", 32, 64),
    "colours": patch_header(70, "<2h", 128, 24),
    "data at byte 0": patch_header(108, "<f", 0.0),
    "data before the file": patch_header(108, "<f", -352.0),
    "data nowhere": patch_header(108, "<f", float("nan")),
    "data far out": patch_header(108, "<f", 1e12),
    "scaled": patch_header(112, "<f", 1 / 300),
    "shifted": patch_header(112, "<2f", 1.0, 7.0),
    "an affine of NaN": patch_header(280, "<f", float("nan")),
    "a flat affine": patch_header(280, "<4f", 0, 0, 0, 0),
    "another subject's grid": lambda path: files.write_nifti(path, np.zeros((10, 9, 7, TRIALS), np.int16)),
}
TWINS = {
    "no file": lambda path: path.unlink(),
    "an empty file": content(b""),
    "text": content(b"x" * 5000),
    "half": cut_to(0.5),
    "nine tenths": cut_to(0.9),
    "another name": hdf5("beta", data=np.zeros(3)),
    "a group": hdf5(),
    "floats": hdf5(shape=(TRIALS, 8, 11, 9), dtype="f4"),
    "unsigned": hdf5(shape=(TRIALS, 8, 11, 9), dtype="u2"),
    "not reversed": hdf5(shape=(*GRID, TRIALS), dtype="i2"),
    "too few trials": hdf5(shape=(TRIALS - 1, 8, 11, 9), dtype="i2"),
    "three axes": hdf5(shape=(8, 11, 9), dtype="i2"),
    "text inside": hdf5(data=[b"a", b"b"]),
    "records": hdf5(data=np.zeros(3, [("a", "i2"), ("b", "i2")])),
}
MASKS = {
    "no file": lambda path: path.unlink(),
    "an empty file": content(b""),
    "half": cut_to(0.5),
    "nowhere": volume(np.zeros(GRID, np.int16)),
    "not a number": one_voxel(np.nan, np.float32),
    "infinite": one_voxel(np.inf, np.float32),
    "a series": volume(np.ones((*GRID, 2), np.int16)),
    "a slice": patch_header(40, "<h", 2),
}
LABELS = {
    "not a number": one_voxel(np.nan),
    "a fraction": one_voxel(1.5),
    "below -1": one_voxel(-2),
    "infinite": one_voxel(np.inf),
    "a label without a name": one_voxel(8),
    "another grid": volume(np.zeros((9, 8, 11))),
    "another place": moved,
    "a series": volume(np.zeros((*GRID, 3))),
    "half": cut_to(0.5),
}
NCSNRS = {
    "infinite": one_voxel(np.inf),
    "negative": one_voxel(-0.1),
    "integers": volume(np.ones(GRID, np.int16)),
    "another grid": volume(np.ones((9, 8, 11), np.float32)),
    "no file": lambda path: path.unlink(),
}
TABLES = {
    "no file": lambda path: path.unlink(),
    "an empty file": content(b""),
    "blank lines": content(b"\n \n\t\n"),
    "an error page": content(b"<Error><Code>NoSuchKey</Code></Error>\n"),
    "a binary": content(bytes(range(256))),
    "names without ids": content(b"Unknown\nearly\nventral\n"),
    "ids without names": content(b"0\n1\n2\n"),
    "a negative id": content(b"0 Unknown\n-1 early\n"),
    "a fraction": content(b"0 Unknown\n1.5 early\n"),
    "an id twice": content(b"0 Unknown\n1 early\n1 ventral\n"),
    "a name twice": content(b"0 Unknown\n1 early\n2 early\n"),
    "commas": content(b"0,Unknown\n1,early\n"),
    "an absurd id": content(b"0 Unknown\n1 early\n99999999999999999999 ventral\n2 midventral\n"),
    "superscript digits": content("0 Unknown\n\u00b2 early\n".encode()),
}
DESIGNS = {
    "no file": lambda path: path.unlink(),
    "an empty file": content(b""),
    "text": content(b"MATLAB 5.0 MAT-file" + b" " * 500),
    "half": cut_to(0.5),
    "seven subjects": mat(subjectim=lambda a: a[:7]),
    "transposed": mat(subjectim=lambda a: a.T),
    "an image number too high": mat(masterordering=put((0, 0), 61)),
    "an image number of 0": mat(masterordering=put((0, 0), 0)),
    "not a number": mat(masterordering=put((0, 0), np.nan)),
    "a fraction": mat(subjectim=put((0, 30), 17.5)),
    "an id of 0": mat(subjectim=put((0, 30), 0)),
    "an enormous id": mat(subjectim=put((0, 30), 1e18)),
    "nothing shared": mat(sharedix=lambda a: a[:, :0]),
    "no trial": mat(masterordering=lambda a: a[:, :0]),
    "no session": mat(stimpattern=lambda a: a[:0]),
    "no slot": mat(stimpattern=lambda a: a * 0),
    "flat": mat(stimpattern=lambda a: a.reshape(6, -1)),
    "words": mat(sharedix=lambda a: np.array(["a", "b"])),
}
STIMULI = {
    "half": cut_to(0.5),
    "a group": hdf5("imgBrick"),
    "channels first": hdf5("imgBrick", shape=(340, 3, 12, 12), dtype="u1"),
    "gray": hdf5("imgBrick", shape=(340, 12, 12), dtype="u1"),
    "one too few": hdf5("imgBrick", shape=(339, 12, 12, 3), dtype="u1"),
    "floats": hdf5("imgBrick", shape=(340, 12, 12, 3), dtype="f4"),
}


def cases(damages):
    return pytest.mark.parametrize("damage", [pytest.param(damage, id=name) for name, damage in damages.items()])


def check(path, output, call):
    """`call` ends in one line that names the file, and leaves nothing."""
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert message.count("\n") == 0, message
    assert path.name in message and len(message) < 600, message
    assert not output.parent.exists() or not any(output.parent.iterdir())


def extract(root, output, suffix="nii.gz"):
    paths = [layout.session(root, "subj01", number, suffix) for number in range(1, 6)]
    extract_betas(root, "subj01", 5, paths, output, workers=2)


@cases(SESSIONS)
def test_sessions(copied, tmp_path, damage):
    damage(session(copied.root))
    output = tmp_path / "out" / "betas.h5"
    check(session(copied.root), output, lambda: extract(copied.root, output))


@cases(TWINS)
def test_hdf5_sessions(copied, tmp_path, damage):
    damage(twin(copied.root))
    output = tmp_path / "out" / "betas.h5"
    check(twin(copied.root), output, lambda: extract(copied.root, output, "hdf5"))


@cases(MASKS)
def test_masks(copied, tmp_path, damage):
    damage(mask(copied.root))
    output = tmp_path / "out" / "betas.h5"
    check(mask(copied.root), output, lambda: extract(copied.root, output))


@cases(DESIGNS)
def test_designs(copied, tmp_path, damage):
    damage(layout.expdesign(copied.root))
    output = tmp_path / "out" / "betas.h5"
    check(layout.expdesign(copied.root), output, lambda: extract(copied.root, output))


@pytest.fixture(scope="module")
def extracted(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("cortex") / "betas.h5"
    extract(tiny.root, path)
    return path


@pytest.mark.parametrize(
    ("place", "damage"),
    [
        pytest.param(place, damage, id=f"{place.__name__}-{name}")
        for place, damages in ((labels, LABELS), (ncsnr, NCSNRS), (table, TABLES))
        for name, damage in damages.items()
    ],
)
def test_what_an_roi_is_cut_from(copied, extracted, tmp_path, place, damage):
    damage(place(copied.root))
    output = tmp_path / "out" / "early.h5"
    spec = ROI(atlas="streams", labels=("ventral",))
    call = lambda: extract_roi(copied.root, extracted, "subj01", "early", spec, SPLITS, output)  # noqa: E731
    check(place(copied.root), output, call)


@cases(STIMULI)
def test_stimuli(copied, tmp_path, damage):
    path, output = layout.stimuli(copied.root), tmp_path / "out" / "8.h5"
    damage(path)
    check(path, output, lambda: build_stimuli(copied.root, "subj01", 5, 8, output))


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "<html>", "\x00\x01", "73KID\t10KID\n1\t2\n"])
def test_tables(tmp_path, text):
    path = tmp_path / "x.tsv"
    path.write_text(text)
    for read in (read_behaviour, read_stim_info):
        check(path, tmp_path / "out" / "x", lambda read=read: read(path))
        check(tmp_path / "none", tmp_path / "out" / "x", lambda read=read: read(tmp_path / "none"))


VERIFIED = [
    *[(session, name) for name in SESSIONS if name not in ("31 trials", "another subject's grid", "swapped axes")],
    *[(twin, name) for name in TWINS if name not in ("not reversed", "too few trials")],
    *[(table, name) for name in TABLES if name != "no file" and name != "an absurd id"],
    *[(layout.expdesign, name) for name in DESIGNS],
    *[(layout.stimuli, name) for name in STIMULI if name != "one too few"],
]
ALL = {session: SESSIONS, twin: TWINS, table: TABLES, layout.expdesign: DESIGNS, layout.stimuli: STIMULI}


@pytest.mark.parametrize(("place", "name"), [pytest.param(p, n, id=f"{p.__name__}-{n}") for p, n in VERIFIED])
def test_a_download_is_verified_by_the_same_rules(copied, tmp_path, place, name):
    """What one file alone tells, `verify` notices before the file gets its name."""
    path = place(copied.root)
    key = path.relative_to(copied.root).as_posix()
    assert verify(key, path)
    ALL[place][name](path)
    check(path, tmp_path / "out" / "x", lambda: verify(key, path))


def test_there_are_more_than_forty():
    counts = map(len, (SESSIONS, TWINS, MASKS, LABELS, NCSNRS, TABLES, DESIGNS, STIMULI))
    assert sum(counts) > 100
