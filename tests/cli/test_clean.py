"""`neurobust clean` removes what a study computed, and nothing else."""

import re
from pathlib import Path

import pytest

from neurobust.cli.clean import KINDS, NAMES, UNPRICED
from neurobust.cli.main import main, parser
from neurobust.study.jobs import STAGE_OF
from neurobust.study.paths import FOLDERS


def test_clean_asks_at_a_terminal(folder, terminal, capsys, begin, fill):
    begin()
    fill("results/mine/networks/a.json")
    terminal.answers += ["", "y"]
    assert main(["clean"]) == 1 and Path("results/mine/networks/a.json").exists()
    assert "nothing was removed" in capsys.readouterr().out
    assert main(["clean"]) == 0 and not Path("results/mine").exists()
    assert terminal.asked == ["remove all of it? [y/N] "] * 2


def test_clean_removes_one_studys_results_and_logs_and_nothing_else(folder, capsys, begin, fill):
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
    assert "results/mine/networks/ (1 file, 0.0 MB)" in said and "logs/mine/train_network/" in said
    assert not any(Path(path).exists() for path in mine) and all(Path(path).exists() for path in others)
    assert not Path("logs/mine").exists(), "an empty folder goes too"
    assert main(["clean", "--yes"]) == 0 and "nothing to remove" in capsys.readouterr().out


def test_clean_of_a_study_in_results_leaves_the_studies_beside_it(folder, begin, fill):
    begin()
    file = Path("config.yaml")
    file.write_text(file.read_text().replace("results: results/mine", "results: results"))
    fill(
        "results/attacks/a.npz", "logs/attack_network/a.log", "logs/doctor.log", "results/demo/attacks/a", "logs/demo/x"
    )
    assert main(["clean", "--yes"]) == 0
    assert sorted(str(path) for path in folder.rglob("*") if path.is_file() and path.parent != folder) == [
        f"{folder}/logs/demo/x", f"{folder}/results/demo/attacks/a",
    ]  # fmt: skip


def test_clean_removes_no_data_and_follows_no_link(folder, capsys, begin, fill):
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
    assert Path("elsewhere/y").exists() and not Path("results/mine/networks").is_symlink()
    assert Path("results/mine/tasks/nsd/nsddata/x").exists(), "of nobody's data either"


def test_clean_keeps_what_no_job_writes(folder, capsys, begin, fill):
    begin()
    mine = [
        "results/mine/status.html",
        "results/mine/report/thesis.tex",
        "results/mine/attacks/digits/notes.md",
        "results/mine/tasks/digits/.git/HEAD",
    ]
    fill(
        *mine,
        "results/mine/report/index.html",
        "results/mine/attacks/digits/a/.cells/0.parquet",
        "results/mine/attacks/confirmed.txt",
    )
    Path("results/mine/attacks/digits/linked").symlink_to(folder)
    capsys.readouterr()
    assert main(["clean", "--yes"]) == 0
    said = capsys.readouterr().out
    assert all(f"{path}: no job writes such a file, so it stays" in said for path in mine[1:])
    assert "results/mine/attacks/ (3 files" in said and "results/mine/tasks/" not in said.split("computed:")[1]
    assert sorted(str(path) for path in Path("results").rglob("*") if not path.is_dir()) == sorted(mine)
    assert not Path("results/mine/attacks/digits/a").exists() and Path("config.yaml").exists()
    assert main(["clean", "--yes"]) == 0 and "nothing to remove" in capsys.readouterr().out


def test_every_file_that_a_rule_makes_is_of_a_kind_that_clean_knows(project):
    """Outputs of rules end in these; what stands in their text as a name of a file is among them."""
    found = set()
    for path in (project / "workflow/rules").glob("*.smk"):
        found |= set(re.findall(r'\{(?:RESULTS|LOGS|BENCHMARKS)\}/[^"]*?([^"/]*\.[a-z0-9]+)"', path.read_text()))
    assert len(found) > 30
    assert {name for name in found if Path("x" + name).suffix not in KINDS and name not in NAMES} == set()


def test_every_result_lies_in_a_folder_that_clean_knows(project):
    """What rules and the files of the contract write below the results."""
    found = set()
    for path in [*(project / "workflow/rules").glob("*.smk"), *(project / "src/neurobust/files").glob("*.py")]:
        found |= set(re.findall(r'(?:\{RESULTS\}/|Path\(results\) / ")(\w+)', path.read_text()))
    assert found | {"tasks", "benchmarks"} == set(FOLDERS)


def test_every_log_of_a_rule_is_one_that_clean_knows(project):
    """Each rule's log has its name, as a file or as a folder; `use rule` has that of the rule it takes."""
    texts = [path.read_text() for path in (project / "workflow/rules").glob("*.smk")]
    found = {name for text in texts for name in re.findall(r"\{LOGS\}/(\w+)[./]", text)}
    assert len(found) > 40 and found == {*STAGE_OF, *UNPRICED}
