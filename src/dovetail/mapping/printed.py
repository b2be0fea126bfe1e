"""Reads mappings printed as loop nests: the ``map.txt`` that Timeloop's tools leave, and our own text.

::

    DRAM [ Weights:864 (864) Inputs:3468 (3468) ]        DRAM        keeps Weights, Inputs
    | for P in [0:4)                                       for P in [0:4)
    |   for M in [0:2) (Spatial-X)                           parallel for M in [0:2) on X

Levels go from outer to inner, loops too. A storage that the text does not name keeps nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture
from dovetail.mapping.directives import mapping_from_directives
from dovetail.mapping.mapping import Mapping
from dovetail.workload.problem import Problem

_LEVEL = re.compile(r"(?P<name>(?=[\w.-]*[A-Za-z_])\w[\w.-]*)\s*+(?:\[(?P<sizes>[^\]]*)\]|keeps\s+(?P<kept>.+))?\s*+")
_LOOP = re.compile(
    r"(?:parallel\s+)?for\s+(?P<dimension>\w+)\s+in\s+\[0:(?P<factor>[0-9]{1,18})(?:,(?P<residual>[0-9]{1,18}))?\)"
    r"(?:\s+last\s+\[0:(?P<last>[0-9]{1,18})\))?(?:\s+(?:\(Spatial-|on\s+)(?P<axis>[XY])\)?)?\s*"
)
_LOOP_BEGINS = re.compile(r"(?:parallel\s+)?for\s|parallel\s")
_RULE = re.compile(r"-*|<< Compute >>|.*\+=.*")
_SIZE = re.compile(r"\b([A-Za-z_]\w*+)\s*+:\s*[\d.]+(?:\s*\([\d.]+\))?\s*")


@dataclass
class _Level:
    """What the text says of one level: the tensors kept, and (dimension, factor, residual, axis) outer to inner."""

    name: str
    line: int
    kept: list[str]
    loops: list[tuple[str, int, int | None, str | None]] = field(default_factory=list)


def parse_printed_mapping(text: str, architecture: Architecture, problem: Problem, *, file: str) -> Mapping:
    """Read the mapping that a printed loop nest shows.

    Raises:
        InputError: with file and line, when a line is none of a loop nest's or names what is not there.
    """
    levels = [level for level in _levels(text, file) if level.name != architecture.compute.name]
    if not levels:
        raise InputError("holds no loop nest: a level such as 'DRAM [ Weights:864 ]', then its loops", file=file)
    said = [(directive, level.line) for level in levels for directive in _directives(level, problem)]
    named = {level.name for level in levels}
    absent = [storage.name for storage in architecture.storages if storage.name not in named]
    tensors = [tensor.name for tensor in problem.shape.tensors]
    said += [({"target": name, "type": "bypass", "bypass": tensors}, 1) for name in absent]
    try:
        return mapping_from_directives([directive for directive, _ in said], architecture, problem)
    except InputError as error:
        place = re.match(r"mapping\[(\d+)\]", error.key or "")
        raise InputError(error.message, file=file, line=said[int(place[1])][1] if place else None) from None


def _levels(text: str, file: str) -> Iterator[_Level]:
    level: _Level | None = None
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.replace("|", " ").strip()
        if _RULE.fullmatch(line):
            continue
        if _LOOP_BEGINS.match(line):
            if level is None:
                raise InputError(f"the loop '{line[:60]}' stands before any level", file=file, line=number)
            level.loops.append(_loop(line, file, number))
            continue
        head = _LEVEL.fullmatch(line)
        if head is None:
            raise InputError(f"'{line[:60]}' is neither a level nor a loop of a loop nest", file=file, line=number)
        if level is not None:
            yield level
        level = _Level(head["name"], number, _kept(head, file, number))
    if level is not None:
        yield level


def _loop(line: str, file: str, number: int) -> tuple[str, int, int | None, str | None]:
    """Return a loop's dimension, factor, residual and axis."""
    loop = _LOOP.fullmatch(line)
    found = [] if loop is None else [int(loop[name]) for name in ("factor", "residual", "last") if loop[name]]
    if loop is None or 0 in found:
        message = f"'{line[:60]}' is no loop; write 'for C in [0:16)', with a whole number above 0 as its end"
        raise InputError(message, file=file, line=number)
    return loop["dimension"], found[0], found[1] if found[1:] else None, loop["axis"]


def _kept(head: re.Match[str], file: str, line: int) -> list[str]:
    if head["kept"] is not None:
        return [name.strip() for name in head["kept"].split(",")]
    sizes = (head["sizes"] or "").strip()
    rest = _SIZE.sub("", sizes).strip()
    if rest:
        raise InputError(f"'{rest[:60]}' is no tensor with its size, such as Weights:864", file=file, line=line)
    return _SIZE.findall(sizes)


def _directives(level: _Level, problem: Problem) -> Iterator[dict[str, Any]]:
    """Yield the directives of a level, loops innermost first as these want them."""
    passed = [tensor.name for tensor in problem.shape.tensors if tensor.name not in level.kept]
    yield {"target": level.name, "type": "bypass", "keep": level.kept, "bypass": passed}
    inner_first = [loop for loop in reversed(level.loops) if loop[1] > 1]
    over_time = [loop for loop in inner_first if loop[3] is None]
    if over_time:
        yield _loops(level.name, "temporal", over_time)
    on_x, on_y = ([loop for loop in inner_first if loop[3] == axis] for axis in "XY")
    if on_x or on_y:
        yield {**_loops(level.name, "spatial", on_x + on_y), "split": len(on_x)}


def _loops(target: str, kind: str, loops: list[tuple[str, int, int | None, str | None]]) -> dict[str, Any]:
    words = [f"{dimension}={factor}" + (f",{last}" if last else "") for dimension, factor, last, _ in loops]
    return {"target": target, "type": kind, "factors": words, "permutation": [loop[0] for loop in loops]}
