"""What a search returns: the best mapping, its cost, and how it is known that nothing better exists."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dovetail.mapper.objective import Objective
from dovetail.mapping.mapping import Mapping
from dovetail.model.cost import Cost
from dovetail.table import Table, headed
from dovetail.units import percent
from dovetail.workload.roles import Reading

#: What a search that knows perfect factors only is about.
PERFECT_SPACE = "mappings of perfect factors in which all tensors of a level share its loops"
#: What one is about that knows others, too.
IMPERFECT_SPACE = "mappings of any factors in which all tensors of a level share its loops"


@dataclass(frozen=True)
class FrontPoint:
    """One mapping that no other beats in both energy and cycles.

    Attributes:
        energy_pJ: its energy, from the plain model.
        cycles: its cycles, likewise.
        mapping: the mapping.
        reading: the reading that the mapping is of, where a layer can be read in several ways; None: the layer's own.
    """

    energy_pJ: float
    cycles: int
    mapping: Mapping
    reading: Reading | None = None


def unbeaten(points: Iterable[FrontPoint]) -> tuple[FrontPoint, ...]:
    """Return the points that no other beats, by rising energy; one of those that are equal."""
    best: list[FrontPoint] = []
    for point in sorted(points, key=lambda point: (point.energy_pJ, point.cycles)):
        if not best or point.cycles < best[-1].cycles:
            best.append(point)
    return tuple(best)


@dataclass(frozen=True)
class Certificate:
    """How a search knows its answer.

    Attributes:
        exact: True when nothing better exists: the whole mapspace is covered, or the answer's value equals its bound;
            False when time or size ended the search first.
        mapspace_size: mappings that constraints and fan-outs allow, capacities not yet counted.
        states: partial mappings examined.
        pruned_by_bound: partial mappings whose every completion costs at least as much as the answer.
        pruned_by_dominance: partial mappings that another one replaces at no loss.
        pruned_by_capacity: partial mappings with a tile that does not fit.
        value: the objective's value of the answer, as `Objective.value_of` has it (pJ, cycles, pJ x cycles, ...).
        bound: a value that no mapping goes below; equal to ``value`` when ``exact``.
        compute_bound_cycles: cycles of any mapping, had every allowed compute unit work all the time.
        compulsory_pJ: energy of any mapping: computing, and moving each tensor once.
        binding: what stands between the answer and these bounds, in words.
        method: which method covered the space.
        seconds: time the search took.
        space: the mappings that all this is said of, in words.
        tie_proven: True when, of all mappings of the answer's value, none is better by what breaks ties (`Objective`).
    """

    exact: bool
    mapspace_size: int
    states: int
    pruned_by_bound: int
    pruned_by_dominance: int
    pruned_by_capacity: int
    value: float
    bound: float
    compute_bound_cycles: int
    compulsory_pJ: float
    binding: tuple[str, ...]
    method: str
    seconds: float
    space: str = PERFECT_SPACE
    tie_proven: bool = False

    @property
    def gap(self) -> float:
        """How far the answer may be above the optimum, as a fraction of the bound; 0 when exact."""
        return 0.0 if self.exact or self.bound <= 0 else self.value / self.bound - 1.0

    @property
    def known(self) -> str:
        """How good the answer is known to be, in a sentence."""
        size = f"{self.mapspace_size:.4g} " if self.mapspace_size else ""
        if self.exact:
            return f"optimal: nothing better exists among {size}{self.space}"
        return f"not proven optimal: at most {percent(self.gap)} above the optimum of {size}{self.space}"

    @property
    def brief(self) -> str:
        """The same in a word or two."""
        return "proven" if self.exact else f"at most {percent(self.gap)} above the optimum"

    def __repr__(self) -> str:
        return f"<Certificate: {self.brief}; {self.method}>"


@dataclass(frozen=True)
class SearchResult:
    """The best mapping of a layer.

    Attributes:
        objective: what was minimised.
        mapping: the best mapping.
        cost: its cost, from the plain model.
        certificate: how this is known.
        front: when asked for, every point of the Pareto front over (energy, cycles), by rising energy.
        interrupted: whether a KeyboardInterrupt ended the search: it is the best so far.
        ended_by_itself: whether it is known that no limit ended the search, though it had one.
        reading: the reading of the problem that the mapping is of, where the search took another one (it padded it);
            None: the problem's own.
    """

    objective: Objective
    mapping: Mapping
    cost: Cost
    certificate: Certificate
    front: tuple[FrontPoint, ...] = ()
    interrupted: bool = False
    ended_by_itself: bool = False
    reading: Reading | None = None

    def unless_interrupted(self) -> SearchResult:
        """Return the result, for a search that is one of many; raise KeyboardInterrupt where one ended it."""
        if self.interrupted:
            raise KeyboardInterrupt
        return self

    def _repr_html_(self) -> str:
        known = f"best {self.objective}, {self.certificate.known}"
        return f"<p>{known}</p>{self.cost._repr_html_()}{_loops(self.mapping).html()}"

    def __repr__(self) -> str:
        return f"<SearchResult {self.objective}: {self.cost.text}, {self.certificate.brief}>"


def _loops(mapping: Mapping) -> Table:
    """Return a row per level: what it keeps, and its loops from the outside in."""
    rows = []
    for level in mapping.levels:
        loops = [*level.temporal, *level.spatial_x, *level.spatial_y]
        rows.append(
            (level.level, ", ".join(sorted(level.keep)), " ".join(f"{one.dimension}{one.factor}" for one in loops))
        )
    return Table(headed("level", "keeps", "loops"), tuple(rows))
