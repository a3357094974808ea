"""One process at a time, whatever becomes of the others."""

import logging
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from neurobust.core import locks
from neurobust.core.locks import alone


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(locks, "PAUSE", 0.001)


def test_many_threads_are_one_at_a_time_and_leave_nothing(tmp_path):
    inside, most, turns = 0, 0, []

    def work():
        nonlocal inside, most
        for _ in range(20):
            with alone(tmp_path / "below/x.lock", "x"):
                inside += 1
                most = max(most, inside)
                time.sleep(0.0005)
                turns.append(inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, len(turns)) == (1, 160)
    assert not list((tmp_path / "below").iterdir())


def test_a_failure_frees_it(tmp_path):
    with pytest.raises(ValueError, match="inside"), alone(tmp_path / "x.lock", "x"):
        raise ValueError("inside")
    with alone(tmp_path / "x.lock", "x"):
        pass


def hold(lock: Path) -> None:
    with alone(lock, "x"):
        time.sleep(60)


def test_who_waits_says_so_and_goes_on_when_the_holder_is_killed(tmp_path, caplog):
    lock = tmp_path / "x.lock"
    holder = multiprocessing.get_context("fork").Process(target=hold, args=(lock,))
    holder.start()
    while not lock.exists():
        time.sleep(0.005)
    time.sleep(0.05)
    done = threading.Event()

    def wait():
        with alone(lock, "the file"):
            done.set()

    thread = threading.Thread(target=wait)
    with caplog.at_level(logging.INFO, "neurobust"):
        thread.start()
        assert not done.wait(0.1)
        os.kill(holder.pid, signal.SIGKILL)
        holder.join()
        assert done.wait(10)
    thread.join()
    assert [record.getMessage() for record in caplog.records] == [
        "the file: waiting for another process that is at it, 0:00 so far"
    ]
    assert not lock.exists()
