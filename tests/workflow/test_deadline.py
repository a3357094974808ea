"""Leaving in time: at a boundary, with a line and status 75, and the retry ends with the same numbers."""

import logging
import os
import signal
import stat
from types import SimpleNamespace

import pytest
import torch

from neurobust.core import deadline, script
from neurobust.core.training import train_epochs


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves when told to."""
    state = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(deadline.time, "monotonic", lambda: state.now)
    return state


@pytest.fixture
def watch(monkeypatch):
    """Make `check()` ask this watch."""

    def make(left=None):
        monkeypatch.setattr(deadline, "current", deadline.Watch(left))
        return deadline.current

    return make


def pieces_done(clock, seconds):
    """How many pieces of so many seconds are begun before `check` says no."""
    done = 0
    with pytest.raises(deadline.OutOfTime) as caught:
        while done < 1000:
            deadline.check()
            clock.now += seconds
            done += 1
    return done, str(caught.value)


def test_no_piece_is_begun_that_would_pass_the_limit(clock, watch):
    watch(left=100)
    done, line = pieces_done(clock, 20)
    assert done == 4, "80 s of work and the margin fit into 100 s, a fifth piece does not"
    assert "left 20 s before" in line and "up to 20 s" in line and "runtime" in line


def test_the_longest_piece_counts(clock, watch):
    watch(left=100)
    deadline.check()
    clock.now += 40
    deadline.check()
    clock.now += 1
    deadline.check()
    clock.now += 10
    with pytest.raises(deadline.OutOfTime):
        deadline.check()


def test_the_first_piece_is_tried_whatever_it_takes(clock, watch):
    """Else a limit below one piece would never get anywhere, and no retry with more time would know it."""
    watch(left=deadline.MARGIN + 1)
    deadline.check()


def test_without_a_limit_nothing_is_left(clock, watch):
    watch(left=None)
    for _ in range(100):
        deadline.check()
        clock.now += 1e6


def test_sigterm_leaves_at_once_if_the_piece_is_long_and_at_its_end_if_short(clock, watch):
    long = watch()
    deadline.check()
    clock.now += 500
    deadline.check()
    with pytest.raises(deadline.OutOfTime, match="SIGTERM received: left at once"):
        long.on_signal(signal.SIGTERM, None)
    short = watch()
    deadline.check()
    clock.now += 5
    deadline.check()
    clock.now += 2
    short.on_signal(signal.SIGTERM, None)
    with pytest.raises(deadline.OutOfTime, match="everything saved"):
        deadline.check()


def test_sigterm_in_the_first_piece_leaves_at_once(watch):
    first = watch()
    deadline.check()
    with pytest.raises(deadline.OutOfTime):
        first.on_signal(signal.SIGTERM, None)


def test_out_of_time_is_no_exception_that_a_fallback_eats():
    assert not issubclass(deadline.OutOfTime, Exception)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0:12", 12), ("10:00", 600), ("1:02:03", 3723), ("2-00:00:01", 172801), ("45", 45), ("INVALID", None),
     ("NOT_SET", None), ("", None)],
)  # fmt: skip
def test_durations_of_squeue(text, seconds):
    assert deadline.parse_duration(text) == seconds


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """A squeue that answers what it is told to."""

    def install(answer):
        command = tmp_path / "squeue"
        command.write_text(f"#!/bin/sh\necho '{answer}'\n")
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.setenv("SLURM_JOB_ID", "7")

    return install


def test_the_limit_is_what_slurm_says_then_what_the_rule_asked_for(squeue, monkeypatch):
    resources = SimpleNamespace(runtime=2)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert deadline.time_left(resources) is None, "nobody enforces a limit outside SLURM"
    squeue("5:00")
    assert deadline.time_left(resources) == 300
    squeue("UNLIMITED")
    assert deadline.time_left(resources) is None
    squeue("slurm_load_jobs error: no controller")
    assert deadline.time_left(resources) == 120
    assert deadline.time_left(None) is None


def test_a_script_out_of_time_ends_with_75_and_one_line(tmp_path, capsys):
    def work():
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    handlers = logging.getLogger().handlers[:]
    log = tmp_path / "log"
    try:
        with pytest.raises(SystemExit) as caught:
            script.run(SimpleNamespace(log=[str(log)], threads=1), work)
    finally:
        logging.getLogger().handlers[:] = handlers
        logging.captureWarnings(False)
    assert caught.value.code == deadline.EXIT_STATUS
    assert signal.getsignal(signal.SIGTERM) is before
    assert capsys.readouterr().err.startswith("neurobust: error: SIGTERM received")
    assert "Traceback" not in log.read_text() and "a retry goes on" in log.read_text()


def train(checkpoint, epochs=6, after_epoch=lambda: None):
    """A few noisy steps of a tiny model; its weights."""
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def run_epoch(epoch):
        optimiser.zero_grad()
        loss = model(torch.randn(8, 3)).square().mean()
        loss.backward()
        optimiser.step()
        after_epoch()
        return {"loss": loss.item()}

    parts = {"model": model, "optimiser": optimiser}
    history = train_epochs(
        parts=parts, run_epoch=run_epoch, epochs=epochs, seed=0, checkpoint=checkpoint, fingerprint="x", label="toy"
    )
    return model.weight.detach().clone(), history


def test_training_leaves_in_time_and_goes_on_bit_for_bit(tmp_path, clock, watch):
    def pass_time():
        clock.now += 30

    whole, history = train(None)
    attempts = 0
    while True:
        watch(left=90)
        attempts += 1
        try:
            weight, pieced = train(tmp_path / "c.pt", after_epoch=pass_time)
            break
        except deadline.OutOfTime:
            assert attempts < 6
    assert attempts == 3, "two epochs of 30 s an attempt"
    assert torch.equal(weight, whole) and pieced == history


def test_training_that_saves_nothing_does_not_leave(clock, watch):
    watch(left=1)
    train(None)
