"""Writes a front into a folder: every design as a file that ``--on`` takes, and every layer's mapping on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dovetail.family.design_text import document_text
from dovetail.family.family import Family
from dovetail.family.front import Choice, Point
from dovetail.family.result import Exploration
from dovetail.files import prepare_folder, write_text
from dovetail.mapping.native_yaml import native_mapping_yaml
from dovetail.text import file_name


def save_front(exploration: Exploration, folder: Path) -> dict[Point, Path]:
    """Write the designs and mappings of a front.

    ``NAME.yaml`` is a design; ``mappings/0001/LAYER.yaml`` is what a layer does at the first point, in the order of
    the front. Of runs of one layer that take different mappings, each has a file.

    Returns:
        The design's file by point.
    """
    files: dict[Point, Path] = {}
    for number, point in enumerate(exploration.points, 1):
        files[point] = folder / f"{file_name(exploration.family.member_name(point.choice))}.yaml"
        if files[point] not in list(files.values())[:-1]:
            write_text(files[point], design_file(exploration, point))
        inside = folder / "mappings" / f"{number:04}"
        prepare_folder(inside)
        seen: dict[str, int] = {}
        for each in exploration.mappings(point):
            seen[each.layer.name] = times = seen.get(each.layer.name, 0) + 1
            name = file_name(each.layer.name) + (f"-{times}" if times > 1 else "")
            head = f"# {each.layer.name}: {each.runs} of {each.layer.repeats} runs\n"
            write_text(inside / f"{name}.yaml", head + native_mapping_yaml(each.mapping, each.reading.problem))
    return files


def design_file(exploration: Exploration, point: Point) -> str:
    """Return a member's file: what it is, and the design."""
    return member_text(exploration.family, point.choice)


def member_text(family: Family, choice: Choice) -> str:
    """Return a member of a family as a file's text: what it is, and the design."""
    values: dict[str, Any] = family.values(choice)
    said = ", ".join(f"{name} = {value}" for name, value in values.items())
    return f"# A member of the family {family.name}: {said}\n{document_text(family.document_of(choice))}"
