"""The section "Why": what it says, and that it says nothing that is not there."""

import numpy as np
import pandas as pd
import pytest

from neurobust.report.contents import COLUMNS
from neurobust.report.view import View
from neurobust.report.why_section import draw_mediation, why_sections
from neurobust.study.pairs import gains_of

WHERE = {"task": "digits", "architecture": "resnet18", "n_networks": 10}


def parts(condition, of, total, through, q, roi="", slack=0.02):
    """The rows of one mediation: numbers with intervals of +- slack."""
    numbers = {
        "total": total,
        "through": through,
        "direct": total - through,
        "moved": 1.0,
        "slope": 0.1,
        "between": -0.9,
    }
    rows = [(name, value, value - slack, value + slack) for name, value in numbers.items()]
    rows += [(name, q, np.nan, np.nan) for name in ("p", "q")]
    return [
        {**WHERE, "analysis": "mediation", "measure": name, "of": of, "condition": condition, "layer": "", "roi": roi,
         "value": value, "low": low, "high": high}
        for name, value, low, high in rows
    ]  # fmt: skip


@pytest.fixture
def view_of(study):
    """A view of the study whose table `why` has these rows, and which has no other."""

    def make(*rows):
        return View(study, {"why": pd.DataFrame([row for part in rows for row in part], columns=COLUMNS["why"])})

    return make


def test_a_gain_is_that_over_the_own_shuffle_or_over_none(study):
    assert [tuple(gain) for gain in gains_of(study, "digits")] == [("V1", "V1", "none"), ("LO", "LO", "LO-shuffled")]


def test_the_measure_that_carries_most_is_named(view_of):
    view = view_of(
        parts("LO", "dimensionality", 0.12, 0.01, 0.6), parts("LO", "cue reliance", 0.12, 0.09, 0.004),
        parts("LO", "similarity", 0.12, 0.05, 0.01, roi="LO"), parts("V1", "cue reliance", 0.01, 0.0, 0.9),
    )  # fmt: skip
    (part,) = why_sections(view)
    assert part["sentences"] == [
        "There is no sure gain of V1 over none to explain: +1.0 pp, −1.0 to +3.0.",
        "Of LO’s gain over LO-shuffled (+12.0 pp, +10.0 to +14.0), +9.0 pp, +7.0 to +11.0 goes with the change in cue "
        "reliance and +3.0 pp, +1.0 to +5.0 does not. Taken alone, part of it goes with similarity (LO) too.",
    ]
    assert [line["measure"] for line in part["parts"] if line["control"] == "LO-shuffled"] == [
        "cue reliance", "similarity, LO", "dimensionality",
    ]  # fmt: skip
    assert "cue reliance" in draw_mediation(view)


def test_what_leaves_least_of_a_gain_comes_first_and_of_what_is_not_shown_the_nearest(view_of):
    view = view_of(
        parts("LO", "too much", 0.12, 0.2, 0.001), parts("LO", "cue reliance", 0.12, 0.11, 0.03),
        parts("LO", "far", 0.12, 0.3, 0.9), parts("LO", "near", 0.12, 0.05, 0.06),
    )  # fmt: skip
    assert [line["measure"] for line in why_sections(view)[0]["parts"]] == ["cue reliance", "too much", "near", "far"]


def test_nothing_is_said_to_carry_a_gain_on_weak_evidence(view_of):
    for through, q in ((0.09, 0.2), (0.01, 0.001)):
        (part,) = why_sections(view_of(parts("LO", "cue reliance", 0.12, through, q)))
        assert part["sentences"][0].startswith("No measure that was asked about is shown to carry LO’s gain")


def test_a_measure_that_works_against_a_gain_does_not_carry_it(view_of):
    (part,) = why_sections(view_of(parts("LO", "norm", 0.12, -0.09, 0.001)))
    assert part["sentences"][0].startswith("No measure")


def test_without_intervals_it_asks_for_seeds(view_of):
    rows = [{**row, "low": np.nan, "high": np.nan} for row in parts("LO", "cue reliance", 0.12, 0.09, np.nan)]
    view = view_of(rows)
    assert why_sections(view)[0]["sentences"] == [
        "Too few seeds to say through what LO’s gain over LO-shuffled (+12.0 pp) goes: it takes three, and five to see "
        "much."
    ]
    assert "it takes a guided condition and three seeds" in draw_mediation(view)


def test_where_nothing_has_a_q_it_says_what_that_takes(view_of):
    """As in a study of three conditions: there are gains with intervals, and no association between conditions."""
    gone = [
        {**row, "low": np.nan} if row["measure"] == "total" else row for row in parts("LO", "few", 0.3, 0.3, np.nan)
    ]
    (part,) = why_sections(view_of(gone, parts("LO", "cue reliance", 0.12, 0.09, np.nan)))
    assert part["sentences"] == [
        "It cannot be told through what LO’s gain over LO-shuffled (+12.0 pp, +10.0 to +14.0) goes: that takes a "
        "measure that differs among seeds of a condition and between at least 6 conditions."
    ]


def test_without_its_analyses_there_is_no_section(view_of):
    view = view_of()
    assert why_sections(view) == [] and "<svg" in draw_mediation(view)
    alone = [row for row in parts("LO", "norm", 0.1, 0.1, 0.1) if row["measure"] == "none of these"]
    assert why_sections(view_of(alone)) == []
