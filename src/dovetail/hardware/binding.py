"""Says what an architecture's constraints mean for the dimensions and tensors of one problem.

Some constraints of the format speak of things that only a problem has: all tensors but these, every dimension not
named, as large a factor as fits. Binding turns them into plain ones (``keep``, ``bypass``, ``factors``), in the order
and with the meaning that the reference's front end gives them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from dovetail.errors import InputError
from dovetail.hardware.architecture import (
    Architecture,
    Constraints,
    FactorConstraint,
    Level,
    LoopConstraints,
    Relation,
    Source,
    Spatial,
)
from dovetail.hardware.names import Names, check_names, source_of

Tensors = Mapping[str, Collection[str]]


def bind(
    architecture: Architecture, bounds: Mapping[str, int], tensors: Tensors, layer: str = "the problem"
) -> Architecture:
    """Return the architecture with plain constraints only, for a problem of these dimensions and tensors.

    Args:
        architecture: whose constraints are meant.
        bounds: iterations per dimension of the problem, in the problem's order.
        tensors: the dimensions that each tensor depends on.
        layer: what to call the problem in messages.

    Raises:
        InputError: a constraint contradicts itself for this problem, or names a tensor or dimension that neither the
            problem nor, as far as `dovetail.hardware.names` was told, any other layer has.
    """
    check_names(architecture, [Names(layer, bounds, tensors)])
    levels = [
        replace(level, constraints=_bound_constraints(level, bounds, tensors)) if _speaks(level.constraints) else level
        for level in architecture.levels
    ]
    maximized = _maximize(levels, bounds)
    if all(new is old for new, old in zip(maximized, architecture.levels, strict=True)):
        return architecture
    return replace(architecture, levels=tuple(maximized))


def _speaks(constraints: Constraints) -> bool:
    """Tell whether any constraint speaks of what only a problem has."""
    if constraints.bypass_all_but is not None or constraints.keep_all_but is not None:
        return True
    return any(
        loops.only_listed
        or loops.no_iteration_over
        or loops.iteration_over is not None
        or loops.default_max is not None
        or loops.default_min is not None
        or "*" in loops.no_reuse | loops.no_link_transfer | loops.rmw_first_update
        for loops in (constraints.temporal, constraints.spatial)
    )


def _bound_constraints(level: Level, bounds: Mapping[str, int], tensors: Tensors) -> Constraints:
    constraints = level.constraints
    names = frozenset(tensors)
    bypass, keep = constraints.bypass & names, constraints.keep & names
    if constraints.bypass_all_but is not None:
        bypass |= names - constraints.bypass_all_but
    if constraints.keep_all_but is not None:
        keep |= names - constraints.keep_all_but
    if keep & bypass:
        both = sorted(keep & bypass)
        message = f"{level.name}: its constraints both keep {', '.join(both)} and let it pass by"
        raise _failure(message, source_of(constraints.said, "tensor", both[0]))
    return Constraints(
        keep=keep,
        bypass=bypass,
        temporal=_bound_loops(level.name, constraints.temporal, bounds, tensors),
        spatial=_bound_loops(level.name, constraints.spatial, bounds, tensors),
        said=constraints.said,
    )


def _failure(message: str, source: Source | None) -> InputError:
    """Return the error, placed where the file says what is wrong."""
    if source is None:
        return InputError(message)
    return InputError(message, file=source.file, line=source.line, key=source.key)


def _bound_loops(name: str, loops: LoopConstraints, bounds: Mapping[str, int], tensors: Tensors) -> LoopConstraints:
    factors = list(loops.factors)
    if loops.only_listed:
        named = {factor.dimension for factor in factors}
        source = source_of(loops.said, "key", "factors_only")
        factors += _ones((dimension for dimension in bounds if dimension not in named), source)
    if loops.no_iteration_over:
        still = _dimensions(loops.no_iteration_over, tensors)
        source = source_of(loops.said, "key", "no_iteration_over_dataspaces")
        factors = _with_ones(name, factors, [dimension for dimension in bounds if dimension in still], source)
    if loops.iteration_over is not None:
        moving = _dimensions(loops.iteration_over, tensors)
        source = source_of(loops.said, "key", "must_iterate_over_dataspaces")
        factors = _with_ones(name, factors, [dimension for dimension in bounds if dimension not in moving], source)
    for relation, value, key in (
        (Relation.LE, loops.default_max, "default_max_factor"),
        (Relation.GE, loops.default_min, "default_min_factor"),
    ):
        if value is not None:
            named = {factor.dimension for factor in factors if factor.relation is relation}
            source = source_of(loops.said, "key", key)
            factors += [FactorConstraint(dim, relation, value, source) for dim in bounds if dim not in named]
    return replace(
        loops,
        factors=tuple(factors),
        no_reuse=_all_named(loops.no_reuse, tensors),
        no_link_transfer=_all_named(loops.no_link_transfer, tensors),
        rmw_first_update=_all_named(loops.rmw_first_update, tensors),
        only_listed=False,
        no_iteration_over=frozenset(),
        iteration_over=None,
        default_max=None,
        default_min=None,
    )


def _all_named(names: frozenset[str], tensors: Tensors) -> frozenset[str]:
    return frozenset(tensors) if "*" in names else names


def _dimensions(names: Iterable[str], tensors: Tensors) -> set[str]:
    chosen = _all_named(frozenset(names), tensors)
    return {dimension for name in chosen for dimension in tensors.get(name, ())}


def _ones(dimensions: Iterable[str], source: Source | None) -> list[FactorConstraint]:
    return [FactorConstraint(dimension, Relation.EQ, 1, source) for dimension in dimensions]


def _with_ones(
    name: str, factors: list[FactorConstraint], dimensions: Iterable[str], source: Source | None
) -> list[FactorConstraint]:
    result = list(factors)
    for one in _ones(dimensions, source):
        for other in factors:
            if other.dimension == one.dimension and other.relation is not Relation.LE and other.value != 1:
                raise _failure(f"{name}: {other} contradicts that its loops may not run over {one.dimension}", source)
        if one not in result:
            result.append(one)
    return result


def _maximize(levels: list[Level], bounds: Mapping[str, int]) -> list[Level]:
    """Settle ``maximize``, spatial loops first, from the inside out, each group from what the earlier ones left."""
    if not any(loops.maximize for level in levels for loops in (level.constraints.temporal, level.constraints.spatial)):
        return levels
    result = list(levels)
    left = _unconstrained(levels, bounds)
    for kind in ("spatial", "temporal"):
        for index in reversed(range(len(result))):
            level = result[index]
            loops: LoopConstraints = getattr(level.constraints, kind)
            if loops.maximize:
                settled = _maximized(level, kind, loops, left, bounds)
                constraints = level.constraints
                constraints = (
                    replace(constraints, spatial=settled)
                    if kind == "spatial"
                    else replace(constraints, temporal=settled)
                )
                result[index] = replace(level, constraints=constraints)
    return result


def _unconstrained(levels: Iterable[Level], bounds: Mapping[str, int]) -> dict[str, int]:
    """Return what each dimension has left once every fixed factor is taken out of it."""
    left = dict(bounds)
    for level in levels:
        for loops in (level.constraints.spatial, level.constraints.temporal):
            for factor in loops.factors:
                if factor.relation is Relation.EQ and factor.dimension in left:
                    value = fixed_factor(factor, bounds[factor.dimension])
                    left[factor.dimension] = math.ceil(left[factor.dimension] / value)
    return left


def fixed_factor(factor: FactorConstraint, bound: int) -> int:
    """Return the factor that ``=`` asks for: 0 stands for the whole bound, and so does what is more than that."""
    return min(factor.value, bound) or bound


def _maximized(
    level: Level, kind: str, loops: LoopConstraints, left: dict[str, int], bounds: Mapping[str, int]
) -> LoopConstraints:
    whole = loops.maximize_capacity
    if whole is None and kind == "spatial" and isinstance(level, Spatial):
        whole = level.fanout
    if whole is None:
        message = f"{level.name}: maximize_dims of loops over time needs a maximize_dims_capacity"
        raise _failure(message, source_of(loops.said, "key", "maximize_dims"))
    factors = list(loops.factors)
    source = source_of(loops.said, "key", "maximize_dims")
    for group in loops.maximize:
        capacity = whole
        for factor in factors:
            if factor.relation is not Relation.LE:
                capacity //= fixed_factor(factor, bounds.get(factor.dimension, 1))
        named = {factor.dimension for factor in factors}
        for dimension in group:
            if dimension in named:
                message = f"{level.name}: {dimension} cannot be maximized, its factor is constrained already"
                raise _failure(message, source_of(loops.said, "key", "maximize_dims"))
        present = {dimension: left[dimension] for dimension in group if dimension in left}
        for dimension, value in largest_factors(present, capacity).items():
            factors.append(FactorConstraint(dimension, Relation.EQ, value, source))
            left[dimension] = math.ceil(left[dimension] / value)
    return replace(loops, factors=tuple(factors), maximize=(), maximize_capacity=None)


def largest_factors(sizes: Mapping[str, int], capacity: int) -> dict[str, int]:
    """Return one factor per dimension, their product at most ``capacity``, that use it as fully as can be.

    A dimension is taken apart by its primes, as the reference does; what is larger than the room that is left may
    also be cut into equal pieces, the last of them smaller.

    Args:
        sizes: iterations per dimension.
        capacity: what the product may reach.
    """
    known: dict[tuple[tuple[int, ...], int], tuple[float, tuple[int, ...]]] = {}

    def best(left: tuple[int, ...], room: int) -> tuple[float, tuple[int, ...]]:
        if room <= 1:
            return 1.0, (1,) * len(left)
        if (left, room) in known:
            return known[left, room]
        result = 1.0, (1,) * len(left)
        for place, size in enumerate(left):
            if size > room:
                pieces = math.ceil(size / room)
                part = math.ceil(size / pieces)
                used = (part * (pieces - 1) + size % part) / pieces
                if used > result[0]:
                    result = used, tuple(part if other == place else 1 for other in range(len(left)))
            for prime in _primes(size):
                if prime <= room:
                    rest = (*left[:place], size // prime, *left[place + 1 :])
                    used, parts = best(rest, room // prime)
                    if used * prime > result[0]:
                        result = (
                            used * prime,
                            tuple(part * prime if other == place else part for other, part in enumerate(parts)),
                        )
        known[left, room] = result
        return result

    return dict(zip(sizes, best(tuple(sizes.values()), capacity)[1], strict=True))


def _primes(number: int) -> list[int]:
    found, divisor = [], 2
    while divisor * divisor <= number:
        if number % divisor == 0:
            found.append(divisor)
            while number % divisor == 0:
                number //= divisor
        divisor += 1
    return [*found, number] if number > 1 else found
