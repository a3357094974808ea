"""Is every trial in its place? What the trials themselves say, session by session and run by run.

A session is out of place where another order fits it, not where it fits badly: a tired subject stops no study. Only one
that shows nothing at all, among sessions that do, is out of place too.

What the thresholds separate, in standard errors (`repeats.Match`), on phantoms of 3 to 10 sessions of 120 to 240
trials: right sessions have 22 to 46 (with three times the noise 23, single runs of 10 trials 6 to 11), and at most 3.6
at any other lag, session or run; sessions that are swapped, late, shuffled or of another design have -2 to 3 in their
own place and 24 to 27 in the one that is found for them, single runs 9. A simulated session of 750 trials, with an
ncsnr of 0.25 and noise that voxels share, has 30.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from neurobust.nsd.repeats import LEAST_TRIALS, Comparison, Match, Repeats, pooled

Key = TypeVar("Key")

# Standard errors: an order is found; there is no trace; a typical session is seen; below it other places are tried.
FOUND, NOTHING, CLEAR, SUSPICIOUS = 6.0, 3.0, 8.0, 5.0
LAGS = (1, -1, 2, -2, 3, -3)
LEAST_RUN = 5  # trials of a run that are compared
TOLD = 3  # runs that a line names
SORTED_AS_TEXT = "the sessions look sorted as text (1, 10, 11, ..., 2)"


@dataclass(frozen=True)
class Order:
    """What the trials say: their match as the design has them, one trial early and one late; standard errors of single
    sessions (`fits`, by number from 0) and their correlation (`repeats`); another order that fits better, if one does
    (`problem`), or that none fits (`nothing`)."""

    right: Match
    early: Match
    late: Match
    fits: Mapping[int, float]
    repeats: Mapping[int, float]
    problem: str | None
    nothing: bool


def examine_order(scores: np.ndarray, ids: np.ndarray, live: np.ndarray, runs: np.ndarray) -> Order:
    """The order of a subject's trials; scores (sessions, trials, voxels), ids (sessions, trials), live (sessions,),
    runs (sessions, 12) trials of each run. A single session is looked at in halves.

    Repeats fall on the same trials in all subjects: another subject's betas are in order too.
    """
    single = len(scores) == 1
    if single:
        half = scores.shape[1] // 2
        scores, ids = (each[:, : 2 * half].reshape(2, half, *each.shape[2:]) for each in (scores, ids))
        live = np.repeat(live, 2)

    def believe(other: np.ndarray) -> Match:
        repeats = Repeats(scores, other, live)
        return pooled(repeats.compare(session).late() for session in np.flatnonzero(live).tolist())

    early, late = believe(moved(ids, -1)), believe(moved(ids, 1))
    repeats = Repeats(scores, ids, live)
    own = {session: repeats.compare(session) for session in np.flatnonzero(live).tolist()}
    fits = {session: comparison.late() for session, comparison in own.items()}
    right = pooled(fits.values())
    problem = None
    if right.misses(CLEAR) or max(early.score(), late.score()) > right.score():
        orders = whole_orders(ids)
        words, best = best_of({words: believe(other) for words, other in orders.items()})
        if best.sees(FOUND) and best.z > right.z:
            problem = words
    if problem is None and not single:
        problem = next(single_problems(repeats, own, fits, runs), None)
    nothing = problem is None and right.misses(NOTHING)
    errors = {session: fit.score() for session, fit in fits.items()}
    seen = {0: right.r} if single else {session: fit.r for session, fit in fits.items()}
    return Order(right, early, late, errors, seen, problem, nothing)


def moved(ids: np.ndarray, late: int) -> np.ndarray:
    """What each trial shows if all came so many trials late (below 0: early); -1 where that is unknown."""
    flat = np.roll(ids.ravel(), late)
    flat[slice(0, late) if late > 0 else slice(late, None)] = -1
    return flat.reshape(ids.shape)


def whole_orders(ids: np.ndarray) -> dict[str, np.ndarray]:
    """Mistakes that all sessions share, and what each trial (sessions, trials) then shows."""
    found = {f"all trials look {lag_words(lag)}": moved(ids, lag) for lag in LAGS}
    found["all sessions look one too early: each holds the trials of the next"] = np.roll(ids, -1, 0)
    found["all sessions look one too late: each holds the trials of the one before"] = np.roll(ids, 1, 0)
    found[SORTED_AS_TEXT] = ids[text_order(len(ids))]
    return found


def single_problems(
    repeats: Repeats, own: Mapping[int, Comparison], fits: Mapping[int, Match], runs: np.ndarray
) -> Iterator[str]:
    """What is wrong with single sessions, the best explained first; runs (sessions, 12)."""
    places: dict[int, int] = {}
    explained, lost = [], []
    for session, fit in fits.items():
        tried = {lag_words(lag): own[session].late(lag) for lag in LAGS}
        tried["reversed, the last trial first"] = own[session].backwards()
        words, best = best_of(tried)
        if not fit.misses(SUSPICIOUS) and best.score() <= fit.score():
            continue
        others = {other: repeats.compare(session, other).late() for other in fits if other != session}
        place, there = best_of(others)
        if there.sees(FOUND) and there.score() > max(best.score(), fit.score()):
            places[session] = place
        elif best.sees(FOUND) and best.score() > fit.score():
            explained.append(f"session {session + 1} looks {words}")
        elif fit.misses(-FOUND):
            explained.append(f"session {session + 1} looks inverted: its betas have the other sign")
        elif fit.misses(NOTHING):
            lost.append(session)
    yield from place_words(places, len(repeats.live))
    yield from explained
    yield from run_problems(own, runs)
    rest = [fit.score() for session, fit in fits.items() if session not in lost]
    if lost and np.median(rest or [0.0]) >= CLEAR:
        yield f"{listed(lost)} shows no trace of the images shown: shuffled, of moved voxels, or another subject's"


def run_problems(own: Mapping[int, Comparison], runs: np.ndarray) -> Iterator[str]:
    """Sessions with runs that another run's images, or a shift, fit better than their own; runs (sessions, 12)."""
    for session, comparison in own.items():
        wrong, starts = {}, np.cumsum(runs[session]) - runs[session]
        for run, (start, length) in enumerate(zip(starts, runs[session], strict=True)):
            rows = np.arange(start, start + length)
            tried = {lag_words(lag): comparison.match(rows, rows - lag) for lag in LAGS}
            for other, place in enumerate(starts):
                if other != run:
                    shared = rows[: runs[session, other]]
                    tried[f"like run {other + 1}"] = comparison.match(shared, place + np.arange(len(shared)))
            words, best = best_of(tried, LEAST_RUN)
            own_fit = comparison.match(rows, rows).score(LEAST_RUN)
            if best.score(LEAST_RUN) >= FOUND and best.z > 2 * max(own_fit, 0.0):
                wrong[run] = words
        if wrong:
            told = [f"run {run + 1} {words}" for run, words in wrong.items()]
            more = f" and {len(told) - TOLD} more" if len(told) > TOLD else ""
            yield f"the runs of session {session + 1} look out of order ({', '.join(told[:TOLD])}{more})"


def best_of(matches: Mapping[Key, Match], fewest: int = LEAST_TRIALS) -> tuple[Key, Match]:
    """The match with the most standard errors, and its key."""
    return max(matches.items(), key=lambda pair: pair[1].score(fewest))


def lag_words(lag: int) -> str:
    """Late or early, by how many trials."""
    return f"{'late' if lag > 0 else 'early'} by {abs(lag)} trial{'s' if abs(lag) > 1 else ''}"


def listed(sessions: Sequence[int]) -> str:
    """Sessions, from 0, as words, from 1."""
    numbers = [str(session + 1) for session in sorted(sessions)]
    return f"session {numbers[0]}" if len(numbers) == 1 else f"sessions {', '.join(numbers[:-1])} and {numbers[-1]}"


def place_words(places: Mapping[int, int], sessions: int) -> Iterator[str]:
    """What became of sessions that hold another's trials: `places` session -> whose, both from 0; of how many."""
    as_text = text_order(sessions)
    if len(places) > 2 and all(as_text[one] == other for one, other in places.items()):
        yield f"{SORTED_AS_TEXT}: {listed(list(places))} are not in their place"
        return
    rest = {one: other for one, other in sorted(places.items()) if places.get(other) != one}
    for one in sorted(set(places) - set(rest)):
        if one < places[one]:
            yield f"sessions {one + 1} and {places[one] + 1} look swapped"
    if rest:
        whose = ", ".join(str(other + 1) for other in rest.values())
        yield f"{listed(list(rest))} look{'s' * (len(rest) == 1)} like session{'s' * (len(rest) > 1)} {whose}"


def text_order(sessions: int) -> list[int]:
    """The session that lies in each place where their numbers are sorted as text, from 0."""
    return sorted(range(sessions), key=lambda session: str(session + 1))
