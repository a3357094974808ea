"""Every command of README.md and docs, run as it is printed there, in a copy whose path has a space and an umlaut.

The copy holds the files of the checkout and a Python of its own. `config/demo.yaml` and `config/config.yaml` are the
tiny phantom study there, so that a command takes seconds; nothing else differs from a fresh clone.
"""

import io
import json
import os
import py_compile
import re
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import h5py
import pytest
import yaml
from PIL import Image

PROJECT = Path(__file__).resolve().parents[2]

# --- the commands ---------------------------------------------------------------------------------------------------

# Run once for all tests, by the fixture `finished`.
RUN = "make run"
# On one machine, in a copy of the finished study; see `EXPECTED`.
LOCAL = (
    "make .venv/.installed && source .venv/bin/activate",
    "snakemake all --configfile config/config.yaml -n",
    "snakemake --profile profiles/local -n",
    "snakemake -n",
    "snakemake --report report.zip",
    "snakemake doctor --cores 1 --configfile config/config.yaml",
    "python -m neurobust.nsd doctor config/config.yaml",
    "snakemake --profile profiles/local --configfile my.yaml -- results/cortex/subj01/V1.h5",
    "make picture",
    "snakemake --unlock",
    "snakemake all --touch",
    "neurobust init mine --directory mine",
    "neurobust check config/config.yaml",
    "neurobust plan",
    "neurobust run",
    "neurobust run --roi LO",
    "neurobust status",
    "neurobust status --html",
    "neurobust doctor",
    "neurobust report",
)  # fmt: skip
# What asks NSD's bucket: in a folder whose config/config.yaml names a server that has the phantom.
BUCKET = (
    "snakemake plan_download --cores 1 --configfile config/config.yaml",
    "python -m neurobust.nsd plan config/config.yaml",
    "snakemake --cores 1 --configfile config/config.yaml -- resources/nsd/neurobust/shared_images.json",
)
# On the test cluster, in this order.
CLUSTER = (
    "sinfo",
    "sinfo -o '%P %l %m %G'",
    "sacctmgr show associations user=$USER",
    "snakemake --profile slurm preflight",
    "snakemake preflight --profile slurm --configfile config/config.yaml",
    "snakemake --profile slurm plan",
    "snakemake plan --profile slurm --configfile config/config.yaml",
    "snakemake --profile slurm --configfile config/config.yaml -- results/cortex/subj01/betas.h5",
    "snakemake all --profile slurm --configfile config/config.yaml",
    "snakemake --profile slurm results/demo/report/roi/LO.html",
    "snakemake --profile slurm all",
    "snakemake --profile slurm -R train_predictor -- results/demo/report/roi/LO.html",
    "squeue --me",
    "squeue -o '%i %r'",
    "squeue -o '%i %T %N %k'",
)
UNZIPPED = ("ln -sfn profiles/slurm slurm",)
# Run whole elsewhere, and by what.
ELSEWHERE = {
    "make test": ".ci/run",
    "make test-slurm": ".ci/run",
    # What it writes is compared there with the file.
    "make reference": "tests/study/test_schema.py",
    # The form with STUDY for a name; from a wheel.
    "neurobust init STUDY": "tests/cli/test_wheel.py",
    # It reaches a hub: with a stand-in for that.
    "python -m neurobust.predictors.core_weights timm/vit_small_patch14_dinov2 dino.safetensors": (
        "tests/predictors/test_core_weights.py"
    ),
    # Measurements of many minutes, run by hand for docs/performance.md; here they only compile.
    "python benchmarks/attacks.py": "by hand",
    "python benchmarks/autoattack.py": "by hand",
    "python benchmarks/dag.py": "by hand",
    "python benchmarks/in_loop.py RESULTS": "by hand",
    "python benchmarks/networks.py": "by hand",
    "python benchmarks/nsd.py": "by hand",
    "python benchmarks/planted_studies.py": "by hand",
    "python benchmarks/predictors.py": "by hand",
    "python benchmarks/schedules.py RESULTS": "by hand",
    # By hand too, and in miniature.
    "python benchmarks/gpu.py": "tests/shared/test_benchmarks.py",
    "python benchmarks/reader.py": "tests/shared/test_benchmarks.py",
}
TESTED_BY = {
    RUN: "fixture finished",
    **dict.fromkeys(LOCAL, "test_on_one_machine"),
    **dict.fromkeys(BUCKET, "test_with_a_bucket"),
    **dict.fromkeys(CLUSTER, "test_on_the_cluster"),
    **dict.fromkeys(UNZIPPED, "test_a_zip_without_links"),
    **ELSEWHERE,
}
START = r"(?:neurobust|snakemake|make|python|ln|squeue|sinfo|sacctmgr|scancel) "
FORM = re.compile(rf"{START}|sinfo$")


def printed():
    """command -> the pages that print it, in fenced or indented blocks, in inline code, or after `# or:`."""
    found = {}
    for page in [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]:
        text, fence = page.read_text(), r"(?ms)^```.*?^```$"
        lines = [line for block in re.findall(fence, text) for line in block.splitlines()]
        prose = re.sub(fence, "", text)
        lines += [line.strip() for line in prose.splitlines() if line.startswith("    ")]
        parts = [part for line in lines for part in re.split(r"\s#\s(?:or: )?", line)]
        parts += re.findall(r"`([^`]+)`", prose)
        for part in parts:
            if FORM.match(command := " ".join(part.split())):
                found.setdefault(command, set()).add(page.name)
    return found


def test_every_command_is_run_somewhere():
    commands = printed()
    assert set(EXPECTED) <= {*LOCAL, *BUCKET}
    print(f"\n{len(commands)} commands of README.md and docs/:")
    for command in sorted(commands):
        print(f"  {command:<95} {', '.join(sorted(commands[command])):<28} {TESTED_BY.get(command, '-')}")
    assert set(commands) == set(TESTED_BY)
    assert len(commands) == 56
    ci = (PROJECT / ".ci/run").read_text()
    assert all(re.search(rf"(?m)^ *{command}$", ci) for command, where in ELSEWHERE.items() if where == ".ci/run")


@pytest.mark.parametrize("command", [command for command in TESTED_BY if command.startswith("make ")])
def test_a_make_target_exists(command):
    words = command.split("&&")[0].split()
    done = subprocess.run(["make", "-n", *words[1:]], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [command for command, where in ELSEWHERE.items() if where == "by hand"])
def test_a_benchmark_compiles(command, tmp_path):
    py_compile.compile(PROJECT / command.split()[1], cfile=str(tmp_path / "compiled"), doraise=True)


# --- a copy of the project ------------------------------------------------------------------------------------------


def make_python(folder):
    """A Python in the folder's `.venv` with the packages of the one that runs this, and the folder's own neurobust."""
    shutil.rmtree(folder / ".venv", ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    packages = next((folder / ".venv/lib").glob("python*")) / "site-packages"
    others = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "copy.pth").write_text("\n".join([str(folder / "src"), *others]) + "\n")
    for name, module, start in (("snakemake", "snakemake.cli", "main"), ("neurobust", "neurobust.cli.start", "start")):
        script = folder / ".venv/bin" / name
        # What installers write where a path has a space: `#!` cannot name such a Python.
        script.write_text(
            f"#!/bin/sh\n'''exec' \"{folder}/.venv/bin/python\" \"$0\" \"$@\"\n' '''\n"
            f"import sys\nfrom {module} import {start}\nsys.exit({start}())\n"
        )
        script.chmod(0o755)
    (folder / ".venv/.installed").touch()


def clone(folder, links=True):
    """A fresh clone: the files that git knows or would take, with the dates of now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, listed):
        source, target = PROJECT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink() and not links:
            target.write_text(str(source.readlink()))
        elif source.is_symlink() or source.exists():
            shutil.copyfile(source, target, follow_symlinks=False)
    tiny = yaml.safe_load((PROJECT / "tests/slurm/tiny.yaml").read_text())
    write_config(folder / "config/config.yaml", tiny | {"study": "nsd", "results": "results"})
    condition = tiny["conditions"]["V1"] | {"target": ["LO"]}
    write_config(folder / "config/demo.yaml", tiny | {
        "study": "demo", "results": "results/demo", "rois": {"LO": {"atlas": "Kastner2015", "labels": ["LO1", "LO2"]}},
        "conditions": {"none": tiny["conditions"]["none"], "LO": condition},
    })  # fmt: skip
    make_python(folder)
    return folder


def write_config(path, config):
    path.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))


def copy(source, target):
    """`cp -a`, and a Python that belongs there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", source, target], check=True)
    make_python(target)
    return target


def shell(command, folder, environment=None):
    """A command line in a shell whose environment is activated: (exit status, output)."""
    base = dict(environment or os.environ)
    base.pop("NSD_ACCEPT_TERMS", None)
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=1800,
        env={**base, "PATH": f"{folder}/.venv/bin:{base['PATH']}", "USER": "root", "GIT_PYTHON_REFRESH": "quiet"},
    )  # fmt: skip
    return done.returncode, done.stdout


def succeed(command, folder, environment=None):
    status, output = shell(command, folder, environment)
    assert status == 0, f"{command}\n{output[-5000:]}"
    return output


NAME = Path("mein Ordner ü/neurobust")
NOTHING = "Nothing to be done"


@pytest.fixture(scope="session")
def finished(once):
    """The tiny study, run once by the README's first command. Tests look at it and change copies of it."""

    def run(folder):
        output = succeed(RUN, clone(folder / NAME))
        assert re.search(r"results/demo/report/index\.html", output), "the report's path is printed"
        assert "none" in output and "LO" in output, "and the table"

    return once("finished", run) / NAME


@pytest.fixture(scope="session")
def used(finished, tmp_path_factory):
    """A copy of the finished study in which commands are run."""
    folder = copy(finished, tmp_path_factory.mktemp("used") / NAME)
    # docs/nsd.md: "in a copy of config/config.yaml, leave one line under data.subjects and ...", with its own phantom.
    block = next(
        b for b in re.findall(r"```yaml\n(.*?)```", (PROJECT / "docs/nsd.md").read_text(), re.S) if "splits" in b
    )
    told, study = yaml.safe_load(block), yaml.safe_load((folder / "config/config.yaml").read_text())
    study["data"] |= told.pop("data") | {"root": "resources/one-session"}
    write_config(folder / "my.yaml", study | told)
    return folder


# --- as printed -----------------------------------------------------------------------------------------------------

EXPECTED = {
    "make .venv/.installed && source .venv/bin/activate": r"mein Ordner ü/neurobust/\.venv\n",
    "snakemake all --configfile config/config.yaml -n": r"train_network +2\n",
    "snakemake --profile profiles/local -n": NOTHING,
    "snakemake -n": NOTHING,
    "snakemake --report report.zip": r"Report created\.",
    "snakemake doctor --cores 1 --configfile config/config.yaml": r"\d+ passed, 0 failed, \d+ skipped",
    "python -m neurobust.nsd doctor config/config.yaml": r"\d+ passed, 0 failed, \d+ skipped",
    "snakemake --profile profiles/local --configfile my.yaml -- results/cortex/subj01/V1.h5": "of V1 in subj01",
    "neurobust init mine --directory mine": r"wrote config\.yaml in mine; go there",
    "neurobust check config/config.yaml": r"config/config\.yaml: the study nsd can run: ",
    "neurobust plan": r"Study demo: \d+ jobs, \d+ done, 0 to do",
    "neurobust run": NOTHING,
    "neurobust run --roi LO": NOTHING,
    "neurobust status": r"study demo: nothing runs in this folder; its report is results/demo/report/index\.html",
    "neurobust status --html": r"study demo: (\d+) of \1 files are there; the page is results/demo/status\.html",
    "neurobust doctor": r"\d+ passed, 0 failed, \d+ skipped",
    "neurobust report": r"Report: results/demo/report/index\.html",
    "snakemake plan_download --cores 1 --configfile config/config.yaml": r"to fetch: ",
    "python -m neurobust.nsd plan config/config.yaml": r"to fetch: ",
    "snakemake --cores 1 --configfile config/config.yaml -- resources/nsd/neurobust/shared_images.json": (
        "fetching the shared images"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("command", LOCAL)
def test_on_one_machine(used, command):
    # What follows the README's `source` runs in that environment.
    after = "\npython -c 'import neurobust, sys; print(sys.prefix)'" if "activate" in command else ""
    assert re.search(EXPECTED.get(command, ""), succeed(command + after, used))
    if "--report" in command:
        with zipfile.ZipFile(used / "report.zip") as archive:
            (page,) = (name for name in archive.namelist() if name.endswith("report.html"))
            text = archive.read(page).decode()
        front = re.search(r"workflow_desc = (.+)", text)[1]
        assert "study <em>demo</em>" in front and "<strong>Rules.</strong>" in front, "its front page"
        start = "var rules = "
        rules, _ = json.JSONDecoder().raw_decode(text, text.index(start) + len(start))
        assert {"extract_roi", "train_network", "write_roi_page"} <= set(rules), "its rules"
        assert "neurobust" in rules["train_network"]["code"] and rules["train_network"]["conda_env"]["dependencies"]


@pytest.mark.slow
def test_a_plain_start_where_the_path_of_python_has_a_space(finished, tmp_path):
    """By the executor `local`, which gives Python's path to a shell; `make run` starts jobs by warm workers."""
    folder = copy(finished, tmp_path / NAME)
    page = folder / "results/demo/report/index.html"
    page.unlink()
    succeed("snakemake --cores 1 --quiet rules", folder)
    assert page.exists()


@pytest.fixture(scope="module")
def mirrored(finished, tmp_path_factory):
    """A clone whose config/config.yaml fetches from a server on loopback that has the phantom of the finished study."""
    import logging

    import botocore.session
    from moto.server import ThreadedMotoServer

    from neurobust.nsd import layout
    from neurobust.nsd.design import load_design

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    # the servers of one process share their buckets, and other tests have had theirs
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")).close()
    client = botocore.session.get_session().create_client(
        "s3", region_name=layout.REGION, endpoint_url=endpoint, aws_access_key_id="a", aws_secret_access_key="b"
    )
    places = {"LocationConstraint": layout.REGION}
    client.create_bucket(Bucket=layout.BUCKET, ACL="public-read", CreateBucketConfiguration=places)
    root = finished / "resources/phantom"
    contents = {path.relative_to(root): path.read_bytes() for path in root.glob("nsddata*/**/*") if path.is_file()}
    drawn = io.BytesIO()
    Image.new("RGB", (425, 425)).save(drawn, "PNG")
    picture = drawn.getvalue()
    for number, image in enumerate(load_design(root).shared, start=1):
        contents[layout.shared_png(Path(), number, int(image))] = picture
    for key, content in contents.items():
        client.put_object(Bucket=layout.BUCKET, Key=key.as_posix(), Body=content, ACL="public-read")
    folder = clone(tmp_path_factory.mktemp("bucket") / NAME)
    study = yaml.safe_load((folder / "config/config.yaml").read_text())
    study["data"] |= {"source": "nsd", "root": "resources/nsd", "endpoint": endpoint, "accept_terms": True}
    del study["phantom"]
    write_config(folder / "config/config.yaml", study)
    yield folder
    server.stop()


@pytest.mark.slow
@pytest.mark.parametrize("command", BUCKET)
def test_with_a_bucket(mirrored, command):
    assert re.search(EXPECTED[command], succeed(command, mirrored))
    assert "json" not in command or (mirrored / command.split()[-1]).exists()


@pytest.mark.slow
@pytest.mark.slurm
def test_on_the_cluster(finished, cluster, tmp_path):
    """In the order of `CLUSTER`: the second study from nothing, then one ROI of the demo, and what is left of it."""
    folder = copy(finished, tmp_path / NAME)
    for name in ("report", "explain"):
        shutil.rmtree(folder / "results/demo" / name)
    ran = {}
    for command in CLUSTER:
        status, ran[command] = shell(command, folder, cluster.env)
        if "preflight" in command:
            # The test cluster's GPUs are no GPUs, which is the one thing that it finds.
            failed = set(re.findall(r"(?m)^FAIL +(\S+)", ran[command]))
            assert status == 1 and failed == {"GPU"}, ran[command][-5000:]
        else:
            assert status == 0, f"{command}\n{ran[command][-5000:]}"
    assert (folder / "results/report/index.html").exists()
    plan = ran["snakemake plan --profile slurm --configfile config/config.yaml"]
    assert re.search(r"Study nsd: \d+ jobs, 0 done", plan) and "measured on 1 jobs of the study demo" in plan
    again = ran["snakemake --profile slurm -R train_predictor -- results/demo/report/roi/LO.html"]
    assert re.search(r"train_predictor +1\n", again) and "extract_roi" not in again


# --- copies, moves, no profile, no links ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["", " --profile profiles/local"])
def test_results_in_a_fresh_clone_and_a_moved_folder_are_not_made_again(finished, tmp_path, profile):
    """With and without a profile. A script's date is new in the clone; its content counts."""
    command = f"snakemake all --configfile config/demo.yaml -n{profile}"
    fresh = clone(tmp_path / "clone")
    for name in ("results", "resources", ".snakemake"):
        subprocess.run(["cp", "-a", finished / name, fresh / name], check=True)
    assert NOTHING in succeed(command, fresh)
    fresh.rename(tmp_path / "moved folder")
    make_python(tmp_path / "moved folder")
    assert NOTHING in succeed(command, tmp_path / "moved folder")
    script = tmp_path / "moved folder/workflow/scripts/report/write_index.py"
    script.write_text(script.read_text() + "# changed\n")
    assert re.search(r"write_index +1\n", succeed(command, tmp_path / "moved folder"))


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["", " --profile profiles/local"])
def test_touched_data_and_results_are_not_made_again(finished, tmp_path, profile):
    """A dataset is above the size up to which Snakemake itself compares content."""
    folder = copy(finished, tmp_path / "touched")
    files = [path for name in ("results", "resources") for path in (folder / name).rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in files if path.name == "dataset.h5") > 1_000_000
    for path in sorted(files, reverse=True):  # not in the order in which they were made
        os.utime(path)
    assert NOTHING in succeed(f"snakemake -n{profile}", folder)
    with h5py.File(folder / "results/demo/networks/digits/dataset.h5", "r+") as file:
        file.attrs["changed"] = "by hand"
    assert re.search(r"train_network +2\n", succeed(f"snakemake -n{profile}", folder))


@pytest.mark.slow
def test_triggers_that_a_user_names_are_used(finished, tmp_path):
    folder = copy(finished, tmp_path / "dates")
    os.utime(folder / "workflow/scripts/report/write_index.py")
    assert NOTHING in succeed("snakemake -n", folder)
    assert re.search(r"write_index +1\n", succeed("snakemake -n --rerun-triggers code mtime", folder))


def test_a_zip_without_links(tmp_path):
    folder = clone(tmp_path / "zip", links=False)
    assert (folder / "slurm").stat().st_size == 14
    for command in ("snakemake --profile slurm all", "snakemake all --profile=slurm -n"):
        status, output = shell(command, folder)
        assert status == 1 and output.count("\n") == 1, output
        assert output.startswith("neurobust: error: ./slurm is a file and not the link to profiles/slurm")
        assert all(fix in output for fix in UNZIPPED)
    assert "train_network" in succeed("snakemake --profile profiles/slurm all -n", folder)
    for fix in UNZIPPED:
        succeed(fix, folder)
    assert "train_network" in succeed("snakemake --profile slurm all -n", folder)


def test_a_root_that_cannot_be_written_is_one_line_before_any_job(project, snakemake, tmp_path):
    config = yaml.safe_load((project / "tests/slurm/tiny.yaml").read_text())
    config["data"]["root"] = "/proc/nsd"  # where nobody can make a folder
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(
        *("--configfile", tmp_path / "study.yaml", "--cores", "1", "--", "make_phantom"),
        directory=tmp_path,
        check=False,
    )
    assert done.returncode == 1 and "Traceback" not in done.text
    assert "neurobust: error: /proc/nsd: cannot be written (" in done.text and "name another folder" in done.text
