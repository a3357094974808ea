"""Downloads from a real S3 server on loopback, through a misbehaving proxy: never a wrong file, never half a file."""

from __future__ import annotations

import gzip
import hashlib
import json
import multiprocessing
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from neurobust.core.errors import InputError
from neurobust.nsd import bucket as bucket_module
from neurobust.nsd import layout, manifest, transfer
from neurobust.nsd.download import download
from neurobust.nsd.settings import Data
from neurobust.phantom import files

MASK = "nsddata/ppdata/subj01/func1pt8mm/mean.nii.gz"


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(transfer.whole, "__defaults__", (4096,))


def leftovers(root: Path) -> list[str]:
    return sorted(p.name for p in root.rglob("*") if p.is_file() and p.name != "manifest.jsonl")


def test_a_clean_download(bucket, tmp_path, content, small_pieces):
    bucket.put(MASK, content)
    record = download(bucket.source, tmp_path / "root", tmp_path / "root" / MASK)
    assert (tmp_path / "root" / MASK).read_bytes() == content
    assert leftovers(tmp_path / "root") == ["mean.nii.gz"]
    assert record["sha256"] == hashlib.sha256(content).hexdigest()
    assert (record["etag"], record["etag_is"]) == (hashlib.md5(content).hexdigest(), "md5")
    assert record["facts"]["shape"] == [29, 31, 30]
    assert manifest.read_records(tmp_path / "root")[MASK] == record
    assert len(bucket.proxy.requests) > len(content) // 4096  # in parts, side by side


def test_an_upload_in_parts_is_checked_too(bucket, tmp_path, monkeypatch, fault, is_ranged):
    key = "nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf_GLMdenoise_RR/betas_session01.nii.gz"
    betas = np.random.default_rng(0).integers(-9000, 9000, (30, 31, 32, 120)).astype(np.int16)
    files.write_session(tmp_path, "subj01", 1, betas, ("nii.gz",))
    content = (tmp_path / key).read_bytes()
    assert len(content) > 5 << 20
    bucket.put_in_parts(key, content)
    record = download(bucket.source, tmp_path / "root", tmp_path / "root" / key)
    assert record["etag"].endswith("-2") and record["etag_is"] == "parts"
    bucket.proxy.faults = [fault("corrupt", when=is_ranged)]
    with pytest.raises(InputError, match=r"wrong twice.*checksum of its ETag"):
        download(bucket.source, tmp_path / "other", tmp_path / "other" / key)
    assert leftovers(tmp_path / "other") == []


def test_an_empty_file(bucket, tmp_path):
    """No byte to ask for; and not a sound colour table, so nothing is kept."""
    key = "nsddata/templates/MTL.ctab"
    bucket.put(key, b"")
    with pytest.raises(InputError, match="empty colour table"):
        download(bucket.source, tmp_path, tmp_path / key)
    bucket.put(key, b"0 Unknown\n1 ErC\n")
    download(bucket.source, tmp_path, tmp_path / key)
    assert (tmp_path / key).read_text() == "0 Unknown\n1 ErC\n"


def test_a_file_that_is_not_listed(bucket, tmp_path):
    bucket.put(MASK + ".old", b"x")  # the listing of a prefix is not the file
    with pytest.raises(InputError, match=rf"{MASK}: not in the bucket's listing"):
        download(bucket.source, tmp_path, tmp_path / MASK)
    with pytest.raises(InputError, match="not a key of the bucket"):
        download(bucket.source, tmp_path, tmp_path / "neurobust/x")
    with pytest.raises(InputError, match="not inside the mirror"):
        download(bucket.source, tmp_path / "a", tmp_path / "b" / MASK)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (403, "refuses it"),
        (404, "no such file"),
        (500, "given up after"),
        (503, "given up after"),
        (301, "answered 301"),
    ],
)
@pytest.mark.parametrize("where", ["listing", "file"])
def test_a_server_that_always_refuses(bucket, tmp_path, content, fault, is_ranged, code, message, where, small_pieces):
    bucket.put(MASK, content)
    when = is_ranged if where == "file" else lambda method, path, headers: "list-type" in path or method == "HEAD"
    bucket.proxy.faults = [fault("status", code=code, when=when)]
    with pytest.raises(InputError, match=message) as caught:
        download(bucket.source, tmp_path / "root", tmp_path / "root" / MASK)
    assert "\n" not in str(caught.value)
    assert MASK.split("/")[-1] in str(caught.value)
    assert not (tmp_path / "root" / MASK).exists()


PASSING = [
    ("status", {"code": 500}),
    ("status", {"code": 503}),
    ("truncate", {"keep": 0.5}),
    ("truncate", {"keep": 0.0}),
    ("corrupt", {}),
]


@pytest.mark.parametrize(("kind", "settings"), PASSING)
def test_a_failure_that_passes(bucket, tmp_path, content, fault, is_ranged, kind, settings, small_pieces):
    bucket.put(MASK, content)
    bucket.proxy.faults = [fault(kind, times=5, when=is_ranged, **settings)]
    download(bucket.source, tmp_path / "root", tmp_path / "root" / MASK)
    assert (tmp_path / "root" / MASK).read_bytes() == content
    assert leftovers(tmp_path / "root") == ["mean.nii.gz"]


def test_a_truncated_answer_is_gone_on_with(bucket, tmp_path, content, fault, is_ranged):
    """Half of the file comes, then half of the rest, and so on: no byte comes twice."""
    bucket.put(MASK, content)
    bucket.proxy.faults = [fault("truncate", times=4, when=is_ranged, keep=0.5)]
    download(bucket.source, tmp_path / "root", tmp_path / "root" / MASK)
    assert (tmp_path / "root" / MASK).read_bytes() == content
    assert bucket.proxy.sent < len(content) + 5000  # and the listing


@pytest.mark.parametrize(("kind", "settings"), [("truncate", {"keep": 0.0}), ("corrupt", {})])
def test_a_failure_that_stays(bucket, tmp_path, content, fault, is_ranged, kind, settings):
    bucket.put(MASK, content)
    bucket.proxy.faults = [fault(kind, when=is_ranged, **settings)]
    with pytest.raises(InputError, match=r"given up after 8 attempts|wrong twice"):
        download(bucket.source, tmp_path / "root", tmp_path / "root" / MASK)
    assert not (tmp_path / "root" / MASK).exists()


def test_a_stalled_connection(bucket, tmp_path, content, fault, is_ranged, monkeypatch, small_pieces):
    monkeypatch.setattr(bucket_module, "READ_TIMEOUT", 0.2)
    bucket.put(MASK, content)
    bucket.proxy.faults = [fault("stall", times=2, when=is_ranged, seconds=0.6)]
    download(bucket.source, tmp_path / "root", tmp_path / "root" / MASK)
    assert (tmp_path / "root" / MASK).read_bytes() == content


def test_a_slow_server(bucket, tmp_path, content, caplog, small_pieces):
    bucket.put(MASK, content)
    bucket.proxy.rate = 100_000  # bytes per second and connection
    download(bucket.source, tmp_path / "root", tmp_path / "root" / MASK, workers=4)
    assert (tmp_path / "root" / MASK).read_bytes() == content


def wrong_size(difference):
    def edit(status, headers, body):
        text = body.decode()
        before, size = text.split("<Size>")[0], int(text.split("<Size>")[1].split("<")[0])
        return status, headers, (before + f"<Size>{size + difference}</Size>" + text.split("</Size>")[1]).encode()

    return edit


@pytest.mark.parametrize("difference", [-100, 100])
def test_a_listing_with_another_length(bucket, tmp_path, content, fault, difference):
    bucket.put(MASK, content)
    bucket.proxy.faults = [
        fault("edit", edit=wrong_size(difference), when=lambda method, path, headers: "list-type" in path)
    ]
    with pytest.raises(InputError, match=r"wrong twice.*instead of"):
        download(bucket.source, tmp_path / "root", tmp_path / "root" / MASK)
    assert leftovers(tmp_path / "root") == []


def test_a_server_that_ignores_ranges(bucket, tmp_path, content, fault, is_ranged):
    def whole_answer(status, headers, body):
        return 200, {k: v for k, v in headers.items() if k.lower() != "content-range"}, content

    bucket.put(MASK, content)
    bucket.proxy.faults = [fault("edit", edit=whole_answer, when=is_ranged)]
    with pytest.raises(InputError, match=r"wrong twice.*sent 'None' instead of"):
        download(bucket.source, tmp_path / "root", tmp_path / "root" / MASK)


def other_content(content: bytes) -> bytes:
    """A sound volume of another content."""
    raw = bytearray(gzip.decompress(content))
    raw[400:800] = bytes(400)
    return gzip.compress(bytes(raw), 1)


def test_a_file_that_changes_meanwhile(bucket, tmp_path, content, small_pieces):
    """A mixture of two versions would have the right length at times; the ETag in each request prevents it."""
    newer, count = other_content(content), [0]
    bucket.put(MASK, content)

    def change(path):
        count[0] += 1
        if count[0] == 8:
            bucket.put(MASK, newer)

    bucket.proxy.on_request = change
    download(bucket.source, tmp_path / "root", tmp_path / "root" / MASK, workers=1)
    assert (tmp_path / "root" / MASK).read_bytes() == newer
    assert leftovers(tmp_path / "root") == ["mean.nii.gz"]


def test_a_file_that_never_stays_the_same(bucket, tmp_path, content, small_pieces):
    versions = [content, other_content(content)]
    bucket.put(MASK, content)
    bucket.proxy.on_request = lambda path: bucket.put(MASK, versions[len(bucket.proxy.requests) // 5 % 2])
    with pytest.raises(InputError, match=r"wrong twice.*changed in the bucket"):
        download(bucket.source, tmp_path / "root", tmp_path / "root" / MASK, workers=1)
    assert leftovers(tmp_path / "root") == []


def test_a_file_that_changed_between_two_runs(bucket, tmp_path, content, fault, is_ranged, small_pieces):
    """What an interrupted run left of the old version is of no use to the new one."""
    bucket.put(MASK, content)
    late = fault("status", code=403, when=lambda m, p, h: is_ranged(m, p, h) and "bytes=40960-" in h["Range"])
    bucket.proxy.faults = [late]
    with pytest.raises(InputError, match="403"):
        download(bucket.source, tmp_path / "root", tmp_path / "root" / MASK, workers=1)
    assert leftovers(tmp_path / "root") == ["mean.nii.gz.part", "mean.nii.gz.part.journal"]
    bucket.proxy.faults = []
    newer = other_content(content)
    bucket.put(MASK, newer)
    download(bucket.source, tmp_path / "root", tmp_path / "root" / MASK)
    assert (tmp_path / "root" / MASK).read_bytes() == newer


def test_a_bad_file_in_the_bucket_is_never_kept(bucket, tmp_path, content):
    """Right length, right ETag, but not a sound gzip: the format's own checksum says so."""
    bad = bytearray(content)
    bad[len(bad) // 2] ^= 0x10
    for damaged in (bytes(bad), content[:-9], gzip.compress(b"<html>"), b""):
        bucket.put(MASK, damaged)
        with pytest.raises(InputError, match="wrong twice"):
            download(bucket.source, tmp_path / "root", tmp_path / "root" / MASK)
        assert leftovers(tmp_path / "root") == []


def child(endpoint: str, root: Path, piece: int) -> None:
    transfer.whole.__defaults__ = (piece,)
    download(bucket_module.Source(endpoint), root, root / MASK, workers=4)


@pytest.mark.slow
def test_kill_9_at_random_moments(bucket, tmp_path):
    """Killed 24 times, the download ends with the same bytes, and without fetching much twice."""
    rng = np.random.default_rng(1)
    files.write_nifti(tmp_path / "x.nii.gz", rng.normal(size=(64, 64, 64)).astype(np.float32))
    content = (tmp_path / "x.nii.gz").read_bytes()
    bucket.put(MASK, content)
    bucket.proxy.rate = 80_000  # of each of four connections: about three seconds in all
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["neurobust.nsd.download"])
    root, piece, dice, kills, partial = tmp_path / "root", 8192, random.Random(0), 0, 0
    part, _ = transfer.partial_paths(root / MASK)
    while kills < 24:
        process = context.Process(target=child, args=(bucket.proxy.endpoint, root, piece))
        before = bucket.proxy.sent
        process.start()
        while kills % 4 and bucket.proxy.sent == before and process.exitcode is None:
            time.sleep(0.005)  # most are killed while bytes come in, every fourth at any moment
        time.sleep(dice.uniform(0, 0.25))
        if process.exitcode is not None:
            assert process.exitcode == 0
            break
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        kills += 1
        partial += part.exists()
        assert not (root / MASK).exists() or (root / MASK).read_bytes() == content
    assert kills >= 20 and partial >= 5
    bucket.proxy.rate = None
    child(bucket.proxy.endpoint, root, piece)
    assert (root / MASK).read_bytes() == content
    assert leftovers(root) == ["mean.nii.gz"]
    # Each kill may cost the pieces that were under way, the blocks in the pipes, and a listing.
    assert bucket.proxy.sent < len(content) + kills * 4 * (piece + (1 << 14) + 2000)


@pytest.mark.parametrize("journal", ["", "{}\n1\n", "garbage", None])
def test_a_broken_journal_starts_over(bucket, tmp_path, content, journal, small_pieces):
    bucket.put(MASK, content)
    part, notes = transfer.partial_paths(tmp_path / MASK)
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(len(content)))
    if journal is not None:
        notes.write_text(journal)
    download(bucket.source, tmp_path, tmp_path / MASK)
    assert (tmp_path / MASK).read_bytes() == content


@pytest.mark.parametrize("state", ["missing", "short", "long"])
def test_a_journal_without_its_file_starts_over(bucket, tmp_path, content, state, small_pieces):
    bucket.put(MASK, content)
    part, notes = transfer.partial_paths(tmp_path / MASK)
    part.parent.mkdir(parents=True)
    listed = bucket_module.find(bucket_module.connect(bucket.source), MASK)
    pieces = transfer.whole(listed.size)
    transfer.Journal(notes, listed, pieces).start(set(range(len(pieces) - 1)) if state != "long" else set())
    if state != "missing":
        part.write_bytes(bytes(100 if state == "short" else len(content) + 77))
    download(bucket.source, tmp_path, tmp_path / MASK)
    assert (tmp_path / MASK).read_bytes() == content


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("disk full: mounting a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk(bucket, small_disk, tmp_path, monkeypatch, small_pieces):
    rng = np.random.default_rng(1)
    files.write_nifti(tmp_path / "x.nii.gz", rng.normal(size=(64, 64, 80)).astype(np.float32))
    content = (tmp_path / "x.nii.gz").read_bytes()
    assert len(content) > 1 << 20
    bucket.put(MASK, content)
    path = small_disk / MASK
    with pytest.raises(InputError, match=r"needs 0.00 GB more, but the disk has 0.00 GB free"):
        download(bucket.source, small_disk, path)
    assert not any("bytes=" in str(request) for request in bucket.proxy.requests)
    # Another program fills the disk after we looked.
    monkeypatch.setattr(transfer, "check_space", lambda part, missing: None)
    with pytest.raises(InputError, match="the disk is full"):
        download(bucket.source, small_disk, path)
    assert not path.exists()
    # With room again it goes on from what it has.
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    before = bucket.proxy.sent
    download(bucket.source, small_disk, path)
    assert path.read_bytes() == content
    assert bucket.proxy.sent - before < len(content) / 2


@pytest.mark.slow
def test_records_of_many_jobs_do_not_mix(tmp_path):
    context = multiprocessing.get_context("forkserver")
    jobs = [context.Process(target=add_some, args=(tmp_path, number)) for number in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    records = manifest.read_records(tmp_path)
    assert len(records) == 100
    assert all(record["padding"] == "x" * 5000 for record in records.values())


def add_some(root: Path, number: int) -> None:
    for index in range(25):
        manifest.add_record(root, {"key": f"nsddata/{number}/{index}", "padding": "x" * 5000})


def test_nothing_is_fetched_before_the_terms_are_accepted(bucket, tmp_path, content, capsys, monkeypatch):
    from neurobust.nsd.__main__ import main

    monkeypatch.delenv("NSD_ACCEPT_TERMS", raising=False)
    bucket.put(MASK, content)
    data = {"source": "nsd", "root": str(tmp_path), "format": "nii.gz", "subjects": {"subj01": {"sessions": 1}}}
    settings = json.dumps(data | {"accept_terms": False, "endpoint": bucket.proxy.endpoint})
    assert main(["terms", settings, "--log", str(tmp_path / "log")]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "data.accept_terms: true" in message and "NSD_ACCEPT_TERMS=yes" in message and "https://" in message
    fetch = ["fetch", str(tmp_path), str(tmp_path / MASK), "--log", str(tmp_path / "log")]
    assert main(fetch) == 1
    layout.terms(tmp_path).parent.mkdir()
    layout.terms(tmp_path).write_text('{"endpoint": null}')
    assert main(fetch) == 1
    assert bucket.proxy.requests == []
    monkeypatch.setenv("NSD_ACCEPT_TERMS", "yes")
    assert main(["terms", settings]) == 0
    assert main(fetch) == 0
    assert (tmp_path / MASK).read_bytes() == content


def test_endpoint_and_region_reach_the_client(tmp_path):
    data = Data(source="nsd", root=str(tmp_path), format="nii.gz", subjects={}, accept_terms=True)
    manifest.accept_terms(data)
    client = bucket_module.connect(bucket_module.read_source(tmp_path))
    assert client.meta.region_name == "us-east-2"
    url = client.generate_presigned_url("get_object", {"Bucket": layout.BUCKET, "Key": "x"})
    assert url == "https://natural-scenes-dataset.s3.amazonaws.com/x"  # unsigned: no credentials in it
    manifest.accept_terms(replace(data, endpoint="http://mirror.lab:9000", region="eu-west-1"))
    client = bucket_module.connect(bucket_module.read_source(tmp_path))
    assert (client.meta.endpoint_url, client.meta.region_name) == ("http://mirror.lab:9000", "eu-west-1")


def test_long_listings(bucket):
    keys = [f"nsddata/a/{number:04d}" for number in range(12)]
    for key in keys:
        bucket.put(key, b"")
    found = [listed.key for listed in bucket_module.listing(bucket_module.connect(bucket.source), "nsddata/a/", 5)]
    assert found == keys
    assert len(bucket.proxy.requests) == 3
