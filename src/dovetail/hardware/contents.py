"""What files hold that are given together: a layer, a mapping, parts of a design; and the values of its variables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dovetail.document import Node, Scalar
from dovetail.expression import evaluate_what_can_be
from dovetail.hardware.design_files import read_design
from dovetail.hardware.section_names import SECTIONS
from dovetail.hardware.sections import read_sections
from dovetail.hardware.values import without_ignored

#: What sections give a command, beside the design that all others are part of.
_GIVES = {"problem": "layer", "mapping": "mapping"}


def evaluated_variables(
    paths: Sequence[Path], include_folders: Sequence[Path], data: Mapping[str, Scalar]
) -> dict[str, Scalar]:
    """Return the values of a design's variables, by name.

    Those that are lists or mappings are left out, and those that cannot be computed: in a family they may vary.

    Raises:
        InputError: as `read_design` and `read_sections` do.
    """
    document = read_design(paths, include_folders=include_folders, data=data)
    sections = {name: node for name, node in document.mapping().items() if name != "family"}
    known = evaluate_what_can_be(read_sections(replace(document, value=sections)).variables, {})
    return {name: value for name, value in known.items() if isinstance(value, str | int | float)}


def sections_of(document: Node) -> Iterator[tuple[str, str]]:
    """Yield for each section of a document what it gives (``layer``, ``mapping``, ``design``), and what that is.

    Args:
        document: one file's; what the format ignores is left out.
    """
    for name, node in without_ignored(document).mapping().items():
        gives = _GIVES.get(name, "design" if name in SECTIONS else "")
        if gives and name not in ("ERT", "ART") and node.value is not None:
            yield gives, _described(name, node)


def _described(name: str, node: Node) -> str:
    """Return a section's name with how much it holds."""
    entries = node.value if isinstance(node.value, dict) else {}
    for key, what in (("nodes", "node"), ("subtree", "tree"), ("targets", "target"), ("classes", "class")):
        if key in entries and isinstance(items := entries[key].value, list):
            ending = "" if len(items) == 1 else "es" if what == "class" else "s"
            return f"{name}: {len(items)} {what}{ending}"
    if name == "read_from" and "tool" in entries:
        return f"read from {entries['tool'].value}"
    if name == "variables":
        return f"{name}: {', '.join(word for word in entries if word != 'version')}" if entries else name
    return f"{name}: passed over" if name == "mapper" else name
