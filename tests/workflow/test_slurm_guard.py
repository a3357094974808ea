"""The fixes of the executor plugin: what hung before does not, and nothing is touched where it is not needed."""

import asyncio
import logging
import sys
from types import SimpleNamespace

import pytest

from neurobust.core import slurm

plugin = pytest.importorskip(slurm.MODULE)
log = logging.getLogger("test")


@pytest.fixture
def untouched(monkeypatch):
    """The plugin as installed, whatever a test does to it."""
    for name in ("query_job_status", "get_min_job_age"):
        monkeypatch.setattr(plugin, name, getattr(plugin, name))
    monkeypatch.setattr(plugin, "guarded", False, raising=False)
    return plugin


def workflow(**settings):
    return SimpleNamespace(executor_settings=plugin.ExecutorSettings(**settings))


def answers(*states):
    """A status query that gives these answers, one a call."""
    left = list(states)

    async def query(command, log):
        state = left.pop(0)
        return (None, None) if state is None else (state, 0.1)

    return query


def ask(query, **options):
    return asyncio.run(slurm.patient(query, first_wait=0.0, **options)("squeue", log))[0]


def test_the_installed_plugin_is_one_that_the_guard_knows():
    """When the plugin moves on, look whether it still has the faults: see docs/slurm.md."""
    assert slurm.needs_guard()


def test_cancelled_by_someone_is_cancelled():
    assert ask(answers({"1": "CANCELLED by 0", "2": "RUNNING"}), final_preemption=True) == {
        "1": "CANCELLED", "2": "RUNNING",
    }  # fmt: skip


def test_an_absent_cluster_is_asked_again_and_no_job_is_forgotten():
    assert ask(answers(None, None, {"1": "COMPLETED"}), final_preemption=True) == {"1": "COMPLETED"}


def test_patience_ends():
    assert ask(answers(None, None), final_preemption=True, patience=-1.0) is None


def test_pre_emption_is_final_only_without_requeue():
    assert ask(answers({"1": "PREEMPTED"}), final_preemption=True) == {"1": "CANCELLED"}
    assert ask(answers({"1": "PREEMPTED"}), final_preemption=False) == {"1": "PREEMPTED"}


@pytest.mark.parametrize(
    ("accounting", "state"),
    [({"1": "FAILED"}, "FAILED"), ({"1": "CANCELLED by 0"}, "CANCELLED"), ({}, "UNKNOWN"), (None, "UNKNOWN")],
)
def test_a_job_that_left_squeue_is_told_as_ended(accounting, state):
    """By accounting where there is some; else as UNKNOWN; then Snakemake looks for the outputs."""
    asked = []

    async def query(command, log):
        asked.append(command)
        return {"squeue": ({"1": "RUNNING", "2": "COMPLETED"}, 0.1), "sacct": (accounting, 0.1)}[command.split()[0]]

    async def later(command, log):
        return ({}, 0.1) if command.startswith("squeue") and len(asked) >= 1 else await query(command, log)

    async def two_polls():
        poll = slurm.patient(later, final_preemption=True)
        first = await poll("squeue", log)
        asked.append("slept")
        return first[0], (await poll("squeue", log))[0], (await poll("squeue", log))[0]

    first, second, third = asyncio.run(two_polls())
    assert first == {"1": "RUNNING", "2": "COMPLETED"}
    assert second == {"1": state}, "the finished job is not asked for again"
    assert third == {}, "its end is reported once"


def test_an_empty_state_stays():
    assert ask(answers({"1": ""}), final_preemption=True) == {"1": ""}


def test_min_job_age_is_remembered_while_the_controller_is_away():
    replies = [None, 300, None, 200]
    age = slurm.remembering(lambda: replies.pop(0))
    assert [age(), age(), age(), age()] == [None, 300, 300, 200]


def test_only_a_run_that_submits_is_guarded_and_only_once(untouched, monkeypatch):
    query = plugin.query_job_status
    for other in (
        SimpleNamespace(),
        SimpleNamespace(executor_settings=None),
        SimpleNamespace(executor_settings=object()),
    ):
        assert not slurm.guard(other)
    monkeypatch.setattr(slurm, "FIXED", ("99.",))
    assert not slurm.guard(workflow())
    assert plugin.query_job_status is query
    monkeypatch.undo()
    monkeypatch.setattr(plugin, "guarded", False, raising=False)
    monkeypatch.setattr(plugin, "query_job_status", query)
    monkeypatch.setattr(plugin, "get_min_job_age", plugin.get_min_job_age)
    assert slurm.guard(workflow(no_requeue=True))
    assert plugin.query_job_status is not query
    assert not slurm.guard(workflow(no_requeue=True)), "a second guard would wrap the first"


def test_without_the_plugin_nothing_happens(monkeypatch):
    monkeypatch.delitem(sys.modules, slurm.MODULE)
    assert not slurm.guard(workflow())


def test_status_settings():
    assert slurm.status_settings(SimpleNamespace()) == (None, 0.0)
    settings = workflow(status_command="squeue", init_seconds_before_status_checks=20)
    assert slurm.status_settings(settings) == ("squeue", 20.0)
