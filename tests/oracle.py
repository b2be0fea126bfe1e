"""Evaluated mappings of the reference: the case files, and their architectures and problems as our values."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.hardware.architecture import Architecture, Compute, Level, Spatial, Storage
from dovetail.workload.problem import CONVOLUTION, GROUPED_CONVOLUTION, Problem, Shape, Tensor, Term

DATA = Path(__file__).parent / "data"
Case = dict[str, Any]


def cases() -> Iterator[Case]:
    """Yield every case of the files named in $DOVETAIL_ORACLE (separated by ':'), or of our own copies."""
    named = os.environ.get("DOVETAIL_ORACLE")
    files = named.split(":") if named else [DATA / "oracle_mappings.jsonl.gz", DATA / "oracle_general.jsonl.gz"]
    for file in files:
        opener = gzip.open if str(file).endswith(".gz") else open
        with opener(file, "rt") as lines:
            yield from (json.loads(line) for line in lines if line.strip())


def architectures() -> dict[str, list[dict[str, Any]]]:
    """Return the levels of the named architectures, from $DOVETAIL_ORACLE_ARCH or our own copy."""
    file = os.environ.get("DOVETAIL_ORACLE_ARCH") or DATA / "oracle_architectures.json"
    return json.loads(Path(file).read_text())  # type: ignore[no-any-return]


def levels_of(case: Case, known: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the levels of a case's architecture, which it names or carries with it."""
    named = case["architecture"]
    return known[named] if isinstance(named, str) else named


def architecture(levels: list[dict[str, Any]], name: str = "oracle") -> Architecture:
    """Build the architecture of levels given as plain data."""
    return Architecture(name, tuple(_level(level) for level in levels))


def _level(level: dict[str, Any]) -> Level:
    common = {key: level[key] for key in ("name", "component", "mesh_x", "mesh_y")}
    if level["kind"] == "spatial":
        return Spatial(**common, fanout_x=level["fanout_x"], fanout_y=level["fanout_y"])
    if level["kind"] == "compute":
        return Compute(**common)
    keys = ("width", "datawidth", "depth", "cluster_size", "multiple_buffering", "read_bandwidth", "write_bandwidth")
    return Storage(**common, **{key: level[key] for key in (*keys, "shared_bandwidth") if key in level})


def energies(levels: list[dict[str, Any]]) -> EnergyTable:
    """Return the energy table that levels given as plain data carry."""
    return EnergyTable(
        {
            level["name"]: ComponentCost(level["energy_pJ"], level.get("area_um2", 0.0))
            for level in levels
            if "energy_pJ" in level
        }
    )


def problem(case: Case) -> Problem:
    """Build the problem of a case: a convolution, or what its projections say."""
    sizes, dims = case["problem"], tuple(case["dims"])
    if "projections" not in case:
        shape = GROUPED_CONVOLUTION if "G" in dims else CONVOLUTION
    else:
        tensors = tuple(
            Tensor(name, tuple(tuple(Term(*term) for term in axis) for axis in axes), name == case["output"])
            for name, axes in case["projections"].items()
        )
        used = {term.coefficient for t in tensors for axis in t.projection for term in axis if term.coefficient}
        shape = Shape(case.get("kind", "general"), dims, tensors, tuple(sorted(used)))
    bounds = tuple(sizes[d] for d in shape.dimensions)
    return Problem(shape, bounds, tuple(sizes[c] for c in shape.coefficients), case["id"])
