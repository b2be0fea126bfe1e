"""Mappings as Timeloop writes them: YAML with a list of directives under the key ``mapping``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from dovetail.document import Node
from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture
from dovetail.mapping.directives import (
    PASSED_OVER,
    hardware_from_directives,
    mapping_from_directives,
    mapping_to_directives,
)
from dovetail.mapping.mapping import Mapping
from dovetail.workload.problem import Problem

__all__ = [
    "MappingFile",
    "mapping_from_directives",
    "mapping_to_directives",
    "parse_timeloop_mapping",
    "timeloop_mapping_yaml",
]

#: Sections that stand beside a mapping in a whole specification; they are for other readers.
_OTHER_SECTIONS = (
    "architecture", "problem", "variables", "components", "compound_components", "constraints",
    "architecture_constraints", "mapspace_constraints", "mapspace", "mapper", "globals", "sparse_optimizations",
    "ERT", "ART", "dumped_by_timeloop_front_end", "model",
)  # fmt: skip


@dataclass(frozen=True)
class MappingFile:
    """A mapping as read, and what its file says besides.

    Attributes:
        mapping: the mapping.
        architecture: the architecture with what the file says of its hardware (``no_link_transfer`` and such).
        notes: what is passed over, a sentence each.
    """

    mapping: Mapping
    architecture: Architecture
    notes: tuple[str, ...] = ()


def parse_timeloop_mapping(document: Node, architecture: Architecture, problem: Problem) -> MappingFile:
    """Read the mapping of a document: a list of directives, bare or under the key ``mapping``.

    Raises:
        InputError: with file, line and key.
    """
    directives = document
    if isinstance(document.value, dict):
        directives = document.mapping(known=("mapping", *_OTHER_SECTIONS), required=("mapping",))["mapping"]
    if isinstance(directives.value, dict):
        kind = "fused operations" if "type" in directives.value else "keys"
        raise directives.fail(f"a mapping is a list of directives, found a mapping of {kind}; fusion is not supported")
    items = directives.sequence()
    plain = directives.plain()
    try:
        on = hardware_from_directives(plain, architecture, problem)
        return MappingFile(mapping_from_directives(plain, on, problem), on, _passed_over(items))
    except InputError as error:
        raise _place(items, error.key or "", directives).fail(error.message) from None


def _passed_over(items: list[Node]) -> tuple[str, ...]:
    first: dict[str, Node] = {}
    for item in items:
        entries = item.mapping()
        kind = entries["type"].value if "type" in entries else ""
        for word, read_by in PASSED_OVER.items():
            if word in entries and entries[word].value and kind != read_by:
                first.setdefault(word, entries[word])
    return tuple(
        f"{node.file}:{node.line}: '{word}' is passed over, as in the reference" for word, node in first.items()
    )


def timeloop_mapping_yaml(mapping: Mapping, architecture: Architecture, problem: Problem) -> str:
    """Return the mapping as YAML that Timeloop reads, every factor spelled out, levels outer to inner."""
    directives = []
    for directive in mapping_to_directives(mapping, architecture, problem):
        if "factors" in directive:
            directive["factors"] = " ".join(_factor_text(*item) for item in directive["factors"].items())
            if all(len(name) == 1 for name in problem.shape.dimensions):
                directive["permutation"] = "".join(directive["permutation"])
        directives.append(directive)
    return yaml.safe_dump({"mapping": directives}, sort_keys=False, default_flow_style=None, width=10_000)


def _factor_text(dimension: str, factor: Any) -> str:
    return f"{dimension}={','.join(map(str, factor))}" if isinstance(factor, list) else f"{dimension}={factor}"


def _place(items: list[Node], key: str, otherwise: Node) -> Node:
    """Find the node that a key such as ``mapping[3].factors`` leads to, or the nearest one around it."""
    match = re.fullmatch(r"mapping\[(\d+)\](?:\.(\w+))?", key)
    if match is None:
        return otherwise
    directive = items[int(match[1])]
    if not isinstance(directive.value, dict):
        return directive
    return next((node for name, node in directive.value.items() if name.replace("-", "_") == match[2]), directive)
