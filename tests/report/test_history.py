"""What a run went through, from what Snakemake and SLURM keep; and what the table of provenance says of it."""

import os
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from neurobust.core.io import read_json, write_text
from neurobust.core.machine import Machine, gpus, machines_folder, note_machine, noted_machines, this_machine
from neurobust.report import history
from neurobust.report.collect import collect_results
from neurobust.report.history import dates, energy, slurm_jobs, troubles
from neurobust.report.provenance import energy_words

# As Snakemake 9 writes it: a job that fails twice and is tried again once, one of another study, one that succeeds.
LOG = """
[Fri Nov 27 14:09:54 2026]
rule train_network:
    input: results/a/tasks/digits.h5
    output: results/a/networks/x.safetensors, results/a/networks/x.json
    jobid: 4

RuleException:
CalledProcessError in file "workflow/rules/networks.smk", line 7:
[Fri Nov 27 14:10:54 2026]
Error in rule train_network:
    message: None
    jobid: 4
    input: results/a/tasks/digits.h5
    output: results/a/networks/x.safetensors, results/a/networks/x.json
    log: logs/a/train_network/x.log (check log file(s) for error details)
    shell:
        python x
        (command exited with non-zero exit code)

Trying to restart job 4.
Select jobs to execute...
[Fri Nov 27 14:11:54 2026]
Error in rule train_network:
    message: None
    jobid: 4
    output: results/a/networks/x.safetensors, results/a/networks/x.json

[Fri Nov 27 14:11:55 2026]
Error in rule attack_network:
    jobid: 7
    output: results/ab/attacks/y.parquet

Trying to restart job 7.
[Fri Nov 27 14:12:00 2026]
Finished jobid: 9 (Rule: prepare_task)
"""


def test_failures_and_other_tries_are_those_of_the_study(tmp_path):
    write_text(tmp_path / "one.snakemake.log", LOG)
    write_text(tmp_path / "two.snakemake.log", LOG.replace("train_network:", "extract_roi:").replace("job 4", "job 5"))
    found = troubles("results/a", tmp_path)
    assert found.failed == {"train_network": 2, "extract_roi": 2}
    assert found.tried_again == 1, "job 5 of the second log is none that failed"
    other = troubles("results/ab", tmp_path)
    assert other.failed == {"attack_network": 2} and other.tried_again == 2
    assert troubles("results/a", tmp_path / "none") == ({}, 0)


def test_dates_are_those_of_benchmark_files(tmp_path):
    for name, hour in (("train/a.tsv", 5), ("train/b.jsonl", 9), ("report/own.tsv", 23), ("train/note.txt", 1)):
        write_text(tmp_path / name, "")
        when = datetime(2030, 1, 2, hour, 30, tzinfo=UTC).timestamp()
        os.utime(tmp_path / name, (when, when))
    assert dates(tmp_path) == ("2030-01-02 05:30 UTC", "2030-01-02 09:30 UTC")
    assert dates(tmp_path / "none") is None


def test_energy_is_each_jobs_largest_step(tmp_path):
    for name, number in (("a", 12), ("b/c", 7), ("b/d", 12)):
        write_text(
            tmp_path / f"{name}.log", f"10:00:00 INFO SLURM_JOB_ID={number}, SLURMD_NODENAME=n\nSLURM_JOB_ID=1x\n"
        )
    write_text(tmp_path / "late.log", " " * history.HEAD + "SLURM_JOB_ID=99")
    jobs = slurm_jobs(tmp_path)
    assert jobs == ["1", "7", "12"]
    said = "7|\n7.batch|3600000\n7.0|1800000\n12|1800000\n12.extern|\n12.batch|0\n8.batch|99\n"
    assert energy(jobs, lambda asked: said) == (5.4e6, 2), "a job that nobody asked about is no job of the study"
    assert energy(jobs, lambda asked: None) is None and energy(jobs, lambda asked: "7|0\n12|\n") is None
    assert slurm_jobs(tmp_path / "none") == []


def test_many_jobs_are_asked_about_in_parts():
    asked = []
    jobs = [str(number) for number in range(1201)]
    found = energy(jobs, lambda part: asked.append(len(part)) or "".join(f"{job}.batch|2\n" for job in part))
    assert asked == [500, 500, 201] and found == (2402.0, 1201)


def test_without_accounting_energy_is_not_measured(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert energy_words(["5"]) == energy_words([]) == "not measured"
    (tmp_path / "sacct").write_text("#!/bin/sh\necho '5.batch|7200000'\n")
    (tmp_path / "sacct").chmod(0o755)
    assert energy_words(["5", "6"]) == "2 kWh in 1 of 2 SLURM jobs, as sacct says"
    (tmp_path / "sacct").write_text("#!/bin/sh\necho 'no accounting' >&2; exit 1\n")
    assert energy_words(["5"]) == "not measured"


def test_machines_are_noted_once_by_kind_and_without_names(tmp_path):
    for place, model in enumerate(("NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3", "NVIDIA L4")):
        write_text(tmp_path / f"gpus/{place}/information", f"Model: \t\t {model}\nIRQ:   \t\t 1\n")
    assert gpus(tmp_path / "gpus") == {"NVIDIA H100 80GB HBM3": 2, "NVIDIA L4": 1} and gpus(tmp_path / "none") == {}
    write_text(tmp_path / "cpuinfo", "processor\t: 0\nmodel name\t: A Processor\n")
    found = this_machine(tmp_path / "cpuinfo", tmp_path / "gpus")
    for _ in range(2):
        note_machine(tmp_path / "results", found)
    note_machine(tmp_path / "results", replace(found, gpus={}))
    (first, second) = noted_machines(tmp_path / "results")
    assert first == f"A Processor, {os.cpu_count()} cores"
    assert second == f"{first}, 2 × NVIDIA H100 80GB HBM3, 1 × NVIDIA L4"
    files = [*machines_folder(tmp_path / "results").iterdir()]
    assert len(files) == 2 and all(set(read_json(file)) == {"processor", "cores", "gpus"} for file in files)
    (machines_folder(tmp_path / "results") / "broken.json").write_text("{")
    assert len(noted_machines(tmp_path / "results")) == 2


def test_a_folder_that_cannot_be_written_stops_no_job(tmp_path):
    (tmp_path / "results").write_text("a file in the place of the folder")
    note_machine(tmp_path / "results", Machine("x", 1))
    assert noted_machines(tmp_path / "results") == []


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to run in, as Snakemake does."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_table_says_when_how_long_where_and_what_failed(tiny_study, place):
    note_machine(tiny_study.root, Machine("A", 2, {"G": 1}))
    results = tiny_study.results
    write_text(place / ".snakemake/log/1.log", LOG.replace("results/a/", f"{results}/"))
    tables = collect_results(tiny_study)
    value = tables["provenance"].set_index("name")["value"]
    assert value["jobs ran on"] == "A, 2 cores, 1 × G" and value["energy"] == "not measured"
    assert value["failures of jobs"] == "2 (train_network 2)" and value["tried again"] == "1"
    seconds = tables["compute"].set_index("rule")["seconds_total"]
    assert value["hours of networks"] == f"{seconds['train_network'] / 3600:.2f}"
    assert value["hours of nsd"] == f"{seconds['extract_betas'] / 3600:.2f}"
    assert value["hours of all jobs"] == f"{seconds.sum() / 3600:.2f}"
    assert value["first job ended"] <= value["last job ended"] and value["last job ended"].endswith(" UTC")
    own = collect_results(tiny_study, extras=False)["provenance"]
    assert not set(own["part"]) & {"work", "machine"}, "what another run would not share is on no ROI's page"
