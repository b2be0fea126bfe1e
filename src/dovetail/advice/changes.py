"""Changes of a design that are worth a try: a constraint less, another buffer, another array, another bandwidth."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from dovetail.hardware.architecture import Architecture, Spatial, Storage
from dovetail.hardware.resized import with_bandwidth, with_capacity, with_fanout
from dovetail.mapper.relaxations import Relaxation, relaxations
from dovetail.workload.problem import Problem

CONSTRAINT, BUFFER, ARRAY, BANDWIDTH = "constraint", "buffer", "array", "bandwidth"
HALF, TWICE = Fraction(1, 2), Fraction(2)
#: How many times as large, as small and as fast as it is a buffer may become.
_LARGEST, _SMALLEST, _FASTEST = Fraction(8), Fraction(1, 64), Fraction(8)


@dataclass(frozen=True)
class Change:
    """One change of a design.

    Attributes:
        kind: ``constraint``, ``buffer``, ``array`` or ``bandwidth``.
        level: the level concerned.
        text: what to do, as a person would say it.
        design: the changed design, for a layer's problem.
        loosens: whether every mapping of the design stays one, at the same cost.
        saves: whether it takes something away: then it is worth it where it costs nothing.
        resizes: whether components change, and so energies and areas.
        next: the same again, a step further.
    """

    kind: str
    level: str
    text: str
    design: Callable[[Problem], Architecture] = field(repr=False)
    loosens: bool = False
    saves: bool = False
    resizes: bool = False
    next: Callable[[], Change | None] = field(default=lambda: None, repr=False)


def design_changes(architecture: Architecture, problems: Sequence[Problem]) -> list[Change]:
    """Return changes to try, those that add something first.

    Args:
        architecture: the design.
        problems: layers; constraints that matter to none of them are left out.
    """
    return [
        *_bandwidths(architecture),
        *_constraints(architecture, problems),
        *_buffers(architecture, TWICE),
        *_arrays(architecture),
        *_buffers(architecture, HALF),
    ]


def _constraints(architecture: Architecture, problems: Sequence[Problem]) -> Iterator[Change]:
    """Yield every constraint that can matter, each once, whatever it says for which layer."""
    said: dict[tuple[str, str], Relaxation] = {}
    for problem in problems:
        for each in relaxations(architecture, problem):
            key = each.level, _kind_of(each)
            if key not in said or len(each.constraint) > len(said[key].constraint):
                said[key] = each
    for (level, kind), each in said.items():
        where = f" ({Path(each.source.file).name}:{each.source.line})" if each.source else ""
        text = f"lift '{each.constraint}' at {level}{where}"
        yield Change(CONSTRAINT, level, text, _lifting(architecture, level, kind), loosens=True)


def _kind_of(relaxation: Relaxation) -> str:
    """Return what a constraint is, whatever it says for a layer: only factors that matter to a layer are listed."""
    return re.sub(r"\bfactors? .*", "factors", relaxation.constraint)


def _lifting(architecture: Architecture, level: str, kind: str) -> Callable[[Problem], Architecture]:
    def design(problem: Problem) -> Architecture:
        found = (each for each in relaxations(architecture, problem) if (each.level, _kind_of(each)) == (level, kind))
        return next((each.architecture for each in found), architecture)

    return design


def _buffers(architecture: Architecture, step: Fraction) -> Iterator[Change]:
    for level in architecture.storages[1:]:
        if (change := _buffer(architecture, level, step, step)) is not None:
            yield change


def _buffer(architecture: Architecture, level: Storage, factor: Fraction, step: Fraction) -> Change | None:
    changed = with_capacity(architecture, level, factor)
    if changed is None or level.depth is None or not _SMALLEST <= factor <= _LARGEST:
        return None
    text = (
        f"{'shrink' if factor < 1 else 'grow'} {level.name} from {level.depth:,} to {int(level.depth * factor):,} lines"
    )

    def further() -> Change | None:
        return _buffer(architecture, level, factor * step, step)

    return Change(BUFFER, level.name, text, _always(changed), saves=factor < 1, resizes=True, next=further)


def _bandwidths(architecture: Architecture) -> Iterator[Change]:
    for level in architecture.storages:
        bounded = (level.read_bandwidth, level.write_bandwidth, level.shared_bandwidth)
        if any(each is not None for each in bounded):
            yield _bandwidth(architecture, level, TWICE)


def _bandwidth(architecture: Architecture, level: Storage, factor: Fraction) -> Change:
    rates = (("read", level.read_bandwidth), ("write", level.write_bandwidth), ("shared", level.shared_bandwidth))
    moved = ", ".join(f"{what} {rate:g} to {float(rate * factor):g}" for what, rate in rates if rate is not None)
    changed = with_bandwidth(architecture, level, factor)
    text = f"raise {level.name}'s bandwidth: {moved} words a cycle"

    def further() -> Change | None:
        return _bandwidth(architecture, level, 2 * factor) if factor < _FASTEST else None

    return Change(BANDWIDTH, level.name, text, _always(changed), loosens=True, next=further)


def _arrays(architecture: Architecture) -> Iterator[Change]:
    """Yield arrays of another shape with as many units, and with twice as many."""
    fanouts = [level for level in architecture.levels if isinstance(level, Spatial)]
    axes = [(level, axis) for level in fanouts for axis in "XY" if _size(level, axis) > 1]
    for grown, axis in axes:
        for shrunk, other in axes:
            if (shrunk, other) == (grown, axis) or _size(shrunk, other) % 2:
                continue
            first = _sized(architecture, grown, axis, 2)
            level = None if first is None else first.level(shrunk.name)
            changed = None if first is None or level is None else _sized(first, level, other, HALF)
            if changed is not None:
                text = (
                    f"reshape the array: {_text(grown, axis, 2)} and {_text(shrunk, other, HALF)}, as many units in all"
                )
                yield Change(ARRAY, grown.name, text, _always(changed), resizes=True)
    for level, axis in axes:
        if (larger := _sized(architecture, level, axis, 2)) is not None:
            text = f"double the array: {_text(level, axis, 2)}"
            yield Change(ARRAY, level.name, text, _always(larger), resizes=True)


def _always(architecture: Architecture) -> Callable[[Problem], Architecture]:
    return lambda _: architecture


def _size(level: Spatial, axis: str) -> int:
    return level.fanout_x if axis == "X" else level.fanout_y


def _sized(architecture: Architecture, level: object, axis: str, factor: Fraction | int) -> Architecture | None:
    assert isinstance(level, Spatial)
    x, y = level.fanout_x, level.fanout_y
    return with_fanout(
        architecture, level, int(x * factor) if axis == "X" else x, int(y * factor) if axis == "Y" else y
    )


def _text(level: Spatial, axis: str, factor: Fraction | int) -> str:
    name = level.name.removeprefix("inter_").removesuffix("_spatial")
    return f"{name} from {_size(level, axis)} to {int(_size(level, axis) * factor)} along {axis}"
