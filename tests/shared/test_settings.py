"""Settings: what is read, what is refused in which words, and what a schema and a reference are made from."""

from __future__ import annotations

from typing import Annotated, Literal

import jsonschema
import pytest
from msgspec import Meta

from neurobust.core.errors import InputError
from neurobust.core.settings import (
    Count,
    Names,
    Positive,
    Settings,
    about,
    brief,
    choices,
    field_names,
    options,
    read,
    schema,
    written,
)


class Part(Settings, kw_only=True):
    sessions: Annotated[int, Meta(ge=1, le=40), about("that the subject ran")]


class Loss(Settings):
    kind: Literal["one", "another"] = "one"


class Whole(Settings, kw_only=True):
    size: Annotated[Count, about("side of an image", "pixels")]
    warm: Annotated[Count | None, about("default: as many as steps")] = None
    names: Annotated[Names, about("of layers")] = ("a",)
    alphas: tuple[Positive, ...] = (1.0,)
    loss: Loss | None = None
    parts: dict[Annotated[str, Meta(pattern="^subj0[1-8]$")], Part] = {}  # noqa: RUF012


def test_defaults_are_filled_in_and_lists_are_tuples():
    found = read(Whole, {"size": 3, "names": ["b", "c"], "alphas": [2]}, "config")
    assert found == Whole(size=3, names=("b", "c"), alphas=(2.0,))
    assert written(found)["warm"] is None and written(found)["loss"] is None
    with pytest.raises(AttributeError):
        found.size = 4


def test_brief_leaves_out_what_is_at_its_default_at_any_depth():
    assert brief(read(Whole, {"size": 3, "loss": {"kind": "one"}}, "")) == {"size": 3, "loss": {}}
    given = {"size": 3, "loss": {"kind": "another"}, "names": ["b"], "parts": {"subj01": {"sessions": 2}}}
    found = read(Whole, given, "")
    again = read(Whole, brief(found), "")
    assert again == found


FAULTS = [
    ({}, "config: missing key 'size'"),
    ({"size": 0}, "config.size: 0: expected a whole number >= 1"),
    ({"size": 1.5}, "config.size: 1.5: expected a whole number"),
    ({"size": 1, "x": 2}, "config: unknown key 'x'; known keys are size, warm, names, alphas, loss, parts"),
    ({"size": 1, "warm": 0}, "config.warm: 0: expected a whole number >= 1"),
    ({"size": 1, "names": []}, "config.names: []: expected a list of length >= 1"),
    ({"size": 1, "names": ["a", "a"]}, "config.names: ['a', 'a'] has non-unique elements; name 'a' once"),
    ({"size": 1, "names": "a"}, "config.names: 'a': expected a list, got text"),
    ({"size": 1, "alphas": [1, 0]}, "config.alphas.1: 0: expected a number > 0"),
    ({"size": 1, "loss": {"kind": "two"}}, "config.loss.kind: 'two' is not known; choose one of one, another"),
    ({"size": 1, "loss": {"kid": 1}}, "config.loss: unknown key 'kid'; known keys are kind"),
    ({"size": 1, "parts": {"subj01": {"sessions": 1}, "subj02": {"sessions": 41}}},
     "config.parts.subj02.sessions: 41: expected a whole number <= 40"),
    ({"size": 1, "parts": {"subj01": {"sessions": 1}, "subj02": {}}}, "config.parts.subj02: missing key 'sessions'"),
    ({"size": 1, "parts": {"subj09": {"sessions": 1}}}, "config.parts: key 'subj09' is not allowed here"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "message"), FAULTS, ids=[message[:50] for _, message in FAULTS])
def test_a_fault_names_the_key_the_value_and_what_is_allowed(given, message):
    with pytest.raises(InputError) as caught:
        read(Whole, given, "config")
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_the_schema_refuses_what_is_refused():
    validator = jsonschema.Draft202012Validator(schema(Whole))
    for given, message in FAULTS:
        assert not validator.is_valid(given), message
    assert validator.is_valid({"size": 3, "warm": None, "names": ["b"], "loss": {"kind": "another"}})


def test_options_say_type_default_unit_and_help():
    size, warm, names, *_ = options(Whole)
    assert (size.name, size.type, size.unit, size.help) == ("size", "whole number >= 1", "pixels", "side of an image")
    assert size.required and not warm.required and warm.default is None
    assert names.default == ("a",) and names.type == "list of text"
    assert field_names(Whole) == ["size", "warm", "names", "alphas", "loss", "parts"]
    assert choices(Loss, "kind") == ("one", "another") and choices(Whole, "size") == ()
