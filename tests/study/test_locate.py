"""An error of a configuration names the file and the line of its key."""

import pytest

from neurobust.core.errors import InputError
from neurobust.study.locate import located

FIRST = """study: a
conditions:
  V1: {weight: 1}
  V1.5:
    weight: 2
rois:
  LO: {labels: [a, b]}
"""
SECOND = """conditions:
  V1:
    loss: mse
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "first.yaml").write_text(FIRST)
    (tmp_path / "second.yaml").write_text(SECOND)
    return [tmp_path / "first.yaml", tmp_path / "second.yaml"]


@pytest.mark.parametrize(
    ("message", "file", "line"),
    [
        ("config.conditions.V1.5.weight: 2: too much", 0, 5),
        ("config.conditions.V1.loss: 'mse' is not known", 1, 3),
        ("config.rois.LO.labels.1: 'b': no", 0, 7),
        ("config.conditions.V1: unknown key 'x'", 1, 2),
        ("config.rois.FFA: missing", 0, 6),
        ("config.conditions.V1: unknown key 'loss'; known keys are weight", 1, 3),
        ("config.conditions: key 'V1.5' is not allowed here; expected text", 0, 4),
        ("config: unknown key 'study'; known keys are name", 0, 1),
    ],
)
def test_the_file_and_line_of_a_key(files, message, file, line):
    text = str(located(InputError(message), files))
    assert text == f"{files[file]}:{line}: {message.removeprefix('config').lstrip('.: ')}"


def test_what_stands_nowhere_names_the_last_file(files):
    assert str(located(InputError("config: missing key 'seeds'"), files)) == f"{files[1]}: missing key 'seeds'"
    assert str(located(InputError("config.seeds: [0, 0]"), [])) == "config.seeds: [0, 0]"


def test_other_errors_stay_as_they_are(files):
    assert str(located(InputError("a/b.h5: not readable"), files)) == "a/b.h5: not readable"
