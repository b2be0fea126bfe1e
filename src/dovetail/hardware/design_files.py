"""Puts the files of one design together: architecture, components, constraints and variables, in any split and order.

As the reference takes them on its command line. Lists of component classes and of constraints add up, variables do,
too; a second architecture is an error, and so is a second value of one name. Sections for others (a problem, a mapper)
are left in; where several files have one of these, the first stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dovetail.document import Node, Scalar, parse_document, read_text
from dovetail.document_file import read_document
from dovetail.errors import InputError
from dovetail.hardware.neighbours.recognise import as_v04, read_config
from dovetail.hardware.neighbours.zigzag import is_zigzag_text, read_zigzag
from dovetail.hardware.section_names import joined_section, with_known_sections

#: What the name of a design's file ends in; of a folder only Timeloop's that are no templates are meant.
SUFFIXES = (".yaml", ".yml", ".jinja", ".jinja2", ".cfg")
_PLAIN = (".yaml", ".yml")
#: Sections of which a design has one, whoever says it.
_ELSEWHERE = ("problem", "mapping", "mapper", "ERT", "ART", "dumped_by_timeloop_front_end", "read_from")


def read_design(
    paths: Sequence[Path], *, include_folders: Sequence[Path] = (), data: Mapping[str, Scalar] | None = None
) -> Node:
    """Read the document that files and folders of a design make together.

    Args:
        paths: files, and folders whose ``.yaml`` files are meant, but not those of folders inside.
        include_folders: folders besides each file's own that its includes may read.
        data: values for the files' template variables; they also stand above what ``variables`` says.

    Raises:
        InputError: a file cannot be read, or two contradict each other; with file, line and key.
    """
    files = [file for path in paths for file in design_paths(path)]
    for place, file in enumerate(files):
        if any(_is_same(file, other) for other in files[:place]):
            raise InputError("is named twice; name every file of a design once", file=file)
    documents = [document_of(file, include_folders, data) for file in files]
    together = documents[0]
    for document in documents[1:]:
        together = replace(together, value=_joined(together.mapping(), document.mapping()))
    return _with_values(together, data or {}) if data else together


def _is_same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def document_of(file: Path, include_folders: Sequence[Path], data: Mapping[str, Scalar] | None) -> Node:
    """Read one file of a design; what is in a neighbouring tool's form becomes v0.4.

    Raises:
        InputError: as `read_document` does, or what a neighbour's design has, has no equal here.
    """
    if file.suffix == ".cfg":
        return read_config(file)
    if file.suffix in _PLAIN and is_zigzag_text(text := read_text(file)):
        superseded: list[Node] = []
        return read_zigzag(parse_document(text, file=str(file), superseded=superseded), superseded)
    return with_known_sections(as_v04(read_document(file, include_folders=include_folders, data=data), data))


def design_paths(path: Path) -> list[Path]:
    """Return the file, or the files of a folder in the order of their names."""
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix in _PLAIN and file.is_file())
    if not files:
        raise InputError("the folder holds no .yaml file", file=path)
    return files


def _joined(one: dict[str, Node], other: dict[str, Node]) -> dict[str, Node]:
    joined = dict(one)
    for name, node in other.items():
        mine = joined.get(name)
        if mine is None or mine.value is None:
            joined[name] = node
        elif name == "architecture":
            raise node.fail(f"a second architecture; the first is {mine.file}:{mine.line}")
        elif name not in _ELSEWHERE and "ignore" not in name and node.value is not None:
            joined[name] = joined_section(mine, node)
    return joined


def _with_values(document: Node, data: Mapping[str, Scalar]) -> Node:
    """Return the document with values that stand above its variables."""
    entries = document.mapping()
    variables = entries.get("variables")
    listed = variables.sequence() if variables is not None and isinstance(variables.value, list) else [variables]
    own = {
        name: node
        for part in listed
        if part is not None and part.value is not None
        for name, node in part.mapping().items()
    }
    given = {name: Node(value, "--set", 1, name, quoted=isinstance(value, str)) for name, value in data.items()}
    place = variables or document
    return replace(document, value={**entries, "variables": replace(place, value={**own, **given})})
