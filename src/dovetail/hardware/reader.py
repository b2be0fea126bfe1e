"""Reads designs: Timeloop v0.4 YAML files, and the designs that come with the package.

A document is read once, from the top down, each step in a module that knows only the ones after it:

- `dovetail.hardware.design_files`: one document of several files;
- `dovetail.hardware.sections`: its sections, whatever form and order they stand in;
- `dovetail.hardware.levels`: the design's levels, for which it asks
- `dovetail.hardware.node_reader`: the tree of nodes,
- `dovetail.hardware.constraint_reader`: each node's constraints, and
- `dovetail.hardware.attributes` and those beside it: the values of its attributes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dovetail.document import Node, Scalar
from dovetail.errors import InputError, did_you_mean
from dovetail.expression import evaluate_all
from dovetail.hardware.architecture import Architecture
from dovetail.hardware.design_files import read_design
from dovetail.hardware.edits import Edits, edited, edited_name
from dovetail.hardware.levels import lay_out
from dovetail.hardware.sections import Sections, read_sections
from dovetail.hardware.vector_unit import VectorUnit, read_vector_unit

_DESIGNS = Path(__file__).parent / "designs"


def bundled_designs() -> tuple[str, ...]:
    """Return the names of the designs that come with the package, sorted."""
    return tuple(sorted(path.stem for path in _DESIGNS.glob("*.yaml") if not path.stem.startswith("_")))


def dense_designs() -> tuple[str, ...]:
    """Return the names of those that do nothing about zeros, sorted: the ones that searches prove to the last digit."""
    return tuple(name for name in bundled_designs() if not load_architecture(name).is_sparse)


def design_file(name: str) -> Path:
    """Return the file of a bundled design; raises InputError with the nearest name when there is none."""
    if name not in bundled_designs():
        raise InputError(f"unknown design '{name}'{did_you_mean(name, bundled_designs())}")
    return _DESIGNS / f"{name}.yaml"


def load_architecture(
    name_or_path: str | Path | Sequence[str | Path],
    *,
    include_folders: Sequence[Path] = (),
    data: Mapping[str, Scalar] | None = None,
    edits: Edits | None = None,
) -> Architecture:
    """Read an architecture.

    Args:
        name_or_path: the name of a bundled design, a file in Timeloop's form, a folder of such, or several of these
            that make one design: architecture, components, constraints, variables in any split and order.
        include_folders: folders besides the files' own that their includes may read.
        data: values for the files' template variables; they also stand above their ``variables``.
        edits: changes of its nodes, by name; see `dovetail.hardware.edits`. They become part of its name.

    Raises:
        InputError: there is no such design or file, or a file is wrong; with file, line and key.
    """
    paths = design_paths_of(name_or_path)
    document = read_design(paths, include_folders=include_folders, data=data)
    name = design_name(paths, document)
    if not edits:
        return read_architecture(document, name)
    return architecture_of(edited(read_sections(document), edits), edited_name(name, edits))


def design_paths_of(name_or_path: str | Path | Sequence[str | Path]) -> list[Path]:
    """Return the files and folders that `load_architecture` reads for what it is given."""
    given = [name_or_path] if isinstance(name_or_path, str | Path) else list(name_or_path)
    if not given:
        raise InputError("a design is at least one file")
    return [_path(one) for one in given]


def _path(name_or_path: str | Path) -> Path:
    if isinstance(name_or_path, str) and name_or_path in bundled_designs():
        return design_file(name_or_path)
    if not str(name_or_path):
        raise InputError("'' names no design and no file")
    path = Path(name_or_path)
    if len(path.parts) == 1 and not path.suffix and not os.path.exists(path):  # noqa: PTH110 - never raises
        raise InputError(f"no design and no file is named '{path}'{did_you_mean(str(path), bundled_designs())}")
    return path


def design_name(paths: Sequence[Path], document: Node) -> str:
    """Return what a design is called: after its folder, or after the file that has the architecture."""
    path = paths[0]
    if len(paths) > 1 or path.is_dir() or path.name.startswith("top."):  # a design's own file has a name of its own
        entries = document.value if isinstance(document.value, dict) else {}
        path = Path(entries["architecture"].file) if "architecture" in entries else path
    name = path.resolve().parent.name if path.stem in ("arch", "architecture") else path.name.split(".")[0]
    return name or "architecture"


def read_architecture(document: Node, name: str) -> Architecture:
    """Read an architecture from a document, which may hold it alone or a whole specification.

    Args:
        document: the whole document.
        name: what to call the architecture.

    Raises:
        InputError: the document is wrong; with file, line and key.
    """
    return architecture_of(read_sections(document), name)


def architecture_of(sections: Sections, name: str) -> Architecture:
    """Return the architecture that sections describe.

    Args:
        sections: of one document.
        name: what to call the architecture.

    Raises:
        InputError: a value in them is wrong; with file, line and key.
    """
    variables = evaluate_all(sections.variables, {})
    levels, notes = lay_out(sections.nodes, variables, sections.targeted, sections.sparse)
    innermost = levels[-1].attributes if levels else variables
    declared = sections.vector_unit
    unit = VectorUnit() if declared is None else read_vector_unit(declared)
    try:
        seconds, notes = _cycle_seconds(innermost), sections.notes + notes
        made = Architecture(name, levels, seconds, sections.component_classes, notes=notes, vector_unit=unit)
    except InputError as error:
        raise sections.architecture.fail(error.message) from None
    if declared is not None and unit.level is not None:
        try:
            made.vector_level()
        except InputError as error:
            raise declared.mapping()["level"].fail(error.message) from None
    return made


def _cycle_seconds(attributes: Mapping[str, Any]) -> float:
    value = attributes.get("global_cycle_seconds", 1e-9)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise InputError(f"global_cycle_seconds must be a number above 0, found {value!r}")
    return float(value)
