"""docs/configuration.md, made from the classes that check a configuration: `python -m neurobust.study.reference`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from neurobust.attacks.corruptions.settings import Corruptions
from neurobust.attacks.registry import ATTACKS
from neurobust.attacks.semantic.plan import Choice
from neurobust.attacks.semantic.registry import HELPERS, SEMANTIC
from neurobust.attacks.semantic.transfer_settings import SemanticTransfer
from neurobust.attacks.semantic.verification_settings import Met, Verification
from neurobust.attacks.shifted.settings import ShiftedSet
from neurobust.attacks.transfer_settings import Transfer
from neurobust.core.places import Places, load
from neurobust.core.settings import Option, options
from neurobust.explain.description import Scope
from neurobust.explain.registry import ANALYSES
from neurobust.networks.conditions import Architecture, Condition, Oracle, Training
from neurobust.networks.outside_settings import OutsideNetwork
from neurobust.networks.registry import CONTROLS, LOSSES, REFERENCES, TASKS
from neurobust.nsd.settings import ROI, Data, Region, Splits
from neurobust.phantom.settings import Cue, FaceTask, Phantom, PhantomSubject, SceneTask
from neurobust.predictors.registry import PREDICTORS
from neurobust.study.claims import Claim, Contrast
from neurobust.study.config import Config
from neurobust.study.schema import Schema, attack_keys, task_keys

HEADER = """<!-- Made by `make reference` from the classes that check a configuration; a test compares. Do not edit. -->
# Every key of a configuration

A configuration is one YAML file (`config/*.yaml`). Its keys, their defaults, units and bounds are those of the classes
that check it; the price of an attack is the number of passes through the network, forward and backward, that one image
costs at the method's defaults with four budgets above 0. A key whose default is *required*
must be given; one without any entry there may be left out.
"""
PRICED_BUDGETS = 4
NORM = {"description": "what the budgets bound: a norm, or a range of its own"}


def reference_text() -> str:
    """The page, as Markdown."""
    parts = [HEADER]
    parts += section("The file", Config)
    for title, kind in (
        ("data", Data), ("rois: an entry", ROI), ("rois: a region of `plus` or `within`", Region), ("splits", Splits),
        ("phantom", Phantom), ("phantom.subjects: an entry", PhantomSubject), ("phantom.cue", Cue),
        ("phantom.scenes", SceneTask), ("phantom.face_task", FaceTask), ("architectures: an entry", Architecture),
        ("training", Training), ("conditions: an entry", Condition), ("conditions: features", Oracle),
        ("transfer", Transfer), ("corruptions", Corruptions),
        ("shifted: an entry", ShiftedSet), ("outside: an entry", OutsideNetwork), ("claims: an entry", Claim),
        ("claims: a contrast", Contrast),
    ):  # fmt: skip
        parts += section(title, kind)
    parts += losses_and_controls()
    parts += kinds("References (`conditions: reference`)", REFERENCES, "kind")
    parts += kinds("Predictors (`predictors:`)", PREDICTORS, "kind")
    parts += kinds("Tasks (`tasks:`)", TASKS, "kind", keys_of_all(task_keys({})))
    parts += attacks()
    own = "Beside them `images`: how many images each meets, the first of the list that attacks work through.\n"
    parts += kinds(
        "Semantic attacks (`semantic:`)", SEMANTIC, None, f"{own}\nKeys of each:\n\n{table(options(Choice))}"
    )
    parts += section("semantic: transfer", SemanticTransfer)
    parts += section("Face verification (`semantic: verification`)", Verification)
    parts.append(f"Beside them, whom it meets:\n\n{table(options(Met))}")
    parts += kinds("Auxiliary networks (`semantic: networks`)", HELPERS, None)
    parts += analyses()
    return "\n".join(parts) + "\n"


def section(title: str, kind: type, level: int = 2) -> Iterator[str]:
    """A heading, the first paragraph of the class, and its keys."""
    yield f"{'#' * level} {title}\n"
    if text := paragraph(kind):
        yield f"{text}\n"
    if found := options(kind):
        yield table(found)


def table(found: Iterable[Option]) -> str:
    """Keys as a Markdown table."""
    lines = ["| key | what | default | unit | meaning |", "|---|---|---|---|---|"]
    lines += [f"| `{o.name}` | {cell(o.type)} | {default(o)} | {o.unit} | {cell(o.help)} |" for o in found]
    return "\n".join(lines) + "\n"


def default(option: Option) -> str:
    """A default as YAML would have it; nothing for a key that may be left out and has none."""
    value = option.default
    if option.required:
        return "*required*"
    if value is None:
        return ""
    if isinstance(value, Struct):
        return "its defaults"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(str, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def cell(text: str) -> str:
    """Text that a cell of a table can hold."""
    return text.replace("|", "\\|")


def paragraph(kind: Any) -> str:
    """The first paragraph of a class's documentation."""
    return " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())


def kinds(title: str, registry: Mapping[str, Any], tag: str | None, shared: str = "") -> Iterator[str]:
    """A registry of settings classes: a heading, what all `shared`, and a heading and a table each."""
    yield f"## {title}\n"
    if shared:
        yield shared
    for name, kind in registry.items():
        yield from section(f"`{tag}: {name}`" if tag else f"`{name}`", kind, 3)
        if source := getattr(kind, "source", ""):
            yield f"Source: {source}.\n"


def keys_of_all(keys: Schema) -> str:
    """The keys that every entry of a section has beside those of its kind."""
    return (
        "Keys of all:\n\n" + "\n".join(f"- `{key}`: {cell(node['description'])}" for key, node in keys.items()) + "\n"
    )


def attacks() -> Iterator[str]:
    """The attacks: the keys of all, one table of their facts, then the keys of each."""
    yield "## Attacks (`attacks:`)\n"
    yield keys_of_all({"method": {"description": "one of the table"}, **attack_keys(), "norm": NORM})
    lines = ["| method | norms | unit | price | source |", "|---|---|---|---|---|"]
    for name, kind in ATTACKS.items():
        price = kind().passes(PRICED_BUDGETS)
        note = " (noise)" if kind.noise else ""
        lines.append(
            f"| `{name}`{note} | {', '.join(kind.norms())} | {kind().unit} | {price:,.0f} | {cell(kind.source)} |"
        )
    yield "\n".join(lines) + "\n"
    for name, kind in ATTACKS.items():
        yield from section(f"`method: {name}`", kind, 3)


def losses_and_controls() -> Iterator[str]:
    """The names that `loss` and `control` of a condition may have."""
    for title, registry in (("Losses (`conditions: loss`)", LOSSES), ("Controls (`conditions: control`)", CONTROLS)):
        yield f"## {title}\n"
        yield "\n".join(f"- `{name}`: {cell(entry.help)}" for name, entry in registry.items()) + "\n"


SCOPES: tuple[tuple[Scope, str], ...] = (
    ("predictor", "of each ROI's predictor"),
    ("network", "of every network"),
    ("study", "of all networks of a task and an architecture"),
)


def analyses() -> Iterator[str]:
    """What can be explained, by scope: how to read it, its keys and its measures."""
    yield "## Analyses (`explain:`)\n"
    yield (
        "Without the section a study has all but those marked *on demand*; one *apart* has jobs of its own. The price "
        "is the number of passes forward that an image costs. The measures marked *asked* are the family of which "
        "`association` and `mediation` ask whether they go with robustness and mediate the gain of guidance.\n"
    )
    for scope, words in SCOPES:
        for name, kind in ANALYSES.items():
            if kind.scope == scope:
                yield f"### `{name}`, {words}\n"
                notes = [] if kind.usual else ["on demand"]
                notes += ["apart"] if kind.apart else []
                notes += [] if scope == "study" else [f"price {kind().passes():g}"]
                yield kind.meaning + (f" ({', '.join(notes)})" if notes else "") + "\n"
                if found := options(kind):
                    yield table(found)
                for measure, facts in kind.measures.items():
                    unit = f" ({facts.unit})" if facts.unit else ""
                    yield f"- {cell(measure)}{unit}: {cell(facts.meaning)}{', *asked*' if facts.asked else ''}"
                yield f"\nSource: {kind.source}.\n" if kind.source else ""


# What can be added: what it is, its registry, and the class that describes one.
ADDED = (
    ("an attack", "neurobust.attacks.registry:ATTACKS", "neurobust.attacks.description:Attack"),
    ("a semantic attack", "neurobust.attacks.semantic.registry:SEMANTIC",
     "neurobust.attacks.semantic.description:SemanticAttack"),
    ("an auxiliary network", "neurobust.attacks.semantic.registry:HELPERS",
     "neurobust.attacks.semantic.description:Helper"),
    ("a loss", "neurobust.networks.registry:LOSSES", "neurobust.networks.description:Loss"),
    ("a control", "neurobust.networks.registry:CONTROLS", "neurobust.networks.description:Control"),
    ("a reference", "neurobust.networks.registry:REFERENCES", "neurobust.networks.description:Reference"),
    ("a task", "neurobust.networks.registry:TASKS", "neurobust.networks.description:Task"),
    ("a predictor", "neurobust.predictors.registry:PREDICTORS", "neurobust.predictors.description:Predictor"),
    ("an analysis", "neurobust.explain.registry:ANALYSES", "neurobust.explain.description:Analysis"),
)  # fmt: skip


def contributing_table() -> str:
    """The table of CONTRIBUTING.md: where each thing that can be added is described and named."""
    lines = [
        "| what | describe it by | name it in | or, in another package, as an entry point of |",
        "|---|---|---|---|",
    ]
    for what, registry, description in ADDED:
        (module, name), (home, kind) = registry.split(":"), description.split(":")
        places = load(registry)
        assert isinstance(places, Places) and load(description), description
        lines.append(f"| {what} | `{kind}` ({link(home)}) | `{name}` ({link(module)}) | `{places.group}` |")
    return "\n".join(lines) + "\n"


def link(module: str) -> str:
    """A module's file below `src/neurobust`, as a link."""
    path = f"{module.replace('.', '/')}.py"
    return f"[{path.removeprefix('neurobust/')}](src/{path})"


if __name__ == "__main__":
    print(reference_text(), end="")
