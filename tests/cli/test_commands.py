"""What the commands of `neurobust` say and do, short of running Snakemake (tests/cli/test_wheel.py does)."""

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from neurobust.cli import home, launch
from neurobust.cli.main import main, parser
from neurobust.core.errors import InputError
from neurobust.study.paths import FOLDERS

COMMANDS = ("init", "check", "plan", "run", "status", "doctor", "report", "clean")


@pytest.fixture
def became(monkeypatch):
    """The command lines that would have taken this process's place, less Snakemake's own words."""
    lines = []

    def become(name, words):
        lines.append(words[len(launch.program()) :])
        raise SystemExit(0)

    monkeypatch.setattr(launch.os, "execvp", become)
    return lines


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begin(*words):
    return main(["init", "mine", "--nsd", "phantom", "--rois", "V1", "--tasks", "digits", "--no-cluster", *words])


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
        (["report", "--archive", "a.zip"], [*study, "--report", "a.zip", "--", "all"]),
    ):  # fmt: skip
        with pytest.raises(SystemExit):
            main(words)
        assert became.pop() == line
        assert " ".join(line) in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["plan", "--profile", str(project / "tests/slurm"), "-c", "config/demo.yaml"])
    assert became[0][-2:] == ["--", "plan"] and str(project / "tests/slurm") in became[0]


def test_a_study_outside_of_the_checkout_names_the_snakefile(folder, project, became):
    assert main(["run"]) == 1, "there is no study"
    assert not became
    begin()
    with pytest.raises(SystemExit):
        main(["run", "--profile", "mine"])
    words = ["--snakefile", f"{project}/Snakefile", "--configfile", "config.yaml", "--profile", "mine", "--", "all"]
    assert became == [words]
    assert home.profile(None) == f"{project}/profiles/local"
    assert home.profile("slurm") == f"{project}/profiles/slurm"


def test_a_file_that_is_not_there_is_one_line(folder, capsys, became):
    begin()
    capsys.readouterr()
    for command in (["run"], ["check"], ["status"], ["clean"]):
        assert main([*command, "-c", "confg.yaml"]) == 1
        said = capsys.readouterr().err
        assert said.count("\n") <= 2 and "confg.yaml" in said and "nearest: config.yaml" in said
    assert not became


def test_an_roi_that_the_study_lacks_is_one_line(folder, became, capsys):
    begin()
    capsys.readouterr()
    assert main(["run", "--roi", "V1", "--roi", "V9"]) == 1 and not became
    assert "--roi: 'V9' is not an ROI of this study; choose of V1" in capsys.readouterr().err


# --- check ---


def test_check_says_all_faults_with_file_and_line(folder, capsys):
    begin()
    file = folder / "config.yaml"
    text = file.read_text().replace("norm: l2", "norm: l3").replace("trunk_width: 24", "trunk: 24")
    file.write_text(text.replace("seeds: [0, 1, 2]\n\nattack", "seeds: [-1]\n\nattack"))
    capsys.readouterr()
    assert main(["check"]) == 1, "the seed is refused before what follows from it is asked"
    said = capsys.readouterr().err
    line = 1 + file.read_text().splitlines().index("seeds: [-1]")
    assert f"config.yaml:{line}: seeds.0: -1: " in said and said.endswith("1 fault\n")
    file.write_text(text)
    assert main(["check", "config.yaml"]) == 1
    said = capsys.readouterr().err
    for words in ("attacks.pgd-l2.norm", "predictors.gnet"):
        assert sum(line.startswith("config.yaml:") and words in line for line in said.splitlines()) == 1
    assert said.endswith("2 faults\n")


def test_check_lets_warnings_pass_and_later_files_override(folder, capsys):
    begin()
    (folder / "more.yaml").write_text("seeds: [0]\nattacks: {pgd-l2: {budgets: [0, 255]}}\n")
    capsys.readouterr()
    assert main(["check", "config.yaml", "more.yaml"]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("warning: more.yaml:2: attacks.pgd-l2.budgets: 255: l2 is given in pixel units")
    assert said.out == "config.yaml, more.yaml: the study mine can run: 4 networks; 1 warnings\n"


def test_check_says_that_a_root_belongs_to_somebody(folder, capsys):
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
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - start)
        assert done.stdout.endswith("\n0 []\n"), done.stdout
    print(f"check: {min(seconds):.2f} s")


# --- init ---


@pytest.mark.parametrize("rois", ["V1", "V1,V2,V3,hV4,VO,PHC,LO,TO,FFA,PPA,EBA"])
@pytest.mark.parametrize(
    ("nsd", "tasks"),
    [
        ("phantom", "phantom-scenes"),
        ("phantom", "phantom-scenes,digits"),
        ("phantom", "digits"),
        ("/copy of nsd", "digits"),
        ("/nsd", "cifar10=.,image-folder=.,digits"),
    ],
)
def test_what_is_begun_has_no_fault_and_no_warning(folder, capsys, nsd, tasks, rois):
    assert main(["init", "mine", "--nsd", nsd, "--rois", rois, "--tasks", tasks, "--no-cluster"]) == 0
    assert main(["check"]) == 0
    assert capsys.readouterr().err == ""
    text = (folder / "config.yaml").read_text()
    study = yaml.safe_load(text)
    assert list(study["rois"]) == rois.split(",") and set(study["conditions"]) >= {*study["rois"], "adversarial"}
    assert list(study["tasks"]) == [task.split("=")[0] for task in tasks.split(",")]
    assert study["data"].get("root") == ("resources/phantom" if nsd == "phantom" else nsd)
    assert text.count("#") >= 30 and max(map(len, text.splitlines())) < 140


@pytest.fixture
def terminal(monkeypatch):
    """Somebody at a terminal, who gives these answers in turn; the questions that were asked."""
    answers, asked = [], []

    def ask(question):
        asked.append(question)
        return answers.pop(0)

    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("builtins.input", ask)
    return SimpleNamespace(answers=answers, asked=asked)


def test_what_no_flag_says_is_asked_at_a_terminal(folder, terminal):
    terminal.answers += ["/nsd", "", "cifar10=.", "yes"]
    assert main(["init", "mine"]) == 0
    assert len(terminal.asked) == 4 and "[V1,LO]" in terminal.asked[1]
    study = yaml.safe_load((folder / "config.yaml").read_text())
    assert study["data"]["root"] == "/nsd" and list(study["rois"]) == ["V1", "LO"]
    assert study["tasks"]["cifar10"]["source"] == "." and (folder / "profiles/slurm/config.yaml").exists()


def test_clean_asks_at_a_terminal(folder, terminal, capsys):
    begin()
    fill("results/mine/networks/a")
    terminal.answers += ["", "y"]
    assert main(["clean"]) == 1 and Path("results/mine/networks/a").exists()
    assert "nothing was removed" in capsys.readouterr().out
    assert main(["clean"]) == 0 and not Path("results/mine").exists()
    assert terminal.asked == ["remove all of it? [y/N] "] * 2


def test_a_study_for_a_cluster_has_its_profile_which_is_then_taken(folder, project, capsys):
    assert main(["init", "mine", "--nsd", "phantom", "--cluster"]) == 0
    said = capsys.readouterr().out
    assert "name your partition and account in profiles/slurm/config.yaml" in said
    assert "--rois V1,LO (the default)" in said, "an answer that nobody gave is said"
    own = folder / "profiles/slurm/config.yaml"
    assert own.read_bytes() == (project / "profiles/slurm/config.yaml").read_bytes()
    assert (folder / "slurm/config.yaml").samefile(own), "for the literal `snakemake --profile slurm`"
    assert home.profile(None) == home.profile("slurm") == "profiles/slurm"
    assert home.profile("local") == f"{project}/profiles/local"


def test_an_answer_that_cannot_be_is_one_line_and_writes_nothing(folder, capsys):
    (folder / "a file").touch()
    for words, says in (
        (["--rois", "V1,L0"], "'L0' is not known; choose of V1,"),
        (["--tasks", "digit"], "'digit' is not known here; choose of digits,"),
        (["--tasks", "cifar10"], "cifar10 needs the folder cifar-10-batches-py; say cifar10=PATH"),
        (["--tasks", "digits=/x"], "digits needs no files"),
        (["--nsd", "a file"], "not a folder"),
    ):
        assert begin(*words) == 1
        said = capsys.readouterr().err
        assert said.startswith("neurobust: error: --") and says in said and said.count("\n") == 1
    assert main(["init", "my study", "--nsd", "phantom"]) == 1
    assert [path.name for path in folder.iterdir()] == ["a file"]


@pytest.mark.parametrize("name", ["config.yaml", "config", "Snakefile"])
def test_a_folder_with_a_study_is_refused(folder, capsys, name):
    (folder / name).mkdir()
    assert begin() == 1
    assert f"{name}: there already" in capsys.readouterr().err
    assert begin("--directory", str(folder / "another")) == 0
    assert (folder / "another/config.yaml").exists()


def test_the_mirror_is_looked_at(folder, capsys):
    from neurobust.nsd import layout

    root = folder / "copy"
    for subject, suffix, numbers in (
        ("subj01", "hdf5", (1, 2, 3)),
        ("subj03", "hdf5", (1, 3)),
        ("subj01", "nii.gz", (1,)),
    ):
        for number in numbers:
            path = layout.session(root, subject, number, suffix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    assert begin("--nsd", "copy") == 0
    data = yaml.safe_load((folder / "config.yaml").read_text())["data"]
    assert data["format"] == "hdf5" and data["keep_betas"] is True and data["stimuli"] == "needed"
    assert data["subjects"] == {"subj01": {"sessions": 3}, "subj03": {"sessions": 1}}, "up to the first gap"
    marker = layout.phantom_marker(root)
    marker.parent.mkdir()
    marker.write_text("{}")
    (folder / "config.yaml").unlink()
    assert begin("--nsd", "copy") == 1 and "say --nsd phantom" in capsys.readouterr().err


def test_paths_are_those_of_the_study_wherever_it_is_written(folder, capsys):
    for name in ("Köpfe und 2 copies", 'a "quoted" one', "123", "null"):
        study = folder / f"study of {len(name)}"
        (folder / name).mkdir()
        tasks = ["--tasks", f"cifar10={name}"]
        assert begin("--directory", study.name, "--nsd", name, *tasks) == 0
        written = yaml.safe_load((study / "config.yaml").read_text())
        for path in (written["data"]["root"], written["tasks"]["cifar10"]["source"]):
            assert (study / path).samefile(folder / name)
        assert "no session of NSD lies in" in capsys.readouterr().out, "a root with a typo would be filled"
        (study / "config.yaml").unlink()
    assert begin("--nsd", "null") == 0 and main(["check"]) == 0, "a name that YAML would read as nothing"
    assert yaml.safe_load(Path("config.yaml").read_text())["data"]["root"] == "null"


def ended(question):
    raise EOFError


def test_no_answer_and_no_folder_are_one_line(folder, monkeypatch, capsys):
    (folder / "file").touch()
    assert begin("--directory", "file") == 1
    said = capsys.readouterr().err
    assert said.startswith("neurobust: error: file: File exists") or "Not a directory" in said
    assert begin("--nsd", "") == 1 and "--nsd: empty; give a value" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("builtins.input", ended)
    assert main(["init", "mine"]) == 1 and "no answer" in capsys.readouterr().err
    assert not Path("config.yaml").exists()


@pytest.mark.parametrize(
    ("text", "says"), [("", "empty; expected"), ("a: [\n", "not YAML"), ("a: 1\na: 2\n", ":2: key")]
)
def test_a_broken_file_is_named_before_snakemake_starts(folder, became, capsys, text, says):
    Path("config.yaml").write_text(text)
    assert main(["run"]) == 1 and not became
    said = capsys.readouterr().err
    assert said.startswith("neurobust: error: config.yaml:") and said.count("\n") == 1 and says in said


def test_data_lie_neither_among_results_nor_in_one_another(folder, capsys):
    assert begin("--nsd", "copy") == 0
    file = Path("config.yaml")
    text = file.read_text()
    for root, cache, says in (
        ("results/mine", None, "data.root: 'results/mine' lies among the results"),
        ("results/mine/tasks/nsd", None, "data.root: 'results/mine/tasks/nsd' lies among the results"),
        ("copy", "results/mine/report", "data.cache: 'results/mine/report' lies among the results"),
        ("copy", "copy", "are one folder or lie in one another"),
        ("copy", "copy/new", "are one folder or lie in one another"),
        ("here/copy", "here", "are one folder or lie in one another"),
    ):
        lines = f"  root: {root}\n" + (f"  cache: {cache}\n" if cache else "")
        file.write_text(text.replace("  root: copy\n", lines))
        capsys.readouterr()
        assert main(["check"]) == 1
        said = capsys.readouterr().err
        assert says in said and "config.yaml:" in said and said.endswith("1 fault\n")
    file.write_text(text.replace("  root: copy\n", "  root: copy\n  cache: mine\n"))
    assert main(["check"]) == 0


# --- clean ---


def fill(*paths):
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def test_clean_removes_one_studys_results_and_logs_and_nothing_else(folder, capsys):
    begin()
    mine = ["results/mine/networks/digits/a.h5", "results/mine/report/index.html", "logs/mine/train_network/a.log"]
    others = ["results/other/report/index.html", "logs/other/doctor.log", "logs/slurm/a.log", "resources/phantom/x",
              "results/mine/notes.txt"]  # fmt: skip
    fill(*mine, *others)
    with pytest.raises(SystemExit):
        parser().parse_args(["clean", "everything"])
    assert main(["clean"]) == 1, "nobody is there to say yes"
    assert all(Path(path).exists() for path in (*mine, *others))
    capsys.readouterr()
    assert main(["clean", "--yes"]) == 0
    said = capsys.readouterr().out
    assert "results/mine/networks/ (1 files" in said and "logs/mine/train_network/" in said
    assert not any(Path(path).exists() for path in mine) and all(Path(path).exists() for path in others)
    assert not Path("logs/mine").exists(), "an empty folder goes too"
    assert main(["clean", "--yes"]) == 0 and "nothing to remove" in capsys.readouterr().out


def test_clean_of_a_study_in_results_leaves_the_studies_beside_it(folder):
    begin()
    file = Path("config.yaml")
    file.write_text(file.read_text().replace("results: results/mine", "results: results"))
    fill("results/attacks/a", "logs/attack_network/a.log", "logs/doctor.log", "results/demo/attacks/a", "logs/demo/x")
    assert main(["clean", "--yes"]) == 0
    assert sorted(str(path) for path in folder.rglob("*") if path.is_file() and path.parent != folder) == [
        f"{folder}/logs/demo/x", f"{folder}/results/demo/attacks/a",
    ]  # fmt: skip


def test_clean_removes_no_data_and_follows_no_link(folder, capsys):
    begin()
    file = Path("config.yaml")
    fill("results/mine/tasks/nsd/nsddata/x", "elsewhere/y")
    text = file.read_text()
    file.write_text(text.replace("root: resources/phantom", "root: results/mine/tasks/nsd"))
    assert main(["clean", "--yes"]) == 1
    assert "config.data.root: 'results/mine/tasks/nsd' lies in results/mine/tasks" in capsys.readouterr().err
    begin("--directory", "real", "--nsd", "copy")
    real = Path("real/config.yaml").read_text()
    assert "  root: ../copy\n" in real
    file.write_text(real.replace("  root: ../copy\n", "  root: copy\n  cache: results/mine/tasks/nsd\n"))
    assert main(["clean", "--yes"]) == 1
    assert "config.data.cache: 'results/mine/tasks/nsd' lies in results/mine/tasks" in capsys.readouterr().err
    fill("results/mine/report/x.yaml")
    Path("results/mine/report/x.yaml").write_text(text)
    assert main(["clean", "--yes", "-c", "results/mine/report/x.yaml"]) == 1
    assert "the study's file: 'results/mine/report/x.yaml' lies in" in capsys.readouterr().err
    file.write_text(text)
    Path("results/mine/networks").symlink_to(folder / "elsewhere")
    Path(".snakemake/locks").mkdir(parents=True)
    fill(".snakemake/locks/0.input.lock")
    assert main(["clean", "--yes"]) == 1 and "Snakemake runs in this folder" in capsys.readouterr().err
    Path(".snakemake/locks/0.input.lock").unlink()
    assert main(["clean", "--yes"]) == 0
    assert Path("elsewhere/y").exists() and not Path("results/mine").exists()


def test_every_result_lies_in_a_folder_that_clean_knows(project):
    """What rules and the files of the contract write below the results."""
    import re

    found = set()
    for path in [*(project / "workflow/rules").glob("*.smk"), *(project / "src/neurobust/files").glob("*.py")]:
        found |= set(re.findall(r'(?:\{RESULTS\}/|Path\(results\) / ")(\w+)', path.read_text()))
    assert found | {"tasks", "benchmarks"} == set(FOLDERS)


# --- status and report ---


def test_status_says_whether_something_runs(folder, became, capsys):
    begin()
    fill("results/mine/report/index.html", ".snakemake/locks/0.input.lock")
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["status"])
    said = capsys.readouterr().out
    assert said.startswith("study mine: Snakemake runs in this folder, or was killed in it; its report is results/mine")
    assert "--dry-run" in became[0]


def test_a_study_without_a_report_is_one_line(folder, capsys):
    begin()
    capsys.readouterr()
    assert main(["report"]) == 1
    assert capsys.readouterr().err.startswith("neurobust: error: results/mine/report/tables: no networks.csv")


def test_no_pipeline_is_one_line(monkeypatch, folder):
    monkeypatch.setattr(home, "PACKAGE", folder / "src/neurobust")
    with pytest.raises(InputError, match="no Snakefile"):
        home.pipeline()
