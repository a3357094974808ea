"""What must hold in a mirror of NSD, and what was not known before one was fetched: the checks of the doctor."""

from __future__ import annotations

from collections.abc import Callable

import h5py
import numpy as np

from neurobust.core.errors import InputError
from neurobust.nsd import layout, manifest
from neurobust.nsd.betas import check_affine
from neurobust.nsd.ctab import read_ctab
from neurobust.nsd.header import read_array, same_place
from neurobust.nsd.mirror import Mirror, Skip, need
from neurobust.nsd.quality import judge_sessions
from neurobust.nsd.stimuli import open_brick
from neurobust.nsd.tables import behaviour_problem, read_behaviour, read_stim_info, stim_info_problem
from neurobust.nsd.verify import verify
from neurobust.nsd.volumes import read_volume


def check_design(mirror: Mirror) -> str:
    """The design has all invariants of one; its dtypes are reported."""
    design, dtypes = mirror.design_and_dtypes
    kinds = ", ".join(f"{name} {dtype}" for name, dtype in dtypes.items())
    return f"{len(design.ordering)} trials, {design.images.shape[1]} images a subject; {kinds}"


def check_runs(mirror: Mirror) -> str:
    """Odd runs have as many trials as even ones, or one more (63 and 62)."""
    lengths = mirror.design.run_lengths
    need((lengths == lengths[0]).all(), "sessions differ in the trials of their runs")
    odd, even = lengths[0, 0::2], lengths[0, 1::2]
    need(len(set(odd)) == len(set(even)) == 1 and 0 <= odd[0] - even[0] <= 1, f"trials of runs: {lengths[0].tolist()}")
    return f"{odd[0]} and {even[0]} trials in odd and even runs"


def check_counts(mirror: Mirror) -> str:
    """The counts of repeats within sessions that the file has are those of its trials."""
    counts = mirror.design.counts
    if counts is None:
        raise InputError("no variable basiccnt")
    need(np.array_equal(counts, mirror.design.recount()), "basiccnt is not a recount of masterordering")
    return "basiccnt is what masterordering says"


def check_stim_info(mirror: Mirror) -> str:
    """The table of stimuli lists the same trials as the design."""
    problem = stim_info_problem(read_stim_info(layout.stim_info(mirror.root)), mirror.design)
    need(problem is None, str(problem))
    return "ids, shared images and planned trials agree with the design"


def check_behaviour(mirror: Mirror) -> str:
    """The tables of behaviour list the same trials as the design; runs without answers are reported."""
    missing: list[str] = []
    for subject, count in mirror.sessions.items():
        table = read_behaviour(layout.responses(mirror.root, subject))
        problem = behaviour_problem(table, mirror.design, subject, count)
        need(problem is None, f"{subject}: {problem}")
        lost = table[table["MISSINGDATA"] == 1].groupby(["SESSION", "RUN"]).size().index
        missing += [f"{subject} session {session} run {run}" for session, run in lost]
    return "rows are the run trials; without answers: " + (", ".join(missing) or "none")


def check_grids(mirror: Mirror) -> str:
    """One grid a subject: 1.8 or 1 mm, centred, axes to right, anterior and superior."""
    prepared, side = mirror.data.prepared, layout.SPACES[mirror.data.space]
    for subject in mirror.sessions:
        grid = mirror.grid(subject)
        affine = np.diag([side, side, side, 1.0])
        affine[:3, 3] = [-(n - 1) / 2 * side for n in grid.shape]
        need(same_place(grid.affine, affine), f"{subject}: affine {grid.affine.round(3).tolist()}")
        for path in (layout.ncsnr(mirror.root, subject, prepared), layout.valid(mirror.root, subject, prepared.space)):
            read_volume(path, grid)
    return ", ".join(f"{subject} {mirror.grid(subject).shape}" for subject in mirror.sessions)


def check_atlases(mirror: Mirror) -> str:
    """Every label has a name, and the bilateral volume is left where that is cortex, else right."""
    empty: list[str] = []
    numbers = {len(mirror.atlases(subject)) for subject in mirror.sessions}
    need(min(numbers) > 0, f"{mirror.data.root}: a subject has no atlas with its volumes and names; copy them")
    for subject in mirror.sessions:
        for atlas in mirror.atlases(subject):
            table = read_ctab(layout.ctab(mirror.root, subject, atlas))
            need(list(table.values()) == list(range(len(table))), f"{subject} {atlas}: ctab ids are not 0, 1, 2, ...")
            both, left, right = (mirror.labels(subject, atlas, side) for side in (None, "lh", "rh"))
            extra = sorted({*np.unique(both[both > 0]).tolist()} - {*table.values()})
            need(not extra, f"{subject} {atlas}: label {extra[:1]} has no name")
            if atlas in layout.SURFACE_ATLASES:
                same = np.array_equal(both, np.where(left != -1, left, right))
            else:  # 0 outside; a copy may have NaN there, which is read as -1
                same = np.array_equal(np.maximum(both, 0), np.maximum(np.where(left > 0, left, right), 0))
            need(same, f"{subject} {atlas}: bilateral volume is not the hemispheres' merge")
            absent = [name for name, label in table.items() if label and not (both == label).any()]
            empty += [f"{subject} {name}" for name in absent] if atlas.startswith("floc") else []
    return f"{min(numbers)} atlases; without a voxel: " + (", ".join(empty) or "none")


def check_label_types(mirror: Mirror) -> str:
    """float64 for surface atlases and int16 for MTL and thalamus, as their writers suggest."""
    found: dict[bool, set[str]] = {}
    for subject in mirror.sessions:
        for atlas in mirror.atlases(subject):
            header, _ = read_array(layout.roi(mirror.root, subject, atlas, space=mirror.data.space))
            found.setdefault(atlas in layout.SURFACE_ATLASES, set()).add(header.dtype.name)
    return f"surface atlases {sorted(found.get(True, ()))}, MTL and thalamus {sorted(found.get(False, ()))}"


def check_mask_type(mirror: Mirror) -> str:
    """The dtype of the brain mask, and how large it is."""
    subject = next(iter(mirror.sessions))
    header, _ = read_array(layout.brainmask(mirror.root, subject, mirror.data.space))
    return f"brainmask is {header.dtype.name}; {int(mirror.grid(subject).mask.sum())} voxels in {subject}"


def check_ctab_text(mirror: Mirror) -> str:
    """Which colour tables carry spaces or tabs after their names."""
    subject, ragged = next(iter(mirror.sessions)), []
    for atlas in mirror.atlases(subject):
        path = layout.ctab(mirror.root, subject, atlas)
        read_ctab(path)
        lines = path.read_text(encoding="utf-8").splitlines()
        ragged += [atlas] if any(line != line.rstrip() for line in lines) else []
    return "trailing blanks in " + (", ".join(ragged) or "none")


def check_sessions(mirror: Mirror) -> str:
    """Shape and type of every session that is there or was fetched; extra attributes of the HDF5 twins."""
    sizes: list[int] = []
    attrs: set[str] = set()
    absent = 0
    for subject, count in mirror.sessions.items():
        shape = (*mirror.grid(subject).shape, mirror.design.trials_per_session)
        suffix = mirror.data.format
        for path in manifest.session_files(mirror.root, subject, count, suffix, mirror.data.prepared):
            key = manifest.key_of(mirror.root, path)
            if key in mirror.records:
                facts = mirror.records[key]["facts"]
                sizes.append(mirror.records[key]["size"])
            elif path.exists():
                facts = verify(key, path)
                sizes.append(path.stat().st_size)
            else:
                absent += 1
                continue
            expected = list(shape[::-1] if path.suffix == ".hdf5" else shape)
            need(facts["shape"] == expected, f"{path.name} of {subject} is {facts['shape']}, not {expected}")
            if "affine" in facts:
                check_affine(path, subject, np.array(facts["affine"]), mirror.grid(subject))
            attrs |= set(facts.get("attrs", ()))
    if not sizes:
        raise Skip("no session was fetched yet")
    text = f"{len(sizes)} of {len(sizes) + absent} sessions, {min(sizes) / 1e6:.1f} to {max(sizes) / 1e6:.1f} MB"
    return text + (f"; attributes: {', '.join(sorted(attrs)) or 'none'}" if mirror.data.format == "hdf5" else "")


def check_betas(mirror: Mirror) -> str:
    """Betas are the subject's own, in place and in order: the gate of a study, on the sessions that are here."""
    found, absent = [], []
    for subject, count in mirror.sessions.items():
        paths = manifest.session_files(mirror.root, subject, count, mirror.data.format, mirror.data.prepared)
        if not all(path.exists() for path in paths):
            absent.append(subject)
            continue
        quality = judge_sessions(mirror.root, subject, mirror.design, mirror.grid(subject), paths)
        found.append(f"{subject} ncsnr r {text_of(quality.ncsnr_r)}, repeats r {text_of(quality.repeats_r)}")
    if not found:
        raise Skip("no subject has all its sessions here; every study looks at them after extraction")
    return "; ".join(found + [f"{subject} lacks sessions" for subject in absent])


def text_of(value: float | None) -> str:
    """A number to two digits, or that there is none."""
    return "unknown" if value is None else f"{value:.2f}"


def check_brick(mirror: Mirror) -> str:
    """Whether imgBrick is contiguous, so that single images can be fetched."""
    path = layout.stimuli(mirror.root)
    if path.exists():
        with open_brick(path, mirror.design.pool) as file:
            chunks, shape, attrs = file["imgBrick"].chunks, file["imgBrick"].shape, sorted(file["imgBrick"].attrs)
        return f"{shape}, {'contiguous' if chunks is None else f'chunks {chunks}'}, attributes {attrs or 'none'}"
    for subject in mirror.sessions:
        if record := mirror.record_of_images(subject):
            return f"{tuple(record['facts']['shape'])}, contiguous: {record['facts']['contiguous']}"
    raise Skip("no image was fetched yet")


def check_shared_images(mirror: Mirror) -> str:
    """The PNG with id N (from 1) in its name is row N - 1 of imgBrick."""
    from PIL import Image

    whole = layout.stimuli(mirror.root)
    fetched = [path for subject in mirror.sessions for path in layout.fetched_stimuli(mirror.root, subject)]
    source = next((path for path in (whole, *fetched) if path.exists()), None)
    shared = enumerate(mirror.design.shared.tolist(), start=1)
    pictures = [(image, layout.shared_png(mirror.root, number, image)) for number, image in shared]
    pictures = [(image, path) for image, path in pictures if path.exists()]
    if source is None or not pictures:
        raise Skip("the PNGs are not here: snakemake download_shared_images fetches them")
    with h5py.File(source, "r") as file:
        ids = file["nsd_id"][()] if "nsd_id" in file else np.arange(len(file["imgBrick"]))
        known = [(row, path) for image, path in pictures for row in np.flatnonzero(ids == image).tolist()]
        for row, path in known:
            same = np.array_equal(file["imgBrick"][row], np.asarray(Image.open(path).convert("RGB")))
            need(same, f"{path.name} is not image {ids[row]} of {source.name}")
    return f"{len(known)} pictures are the same in both"


def check_records(mirror: Mirror) -> str:
    """Files that are still here have the size that they were fetched with."""
    if not mirror.records:
        raise Skip("nothing here was fetched by the pipeline")
    folder = mirror.data.folder
    here = {key: folder / key for key in mirror.records if (folder / key).exists()}
    for key, path in here.items():
        need(path.stat().st_size == mirror.records[key]["size"], f"{key} is not as long as it was; delete it")
    said = sorted({record.get("etag_is", "unknown") for record in mirror.records.values()})
    checksums = sorted({name for record in mirror.records.values() for name in record.get("checksums", ())})
    return f"{len(here)} of {len(mirror.records)} still here; ETags {said}; S3 checksums {checksums or 'none'}"


CHECKS: dict[str, Callable[[Mirror], str]] = {
    "design: invariants and dtypes": check_design,
    "design: runs": check_runs,
    "design: counts within sessions": check_counts,
    "table of stimuli": check_stim_info,
    "behaviour": check_behaviour,
    "grids": check_grids,
    "atlases": check_atlases,
    "open: dtype of label volumes": check_label_types,
    "open: dtype of the brain mask": check_mask_type,
    "open: text of colour tables": check_ctab_text,
    "open: sessions of betas": check_sessions,
    "betas in place and in order": check_betas,
    "open: layout of imgBrick": check_brick,
    "shared images": check_shared_images,
    "fetched files": check_records,
}
