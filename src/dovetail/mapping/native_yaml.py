"""Mappings in our own compact YAML: what is kept and the loops of each level, both outer to inner.

::

    loop_nest:
    - {level: DRAM, keep: [Weights, Inputs, Outputs], temporal: M=4 P=8 Q=2}
    - {level: inter_PE_spatial, x: M=2, y: C=3 S=3}
    - {level: psum_spad, keep: [Outputs], temporal: M=8 P=5,3}   # P runs 5 times, the last time 3
"""

from __future__ import annotations

from typing import Any

import yaml

from dovetail.document import Node
from dovetail.errors import InputError, did_you_mean
from dovetail.hardware.architecture import Architecture, Spatial, Storage
from dovetail.mapping.directives import parse_factors
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.workload.problem import Problem

_STORAGE_KEYS, _SPATIAL_KEYS = ("level", "keep", "temporal"), ("level", "x", "y")


def parse_native_mapping(document: Node, architecture: Architecture, problem: Problem) -> Mapping:
    """Read the mapping under the key ``loop_nest``; levels that it leaves out have no loops and keep nothing.

    Raises:
        InputError: with file, line and key.
    """
    nodes = document.mapping(known=("loop_nest",), required=("loop_nest",))["loop_nest"]
    levels = [level for level in architecture.levels if isinstance(level, Storage | Spatial)]
    places = {level.name: place for place, level in enumerate(levels)}
    entries = {name: LevelMapping(name) for name in places}
    last = -1
    for node in nodes.sequence():
        fields = node.mapping(required=("level",))
        name = fields["level"].text()
        if name not in places:
            raise fields["level"].fail(f"{architecture.name} has no level '{name}'{did_you_mean(name, places)}")
        if places[name] <= last:
            raise fields["level"].fail(f"'{name}' stands after '{levels[last].name}'; levels go from outer to inner")
        last = places[name]
        is_storage = isinstance(levels[last], Storage)
        node.mapping(known=_STORAGE_KEYS if is_storage else _SPATIAL_KEYS)
        entries[name] = LevelMapping(
            name,
            temporal=_loops(fields.get("temporal"), problem),
            spatial_x=_loops(fields.get("x"), problem),
            spatial_y=_loops(fields.get("y"), problem),
            keep=_tensors(fields.get("keep"), problem),
        )
    mapping = Mapping(tuple(entries.values()))
    return mapping if architecture.is_sparse else mapping.normalized()  # there the place of every loop counts


def native_mapping_yaml(mapping: Mapping, problem: Problem) -> str:
    """Return the mapping as compact YAML, one line per level, loops of one iteration where it has them."""
    levels: list[dict[str, Any]] = []
    for entry in mapping.levels:
        fields: dict[str, Any] = {"level": entry.level}
        if entry.keep:
            fields["keep"] = [tensor.name for tensor in problem.shape.tensors if tensor.name in entry.keep]
        for key, loops in (("temporal", entry.temporal), ("x", entry.spatial_x), ("y", entry.spatial_y)):
            if loops:
                fields[key] = " ".join(loop_factor_text(loop) for loop in loops)
        levels.append(fields)
    lines = (yaml.safe_dump(fields, sort_keys=False, default_flow_style=True, width=10_000) for fields in levels)
    return "loop_nest:\n" + "".join(f"- {line}" for line in lines)


def loop_factor_text(loop: Loop) -> str:
    """Return ``P=5``, or ``P=5,3`` when the last pass makes only 3 iterations."""
    return f"{loop.dimension}={loop.factor}" + ("" if loop.residual is None else f",{loop.residual}")


def _loops(node: Node | None, problem: Problem) -> tuple[Loop, ...]:
    if node is None or node.value is None:
        return ()
    try:
        return tuple(parse_factors(node.plain(), problem, ""))
    except InputError as error:
        raise node.fail(error.message) from None


def _tensors(node: Node | None, problem: Problem) -> frozenset[str]:
    if node is None or node.value is None:
        return frozenset()
    known = [tensor.name for tensor in problem.shape.tensors]
    for item in node.sequence():
        if item.text() not in known:
            raise item.fail(f"unknown tensor '{item.text()}'{did_you_mean(item.text(), known)}")
    return frozenset(item.text() for item in node.sequence())
