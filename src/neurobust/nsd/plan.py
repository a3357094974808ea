"""What a study needs from the bucket and how much that is, by the bucket's own listing. Fetches nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from neurobust.core.errors import InputError
from neurobust.nsd import layout
from neurobust.nsd.bucket import Listed, Source, connect, listing
from neurobust.nsd.manifest import key_of, study_files

IMAGE_BYTES = 425 * 425 * 3
SEEN = {40: 10000, 32: 9411, 30: 9209}  # distinct images in so many sessions (NSD Data Manual)


def source_of(data: Mapping[str, Any]) -> Source:
    """The server that a config's `data` section names."""
    return Source(data.get("endpoint"), data.get("region") or layout.REGION)


def list_files(source: Source, root: Path, paths: Iterable[Path]) -> dict[Path, Listed]:
    """What the bucket lists for each of `paths`, folder by folder; the missing ones are an InputError."""
    paths, client = list(paths), connect(source)
    folders = sorted({key_of(root, path).rpartition("/")[0] + "/" for path in paths})
    known = {listed.key: listed for folder in folders for listed in listing(client, folder)}
    missing = [key for key in (key_of(root, path) for path in paths) if key not in known]
    if missing:
        raise InputError(
            f"{missing[0]}: not in the bucket's listing, nor are {len(missing) - 1} others; check the config's "
            "subjects and sessions, or data.endpoint"
        )
    return {path: known[key_of(root, path)] for path in paths}


def needed_images(data: Mapping[str, Any]) -> int:
    """How many images are fetched one by one: those that each subject saw."""
    counts = [spec["sessions"] for spec in data["subjects"].values()]
    return sum(SEEN.get(count, min(10000, 750 * count)) for count in counts)


def plan(data: Mapping[str, Any]) -> str:
    """A table, a line per group of files: how many, how large, how much of it is there, and what is left to fetch."""
    root, groups = Path(data["root"]), study_files(data)
    if data["source"] != "nsd":
        return f"data.source is {data['source']}: its files are planted under {root}, nothing is fetched\n"
    listed = list_files(source_of(data), root, [path for paths in groups.values() for path in paths])
    rows, left, total = [], 0, 0
    for name, paths in groups.items():
        sizes = {path: listed[path].size for path in paths}
        present = [path for path in paths if path.exists() and path.stat().st_size == sizes[path]]
        count, size, here = len(paths), sum(sizes.values()), sum(sizes[path] for path in present)
        if name == "images" and data.get("stimuli", "needed") == "needed":
            count, size = needed_images(data), min(needed_images(data) * IMAGE_BYTES, size * len(data["subjects"]))
            ours = [layout.subject_stimuli(root, subject) for subject in data["subjects"]]
            here = sum(path.stat().st_size for path in ours if path.exists())
        rows.append((name, count, size, min(here, size)))
        total, left = total + size, left + size - min(here, size)
    lines = [f"{source_of(data)} -> {root}", f"{'':<20}{'files':>8}{'size':>12}{'present':>12}"]
    lines += [f"{name:<20}{count:>8}{size_text(size):>12}{size_text(here):>12}" for name, count, size, here in rows]
    lines.append(f"{'total':<20}{'':>8}{size_text(total):>12}{size_text(total - left):>12}")
    lines.append(f"to fetch: {size_text(left)}; free on the disk of {root}: {size_text(free_space(root))}")
    if not data.get("keep_betas", False):
        lines.append("the sessions of a subject are deleted once all of them are extracted (data.keep_betas: false)")
    return "\n".join(lines) + "\n"


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
