"""Reads SCALE-Sim's tables of layers (topology CSV files): convolutions by their inputs' sizes, or products M, N, K.

A convolution's output has ``ceil((input - kernel + stride) / stride)`` rows, its input being padded already, as
SCALE-Sim counts them; each row is a layer that runs once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from dovetail.document import Scalar
from dovetail.errors import InputError
from dovetail.workload.cells import cells_of
from dovetail.workload.network import Layer, Network, unique_names
from dovetail.workload.problem import Problem, convolution, matrix_product

_CONVOLUTION = (
    "ifmap height", "ifmap width", "filter height", "filter width", "channels", "num filter", "strides",
)  # fmt: skip
_PRODUCT = ("m", "n", "k")


def is_scale_sim(text: str) -> bool:
    """Say whether a table is SCALE-Sim's: its first column is called ``Layer`` or ``Layer name``."""
    return re.match(r"\s*layer( name)?\s*[,\t]", text, re.IGNORECASE) is not None


def read_scale_sim(text: str, *, file: Path, name: str, variables: Mapping[str, Scalar] | None = None) -> Network:
    """Read a network from a topology file's text.

    A line that has a name alone is a heading, which its simulator passes over, too.

    Args:
        text: the file's.
        file: to name in messages.
        name: of the network.
        variables: values of sizes that are letters.

    Raises:
        InputError: with file, line and column.
    """
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip(" ,\t")]
    rows = [(number, _cells(line, file, number)) for number, line in lines]
    columns = _columns(rows[0][1])
    if "ifmap height intraline factor" in columns:
        raise InputError(
            "says how values lie in SCALE-Sim's memories, which is not counted: give a topology", file=file
        )
    wanted = _PRODUCT if set(_PRODUCT) <= set(columns) else _CONVOLUTION
    missing = [column for column in wanted if column not in columns]
    if missing:
        raise InputError(f"a table of SCALE-Sim has the columns {', '.join(wanted)}; without {missing[0]}", file=file)
    layers = []
    headings = [(number, cells) for number, cells in rows[1:] if not any(cells[1:])]
    rows = [row for row in rows[1:] if row not in headings]
    labels = unique_names(cells[0] or "layer" for _, cells in rows)
    for (number, cells), label in zip(rows, labels, strict=True):
        sizes = {column: _size(cells, columns[column], column, (file, number), variables or {}) for column in wanted}
        try:
            problem = _problem(sizes, label)
        except InputError as error:
            raise error.placed(file, number) from None
        kind = "matrix product" if wanted is _PRODUCT else "convolution"
        layers.append(Layer(label, problem, 1, kind, (label,), "N" if wanted is _CONVOLUTION else None))
    if not layers:
        raise InputError("the table has no layers", file=file)
    others = [column for column in columns if column not in (*wanted, "layer", "layer name", "")]
    notes = [f"{file}:1: passed over: {', '.join(others)}"] if others else []
    notes += (f"{file}:{number}: a heading, passed over: {cells[0][:60]}" for number, cells in headings)
    return Network(name, tuple(layers), source=str(file), notes=tuple(notes))


def _cells(line: str, file: Path, number: int) -> list[str]:
    separator = "\t" if "\t" in line and "," not in line else ","
    return [cell.strip() for cell in cells_of(line, file, number, separator)]


def _columns(header: Sequence[str]) -> dict[str, int]:
    """Return the place of each column; ``IFMAP Width`` for both sizes, as some tables have it, is height and width."""
    names = [re.sub(r"^num filters$", "num filter", cell.lower()) for cell in header]
    if names[1:3] == ["ifmap width"] * 2:
        names[1] = "ifmap height"
    return {name: place for place, name in enumerate(names) if name}


def _size(cells: Sequence[str], place: int, column: str, at: tuple[Path, int], variables: Mapping[str, Scalar]) -> int:
    found = cells[place] if place < len(cells) else ""
    value = str(variables.get(found, found))
    if not re.fullmatch(r"[0-9]{1,18}", value) or int(value) < 1:
        hint = f"; --set {found}=VALUE gives it one" if re.fullmatch(r"[A-Za-z_]\w{0,30}", found) else ""
        said = f"must be a whole number above 0, found '{value[:40]}'{hint}"
        raise InputError(said, file=at[0], line=at[1], key=column)
    return int(value)


def _problem(sizes: Mapping[str, int], name: str) -> Problem:
    if "m" in sizes:
        return matrix_product(P=sizes["m"], M=sizes["n"], C=sizes["k"], name=name)
    stride = sizes["strides"]
    out = {}
    for axis in ("height", "width"):
        moves = sizes[f"ifmap {axis}"] - sizes[f"filter {axis}"]
        if moves < 0:
            raise InputError(f"the filter is larger than the input: {axis} {sizes[f'filter {axis}']}")
        out[axis] = -(-(moves + stride) // stride)
    return convolution(
        C=sizes["channels"],
        M=sizes["num filter"],
        P=out["height"],
        Q=out["width"],
        R=sizes["filter height"],
        S=sizes["filter width"],
        stride=(stride, stride),
        name=name,
    )
