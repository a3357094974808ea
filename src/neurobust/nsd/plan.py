"""What a study needs from the bucket and how much that is, by the bucket's own listing. Fetches nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from neurobust.core.errors import InputError
from neurobust.nsd import layout
from neurobust.nsd.bucket import Listed, Refused, Source, connect, head, listing
from neurobust.nsd.layout import Root
from neurobust.nsd.manifest import key_of, study_files
from neurobust.nsd.settings import IMAGE_BYTES, Data, most_images


def source_of(data: Data) -> Source:
    """The server that a study names."""
    return Source(data.endpoint, data.region)


def list_files(source: Source, root: Root, paths: Iterable[Path]) -> dict[Path, Listed]:
    """What the bucket lists for each of `paths`, folder by folder; the missing ones are an InputError."""
    paths, client = list(paths), connect(source)
    folders = sorted({key_of(root, path).rpartition("/")[0] + "/" for path in paths})
    try:
        known = {listed.key: listed for folder in folders for listed in listing(client, folder)}
    except Refused:
        return {path: head(client, key_of(root, path)) for path in paths}
    missing = [key for key in (key_of(root, path) for path in paths) if key not in known]
    if missing:
        raise InputError(
            f"{missing[0]}: not in the bucket's listing, and {len(missing) - 1} more are not; check the config's "
            "subjects and sessions, or data.endpoint"
        )
    return {path: known[key_of(root, path)] for path in paths}


def needed_images(data: Data) -> int:
    """How many images are fetched one by one: those that each subject saw."""
    return sum(most_images(count) for count in data.sessions.values())


def plan(data: Data) -> str:
    """A table, a line per group of files: how many, how large, how much of it is there, and what is left to fetch."""
    root, groups = data.mirror, study_files(data)
    if not data.from_bucket:
        return f"data.source is {data.source}: its files are planted under {root}, nothing is fetched\n"
    if all(path.exists() for paths in groups.values() for path in paths):
        return f"{data.root}: all {sum(map(len, groups.values()))} files are there, nothing is fetched\n"
    listed = list_files(source_of(data), root, [path for paths in groups.values() for path in paths])
    rows, left, total = [], 0, 0
    for name, paths in groups.items():
        sizes = {path: listed[path].size for path in paths}
        present = [path for path in paths if is_present(path, sizes[path])]
        count, size, here = len(paths), sum(sizes.values()), sum(sizes[path] for path in present)
        if name == "images" and data.only_needed_stimuli:
            count, size = needed_images(data), min(needed_images(data) * IMAGE_BYTES, size * len(data.subjects))
            fetched = [layout.fetched_stimuli(root, subject)[:1] for subject in data.subjects]
            here = sum(path.stat().st_size for paths in fetched for path in paths)
        rows.append((name, count, size, min(here, size)))
        total, left = total + size, left + size - min(here, size)
    lines = [f"{source_of(data)} -> {data.folder}", f"{'':<20}{'files':>8}{'size':>12}{'present':>12}"]
    lines += [f"{name:<20}{count:>8}{size_text(size):>12}{size_text(here):>12}" for name, count, size, here in rows]
    lines.append(f"{'total':<20}{'':>8}{size_text(total):>12}{size_text(total - left):>12}")
    lines.append(
        f"to fetch: {size_text(left)}; free on the disk of {data.folder}: {size_text(free_space(data.folder))}"
    )
    if not data.keep_betas:
        lines.append("the sessions of a subject are deleted once all of them are extracted (data.keep_betas: false)")
    return "\n".join(lines) + "\n"


def is_present(path: Path, size: int) -> bool:
    """Whether a file is there and as long as the bucket's; an uncompressed copy has a length of its own."""
    return path.exists() and (path.suffix == ".nii" or path.stat().st_size == size)


def free_space(folder: Path) -> int:
    """Bytes free on the disk where a folder is or will be."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def size_text(size: int) -> str:
    """Bytes as 12 B, 3.4 kB, 5.6 MB, 7.8 GB."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B"
