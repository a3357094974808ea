"""What a script does around its call: one line for the user's errors, a traceback for ours."""

from types import SimpleNamespace

import pytest

from neurobust.core.errors import InputError
from neurobust.core.progress import Progress, clock
from neurobust.core.script import run


@pytest.fixture
def snakemake_object(tmp_path):
    return SimpleNamespace(log=[str(tmp_path / "rule.log")], threads=1)


def fail(error):
    raise error


@pytest.mark.parametrize("error", [InputError("a.h5: broken\n  delete it"), OSError(28, "No space left on device")])
def test_a_users_error_is_one_line(snakemake_object, capsys, tmp_path, error):
    with pytest.raises(SystemExit) as caught:
        run(snakemake_object, fail, error=error)
    assert caught.value.code == 1
    shown = capsys.readouterr().err.strip()
    assert shown.startswith("neurobust: error: ") and "\n" not in shown
    log = (tmp_path / "rule.log").read_text()
    assert "Traceback" not in log and len(log.strip().splitlines()) == 1


def test_a_bug_keeps_its_traceback(snakemake_object, tmp_path):
    with pytest.raises(ZeroDivisionError):
        run(snakemake_object, lambda: 1 / 0)
    assert "Traceback" in (tmp_path / "rule.log").read_text()


def test_progress_says_what_is_left(caplog):
    with caplog.at_level("INFO", logger="neurobust"):
        progress = Progress(4, "work", interval=0)
        progress.step(note="loss 0.5")
        progress.step(3)
    assert "work: 1/4 (25 %)" in caplog.text and "loss 0.5" in caplog.text and "work: 4/4 (100 %)" in caplog.text
    assert clock(3723) == "1:02:03" and clock(65) == "1:05"
