"""A large file that is newer and the same re-runs nothing; one that changed does; and each is read once."""

import hashlib
import os

import pytest

SIZE = 3_000_000  # bytes: above Snakemake's limit
SNAKEFILE = """
{teach}

rule all:
    default_target: True
    input: expand("{{name}}.txt", name=["a", "b", "c"])

rule use:
    input: "dataset.h5", ancient("old.h5")
    output: "{{name}}.txt", "{{name}}.other"
    shell: "touch {{output}}"
"""
TEACH = "from neurobust.core.by_content import compare_content\ncompare_content()\ncompare_content()"
COUNT = """
import hashlib
plain = hashlib.file_digest
def counted(file, *arguments):
    print("reads", getattr(file, "name", ""), file=open("reads.txt", "a"))
    return plain(file, *arguments)
hashlib.file_digest = counted
"""


@pytest.fixture
def snakemake_here(snakemake, tmp_path):
    """Snakemake on a workflow of its own: with what was taught to it, or without."""
    for name in ("dataset.h5", "old.h5"):
        (tmp_path / name).write_bytes(hashlib.shake_256(name.encode()).digest(SIZE))

    def run(*arguments, teach=TEACH):
        (tmp_path / "Snakefile").write_text(SNAKEFILE.format(teach=teach))
        return snakemake("-s", tmp_path / "Snakefile", "--cores", "1", *arguments, directory=tmp_path).text

    return run


def touch(path, seconds):
    """Give a file a date in the future of what was made of it."""
    status = path.stat()
    os.utime(path, (status.st_atime, status.st_mtime + seconds))


def test_what_is_newer_and_the_same_runs_nothing(snakemake_here, tmp_path):
    snakemake_here("--quiet", "all", teach=TEACH + COUNT)
    reads = (tmp_path / "reads.txt").read_text().split()[1::2]
    assert reads == ["dataset.h5"], "once for three jobs of two outputs, and never where the date does not count"
    for name in ("dataset.h5", "old.h5"):
        touch(tmp_path / name, 60)
    assert "Nothing to be done" in snakemake_here("-n")
    assert "use " in snakemake_here("-n", teach="from pathlib import Path"), "plain Snakemake would run all of it"
    assert "use " in snakemake_here("-n", "--max-checksum-file-size", "1000"), "a limit that a user gives is used"
    (tmp_path / "dataset.h5").write_bytes(bytes(SIZE))
    touch(tmp_path / "dataset.h5", 120)
    assert "use " in snakemake_here("-n")
