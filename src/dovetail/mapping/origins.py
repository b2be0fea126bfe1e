"""Tensors that the outermost level lets pass by: the next level that keeps one is where it lies from start to end.

The reference (``ProcessOuterMaskedLevels`` and ``ResetBackingStorageFillsPlaceHolder`` of ``loop-analysis/tiling.cpp``)
counts nothing for such a tensor outside of that level: neither accesses nor networks, and no fills there. That is right
where the level holds the whole tensor, which the reference leaves to its user: weights in a crossbar's cells, outputs
that stay on the chip. A search looks among mappings that are right only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import replace

from dovetail.errors import InputError, NoMappingError
from dovetail.hardware.architecture import (
    Architecture,
    Constraints,
    FactorConstraint,
    Level,
    LoopConstraints,
    Relation,
    Spatial,
    Storage,
)
from dovetail.hardware.names import source_of
from dovetail.mapping.constraints import bound_to
from dovetail.mapping.mapping import LevelMapping, Mapping
from dovetail.same import Remembered
from dovetail.workload.problem import Problem, Tensor

#: As `bound_to` remembers what it binds.
_SEARCHED: Remembered[Architecture] = Remembered(64)


def as_mapped(architecture: Architecture, mapping: Mapping, problem: Problem) -> Architecture:
    """Return a design as a mapping uses it: what its outermost level lets pass by lies in the next one that keeps it.

    Some level keeps every tensor (`dovetail.mapping.check.check_mapping`).

    Raises:
        InputError: the design does something about zeros.
    """
    passing = {tensor.name: _keeper(mapping, tensor) for tensor in problem.shape.tensors}
    return _with_origins(architecture, {name: place for name, place in passing.items() if place > 0})


def as_searched(architecture: Architecture, problem: Problem) -> Architecture:
    """Return a design as a search of a problem's mappings sees it: bound to the problem, its outermost level keeps all.

    What its constraints let pass that level by lies in the next level that may keep it, whole: loops over time outside
    do not run over it, and no two instances there hold sums of the same outputs.

    Raises:
        NoMappingError: no level may keep some tensor.
        InputError: a constraint contradicts itself, or such a design does something about zeros.
    """
    architecture = bound_to(architecture, problem)
    first, passing = architecture.levels[0], dict[str, int]()
    for tensor in problem.shape.tensors:
        if tensor.name not in first.constraints.bypass:
            continue
        place = next((i for i, level in enumerate(architecture.levels[:-1]) if _may_keep(level, tensor.name)), None)
        if place is None:
            said = source_of(first.constraints.said, "tensor", tensor.name)
            where = f" ({said})" if said else ""
            raise NoMappingError(f"no mapping: all levels let {tensor.name} pass by{where}; one must keep it")
        passing[tensor.name] = place
    return (
        architecture
        if not passing
        else _SEARCHED.once((architecture, problem), lambda: _whole(architecture, problem, passing))
    )


def _whole(architecture: Architecture, problem: Problem, passing: MappingOf[str, int]) -> Architecture:
    """Return a bound design with what lies further in, and the constraints that keep all of it there."""
    levels = list(_with_origins(architecture, passing).levels)
    for tensor in problem.shape.tensors:
        for i in range(passing.get(tensor.name, -1) + 1):
            lies = passing[tensor.name] == i
            levels[i] = replace(levels[i], constraints=_searched(levels[i], tensor, problem, i == 0, lies))
    return replace(architecture, levels=tuple(levels))


def origins(architecture: Architecture) -> frozenset[str]:
    """Return the tensors that lie in another level than the outermost one, of a design as it is mapped or searched."""
    return frozenset[str]().union(*(level.origin for level in architecture.storages))


def design_origin_notes(architecture: Architecture, problems: Sequence[Problem]) -> Iterator[str]:
    """Yield where a search has the tensors that a design's outermost level lets pass by, once for all layers."""
    for problem in problems:
        levels = bound_to(architecture, problem).levels
        for tensor in problem.shape.tensors:
            level = next((each for each in levels if _may_keep(each, tensor.name)), None)
            if level is not None and level.name != levels[0].name:
                yield f"{levels[0].name} lets {tensor.name} pass by: all of it lies in {level.name} from start to end"


def origin_notes(mapping: Mapping, problem: Problem, architecture: Architecture) -> Iterator[str]:
    """Yield which tensors a mapping lets pass the outermost level by, and which of them lie nowhere as a whole.

    Those that the design lets pass by are left to `design_origin_notes`.
    """
    said = bound_to(architecture, problem).levels[0].constraints.bypass
    for tensor in problem.shape.tensors:
        place = _keeper(mapping, tensor)
        if place > 0 and tensor.name not in said:
            outermost, level = mapping.levels[0].level, mapping.levels[place].level
            yield f"the mapping lets {tensor.name} pass {outermost} by: it lies in {level} from start to end"
        if loops := _moving(mapping.levels[:place], tensor):
            what = "sums of several parts are not added up" if tensor.is_output else "nothing brings it part after part"
            yield (
                f"{mapping.levels[place].level} does not hold all of {tensor.name} at a time (loops over "
                f"{', '.join(loops)} outside), and all levels outside let it pass by: {what}, as in the reference"
            )


def _moving(outside: Sequence[LevelMapping], tensor: Tensor) -> list[str]:
    """Return the dimensions of loops outside a tensor's level for which that does not hold all of it, or all sums."""
    found = [loop for entry in outside for loop in entry.temporal if loop.dimension in tensor.dimensions]
    if tensor.is_output:
        spatial = (loop for entry in outside for loop in (*entry.spatial_x, *entry.spatial_y))
        found += [loop for loop in spatial if loop.dimension not in tensor.dimensions]
    return list(dict.fromkeys(loop.dimension for loop in found if loop.factor > 1))


def _keeper(mapping: Mapping, tensor: Tensor) -> int:
    """Return the place of the outermost level that keeps a tensor."""
    return next(i for i, entry in enumerate(mapping.levels) if tensor.name in entry.keep)


def _may_keep(level: Level, name: str) -> bool:
    return isinstance(level, Storage) and name not in level.constraints.bypass


def _with_origins(architecture: Architecture, passing: MappingOf[str, int]) -> Architecture:
    """Return the design with tensors that lie at these levels, nominally kept by the outermost one."""
    if not passing:
        return architecture
    if architecture.is_sparse:
        names = " and ".join(sorted(passing))
        raise InputError(
            f"{architecture.levels[0].name} of {architecture.name} lets {names} pass by, and the design does something "
            "about zeros ('sparse_optimizations'): together these are not counted; let the outermost level keep it"
        )
    levels = (_placed(level, i, passing) for i, level in enumerate(architecture.levels))
    return replace(architecture, levels=tuple(levels))


def _placed(level: Level, place: int, passing: MappingOf[str, int]) -> Level:
    """Return a level that knows which tensors lie in it, or further in."""
    inside = frozenset(name for name, lies in passing.items() if lies > place)
    if isinstance(level, Spatial) and inside:
        spatial = level.constraints.spatial
        spatial = replace(spatial, no_link_transfer=spatial.no_link_transfer | inside)
        return replace(level, constraints=replace(level.constraints, spatial=spatial))
    if isinstance(level, Storage):
        here = frozenset(name for name, lies in passing.items() if lies == place)
        absent = level.absent | inside if place == 0 else level.absent
        return replace(level, absent=absent, origin=level.origin | here)
    return level


def _searched(level: Level, tensor: Tensor, problem: Problem, outermost: bool, lies: bool) -> Constraints:
    """Return the constraints of a level where a tensor lies, or outside of it."""
    own, name, names = level.constraints, tensor.name, problem.shape.dimensions
    if isinstance(level, Spatial):
        apart = [each for each in names if each not in tensor.dimensions] if tensor.is_output else []
        return replace(own, spatial=_at_most_once(own.spatial, apart))
    if lies:
        return replace(own, keep=own.keep | {name})
    bypass = own.bypass - {name} if outermost else own.bypass
    moving = [each for each in names if each in tensor.dimensions]
    return replace(own, bypass=bypass, temporal=_at_most_once(own.temporal, moving))


def _at_most_once(loops: LoopConstraints, dimensions: Sequence[str]) -> LoopConstraints:
    """Return constraints that allow one iteration of these dimensions."""
    once = {each.dimension for each in loops.factors if each.relation is not Relation.GE and each.value == 1}
    more = tuple(FactorConstraint(name, Relation.LE, 1) for name in dimensions if name not in once)
    return replace(loops, factors=loops.factors + more)
