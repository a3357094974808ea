"""Benchmarks that this machine cannot run in full run in miniature. No test looks at a time."""

import importlib.util
import re
import subprocess
import sys

import pytest


@pytest.fixture
def benchmark(project, monkeypatch):
    """benchmark(name): a file of benchmarks/ as a module."""
    monkeypatch.syspath_prepend(str(project / "benchmarks"))

    def benchmark(name):
        spec = importlib.util.spec_from_file_location(name, project / f"benchmarks/{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return benchmark


def test_readers_give_the_same_bytes_and_a_simulated_gpu_is_fed(benchmark, capsys, monkeypatch):
    reader = benchmark("reader")
    monkeypatch.setattr(reader, "STEPS", (0, 1))
    monkeypatch.setattr(reader, "THREADS", (1, 8))
    reader.main(["--images", "6", "--side", "20", "--repeats", "1", "--batches", "9", "--real"])
    printed = capsys.readouterr().out
    shares = [float(share) for share in re.findall(r"readers (\S+?)[,\n]", printed)]
    assert len(shares) == 4 and shares[:2] == [0, 0] and all(0 < share <= 1 for share in shares[2:])
    monkeypatch.setitem(reader.READERS, "as it is", lambda images, rows: (images[rows], images[rows]))
    with pytest.raises(AssertionError, match="not equal"):
        reader.main(["--images", "6", "--side", "20", "--repeats", "1", "--batches", "1"])


@pytest.mark.slow
def test_the_script_for_a_gpu_runs_in_miniature(benchmark, capsys):
    """Every number that it is for is there; the adversarials of any precision are judged in float32."""
    benchmark("gpu").main(["--miniature"])
    printed = capsys.readouterr().out
    loops = ("guided, G-net in the loop", "the same, G-net in bfloat16", "guided, versions", "a version, seen")
    for name in ("plain", "guided, cached targets", *loops, "training step", "readout"):
        (rate,) = re.findall(rf"^  {name} +(\S+) images/s", printed, re.M)
        assert float(rate) > 0
    found = re.findall(r"^  (\S+) +\S+ images/s, robust accuracy (.+) in the search, (.+) in float32$", printed, re.M)
    assert [name for name, *_ in found] == ["float32", "TF32", "bfloat16"]
    assert all(0 <= float(share) <= 100 for _, *sides in found for side in sides for share in side.split())
    assert found[0][1] == found[0][2], "what float32 finds is an adversarial in float32"


@pytest.mark.slow
def test_the_report_of_a_made_up_study_is_built_step_by_step(project, tmp_path):
    command = [sys.executable, project / "benchmarks/report.py", "--folder", tmp_path / "made-up"]
    done = subprocess.run([*command, "--rois", "LO", "TO", "--seeds", "3"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    costs = dict(re.findall(r"^(.+?) +([\d.]+) CPU s", done.stdout, re.M))
    assert list(costs) == ["imports", "tables", "figures", "pages", "page of LO", "page of TO", "all"]
    assert float(costs["all"]) == pytest.approx(sum(float(costs[name]) for name in list(costs)[:-1]), abs=0.5)
    assert (tmp_path / "made-up/report/roi/TO.html").exists() and "index.html" in done.stdout
