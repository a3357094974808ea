"""The methods of a study in words, as it was run: from its checked configuration and its tables. Plain data.

Every number stands in the study or in a table; a paragraph that a study has no part in is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from neurobust import __version__
from neurobust.core.reference_range import IN_RANGE
from neurobust.files.predictor_tables import FALSE_DISCOVERIES
from neurobust.report.blocks import Row, Tables, blocks
from neurobust.report.citations import bibliography, keys_of
from neurobust.report.entries import plain
from neurobust.report.gates import CUE, CUE_LOSS, SENSITIVITY
from neurobust.report.predicted import LARGEST_P, LEAST_PREDICTED
from neurobust.report.shown import NORMS
from neurobust.report.verdict_section import listed
from neurobust.report.view import View
from neurobust.statistics import EQUIVALENCE, FEWEST_SEEDS, LEVEL, MARGIN, POWER, READINGS, shared
from neurobust.study.model import Study
from neurobust.study.named import Named, things_of

ALWAYS = ("molder2021", "carlini2019", "holm1979")  # cited whatever a study is
TESTS = {
    "shared": "the images that all of its subjects saw",
    "special": "the 515 images that all eight subjects of the data set saw three times",
    "legacy37": "the shared images of all sessions but the last three",
    "algonauts": "the images of the last three sessions alone",
}


class Part(NamedTuple):
    """A part of the text: its heading and its paragraphs, with keys of works in brackets as in `[@allen2022]`."""

    title: str
    paragraphs: list[str]


def methods_section(view: View, versions: str) -> Row:
    """What the template shows: `parts`, `bibtex`. versions: of the software that ran the attacks, in words."""
    study, things = view.study, things_of(view.study)
    parts = [
        Part("Brains", [*brains(study, view.tables), *regions(view.tables)]),
        Part("Predictors", predictors(study, view.tables, things)),
        Part("Networks", networks(study, things)),
        Part("Attacks", attacks(view, things)),
        Part("Statistics", statistics(study)),
        Part("Software", software(versions)),
    ]
    sources = [thing.source for thing in things]
    keys = {*ALWAYS, *(key for source in sources for key in keys_of(source))}
    keys |= {key for part in parts for text in part.paragraphs for key in cited(text)}
    shown = [Part(part.title, [paragraph for paragraph in part.paragraphs if paragraph]) for part in parts]
    return {"parts": [part for part in shown if part.paragraphs], "bibtex": bibliography(keys, sources)}


def cited(text: str) -> list[str]:
    """The keys that a text cites."""
    return [piece.partition("]")[0] for piece in text.split("[@")[1:]]


def cite(source: str) -> str:
    """A citation behind a word: ` [@madry2018]`; empty for a source that names no work."""
    return "".join(f" [@{key}]" for key in keys_of(source))


def count(number: int, name: str) -> str:
    """`1 seed`, `5 seeds`, `1,000 images`."""
    return f"{number:,} {name}{'' if number == 1 else 's'}"


# --- the brain ---


def brains(study: Study, tables: Tables) -> list[str]:
    """Where the responses come from, how they were prepared and split."""
    data, splits = study.data, study.splits
    sessions = [data.subjects[name].sessions for name in study.subjects]
    who = f"{count(len(sessions), 'subject')} ({', '.join(study.subjects)}; {span(sessions)} sessions each)"
    if study.phantom:
        first = (
            f"The brains of this study are planted: {who} of a miniature of the Natural Scenes Dataset [@allen2022], "
            "whose responses were computed from the images by known formulas and written in the data set's own "
            "formats."
        )
    else:
        first = (
            f"Responses are those of {who} of the Natural Scenes Dataset [@allen2022]: single-trial estimates of the "
            f"version {data.betas} in the space {data.space}."
        )
    fitted = "of trials of training images" if splits.zscore == "train" else "of all trials"
    second = (
        f"Betas were z-scored per voxel and session with mean and deviation {fitted} and averaged over an image's "
        f"repetitions. Splits are by image: tested on {TESTS[splits.test]}; of the others a share of "
        f"{splits.validation:g}, drawn with seed {splits.seed}, validates and the rest trains."
    )
    rois = tables["rois"]
    if len(rois):
        each = rois.drop_duplicates("subject")
        parts = ", ".join(
            f"{span(each[f'images_{name}'].astype(int))} {said}"
            for name, said in (("train", "train"), ("validation", "validate"), ("test", "test"))
        )
        second += f" Of a subject's images {parts}."
    return [first, second]


def span(values: Iterable[Any]) -> str:
    """`40`, or `30 to 40` where they differ."""
    ends = sorted({int(value) for value in values})
    return f"{ends[0]:,}" if len(ends) == 1 else f"{ends[0]:,} to {ends[-1]:,}"


def regions(tables: Tables) -> list[str]:
    """The ROIs: atlas, labels, voxels."""
    parts = []
    for roi, rows in tables["rois"].groupby("roi", sort=False):
        first = rows.iloc[0]
        voxels = int(rows["n_voxels"].sum())
        size = f"{count(voxels, 'voxel')} of {count(len(rows), 'subject')}"
        parts.append(f"{roi} ({first['labels']} of {first['atlas']}; {size})")
    return [f"ROIs, with labels and voxels: {'; '.join(parts)}."] if parts else []


# --- predictors and networks ---


def predictors(study: Study, tables: Tables, things: list[Named]) -> list[str]:
    """How responses to any image are predicted, and how well."""
    kinds = [thing for thing in things if thing.kind == "predictor"]
    if not kinds:
        return []
    names = listed([f"{thing.name} (kind {thing.does}{cite(thing.source)})" for thing in kinds])
    text = (
        f"Responses to images that no subject saw were predicted by {names}, fitted per ROI over all subjects, with "
        f"{count(len(study.predictor_seeds), 'seed')}."
    )
    table = tables["predictors"]
    whole = table[(table["subject"] == "all") & table["median_r_normalised"].notna()]
    if len(whole):
        level = whole.groupby("roi", sort=False)["median_r_normalised"].mean()
        text += (
            " On test images the median over voxels of Pearson's r, divided by the square root of the noise ceiling, "
            f"is {plain(level.min())} ({level.idxmin()}) to {plain(level.max())} ({level.idxmax()})."
        )
    return [text]


def networks(study: Study, things: list[Named]) -> list[str]:
    """Tasks, training, conditions and how many networks there are."""
    found = []
    for name, task in study.tasks.items():
        own = task.training
        trained = (
            f"{count(own.epochs, 'epoch')} of {own.optimizer.upper() if own.optimizer == 'sgd' else 'AdamW'} (batches "
            f"of {own.batch_size}, learning rate {own.learning_rate:g}, momentum {own.momentum:g}, weight decay "
            f"{own.weight_decay:g}, schedule {own.schedule}, augmentation {own.augment}"
            f"{'' if own.versions is None else ' in ' + count(own.versions, 'version') + ' of each image'})"
        )
        found.append(
            f"Task {name}: {task.images:,} images of {task.side} x {task.side} pixels; "
            f"{listed(list(task.architectures))} trained for {trained}, {count(len(task.conditions), 'condition')} "
            f"with {count(len(task.seeds), 'seed')} each."
        )
    guided = {name: c for name, c in study.conditions.items() if c.guided}
    if guided:
        weights = sorted({condition.weight for condition in guided.values()})
        losses = [f"{t.name} ({t.does}){cite(t.source)}" for t in things if t.kind == "loss"]
        found.append(
            f"Guided conditions ({', '.join(guided)}) minimise (1 - w) times the cross-entropy plus w times a neural "
            f"loss, w {', '.join(f'{weight:g}' for weight in weights)}: {'; '.join(losses)}. The condition none has "
            "the same training without the neural loss."
        )
    for kind, lead in (("control", "Controls remove one ingredient"), ("reference", "References, without a target")):
        said = [f"{t.name}: {t.does}{cite(t.source)}" for t in things if t.kind == kind]
        found += [f"{lead}. {'; '.join(said)}."] if said else []
    total = sum(1 for _ in study.networks())
    return [*found, f"That makes {count(total, 'network')}. Seeds cover network and predictor."]


# --- attacks and statistics ---


def attacks(view: View, things: list[Named]) -> list[str]:
    """Each attack with its budgets and source, on how many images."""
    study = view.study
    sources = {thing.name: thing.source for thing in things if "attack" in thing.kind}
    said = []
    for plan in study.attacks.values():
        budgets = ", ".join(f"{budget:g}" for budget in plan.budgets if budget > 0)
        norm = NORMS.get(plan.norm, plan.norm)
        measure = plan.attack.unit if plan.attack.unit != norm else ""
        unit = f"{' in' if measure[:1].isdigit() else ''} {measure}" if measure else ""  # 5 in 1/255, 0.5 of the circle
        said.append(f"{plan.label}{cite(sources.get(plan.label, ''))} ({norm}; {budgets}{unit})")
    images = span(task.attack_images for task in study.tasks.values()) if study.tasks else "0"
    found = []
    if said:
        found.append(
            f"{images} test images of a task were attacked on each of its networks by: {'; '.join(said)}. Every saved "
            "adversarial was verified again in float64 (bounds, budget, label). An image counts as robust if it is "
            "read rightly and no attack of the norm breaks it; an attack that fails is marked and left out. Checks "
            "for gradient masking and networks of known answer follow [@carlini2019]."
        )
    semantic = study.semantic
    if semantic.attacks:
        names = [
            f"{t.name}{cite(t.source)}" for t in things if t.kind == "semantic attack"
        ]  # fmt: skip
        found.append(f"Attacks without a norm, on {count(semantic.images, 'image')}: {listed(names)}.")
    if study.corruptions:
        own = study.corruptions
        found.append(
            f"Common corruptions [@hendrycks2019]: {count(len(own.names), 'type')} at five severities on "
            f"{count(own.images, 'image')}, strengths of the set {own.set}."
        )
    return found


def statistics(study: Study) -> list[str]:
    """Gates, contrasts, intervals and the rule of a verdict."""
    low, high = (f"{100 * end:g}" for end in IN_RANGE)
    turned = study.phantom and any(plan.norm == CUE for plan in study.attacks.values())
    gates = (
        f"The reference budget of a norm is the smallest at which none stands between {low} and {high} %. Nothing is "
        "said where it does not exist, where adversarially trained networks do not gain more than "
        f"{100 * SENSITIVITY:g} points on none by the lower end of the interval, or where a masking check failed or a "
        "canary was missed"
        + (f", or where none loses less than {100 * CUE_LOSS:g} points to the turned cue" if turned else "")
        + "; and nothing of an area of which the predictor predicts fewer than "
        f"{100 * LEAST_PREDICTED:g} % of the voxels on held-out images (false discovery rate {FALSE_DISCOVERIES:g}, "
        f"each p at most {LARGEST_P:g})."
    )  # fmt: skip
    rule = (
        f"Differences are paired over seeds and images; {100 * LEVEL:g} % intervals have the variance of the crossed "
        "table of seeds and images and Student's t with one degree of freedom less than seeds. A condition must beat "
        "its own control and none; tests of a task and architecture are one family [@holm1979]. Supported: above "
        f"every baseline, and {READINGS} of three readings without clean accuracy agree. Not supported: the upper end "
        f"of the {100 * EQUIVALENCE:g} % interval ({100 * shared(EQUIVALENCE, 2):g} % of two baselines) lies below "
        f"{100 * MARGIN:g} points. No verdict with fewer than {FEWEST_SEEDS} seeds, or fewer images than seeds. "
        f"The detectable effect is that of a single contrast with power {POWER:g}."
    )
    return [gates, rule]


def software(versions: str) -> list[str]:
    """Versions."""
    ran = f"; attacks ran under {versions}" if versions else ""
    return [f"neurobust {__version__}{ran}, as a Snakemake workflow [@molder2021]."]


# --- what was excluded ---


def excluded_rows(view: View) -> list[Row]:
    """From what was there to what a verdict rests on: a row per step with `step`, `of`, `out`, `left` and `why`."""
    tables = view.tables
    rows = [
        *voxel_steps(view.study, tables), *network_steps(view.study, tables), *verdict_steps(tables)
    ]  # fmt: skip
    return [row | {"left": row["of"] - row["out"]} for row in rows]


def step(name: str, of: int, out: int, why: str) -> Row:
    """A row: so many there were, of which so many fell out, and why."""
    return {"step": name, "of": int(of), "out": int(out), "why": why}


def voxel_steps(study: Study, tables: Tables) -> list[Row]:
    """Sessions, ROIs of subjects, and voxels."""
    found = []
    brains, rois, accuracy = tables["brains"], tables["rois"], tables["predictors"]
    if len(brains):
        empty = brains["empty_sessions"].dropna().map(lambda entry: str(entry).count("session ")).sum()
        found.append(step("sessions", brains["sessions"].sum(), empty, "hold no trial"))
    if len(rois):
        pairs = len(study.rois) * len(study.subjects)
        found.append(step("ROIs of subjects", pairs, pairs - len(rois), "the subject lacks the ROI"))
    whole = accuracy[accuracy["subject"] == "all"].drop_duplicates("roi")
    if len(whole):
        voxels, ceiling = int(whole["n_voxels"].sum()), int(whole["n_ceiling"].sum())
        why = "noise ceiling too low for r/√NC; they stay in the target"
        found.append(step("voxels, over ROIs", voxels, voxels - ceiling, why))
    return found


def network_steps(study: Study, tables: Tables) -> list[Row]:
    """Test images, networks and attacks."""
    found = []
    names, checks, attacks = ["task", "architecture", "condition", "seed"], tables["checks"], tables["attacks"]
    for task, _, part in blocks(tables["attacks"].assign(architecture="")):
        wanted = study.tasks[task].attack_images
        met = int(part.loc[part["n_images"] > 0, "n_images"].min()) if (part["n_images"] > 0).any() else 0
        found.append(
            step(f"images to be attacked, {task}", wanted, wanted - min(met, wanted), "not met by every attack")
        )
    total = len(tables["networks"])
    failed = checks[~checks["passed"].astype(bool)] if len(checks) else checks
    masked = len(failed[names].drop_duplicates())
    found.append(step("networks", total, masked, "a masking check failed; they are marked and stay in every number"))
    if len(attacks):
        broken = int(attacks["failed"].map(lambda note: isinstance(note, str) and note != "").sum())
        found.append(step("attacks on networks", len(attacks), broken, "the attack failed; it leaves the worst case"))
    return found


def verdict_steps(tables: Tables) -> list[Row]:
    """Gates, verdicts that a gate forbids, claims that cannot be tested."""
    gates, verdicts, claims = tables["gates"], tables["verdicts"], tables["claims"]
    found = []
    if len(gates):
        out = int((~gates["passed"].astype(bool)).sum())
        found.append(step("gates of tasks", len(gates), out, "failed"))
    if len(verdicts):
        forbidden = int(verdicts["verdict"].str.contains("(", regex=False).sum())
        found.append(step("guided conditions on tasks", len(verdicts), forbidden, "a gate forbids a verdict"))
    if len(claims):
        missing = claims[claims["task"].isna()]["claim"].nunique()
        found.append(step("claims of the ledger", claims["claim"].nunique(), missing, "not in this study"))
    return found
