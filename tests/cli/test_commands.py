"""What the commands of `neurobust` say and do, short of running Snakemake (tests/cli/test_wheel.py does)."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neurobust.cli import home, launch
from neurobust.cli.main import main
from neurobust.core.errors import InputError

COMMANDS = ("init", "check", "plan", "run", "status", "doctor", "report", "clean")


# --- words ---


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    said = capsys.readouterr().out
    assert left.value.code == 0 and f"neurobust {command}" in said and len(said.splitlines()) > 6


def test_without_a_command_all_are_listed(capsys):
    assert main([]) == 2
    said = capsys.readouterr().out
    assert all(f"\n    {command} " in said for command in COMMANDS)


def test_bash_completes_commands_and_options(capsys, tmp_path):
    assert main(["--print-completion", "bash"]) == 0
    script = tmp_path / "completion.sh"
    script.write_text(capsys.readouterr().out)

    def completed(*words):
        line = " ".join(f"'{word}'" for word in words)
        code = f"source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _neurobust; echo ${{COMPREPLY[@]}}"
        return subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert completed("neurobust", "c") == ["check", "clean"]
    assert completed("neurobust", "run", "--c") == ["--configfile", "--cores"]
    assert completed("neurobust", "clean", "--y") == ["--yes"]


# --- the command lines ---


def test_snakemakes_command_is_printed_and_run(project, monkeypatch, became, capsys):
    monkeypatch.chdir(project)
    study = ["--configfile", "config/demo.yaml", "--profile", "profiles/local"]
    for words, line in (
        (["run"], [*study, "--", "all"]),
        (["run", "results/demo/report/roi/LO.html", "--cores", "2"],
         [*study, "--cores", "2", "--", "results/demo/report/roi/LO.html"]),
        (["run", "--roi", "LO", "--roi", "V1", "-n"],
         [*study, "--dry-run", "--", "results/demo/report/roi/LO.html", "results/demo/report/roi/V1.html"]),
        (["run", "--profile", "slurm", "--", "-R", "train_predictor"],
         [*study[:3], "profiles/slurm", "-R", "train_predictor", "--", "all"]),
        (["doctor", "-c", "config/config.yaml"], ["--configfile", "config/config.yaml", *study[2:], "--", "doctor"]),
    ):  # fmt: skip
        with pytest.raises(SystemExit):
            main(words)
        assert became.pop() == line
        assert " ".join(line) in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["plan", "--profile", str(project / "tests/slurm"), "-c", "config/demo.yaml"])
    assert became[0][-2:] == ["--", "plan"] and str(project / "tests/slurm") in became[0]


def test_a_study_outside_of_the_checkout_names_the_snakefile(folder, project, became, begin):
    assert main(["run"]) == 1, "there is no study"
    assert not became
    begin()
    with pytest.raises(SystemExit):
        main(["run", "--profile", "mine"])
    words = ["--snakefile", f"{project}/Snakefile", "--configfile", "config.yaml", "--profile", "mine", "--", "all"]
    assert became == [words]
    assert home.profile(None) == f"{project}/profiles/local"
    assert home.profile("slurm") == f"{project}/profiles/slurm"


def test_a_file_that_is_not_there_is_one_line(folder, capsys, became, begin):
    begin()
    capsys.readouterr()
    for command in (["run"], ["check"], ["status"], ["clean"]):
        assert main([*command, "-c", "confg.yaml"]) == 1
        said = capsys.readouterr().err
        assert said.count("\n") <= 2 and "confg.yaml" in said and "nearest: config.yaml" in said
    assert not became


def test_an_roi_that_the_study_lacks_is_one_line(folder, became, capsys, begin):
    begin()
    capsys.readouterr()
    assert main(["run", "--roi", "V1", "--roi", "V9"]) == 1 and not became
    assert "--roi: 'V9' is not an ROI of this study; choose of V1" in capsys.readouterr().err


# --- check ---


def test_check_says_all_faults_with_file_and_line(folder, capsys, begin):
    begin()
    file = folder / "config.yaml"
    text = file.read_text().replace("norm: l2", "norm: l3").replace("trunk_width: 24", "trunk: 24")
    file.write_text(text.replace("seeds: [0, 1, 2]\n\nattack", "seeds: [-1]\n\nattack"))
    capsys.readouterr()
    assert main(["check"]) == 1
    said = capsys.readouterr().err
    line = 1 + file.read_text().splitlines().index("seeds: [-1]")
    assert f"config.yaml:{line}: seeds.0: -1: " in said
    for words in ("attacks.pgd-l2.norm", "predictors.gnet: unknown key", "predictors.gnet: missing key", "seeds.0"):
        assert sum(line.startswith("config.yaml:") and words in line for line in said.splitlines()) == 1
    assert said.endswith("4 faults\n")


def test_check_lets_warnings_pass_and_later_files_override(folder, capsys, begin):
    begin()
    (folder / "more.yaml").write_text("seeds: [0]\nattacks: {pgd-l2: {budgets: [0, 255]}}\n")
    capsys.readouterr()
    assert main(["check", "config.yaml", "more.yaml"]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("warning: more.yaml:2: attacks.pgd-l2.budgets: 255: l2 is given in pixel units")
    assert said.out == "config.yaml, more.yaml: the study mine can run: 4 networks; 1 warning\n"


def test_check_says_that_a_root_belongs_to_somebody(folder, capsys, begin):
    begin()
    theirs = folder / "resources/phantom/nsddata/experiments/nsd/nsd_expdesign.mat"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"real")
    assert main(["check"]) == 1
    assert "config.yaml:10: data.root: resources/phantom holds" in capsys.readouterr().err


def test_check_is_quick_and_imports_neither_torch_nor_snakemake(project):
    code = """
import sys
from neurobust.cli.main import main
status = main(["check", "config/demo.yaml"])
print(status, sorted({"torch", "snakemake", "pandas", "matplotlib", "scipy"} & set(sys.modules)))
"""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    print(f"check: {time.perf_counter() - start:.2f} s")
    assert done.stdout.endswith("\n0 []\n"), done.stdout


# --- clean ---

# --- status and report ---


def test_status_says_whether_something_runs(folder, became, capsys, begin, fill):
    begin()
    fill("results/mine/report/index.html", ".snakemake/locks/0.input.lock")
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["status"])
    said = capsys.readouterr().out
    assert said.startswith("study mine: Snakemake runs in this folder, or was killed in it; its report is results/mine")
    assert "--dry-run" in became[0]


def test_a_page_of_what_is_there_needs_no_snakemake(folder, became, capsys, begin):
    """From an empty study on, with an exit status of 0, and of 1 with one line where the name is none for a page."""
    begin()
    capsys.readouterr()
    assert main(["status", "--html"]) == 0 and not became
    said = capsys.readouterr().out
    assert re.fullmatch(
        r"study mine: 0 of \d+ files are there, 0 being written, 0 not readable; the page is (.+)\n", said
    )
    assert "This is a part: 0 of" in Path("results/mine/status.html").read_text()
    assert main(["status", "--html", "seen.html"]) == 0 and Path("seen.html").exists()
    capsys.readouterr()
    Path("link.html").symlink_to("/nowhere/page.html")
    for name in ("config.yaml", "nowhere/seen.html", "results/mine/report.htm", "link.html"):
        assert main(["status", "--html", name]) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"neurobust: error: --html: {name}: ") and said.count("\n") == 1
    assert Path("link.html").is_symlink()
    assert main(["status", "-c", "missing.yaml", "--html"]) == 1 and not became
    assert main(["clean", "--yes"]) == 0 and not Path("results/mine/status.html").exists()


def test_a_study_without_a_report_is_one_line(folder, capsys, begin):
    begin()
    capsys.readouterr()
    assert main(["report"]) == 1
    assert capsys.readouterr().err.startswith("neurobust: error: results/mine/report/tables: no networks.csv")


def test_results_that_are_a_link_to_nothing_are_one_line(folder, capsys, begin):
    begin()
    Path("results").symlink_to("/nowhere/results")
    assert main(["status", "--html"]) == 1
    assert "results is a link to nothing; mend it, or name another folder" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["results: [a]\nrois: 7\n", "study: x\n", "results: ''\nrois: {}\n"])
def test_what_is_no_study_is_one_line(folder, became, capsys, text):
    (folder / "config.yaml").write_text(text)
    for words in (["report"], ["status"], ["run", "--roi", "V1"]):
        assert main(words) == 1 and not became
        said = capsys.readouterr().err
        assert said.startswith("neurobust: error: config.yaml: r") and "expected" in said and said.count("\n") == 1


def test_a_folder_that_was_removed_is_one_line(folder, became, capsys, monkeypatch):
    (folder / "gone").mkdir()
    monkeypatch.chdir(folder / "gone")
    (folder / "gone").rmdir()
    for words in (["check"], ["run"], ["init", "x"], ["status", "--html", "-c", f"{folder}/config.yaml"]):
        assert main(words) == 1 and not became
        said = capsys.readouterr().err
        assert said == "neurobust: error: the folder in which this runs was removed; go to one that is there\n"
    monkeypatch.chdir(folder)


def test_who_reads_may_have_enough_and_nobody_need_answer(project, folder, begin, fill):
    begin()
    fill("results/mine/networks/a.json")
    command = f"{sys.executable} -m neurobust"
    environment = os.environ | {"PYTHONPATH": str(project / "src"), "PYTHONUNBUFFERED": "1"}
    for line, status, says in (
        (f"(sleep 0.1; {command} check; echo $? >&2) | true", 0, "141\n"),
        (f"{command} check > /dev/full", 1, "neurobust: error: what is printed finds no space"),
        (f"{command} clean <&-", 1, "neurobust: error: clean: asks before"),
        (f"{command} check >&-", 0, ""),
        (f"{command} init x --directory x <&-", 0, ""),
    ):
        done = subprocess.run(["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == status and done.stderr.startswith(says) and done.stderr.count("\n") <= 1, line


def test_a_folder_that_nothing_can_be_written_to_is_one_line(folder, became, capsys, begin, monkeypatch, fill):
    begin()
    for words in (["run", "-n"], ["plan"], ["doctor"]):
        with monkeypatch.context() as patch:
            patch.setattr(launch.os, "access", lambda path, mode: "cache" in str(path))
            capsys.readouterr()
            assert main(words) == 1 and not became
            assert f"{folder}: may not be written; run where you may write" in capsys.readouterr().err
    fill(".snakemake")
    assert main(["run"]) == 1 and "a file in the place of Snakemake's records" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["run", "--", "--directory", "elsewhere"])


def test_a_home_that_nothing_can_be_written_to_is_one_line(folder, became, capsys, begin, monkeypatch, fill):
    """Snakemake makes its cache there before it reads anything."""
    begin()
    fill("file")
    for name, value in (("XDG_CACHE_HOME", f"{folder}/file"), ("HOME", f"{folder}/file")):
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setenv(name, value)
        capsys.readouterr()
        assert main(["run"]) == 1 and not became
        said = capsys.readouterr().err
        assert said.startswith(f"neurobust: error: {value}") and "set XDG_CACHE_HOME" in said and said.count("\n") == 1
    monkeypatch.setenv("XDG_CACHE_HOME", f"{folder}/cache")
    with pytest.raises(SystemExit):
        main(["run"])
    assert became


def test_words_that_a_terminal_lacks_end_nothing(neurobust, folder, begin):
    begin()
    (folder / "config.yaml").rename(folder / "ä.yaml")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    status, said, _ = neurobust("check", "ä.yaml", directory=folder, check=False, **plain)
    assert status == 0 and "the study mine can run" in said
    status, said, _ = neurobust("--help", directory=folder, PYTHONOPTIMIZE="2")
    assert "COMMAND" in said, "without docstrings too"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["report", "--against", ""], "--against: empty"),
        (["report", ""], "RESULTS: empty"),
        (["report", "--archive", ""], "--archive: empty"),
        (["report", "--archive", "x.pdf"], "x.pdf: not the name of an archive; let it end in .zip or .html"),
        (["report", "--archive", "x.zip", "--against", "y"], "--archive: is of the whole study"),
        (["report", "--archive", "x.zip"], "results/mine/report: no index.html; run the pipeline"),
        (["report", "--", "--forceall"], "--: --forceall: starts no Snakemake"),
        (["check", "--", "--forceall"], "--: --forceall: starts no Snakemake"),
        (["clean", "--", "--forceall"], "--: --forceall: starts no Snakemake"),
        (["status", "--html", "--", "--forceall"], "--: --forceall: starts no Snakemake"),
    ],
)
def test_no_word_is_dropped_in_silence(folder, became, capsys, begin, words, says):
    begin()
    capsys.readouterr()
    assert main(words) == 1 and not became
    said = capsys.readouterr().err
    assert said.startswith("neurobust: error: ") and says in said and said.count("\n") == 1


def test_snakemakes_own_report_is_asked_for_where_there_is_one(folder, became, capsys, begin, fill):
    begin()
    fill("results/mine/report/index.html")
    with pytest.raises(SystemExit):
        main(["report", "--archive", "a.zip", "--", "--quiet"])
    assert became[0][-5:] == ["--report", "a.zip", "--quiet", "--", "all"]


@pytest.mark.parametrize("cores", ["0", "-1", "two", "1.5", ""])
def test_cores_are_counted_from_one(folder, became, capsys, begin, cores):
    begin()
    with pytest.raises(SystemExit) as left:
        main(["run", f"--cores={cores}"])
    assert left.value.code == 2 and not became
    assert "expected a whole number from 1 on, or all" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["run", "--cores", "all"])
    assert "--cores all" in " ".join(became[0])


@pytest.mark.parametrize("bytes_", [b"", b"\xb8\x00\xff", b'a,b\n1,2,3,4\n"', b"a,b\n"])
def test_a_table_that_is_none_is_one_line(folder, capsys, begin, bytes_, fill):
    begin()
    table = Path("results/mine/report/tables/networks.csv")
    fill(table)
    table.write_bytes(bytes_)
    for words in (["report"], ["report", "--against", "results/mine"]):
        capsys.readouterr()
        assert main(words) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"neurobust: error: {table}: ") and "run again" in said and said.count("\n") == 1


def test_no_pipeline_is_one_line(monkeypatch, folder):
    monkeypatch.setattr(home, "PACKAGE", folder / "src/neurobust")
    with pytest.raises(InputError, match="no Snakefile"):
        home.pipeline()
