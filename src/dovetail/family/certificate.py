"""The certificate of a front: the family, the layers, the points, and for every other design what beats it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dovetail.content import content_key
from dovetail.document import Node, parse_document
from dovetail.errors import InputError
from dovetail.family.axes import check_budgets
from dovetail.family.family import Family, family_of
from dovetail.family.floors import Box
from dovetail.family.front import Axis, Choice, Point, point_paying, read_axes
from dovetail.family.result import Discarded, Exploration, Unmappable
from dovetail.workload.network import Layer
from dovetail.workload.problem_yaml import problem_of_document, write_problem

KIND = "dovetail_family_certificate"
VERSION = 1
_KEYS = (
    KIND, "name", "family", "layers", "axes", "points", "mapped", "discarded", "unmappable", "proven", "gap", "key",
)  # fmt: skip


@dataclass(frozen=True)
class FrontClaim:
    """What a certificate of a front claims.

    Attributes:
        unchanged: whether the file's key is that of its content.
        family: the designs.
        layers: what ran on them.
        axes: what the front is over.
        points: the front.
        mapped: members that were mapped.
        discarded: boxes whose members were not.
        unmappable: boxes of members on which some layer has no mapping.
        proven: whether all members are accounted for.
        gap: by what factor the true front may be below this one.
    """

    unchanged: bool
    family: Family
    layers: tuple[Layer, ...]
    axes: tuple[Axis, ...]
    points: tuple[Point, ...]
    mapped: tuple[Choice, ...]
    discarded: tuple[Discarded, ...]
    unmappable: tuple[Unmappable, ...]
    proven: bool
    gap: float


def certificate_text(found: Exploration) -> str:
    """Return the certificate of an exploration, as JSON; that of the front below, where this one was picked from it."""
    found = found.below or found
    fields: dict[str, Any] = {
        KIND: VERSION,
        "name": found.family.name,
        "family": found.family.text(),
        "layers": [
            {"name": layer.name, "repeats": layer.repeats, "problem": write_problem(layer.problem)}
            for layer in found.layers
        ],
        "axes": ",".join(found.axes),
        "points": [
            {"member": _words(p.choice), "area_um2": p.area_um2, _paid(found.axes): p.paid, "cycles": p.cycles}
            for p in found.points
        ],
        "mapped": [_words(choice) for choice in found.mapped_choices],
        "discarded": [
            {"box": _box_words(each.box), "corners": "; ".join(map(_words, each.corners))} for each in found.discarded
        ],
        "unmappable": [{"box": _box_words(each.box), "reason": each.reason} for each in found.unmappable],
        "proven": found.proven,
        "gap": min(found.gap, 1e300),
    }
    return json.dumps({**fields, "key": content_key(fields)}, indent=1, ensure_ascii=False) + "\n"


def is_front_certificate(document: Node) -> bool:
    """Return whether a document is the certificate of a front."""
    return isinstance(document.value, dict) and KIND in document.value


def front_claim(document: Node) -> FrontClaim:
    """Return what a certificate claims.

    Raises:
        InputError: it is none; with file, line and key.
    """
    entries = document.mapping(known=_KEYS, required=_KEYS)
    if entries[KIND].value != VERSION:
        raise entries[KIND].fail(f"version {VERSION} of this certificate is read, found {entries[KIND].kind}")
    fields = document.plain()
    key = fields.pop("key")
    try:
        family = family_of(_inner(entries["family"]), entries["name"].text())
        axes = read_axes(entries["axes"].text())
        check_budgets(family.budgets, axes)
    except InputError as error:
        raise error.placed(document.file) from None
    return FrontClaim(
        unchanged=key == content_key(fields),
        family=family,
        layers=tuple(map(_layer, entries["layers"].sequence())),
        axes=axes,
        points=tuple(_point(node, family, axes) for node in entries["points"].sequence()),
        mapped=tuple(_choice(node, family) for node in entries["mapped"].sequence()),
        discarded=tuple(_discarded(node, family, len(axes)) for node in entries["discarded"].sequence()),
        unmappable=tuple(_unmappable(node, family) for node in entries["unmappable"].sequence()),
        proven=entries["proven"].boolean(),
        gap=float(entries["gap"].number(1)),
    )


def _words(numbers: tuple[float, ...]) -> str:
    return " ".join(repr(number) for number in numbers)


def _box_words(box: Box) -> str:
    return " ".join(f"{low}:{high}" for low, high in box)


def _inner(node: Node) -> Node:
    return parse_document(node.text(), file=f"{node.file}:{node.line} ({node.key})")


def _layer(node: Node) -> Layer:
    entries = node.mapping(known=("name", "repeats", "problem"), required=("name", "repeats", "problem"))
    name = entries["name"].text()
    problem = problem_of_document(_inner(entries["problem"]), name).problem
    return Layer(name, problem, entries["repeats"].integer(minimum=1))


def _paid(axes: Sequence[Axis]) -> str:
    """Return the key of what searches were paid in."""
    return "traffic_bytes" if Axis.TRAFFIC in axes else "energy_pJ"


def _point(node: Node, family: Family, axes: Sequence[Axis]) -> Point:
    keys = ("member", "area_um2", _paid(axes), "cycles")
    entries = node.mapping(known=keys, required=keys)
    area, paid = (float(entries[key].number(0)) for key in ("area_um2", _paid(axes)))
    return point_paying(_choice(entries["member"], family), axes, area, paid, entries["cycles"].integer(minimum=1))


def _choice(node: Node, family: Family) -> Choice:
    try:
        choice = tuple(int(word) for word in node.text().split())
    except ValueError:
        choice = ()
    if len(choice) != len(family.shape) or any(
        not 0 <= at < size for at, size in zip(choice, family.shape, strict=True)
    ):
        raise node.fail("names no member: one place per parameter, from 0")
    return choice


def _box(node: Node, family: Family) -> Box:
    try:
        ends = [tuple(int(end) for end in word.split(":")) for word in node.text().split()]
        box = tuple((low, high) for low, high in ends)
    except ValueError:
        box = ()
    inside = len(box) == len(family.shape)
    if not inside or any(not 0 <= low < high <= size for (low, high), size in zip(box, family.shape, strict=True)):
        raise node.fail("is no box: LOW:HIGH per parameter, places from 0, the last one left out")
    return box


def _discarded(node: Node, family: Family, axes: int) -> Discarded:
    entries = node.mapping(known=("box", "corners"), required=("box", "corners"))
    try:
        corners = tuple(tuple(map(float, words.split())) for words in entries["corners"].text().split(";"))
    except ValueError:
        corners = ()
    if not corners or any(len(corner) != axes or not all(value >= 0 for value in corner) for corner in corners):
        raise entries["corners"].fail("are no corners: as many numbers as axes for each, ';' between them")
    return Discarded(_box(entries["box"], family), 0, corners)


def _unmappable(node: Node, family: Family) -> Unmappable:
    entries = node.mapping(known=("box", "reason"), required=("box", "reason"))
    return Unmappable(_box(entries["box"], family), 0, entries["reason"].text())
