"""A file as YAML has it: what is no configuration, numbers of one meaning, keys, aliases, and files that are merged."""

from __future__ import annotations

import pytest
from snakemake.utils import update_config

from neurobust.core.errors import InputError
from neurobust.study.border import read_files
from neurobust.study.yaml_file import read_yaml

FILES = [
    (b"a: 1\x00", r"not YAML"),
    (b"\xff\xfea\x00", r":1: byte 0xff is not UTF-8"),
    (b"\x89PNG\r\n\x1a\n", r":1: byte 0x89 is not UTF-8"),
    (b"a: 1\n---\nb: 1\n", r":2: a second document"),
    (b"a: 'b\n", r"not YAML"),
    (b"a: !!python/name:os.system\n", r":1: the tag !!python/name:os.system means nothing"),
    (b"a:\n\tb: 1\n", r":2: a tab"),
    (b"3\n", r":1: 3 at its top"),
    (b"a: {1: 2}\n", r":1: a\.1: YAML reads the key 1 as a number; quote it"),
    (b"a:\n- yes: 2\n", r":2: a\.0\.yes: YAML reads the key yes as true; quote it"),
    (b"a: {b: 1, b: 2}\n", r":1: key 'b' stands at line 1 already"),
    (b"[" * 5000, r"not YAML"),
    (b"a: 0200\n", r":1: a: 0200: YAML reads it in base 8, as 128; write 200"),
    (b"a: {b: [1, -017]}\n", r":1: a\.b\.1: -017: YAML reads it in base 8, as -15; write -17"),
    (b"a: 1:30\n", r":1: a: 1:30: YAML reads it in base 60, as a time; write the number itself"),
    (b"a: 1:30.5\n", r":1: a: 1:30\.5: YAML reads it in base 60"),
    (b"a: 2020-13-45\n", r"not YAML: month must be in"),
]


@pytest.mark.parametrize(("data", "says"), FILES)
def test_a_file_that_is_no_configuration_is_one_line(data, says, tmp_path):
    file = tmp_path / "study.yaml"
    file.write_bytes(data)
    with pytest.raises(InputError, match=rf"study\.yaml:? ?.*{says}") as caught:
        read_yaml(file)
    assert "\n" not in str(caught.value)


def test_numbers_of_one_meaning_are_read(tmp_path):
    """Zero, underscores, the bases that say so, decimals with a zero before them, and what is quoted."""
    file = tmp_path / "study.yaml"
    file.write_text("a: [0, -0, 00, 1_000, 0x10, 0b11, 0.5, 007.5, '0200', '1:30']\n")
    assert read_yaml(file)["a"][:8] == [0, 0, 0, 1000, 16, 3, 0.5, 7.5]


def test_a_folder_or_an_absent_file_is_one_line(tmp_path):
    (tmp_path / "demo.yaml").write_text("a: 1\n")
    with pytest.raises(InputError, match=r"dem\.yaml: missing; correct the path; nearest: demo\.yaml$"):
        read_yaml(tmp_path / "dem.yaml")
    with pytest.raises(InputError, match=r": a folder; name a file in it$"):
        read_yaml(tmp_path)


def test_an_alias_may_not_stand_in_what_it_names(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text("a: &a\n  b: *a\n")
    with pytest.raises(InputError, match=r"study\.yaml:1: a: an alias \(\*\) stands inside of what it names"):
        read_files([file])


def test_files_are_merged_section_by_section():
    """By Snakemake's own function, which `read_files` takes too."""
    config = {"a": {"b": 1, "c": [1]}, "d": 2}
    update_config(config, {"a": {"c": [2]}, "d": {"e": 3}})
    assert config == {
        "a": {"b": 1, "c": [2]},
        "d": {"e": 3},
    }


def test_on_is_a_key_of_conditions_and_of_nothing_else(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text("conditions:\n  V1: {on: stimuli}\n")
    assert read_yaml(file)
    file.write_text("tasks:\n  V1: {on: stimuli}\n")
    with pytest.raises(InputError, match=r":2: tasks\.V1\.on: YAML reads the key on as true"):
        read_yaml(file)
