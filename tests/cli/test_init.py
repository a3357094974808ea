"""What `neurobust init` asks, writes and refuses, and what a study that it began is told before it runs."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from neurobust.cli import home
from neurobust.cli.main import main


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


def test_what_no_flag_says_is_asked_at_a_terminal(folder, terminal):
    terminal.answers += ["/nsd", "", "cifar10=.", "yes"]
    assert main(["init", "mine"]) == 0
    assert len(terminal.asked) == 4 and "[V1,LO]" in terminal.asked[1]
    study = yaml.safe_load((folder / "config.yaml").read_text())
    assert study["data"]["root"] == "/nsd" and list(study["rois"]) == ["V1", "LO"]
    assert study["tasks"]["cifar10"]["source"] == "." and (folder / "profiles/slurm/config.yaml").exists()


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


def test_an_answer_that_cannot_be_is_one_line_and_writes_nothing(folder, capsys, begin):
    (folder / "a file").touch()
    for words, says in (
        (["--rois", "V1,L0"], "'L0' is not known; choose of V1,"),
        (["--tasks", "digit"], "'digit' is not known here; choose of digits,"),
        (["--tasks", "cifar10"], "cifar10 needs the folder cifar-10-batches-py; say cifar10=PATH"),
        (["--tasks", "digits=/x"], "digits needs no files"),
        (["--nsd", "a file"], "not a folder"),
        (["--nsd", "s3://natural-scenes-dataset"], "an address; name a folder"),
        (["--rois", ","], "--rois: ',': expected names"),
    ):
        assert begin(*words) == 1
        said = capsys.readouterr().err
        assert said.startswith("neurobust: error: --") and says in said and said.count("\n") == 1
    assert main(["init", "my study", "--nsd", "phantom"]) == 1
    assert [path.name for path in folder.iterdir()] == ["a file"]


@pytest.mark.parametrize("name", ["config.yaml", "config", "Snakefile"])
def test_a_folder_with_a_study_is_refused(folder, capsys, name, begin):
    (folder / name).mkdir()
    assert begin() == 1
    assert f"{name}: there already" in capsys.readouterr().err
    assert begin("--directory", str(folder / "another")) == 0
    assert (folder / "another/config.yaml").exists()


def test_a_link_to_nothing_in_the_place_of_the_study_stays(folder, capsys, begin):
    (folder / "config.yaml").symlink_to("/nowhere/of mine.yaml")
    assert begin() == 1 and "there already" in capsys.readouterr().err
    assert (folder / "config.yaml").is_symlink()


@pytest.mark.parametrize("name", ["no", "null", "123", "1e5", "2026-01-01", "0x1F", "1.0", "mine"])
def test_a_name_that_yaml_reads_as_something_else_is_quoted(folder, name):
    assert main(["init", name, "--nsd", "phantom", "--tasks", "digits", "--no-cluster"]) == 0
    study = yaml.safe_load((folder / "config.yaml").read_text())
    assert (study["study"], study["results"]) == (name, f"results/{name}")
    assert main(["check"]) == 0


def test_a_name_is_as_long_as_the_border_lets_it(folder, capsys):
    words = ["--nsd", "phantom", "--tasks", "digits", "--no-cluster"]
    assert main(["init", "a" * 101, *words]) == 1 and not Path("config.yaml").exists()
    assert "expected text of length <= 100" in capsys.readouterr().err
    assert main(["init", "a" * 100, *words]) == 0 and main(["check"]) == 0


def test_somebodys_profile_is_kept(folder, capsys):
    own = folder / "profiles/slurm/config.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("executor: slurm\n# mine\n")
    assert main(["init", "mine", "--nsd", "phantom", "--cluster"]) == 0
    assert own.read_text() == "executor: slurm\n# mine\n"
    assert "wrote config.yaml, slurm\n" in capsys.readouterr().out
    assert Path("slurm/config.yaml").samefile(own)


@pytest.mark.parametrize("name", ["profiles", "profiles/slurm", "slurm"])
def test_what_has_the_place_of_the_profile_is_named_before_anything_is_written(folder, capsys, name):
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text("mine")
    assert main(["init", "mine", "--nsd", "phantom", "--cluster"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"neurobust: error: {name}: ") and "begin elsewhere" in said and said.count("\n") == 1
    assert Path(name).read_text() == "mine" and not Path("config.yaml").exists()
    Path(name).unlink()
    Path(name).symlink_to("/nowhere")
    assert main(["init", "mine", "--nsd", "phantom", "--cluster"]) == 1 and not Path("config.yaml").exists()


def test_paths_that_cannot_stand_in_a_file_are_one_line(folder, capsys, begin):
    for where, says in (("/data/\udce4rger", "not UTF-8"), ("~nobody-of-that-name/nsd", "there is no such user")):
        assert begin("--nsd", where) == 1
        said = capsys.readouterr().err
        assert says in said and said.count("\n") == 1 and not Path("config.yaml").exists()


def test_only_yes_and_no_are_answers_about_slurm(folder, terminal, capsys):
    terminal.answers += ["", "", "", "maybe"]
    assert main(["init", "mine"]) == 1
    assert "--cluster: 'maybe': expected yes or no" in capsys.readouterr().err
    assert not Path("config.yaml").exists()


def test_a_mirror_that_cannot_be_one_is_said_before_the_other_questions(folder, terminal, capsys):
    terminal.answers += ["https://x"]
    assert main(["init", "mine"]) == 1 and len(terminal.asked) == 1
    assert "an address" in capsys.readouterr().err


def test_the_mirror_is_looked_at(folder, capsys, begin):
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


def test_paths_are_those_of_the_study_wherever_it_is_written(folder, capsys, begin):
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


def test_no_answer_and_no_folder_are_one_line(folder, monkeypatch, capsys, begin):
    (folder / "file").touch()
    assert begin("--directory", "file") == 1
    assert capsys.readouterr().err.startswith("neurobust: error: --directory: file: not a folder")
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


def test_data_lie_neither_among_results_nor_in_one_another(folder, capsys, begin):
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


@pytest.mark.parametrize("cache", [False, True])
def test_data_do_not_lie_where_everything_else_does(folder, capsys, begin, monkeypatch, cache):
    """The whole file system, a home, the study's own folder: of a copy that somebody has the last may be."""
    monkeypatch.setenv("HOME", str(folder / "home"))
    (folder / "home").mkdir()
    assert begin("--nsd", "copy" if cache else "phantom") == 0
    file = Path("config.yaml")
    text = file.read_text()
    root = next(line for line in text.splitlines() if line.startswith("  root: "))
    given = root.partition("#")[0].rstrip()
    for path, says in (
        ("/", "the root of the file system"),
        ("home/..//home", "your home folder"),
        (folder / "home", "your home folder"),
        (".", "the folder of the study itself"),
        (folder, "the folder of the study itself"),
        (home.pipeline(), "the folder of the Snakefile"),
    ):
        file.write_text(text.replace(root, f"{given}\n  cache: {path}" if cache else f"  root: {path}"))
        number = next(n for n, line in enumerate(file.read_text().splitlines(), 1) if line.endswith(f": {path}"))
        capsys.readouterr()
        assert main(["check"]) == 1
        line, *others = capsys.readouterr().err.splitlines()
        key = "cache" if cache else "root"
        where = f"config.yaml:{number}: data.{key}: '{path}'"
        assert line.startswith(f"{where}: {says}, where other things lie; name a folder of its own")
        assert others == ["1 fault"]


def test_results_do_not_lead_where_everything_else_lies(folder, capsys, begin, monkeypatch):
    monkeypatch.setenv("HOME", str(folder / "home"))
    (folder / "home").mkdir()
    assert begin() == 0
    results = Path(yaml.safe_load(Path("config.yaml").read_text())["results"])
    results.parent.mkdir(exist_ok=True)
    for path in (folder / "home", folder):
        results.symlink_to(path)
        capsys.readouterr()
        assert main(["check"]) == 1
        said = capsys.readouterr().err
        assert f": results: '{results}': " in said and "where other things lie; remove the link" in said
        results.unlink()
    (folder / "scratch").mkdir()
    results.symlink_to(folder / "scratch")
    assert main(["check"]) == 0


def test_a_study_may_run_in_the_copy_itself(folder, begin):
    assert begin("--nsd", "copy") == 0
    file = Path("config.yaml")
    file.write_text(file.read_text().replace("  root: copy", "  root: ."))
    assert main(["check"]) == 0
