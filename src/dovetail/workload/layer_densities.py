"""Densities of a network's layers as people give them: by themselves, in a CSV file, or those that were published.

::

    inputs=0.5,weights=2:4          # of all layers: half of the inputs at random places, 2 of 4 weights
    conv1:inputs=1                  # of some
    mine.csv                        # layer,weights,inputs,outputs
    published                       # of the networks that `published_densities.csv` knows
    batch.npy                       # measured: of a PyTorch network and its weights, on these inputs

`LayerDensities.data` also takes other inputs, such as images of a data set, which commands know.
"""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dovetail.document import read_text
from dovetail.errors import InputError, did_you_mean
from dovetail.text import csv_cell, csv_text
from dovetail.workload.cells import cells_of
from dovetail.workload.densities import DENSE, Density, FixedStructured, Hypergeometric
from dovetail.workload.network import Layer, Network
from dovetail.workload.widths import is_meant

PUBLISHED = "published"
_TABLE = "published_densities.csv"


@dataclass(frozen=True)
class Samples:
    """Inputs to measure on that are read when they are needed.

    Attributes:
        name: what they are.
        read: returns them, the first axis over inputs, as a network takes them.
    """

    name: str
    read: Callable[[], NDArray[Any]]


@dataclass(frozen=True)
class LayerDensities:
    """Densities of some layers of a network.

    Attributes:
        layer: a layer's name, a pattern of names with ``*``, ``first`` or ``last``; `PUBLISHED`: see there.
        densities: by the names of tensors.
        data: inputs to measure them on, instead; a path is that of a ``.npy`` file.
    """

    layer: str
    densities: Mapping[str, Density]
    data: Path | Samples | None = None

    @property
    def of_network(self) -> bool:
        """Whether it gives a whole network its densities, in that network's own words."""
        return self.layer == PUBLISHED or self.data is not None


def read_densities(text: str) -> tuple[LayerDensities, ...]:
    """Read densities as a command is given them; see the module.

    Raises:
        InputError: they are of another form, with file and line where they stand in one.
    """
    if text == PUBLISHED:
        return (LayerDensities(PUBLISHED, {}),)
    if text.endswith(".npy"):
        return (LayerDensities("*", {}, Path(text)),)
    if text.endswith(".csv"):
        return tuple(_rows(Path(text)))
    found = re.fullmatch(r"(?:([^=]*):)?([^:=]*=.*)", text)  # a density may have a colon, too: weights=2:4
    if found is None:
        raise InputError(f"'{text[:40]}' gives no tensor its density: write it as inputs=0.5,weights=2:4")
    return (LayerDensities((found[1] or "").strip() or "*", _named(found[2])),)


def _named(text: str) -> dict[str, Density]:
    named: dict[str, Density] = {}
    for part in text.replace(",", " ").split():
        name, sign, density = part.partition("=")
        if not (name and sign and density):
            raise InputError(f"'{part[:40]}' gives no tensor its density: write it as inputs=0.5,weights=2:4")
        if any(name.lower() == other.lower() for other in named):
            raise InputError(f"'{name[:40]}' has two densities in '{text[:80]}'")
        named[name] = parse_density(density)
    return named


def parse_density(text: str) -> Density:
    """Read one density: a share of non-zero words at random places, ``0.5``, or so many of so many, ``2:4``.

    Raises:
        InputError: it is neither, or not from 0 to 1.
    """
    structured = re.fullmatch(r"([0-9]{1,6}):([0-9]{1,6})", text.strip())
    if structured and 0 <= int(structured[1]) <= int(structured[2]) > 0:
        return FixedStructured(int(structured[1]) / int(structured[2]))
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if structured or not 0 <= share <= 1:
        raise InputError(f"a density is a share from 0 to 1, or so many of so many as 2:4, not '{text[:40]}'")
    return DENSE if share == 1 else Hypergeometric(share)


def _rows(path: Path) -> list[LayerDensities]:
    """Return the rows of a CSV file: a layer, and a density for every tensor that a column names, if any."""
    lines = [(n, line) for n, line in enumerate(read_text(path).splitlines(), start=1) if line.strip(" ,\t")]
    lines = [(n, line) for n, line in lines if not line.startswith("#")]
    head = _cells(lines[0][1], path, lines[0][0]) if lines else []
    if len(head) < 2 or head[0] != "layer" or len(set(head)) < len(head):
        said = "the first line must be layer and the names of tensors: layer,weights,inputs"
        raise InputError(said, file=path, line=lines[0][0] if lines else None)
    found = []
    for number, line in lines[1:]:
        cells = _cells(line, path, number)
        if len(cells) > len(head):
            raise InputError(f"{len(cells)} cells under {len(head)} heads", file=path, line=number)
        try:
            named = {name: parse_density(cell) for name, cell in zip(head[1:], cells[1:], strict=False) if cell}
        except InputError as error:
            raise error.placed(path, number, cells[0]) from None
        found.append(LayerDensities(cells[0], named))
    return found


def _cells(line: str, path: Path, number: int) -> list[str]:
    return [csv_cell(cell).strip() for cell in cells_of(line, path, number)]


def densities_csv(network: Network) -> str:
    """Return a network's densities as the CSV file that `read_densities` reads; a tensor that is dense has no entry."""
    tensors = sorted({tensor.name for layer in network.layers for tensor in layer.problem.shape.tensors})
    rows: list[tuple[object, ...]] = [("layer", *(name.lower() for name in tensors))]
    for layer in network.layers:
        own = {tensor.name for tensor in layer.problem.shape.tensors}
        rows.append(
            (layer.name, *(_density_text(layer.problem.density(name)) if name in own else "" for name in tensors))
        )
    return csv_text(rows)


def _density_text(density: Density) -> str:
    if isinstance(density, FixedStructured):
        share = Fraction(density.density).limit_denominator(1000)
        return "" if share == 1 else f"{share.numerator}:{share.denominator}"
    if isinstance(density, Hypergeometric):
        return repr(density.density)
    raise InputError(f"densities of the kind {density.kind} have no form in a table")


def with_densities(network: Network, given: Sequence[LayerDensities]) -> Network:
    """Return a network with densities that are said or published; the last one that speaks of a layer's tensor stands.

    Raises:
        InputError: one speaks of a layer or a tensor that the network does not have, or none were published for it.
    """
    for one in given:
        several = _published(network.name) if one.layer == PUBLISHED else (one,)
        network = functools.reduce(_with_one, several, network)
    return network


def _with_one(network: Network, one: LayerDensities) -> Network:
    layers = list(network.layers)
    places = [place for place, layer in enumerate(layers) if is_meant(one.layer, layer.name, place, len(layers))]
    if not places and layers:
        near = did_you_mean(one.layer, [layer.name for layer in layers])
        raise InputError(f"{network.name} has no layer '{one.layer[:60]}' to give densities to{near}")
    known = {tensor.name.lower() for place in places for tensor in layers[place].problem.shape.tensors}
    for name in one.densities:
        if name.lower() not in known:
            raise InputError(f"{network.name} has no tensor '{name[:40]}'{did_you_mean(name.lower(), known)}")
    for place in places:
        layers[place] = layer_with(layers[place], one.densities)
    return replace(network, layers=tuple(layers))


def layer_with(layer: Layer, named: Mapping[str, Density]) -> Layer:
    """Return a layer with densities by the names of tensors, in capitals or not; other tensors stay as they are."""
    problem, wanted = layer.problem, {name.lower(): density for name, density in named.items()}
    tensors = problem.shape.tensors
    densities = tuple(wanted.get(tensor.name.lower(), problem.density(tensor.name)) for tensor in tensors)
    return replace(layer, problem=replace(problem, densities=densities))


def published_densities() -> dict[str, tuple[LayerDensities, ...]]:
    """Return the published densities, by network."""
    found: dict[str, tuple[LayerDensities, ...]] = {}
    text = (files("dovetail.workload") / "data" / _TABLE).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    for row in csv.DictReader(lines):
        named = {name: parse_density(row[name]) for name in ("Weights", "Inputs", "Outputs") if row[name]}
        found[row["network"]] = (*found.get(row["network"], ()), LayerDensities(row["layer"], named))
    return found


def _published(name: str) -> tuple[LayerDensities, ...]:
    known = published_densities()
    if name not in known:
        raise InputError(f"no densities of {name} were published that are kept here; of {', '.join(known)} some were")
    return known[name]
