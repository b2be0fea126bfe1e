"""What it is worth that neighbours pass words on to each other: a mapping counted again as if none did."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture
from dovetail.mapping.mapping import Mapping
from dovetail.model.cost import Cost
from dovetail.model.evaluate import evaluate
from dovetail.units import edp_J_cycle, whole
from dovetail.workload.problem import Problem


@dataclass(frozen=True)
class PassedOn:
    """What neighbours pass on in a mapping, and what the mapping costs where they do not.

    Attributes:
        words: passed on, by all levels' neighbours together.
        cycles: of the same mapping without.
        energy_pJ: likewise.
    """

    words: int
    cycles: int
    energy_pJ: float

    @property
    def edp_J_cycle(self) -> float:
        """Energy times cycles without, in joules times cycles."""
        return edp_J_cycle(self.energy_pJ, self.cycles)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "words": self.words,
            "cycles": self.cycles,
            "energy_pJ": self.energy_pJ,
            "edp_J_cycle": self.edp_J_cycle,
        }

    def said(self, cost: Cost, exact: bool) -> str:
        """Return in a sentence what it is worth to a mapping of this cost; ``exact``: to one that is proven."""
        pairs = (
            (self.energy_pJ, cost.energy_pJ, "energy"),
            (self.cycles, cost.cycles, "cycles"),
            (self.edp_J_cycle, cost.edp_J_cycle, "EDP"),
        )
        changes = ", ".join(f"{what} {without / now - 1:+.1%}".replace("%", " %") for without, now, what in pairs)
        bound = "" if exact else "; the bound has them pass on all that a shift of their windows could supply"
        return f"neighbours pass on {whole(self.words)} words; the same mapping if they did not: {changes}{bound}"


def passed_on(
    mapping: Mapping, cost: Cost, problem: Problem, architecture: Architecture, energies: EnergyTable
) -> PassedOn | None:
    """Return what neighbours pass on in a mapping; None where they pass on nothing.

    Args:
        mapping: the mapping.
        cost: what it costs.
        problem: the layer.
        architecture: the design.
        energies: what its components cost.
    """
    words = sum(
        link.link_transfers * level.instances
        for level, links in zip(cost.levels, cost.networks.values(), strict=False)
        for link in links.values()
    )
    if not words:
        return None
    try:
        without = evaluate(mapping, problem, _alone(architecture), energies)
    except InputError:  # a bandwidth that suffices only for what is passed on: more cycles than are counted
        return None
    return PassedOn(words, without.cycles, without.energy_pJ)


def _alone(architecture: Architecture) -> Architecture:
    """Return a design on which neighbours pass nothing on."""
    levels = []
    for level in architecture.levels:
        spatial = replace(level.constraints.spatial, no_link_transfer=frozenset("*"))
        levels.append(replace(level, constraints=replace(level.constraints, spatial=spatial)))
    return replace(architecture, levels=tuple(levels))
