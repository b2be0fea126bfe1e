"""Scaling of energy and area from one CMOS node and supply voltage to another."""

from __future__ import annotations

import bisect
import functools
import json
import math
import re
from dataclasses import dataclass
from importlib import resources
from typing import Any

from dovetail.errors import InputError

#: The supply that the published energy polynomials are compared at unless a component says ``voltage``.
NOMINAL_VOLTS = 0.8
#: Below, the fitted polynomials turn around; above, no node of the table is run.
VOLT_RANGE = (0.6, 1.3)

_TECHNOLOGY = re.compile(r"\s*+(\d+(?:\.\d+)?)\s*+(?:nm)?\s*+", re.IGNORECASE)


@functools.cache
def figures() -> dict[str, Any]:
    """Return the bundled public figures (``data/components.json``), whose entries name their sources."""
    text = resources.files("dovetail.components").joinpath("data/components.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@dataclass(frozen=True)
class _Scaling:
    """The published tables: nodes in nm, falling; area factors (from, to); polynomials a V^2 + b V + c per node."""

    nodes: tuple[float, ...]
    area: tuple[tuple[float, ...], ...]
    energy: tuple[tuple[float, float, float], ...]


@functools.cache
def _tables() -> _Scaling:
    table = figures()["technology_scaling"]
    return _Scaling(
        tuple(float(node) for node in table["nodes_nm"]),
        tuple(tuple(float(value) for value in row) for row in table["area_factor_from_row_to_column"]),
        tuple((float(a), float(b), float(c)) for a, b, c in table["energy_polynomial_in_vdd_a_b_c"]),
    )


def parse_node(technology: object) -> float:
    """Return the node in nm of ``"45nm"``, ``"45"`` or ``45``; raises InputError when it is none of these."""
    if isinstance(technology, int | float) and not isinstance(technology, bool) and math.isfinite(technology):
        nanometres = float(technology)
        if 0 < nanometres < 1e-6:  # given in metres, as 45e-9
            nanometres *= 1e9
    elif isinstance(technology, str) and (match := _TECHNOLOGY.fullmatch(technology)):
        nanometres = float(match[1])
    else:
        raise InputError(
            f'technology {technology!r} is not a node; write it as "45nm", or give an ERT (--ert)', key="technology"
        )
    if nanometres <= 0:
        raise InputError(
            f'technology {technology!r} is not a node; write it as "45nm", or give an ERT (--ert)', key="technology"
        )
    return nanometres


def node_range() -> tuple[float, float]:
    """Return the smallest and the largest node in nm that the published scaling covers."""
    nodes = _tables().nodes
    return nodes[-1], nodes[0]


def energy_factor(from_nm: float, to_nm: float, volts: float = NOMINAL_VOLTS) -> float:
    """Return the energy of one switching event at ``to_nm`` and ``volts`` over that at ``from_nm`` and 0.8 V.

    Stillmaker and Baas (Integration 58, 2017, 74-81): E(V) = a V^2 + b V + c per node; between nodes linear in the
    node. Raises InputError when a node or the voltage lies outside of what they fitted.
    """
    low, high = VOLT_RANGE
    if not low <= volts <= high:
        raise InputError(f"voltage {volts:g} V is outside of {low:g} to {high:g} V", key="voltage")
    return _energy(to_nm, volts) / _energy(from_nm, NOMINAL_VOLTS)


def area_factor(from_nm: float, to_nm: float) -> float:
    """Return the area at ``to_nm`` over that at ``from_nm``.

    Stillmaker and Baas, as above; their factors between tabulated nodes exactly, otherwise interpolated in the
    logarithms of node and factor, such that scaling a node to itself is the identity. Raises InputError outside.
    """
    if from_nm == to_nm:
        _bracket(from_nm)
        return 1.0
    there = _log_area(from_nm, to_nm)
    return math.exp(there - (_log_area(from_nm, from_nm) + _log_area(to_nm, to_nm)) / 2)


def _bracket(node: float) -> tuple[int, int]:
    """Return the indices of the tabulated nodes at or around a node (larger node first)."""
    nodes = _tables().nodes
    if not nodes[-1] <= node <= nodes[0]:
        raise InputError(
            f"technology {node:g} nm is outside of {nodes[-1]:g} to {nodes[0]:g} nm, the nodes that the published "
            f"scaling covers",
            key="technology",
        )
    above = len(nodes) - 1 - bisect.bisect_left(nodes[::-1], node)
    return above, above if nodes[above] == node else above + 1


def _energy(node: float, volts: float) -> float:
    table = _tables()
    first, second = _bracket(node)
    values = [a * volts * volts + b * volts + c for a, b, c in (table.energy[first], table.energy[second])]
    if first == second:
        return values[0]
    share = (node - table.nodes[second]) / (table.nodes[first] - table.nodes[second])
    return share * values[0] + (1 - share) * values[1]


def _weights(node: float) -> tuple[tuple[int, float], ...]:
    """Return tabulated nodes with their shares in a node, by its logarithm."""
    nodes = _tables().nodes
    first, second = _bracket(node)
    if first == second:
        return ((first, 1.0),)
    share = math.log(node / nodes[second]) / math.log(nodes[first] / nodes[second])
    return (first, share), (second, 1.0 - share)


def _log_area(from_nm: float, to_nm: float) -> float:
    area = _tables().area
    return sum(p * q * math.log(area[i][j]) for i, p in _weights(from_nm) for j, q in _weights(to_nm))
