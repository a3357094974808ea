"""The claims ledger: what is read from it, and every fault as one line with file, line and key."""

import jsonschema
import pytest
import yaml

from neurobust.core.errors import InputError
from neurobust.study.border import read_files
from neurobust.study.claims import Claim, Contrast, read_claims, with_claims
from neurobust.study.read import read_study
from neurobust.study.schema import claims_schema, claims_schema_text

LEDGER = """first:
  says: LO helps
  source: us
  contrasts:
  - {condition: LO, baseline: none}
  - {condition: LO, baseline: shuffled, attack: linf}
second:
  says: later areas help more
  source: them
  order: [V1, LO, TO]
  margin: 0.01
"""


@pytest.fixture
def ledger(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text(LEDGER)
    return path


def test_a_ledger_is_read_in_its_order(ledger):
    claims = read_claims(ledger)
    assert list(claims) == ["first", "second"]
    first, second = claims.values()
    assert first.contrasts[1] == Contrast(condition="LO", baseline="shuffled", attack="linf")
    assert (first.contrasts[0].attack, first.direction, first.margin) == ("primary", "more", 0.03)
    assert second == Claim(says="later areas help more", source="them", order=("V1", "LO", "TO"), margin=0.01)


FAULTS = [
    ("baseline: none", "baselin: none", 5, "first.contrasts.0: unknown key 'baselin'; known keys are condition"),
    ("attack: linf", "attack: 3", 6, "first.contrasts.1.attack: 3: expected text"),
    ("  source: us\n", "", 1, "first: missing key 'source'"),
    ("says: LO helps", "says: ''", 2, "first.says: '': expected text of length >= 1"),
    ("margin: 0.01", "margin: 0", 11, "second.margin: 0: expected a number > 0"),
    ("[V1, LO, TO]", "[V1, LO]", 7, "second: `order` needs at least three ROIs"),
    ("[V1, LO, TO]", "[V1, LO, LO]", 10, "second.order: ['V1', 'LO', 'LO'] has non-unique elements"),
    ("  order: [V1, LO, TO]\n", "", 7, "second: give either `contrasts` or `order`"),
    ("margin: 0.01", "direction: up", 11, "second.direction: 'up' is not known; choose one of more, less, no-more"),
    ("margin: 0.01", "direction: less", 7, "second: `order` goes from the least to the most helpful ROI"),
    ("source: us", "source: us\n  direction: no-more", 1, "first: `direction: no-more` goes with one contrast"),
    ("attack: linf", "measure: size", 1, "first: all `contrasts` of a claim have one `measure`"),
    ("second:", "first:", 7, "key 'first' stands at line 1 already"),
    ("second:", "a b:", 7, "key 'a b' is not allowed here"),
]


@pytest.mark.parametrize(("old", "new", "line", "message"), FAULTS, ids=[fault[3][:40] for fault in FAULTS])
def test_every_fault_is_one_line_with_file_line_and_key(ledger, old, new, line, message):
    ledger.write_text(LEDGER.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        read_claims(ledger)
    assert str(caught.value).startswith(f"{ledger}:{line}: {message}") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", ":1: a list at its top; expected a mapping"),
        ("a: [", ":2: not YAML: "),
        ("", ": empty; expected a mapping"),
    ],
)
def test_what_is_no_ledger_is_named(ledger, text, message):
    ledger.write_text(text)
    with pytest.raises(InputError, match=rf"claims\.yaml{message}") as caught:
        read_claims(ledger)
    assert "\n" not in str(caught.value)
    ledger.unlink()
    with pytest.raises(InputError, match=r"claims\.yaml: missing: the file of claims"):
        read_claims(ledger)


def test_a_study_names_a_file_or_has_its_claims_itself(demo_config, ledger, monkeypatch, tmp_path):
    assert read_study({**demo_config, "claims": None}).claims == {}
    monkeypatch.chdir(tmp_path)
    named = read_study({**demo_config, "claims": "claims.yaml"})
    inside = with_claims({**demo_config, "claims": "claims.yaml"})
    assert inside["claims"] == yaml.safe_load(LEDGER) and read_study(inside).claims == named.claims
    assert list(named.claims) == ["first", "second"]
    found = with_claims({"claims": "claims.yaml"}, tmp_path / "elsewhere", tmp_path)
    assert found == {"claims": inside["claims"]}, "looked for in one folder after the other"
    assert with_claims({"study": "a"}) == {"study": "a"}


def test_faults_of_claims_inside_a_configuration_have_its_path(demo_config):
    claims = {"a": {"says": "x", "source": "y", "contrasts": [{"condition": "LO"}]}}
    with pytest.raises(InputError) as caught:
        read_study({**demo_config, "claims": claims})
    assert str(caught.value) == "config.claims.a.contrasts.0: missing key 'baseline'"
    with pytest.raises(InputError, match=r"no\.yaml: missing: the file of claims"):
        read_study({**demo_config, "claims": "config/no.yaml"})


def test_the_shipped_ledger_is_valid_and_has_what_was_claimed(project):
    claims = read_claims(project / "config/claims.yaml")
    contrasts = {(c.condition, c.baseline) for claim in claims.values() for c in claim.contrasts}
    assert {("LO", "V1"), ("V1", "none"), ("LO", "none"), ("FFA", "none"), ("LO", "low-pass")} <= contrasts
    assert {("LO", control) for control in ("shuffled", "random", "pixels", "labels")} <= contrasts
    attacks = {c.attack for claim in claims.values() for c in claim.contrasts}
    assert {"linf", "hue", "cadv", "semanticadv"} <= attacks
    assert any(claim.order == ("V1", "V2", "hV4", "LO", "TO") for claim in claims.values())
    assert all(number in claims["V1-widens-the-margin"].says for number in ("0.0034", "0.0030", "0.0025"))


@pytest.mark.parametrize("files", [["demo"], ["calibration", "calibration-hue"]])
def test_what_is_claimed_of_colour_is_measured_where_it_is_said(project, files):
    """An attack that a claim names and a study renames would read as untested on its page."""
    study, _ = read_files([project / f"config/{file}.yaml" for file in files], project)
    contrasts = [c for claim in study.claims.values() for c in claim.contrasts if c.attack == "cadv"]
    assert contrasts
    named = {name for contrast in contrasts for name in (contrast.condition, contrast.baseline)}
    assert named <= set(study.semantic.attacks["cadv"].conditions)


def test_editors_know_a_ledger(project):
    path = project / "config/claims.schema.yaml"
    assert path.read_text() == claims_schema_text(), "run `make schema`"
    validator = jsonschema.Draft202012Validator(claims_schema())
    assert validator.is_valid(yaml.safe_load((project / "config/claims.yaml").read_text()))
    assert not validator.is_valid(yaml.safe_load(LEDGER.replace("baseline: none", "baselin: none")))
