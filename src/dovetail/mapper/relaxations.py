"""The constraints of an architecture one by one, in words, and the architecture without each of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from dovetail.hardware.architecture import (
    Architecture,
    Constraints,
    FactorConstraint,
    Level,
    LoopConstraints,
    Relation,
    Source,
)
from dovetail.hardware.constraint_reader import ALL_ON_X
from dovetail.hardware.names import source_of
from dovetail.workload.problem import Problem

_UNSET = LoopConstraints()


@dataclass(frozen=True)
class Relaxation:
    """One constraint, and the architecture without it.

    Attributes:
        level: the level that it stands at.
        constraint: what it says, in words.
        architecture: the same without it.
        lift: takes it out of its level's constraints, whatever else was taken out of them.
        parts: the single factors that it consists of, when it consists of several.
        source: where a file states it, when it is in one place.
        factor: the factor, when it is one.
    """

    level: str
    constraint: str
    architecture: Architecture
    lift: Callable[[Constraints], Constraints] = field(repr=False)
    parts: tuple[Relaxation, ...] = ()
    source: Source | None = None
    factor: FactorConstraint | None = None


def relaxations(architecture: Architecture, problem: Problem) -> Iterator[Relaxation]:
    """Yield every constraint that can matter to the problem, outer to inner, with the architecture without it."""
    names = frozenset(tensor.name for tensor in problem.shape.tensors)
    for level in architecture.levels:
        kept = names if level is not architecture.levels[0] else frozenset()
        yield from _dataspace(architecture, level, kept)
        for kind in ("temporal", "spatial"):
            yield from _loop_relaxations(architecture, level, kind, problem)


def without(architecture: Architecture, lifted: Iterable[Relaxation]) -> Architecture:
    """Return the architecture without several constraints at once."""
    levels = {level.name: level for level in architecture.levels}
    for one in lifted:
        level = levels[one.level]
        levels[one.level] = replace(level, constraints=one.lift(level.constraints))
    return replace(architecture, levels=tuple(levels.values()))


def _relaxation(
    architecture: Architecture,
    level: Level,
    words: str,
    lift: Callable[[Constraints], Constraints],
    source: Source | None,
    parts: tuple[Relaxation, ...] = (),
) -> Relaxation:
    changed = [
        replace(each, constraints=lift(each.constraints)) if each is level else each for each in architecture.levels
    ]
    return Relaxation(level.name, words, replace(architecture, levels=tuple(changed)), lift, parts, source)


def _dataspace(architecture: Architecture, level: Level, names: frozenset[str]) -> Iterator[Relaxation]:
    """Yield tensor by tensor what must be kept or must pass by, whichever way that is said."""
    for kind in ("keep", "bypass"):
        listed: frozenset[str] = getattr(level.constraints, kind)
        spared: frozenset[str] | None = getattr(level.constraints, f"{kind}_all_but")
        for name in sorted(names & (listed if spared is None else listed | (names - spared))):
            source = source_of(level.constraints.said, "tensor", name)
            lift = functools.partial(_without_tensor, kind=kind, name=name)
            yield _relaxation(architecture, level, f"{kind} {name}", lift, source)


def _without_tensor(constraints: Constraints, kind: str, name: str) -> Constraints:
    listed: frozenset[str] = getattr(constraints, kind)
    spared: frozenset[str] | None = getattr(constraints, f"{kind}_all_but")
    fields: dict[str, Any] = {kind: listed - {name}}
    if spared is not None:
        fields[f"{kind}_all_but"] = spared | {name}
    return replace(constraints, **fields)


def _without_loops(constraints: Constraints, kind: str, **fields: Any) -> Constraints:
    return replace(constraints, **{kind: replace(getattr(constraints, kind), **fields)})


def _without_factors(
    constraints: Constraints, kind: str, dropped: tuple[FactorConstraint, ...], problem: Problem
) -> Constraints:
    """Return constraints without some factors, whose dimensions stay named where rules for all others would hold.

    Under ``factors_only`` a dimension that is no longer named could only have factor 1: that would lift nothing.
    """
    loops: LoopConstraints = getattr(constraints, kind)
    rest = [factor for factor in loops.factors if factor not in dropped]
    for name in dict.fromkeys(factor.dimension for factor in dropped):
        if loops.only_listed or loops.default_max is not None:
            rest.append(FactorConstraint(name, Relation.LE, problem.bound(name)))
        if loops.default_min is not None:
            rest.append(FactorConstraint(name, Relation.GE, 1))
    return _without_loops(constraints, kind, factors=tuple(rest))


def _loop_relaxations(architecture: Architecture, level: Level, kind: str, problem: Problem) -> Iterator[Relaxation]:
    prefix = "spatial " if kind == "spatial" else ""
    loops: LoopConstraints = getattr(level.constraints, kind)

    def rule(words: str, key: str, **fields: Any) -> Relaxation:
        lift = functools.partial(_without_loops, kind=kind, **fields)
        return _relaxation(architecture, level, prefix + words, lift, source_of(loops.said, "key", key))

    yield from _factor_relaxations(architecture, level, kind, problem)
    split = "all on X" if (loops.split or 0) >= ALL_ON_X else str(loops.split)
    order = [name for name in loops.outer + loops.inner if _iterates(problem, name)]
    listed = " ".join(reversed(loops.outer + loops.inner))
    if len(order) > 1 or (order and loops.split is not None):
        yield rule(f"permutation {listed}", "permutation", inner=(), outer=())
    if loops.split is not None:
        yield rule(f"split {split}", "split", split=None)
        if order:
            yield rule(f"permutation {listed} and split {split}", "split", inner=(), outer=(), split=None)
    for name, (words, key) in _OTHER_RULES.items():
        value = getattr(loops, name)
        if value != getattr(_UNSET, name):
            shown = "" if isinstance(value, bool) else f" {_listed(value)}"
            yield rule(f"{words}{shown}", key, **{name: getattr(_UNSET, name)})


#: Field -> what to call its constraint, and its key in the files.
_OTHER_RULES = {
    "max_dimensions": ("at most so many loops:", ""),
    "only_listed": ("factors_only", "factors_only"),
    "no_iteration_over": ("no_iteration_over_dataspaces", "no_iteration_over_dataspaces"),
    "iteration_over": ("iteration only over the dimensions of", "must_iterate_over_dataspaces"),
    "maximize": ("maximize_dims", "maximize_dims"),
    "default_max": ("default upper bound of factors:", "default_max_factor"),
    "default_min": ("default lower bound of factors:", "default_min_factor"),
}


def _iterates(problem: Problem, dimension: str) -> bool:
    return dimension in problem.shape.dimensions and problem.bound(dimension) > 1


def _binds(problem: Problem, factor: FactorConstraint) -> bool:
    """Return whether a factor can matter: of a dimension that iterates, and within what it may have anyway."""
    if not _iterates(problem, factor.dimension):
        return False
    if factor.relation is Relation.LE:
        return factor.value < problem.bound(factor.dimension)
    return factor.relation is not Relation.GE or factor.value > 1


def _listed(value: Any) -> str:
    if isinstance(value, frozenset):
        return ", ".join(sorted(value))
    if isinstance(value, tuple):
        return " ".join(",".join(group) for group in value)
    return str(value)


def _factor_relaxations(architecture: Architecture, level: Level, kind: str, problem: Problem) -> Iterator[Relaxation]:
    """Yield the factors that matter: all together, with each of them as its parts."""
    prefix = "spatial " if kind == "spatial" else ""
    loops: LoopConstraints = getattr(level.constraints, kind)
    binding = [factor for factor in loops.factors if _binds(problem, factor)]
    parts = []
    for factor in binding:
        lift = functools.partial(_without_factors, kind=kind, dropped=(factor,), problem=problem)
        one = _relaxation(architecture, level, f"{prefix}factor {factor}", lift, factor.source)
        parts.append(replace(one, factor=factor))
    if len(parts) > 1:
        words = f"{prefix}factors {' '.join(map(str, binding))}"
        lift = functools.partial(_without_factors, kind=kind, dropped=tuple(binding), problem=problem)
        yield _relaxation(architecture, level, words, lift, None, tuple(parts))
    else:
        yield from parts
