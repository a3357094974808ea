"""One page's view of a study: its tables, its attacks, and one look per condition. Made once, handed to all parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from neurobust.report.blocks import Block, Tables
from neurobust.report.guided import in_order
from neurobust.report.shown import ShownAttack, answering, shown_attacks
from neurobust.report.style import Style, condition_style, reference_style, roi_style
from neurobust.study.model import Study


@dataclass(frozen=True)
class Head:
    """The head of a line or a column: a name, a condition's colour, a line below; marked: a masking check failed."""

    name: str
    color: str = ""
    hollow: bool = False
    sub: str = ""
    marked: bool = False


@dataclass(frozen=True)
class View:
    """A study, its tables, and what every part of a page says of it alike.

    palette: the ROIs whose places decide the colours: those of the whole study, on the page of one of them too.
    """

    study: Study
    tables: Tables
    palette: tuple[str, ...] = field(default=())

    @cached_property
    def attacks(self) -> dict[str, ShownAttack]:
        """The attacks and worst cases in reading order, by name."""
        return shown_attacks(self.study.attacks)

    @property
    def primary(self) -> ShownAttack | None:
        """The attack that the answer is read from (`shown.answering`); None in a study without attacks."""
        primary = self.study.primary_attack
        return self.attacks[answering(self.attacks, primary)] if primary in self.attacks else None

    def label(self, attack: str) -> str:
        """An attack's name for readers."""
        return self.attacks[attack].label if attack in self.attacks else attack

    def in_order(self, names: Iterable[str]) -> list[str]:
        """The study's conditions that are among `names`, each once, in the study's order."""
        return in_order(self.study.conditions, names)

    def is_control(self, condition: str) -> bool:
        """Whether a condition removes one ingredient of another one."""
        return bool(self.study.conditions[condition].control)

    def roi_style(self, roi: str | None) -> Style:
        """How lines and marks of an ROI look."""
        return roi_style(self.palette or tuple(self.study.rois), roi)

    def style(self, condition: str) -> Style:
        """How lines and marks of a condition look: those of its ROI; of references each its own, in grey."""
        own = self.study.conditions[condition]
        if own.reference is not None:
            references = [name for name, other in self.study.conditions.items() if other.reference is not None]
            return reference_style(references.index(condition))
        return condition_style(self.palette or tuple(self.study.rois), own.roi, self.is_control(condition))

    def head(self, condition: str, marked: bool = False) -> Head:
        """A condition as the head of a line or a column."""
        return Head(condition, self.style(condition)["color"], self.is_control(condition), marked=marked)

    def titles(self, parts: Iterable[Block]) -> list[str]:
        """Titles of blocks: the task, and the architecture where there are several."""
        several = len(self.study.architectures) > 1
        return [f"{task}, {architecture}" if several else task for task, architecture, _ in parts]
