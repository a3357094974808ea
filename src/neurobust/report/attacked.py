"""What every attack and every worst case did to the networks of a task, from their files."""

from __future__ import annotations

from neurobust.files.attack_table import attack_table_path
from neurobust.report.cells import Cells, read_cell, worst_case
from neurobust.report.shown import shown_attacks
from neurobust.study.model import NetworkName, Study


def read_cells(study: Study, networks: list[NetworkName]) -> tuple[dict[str, Cells], dict[str, Cells]]:
    """What every attack and the worst case per norm did to the networks of one task, by attack; and what failed.

    The worst case over the primary attack's norm has that attack's budgets.
    """
    cells: dict[str, Cells] = {}
    failed: dict[str, Cells] = {}
    met, primary = study.attacks_of(networks[0].task), study.primary_attack
    for name in met:
        found = {n[2:]: read_cell(attack_table_path(study.root, n.path, name)) for n in networks}
        cells[name] = {key: cell for key, cell in found.items() if not cell.record.failed}
        if len(cells[name]) < len(found):
            failed[name] = {key: cell for key, cell in found.items() if cell.record.failed}
    for name, attack in shown_attacks(met, failed).items():
        if attack.members:
            own = {n[2:]: {member: cells[member][n[2:]] for member in attack.members} for n in networks}
            cells[name] = {key: worst_case([*found.values()], found.get(primary)) for key, found in own.items()}
    return cells, failed
