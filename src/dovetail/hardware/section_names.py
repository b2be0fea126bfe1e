"""What the sections of a design's document are called, and what keys mean that are called otherwise."""

from __future__ import annotations

from dataclasses import replace

from dovetail.document import Node

#: Sections of component classes.
COMPONENTS = ("components", "compound_components")
#: Sections of constraints on levels, by target.
CONSTRAINTS = (
    "constraints", "architecture_constraints", "mapping_constraints", "mapspace_constraints",
    "extra_mapping_constraints",
)  # fmt: skip
_ELSEWHERE = ("problem", "mapping", "mapper", "ERT", "ART")
#: The sections that a document of a design may have.
SECTIONS = (
    "architecture", "variables", *COMPONENTS, *CONSTRAINTS, *_ELSEWHERE, "globals", "mapspace",
    "sparse_optimizations", "vector_unit", "dumped_by_timeloop_front_end", "read_from", "model",
)  # fmt: skip


#: Sections that a key means whose name contains theirs, in the front end's order.
_BY_PART = ("components", "constraints", "globals")


def with_known_sections(document: Node) -> Node:
    """Return a document whose sections have the names that `SECTIONS` knows.

    The front end takes a key that contains a section's name for that section (``constraints_II``, ``globals_of_mine``),
    several together. A section of constraints may be the list of them itself.
    """
    if not isinstance(document.value, dict):
        return document
    found: dict[str, Node] = {}
    for key, node in document.value.items():
        known = key in SECTIONS or "ignore" in key
        name = key if known else next((each for each in _BY_PART if each in key), key)
        section = _with_targets(node) if name in CONSTRAINTS else node
        found[name] = joined_section(found[name], section) if name in found else section
    return replace(document, value=found)


def joined_section(mine: Node, other: Node) -> Node:
    """Join two sections of one name: lists and mappings add up, all else may be said once or twice the same.

    Raises:
        InputError: a name has two values.
    """
    if mine.value is None or other.value is None:
        return other if mine.value is None else mine
    entries = dict(mine.mapping())
    for name, node in other.mapping().items():
        own = entries.get(name)
        if own is None or own.value is None:
            entries[name] = node
        elif isinstance(own.value, list) and isinstance(node.value, list):
            entries[name] = replace(own, value=own.value + node.value)
        elif isinstance(own.value, dict) and isinstance(node.value, dict):
            entries[name] = joined_section(own, node)
        elif name != "version" and own.plain() != node.plain():
            raise node.fail(f"has another value already: {own.file}:{own.line}")
    return replace(mine, value=entries)


def _with_targets(section: Node) -> Node:
    """Return a section of constraints with them under ``targets``, where it is the list of them itself."""
    if not isinstance(section.value, list):
        return section
    told = any(isinstance(item.value, dict) and "type" in item.value for item in section.value)
    return replace(section, value={"targets": section}) if told or not section.value else section
