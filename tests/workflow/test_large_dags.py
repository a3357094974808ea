"""What is asked once for all jobs is still asked: nested outputs, and scripts that are missing."""

import pytest

from neurobust.core.large_dags import nested

TEACH = "from neurobust.core.large_dags import resolve_sooner\nresolve_sooner()\nresolve_sooner()\n"
SNAKEFILE = """
{teach}

rule all:
    default_target: True
    input: "out", "out/inner.txt", expand("{{name}}.txt", name=["a", "b", "c"])

rule outer:
    output: directory("out")
    shell: "mkdir {{output}}"

rule inner:
    output: "out/inner.txt"
    shell: "touch {{output}}"

rule use:
    output: "{{name}}.txt"
    script: "{script}"
"""
COUNT = """
from snakemake import script as scripts
plain = scripts.get_source
def counted(path, *arguments):
    print("looks", file=open("looks.txt", "a"))
    return plain(path, *arguments)
scripts.get_source = counted
"""


@pytest.fixture
def dry_run(snakemake, tmp_path):
    """`snakemake -n` of some targets: with what was taught to it, or without."""
    (tmp_path / "made.py").write_text("")
    for name in "abc":
        (tmp_path / f"{name}.py").write_text("")

    def run(*targets, teach=TEACH, script="made.py"):
        (tmp_path / "Snakefile").write_text(SNAKEFILE.format(teach=teach, script=script))
        arguments = ("-s", tmp_path / "Snakefile", "--cores", "1", "-n", "--quiet", "rules", "--", *targets)
        done = snakemake(*arguments, directory=tmp_path, check=False)
        looks = tmp_path / "looks.txt"
        count = looks.read_text().count("looks") if looks.exists() else 0
        looks.unlink(missing_ok=True)
        return done.returncode, done.text, count

    return run


def test_a_script_is_looked_at_once_and_missed_where_it_is_not_there(dry_run):
    targets = ("a.txt", "b.txt", "c.txt")
    assert dry_run(*targets, teach=COUNT)[2] == 3, "plain Snakemake looks at it for each job"
    status, text, looks = dry_run(*targets, teach=COUNT + TEACH)
    assert (status, looks) == (0, 1), text
    assert dry_run(*targets, teach=COUNT + TEACH, script="{wildcards.name}.py")[2] == 3, "each job has its own"
    assert dry_run(*targets, script="absent.py")[0] != 0


@pytest.mark.parametrize("teach", ["", TEACH])
def test_an_output_inside_of_another_one_is_still_an_error(dry_run, teach):
    status, text, _ = dry_run("out", "out/inner.txt", teach=teach)
    assert status != 0 and "ChildIOException" in text
    assert dry_run("out", "a.txt", teach=teach)[0] == 0


def test_nested_files_are_found_by_text():
    assert nested(["a/b", "a/b/c"]) and nested(["a", "x/y", "a/b/c/d"])
    assert not nested(["a/b", "a/c", "a/bc/d", "/x/a", "ab"])
    assert nested(["a/../b"]) and nested(["a//b"]), "odd paths are left to Snakemake"
