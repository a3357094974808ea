"""The names of timm's models, which are looked up without importing it."""

import subprocess
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

from neurobust.core.errors import InputError
from neurobust.core.timm_names import check_timm, timm_names


@pytest.mark.slow
def test_names_of_timm_are_read_off_its_source_and_are_those_that_it_registers():
    timm = pytest.importorskip("timm")
    assert set(timm_names()) == {name for name in dir(timm.models) if timm.is_model(name)}
    for name in timm_names():
        check_timm(name, "core")
    check_timm("resnet18.a1_in1k", "core")
    with pytest.raises(InputError, match=r"core: timm has no model 'resnt18'; choose one of .*nearest: resnet18$"):
        check_timm("resnt18", "core")


def test_a_model_that_a_script_registers_with_timm_is_let_pass(monkeypatch):
    monkeypatch.setattr("neurobust.core.timm_names.timm_names", lambda: ("resnet18",))
    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(is_model=lambda name: name == "mine"))
    check_timm("mine", "core")
    with pytest.raises(InputError, match="timm has no model 'hers'"):
        check_timm("hers", "core")


def test_nothing_is_imported_for_them():
    if find_spec("timm") is None:
        pytest.skip("timm is not installed")
    code = (
        "import sys; from neurobust.core.timm_names import timm_names; assert len(timm_names()) > 1000; "
        "assert not {'torch', 'timm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_where_timm_s_source_says_nothing_every_name_passes(monkeypatch):
    monkeypatch.setattr("neurobust.core.timm_names.timm_names", tuple)
    check_timm("whatever", "core")
