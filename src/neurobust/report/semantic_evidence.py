"""Semantic attacks as evidence for claims: the same counts of survivors as under attacks with a norm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from neurobust.files.attack_table import AttackRecord
from neurobust.files.semantic_table import ATTACK, SemanticRecord, read_semantic_table, semantic_table_path
from neurobust.report.cells import Cell, Cells, by_strength
from neurobust.report.gates import Evidence, choose
from neurobust.report.shown import ShownAttack
from neurobust.study.model import title_of


def semantic_cell(path: Path) -> tuple[Cell, SemanticRecord]:
    """One network under one semantic attack as a cell whose budgets are the strengths, and how it was made.

    Raises InputError where the file is not that.
    """
    frame, record = read_semantic_table(path)
    own = frame[frame["variant"] == ATTACK]
    silent = None
    if "abstained" in own:
        silent = own.pivot(index="image", columns="strength", values="abstained").to_numpy(bool)
    return by_strength(own)._replace(abstained=silent, record=AttackRecord(attack=record.attack)), record


def with_semantic(evidence: Evidence) -> Evidence:
    """The evidence with the semantic attacks that met its networks, each at its reference strength.

    One without a reference strength is read at the smallest at which `none` is in range. A file that is absent says
    nothing here: the attack's own tables ask for it.
    """
    attacks, cells, chosen = dict(evidence.attacks), dict(evidence.cells), dict(evidence.chosen)
    spoiled = set(evidence.spoiled)
    study = evidence.study
    for name, plan in study.semantic.attacks.items():
        found: Cells = {}
        axis = ""
        met = study.with_sweeps(plan.conditions) if evidence.task in (plan.tasks or study.tasks) else ()
        for network in study.networks(met, [evidence.task]):
            path = semantic_table_path(study.root, network.path, name)
            if network.architecture == evidence.architecture and path.exists():
                found[network[2:]], record = semantic_cell(path)
                axis = record.axis
                spoiled |= set() if record.gates_passed else {name}
        if not found:
            continue
        attack = ShownAttack(name, title_of(name), name, axis, reference_budget=plan.reference_strength)
        chosen[attack.measure] = choose(attack, found)
        attacks[name] = replace(attack, reference_budget=chosen[attack.measure].budget)
        cells[name] = found
    return replace(evidence, attacks=attacks, cells=cells, chosen=chosen, spoiled=frozenset(spoiled))
