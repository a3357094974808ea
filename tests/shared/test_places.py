"""Registries: what another package registers wrongly is one line that names its entry point."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from neurobust.attacks.description import Attack
from neurobust.core import places
from neurobust.core.errors import InputError
from neurobust.networks.description import Loss

OWN = {"pgd": "neurobust.attacks.gradient_settings:PGD"}
OUTSIDE = "neurobust.attacks.noise_settings"


@pytest.fixture
def registry(monkeypatch):
    """Makes a registry with one entry of another package."""

    def make(value, name="mine", kind=Attack):
        entries = EntryPoints([EntryPoint(name, value, "neurobust.attacks")])
        monkeypatch.setattr(places, "registered", lambda: entries)
        return places.Places(OWN, "neurobust.attacks", kind)

    return make


def test_an_entry_is_what_it_must_be(registry):
    found = registry(f"{OUTSIDE}:Uniform")
    assert issubclass(found.find("mine", "here"), Attack) and list(found) == ["pgd", "mine"]
    assert isinstance(registry("neurobust.networks.losses_settings:MSE", kind=Loss)["mine"], Loss)
    with pytest.raises(KeyError):
        found["yours"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("not_there.at_all:X", "cannot be imported (ModuleNotFoundError: No module named 'not_there'"),
        (f"{OUTSIDE}:Nothing", "cannot be imported (AttributeError: "),
        (OUTSIDE, "cannot be imported (AttributeError: "),
        ("neurobust.networks.losses_settings:MSE", "is not a subclass of Attack (neurobust.attacks.description)"),
        ("neurobust.networks.tasks.digits_settings:Digits", "is not a subclass of Attack"),
    ],
)
def test_a_wrong_entry_is_one_line(registry, value, message):
    with pytest.raises(InputError) as caught:
        registry(value).find("mine", "here")
    text = str(caught.value)
    assert text.startswith(f"entry point 'mine' of neurobust.attacks: {value} {message}") and "\n" not in text


def test_a_class_is_no_object_of_it(registry):
    with pytest.raises(InputError, match=r"is not a Loss \(neurobust\.networks\.description\)"):
        registry("neurobust.networks.description:Loss", kind=Loss)["mine"]


def test_a_name_of_ours_is_taken(registry):
    with pytest.raises(InputError, match="both have this name"):
        list(registry(f"{OUTSIDE}:Uniform", name="pgd"))


@pytest.mark.parametrize("name", [[], {}, None, 3])
def test_what_is_no_text_is_not_known(registry, name):
    with pytest.raises(InputError, match="is not known; choose one of pgd, mine"):
        registry(f"{OUTSIDE}:Uniform").find(name, "here")
