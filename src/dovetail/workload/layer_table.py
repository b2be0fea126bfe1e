"""Layer tables: a network as CSV, one row per layer, columns named after dimensions; bundled ones and users' own."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path

import yaml

from dovetail.document import Node
from dovetail.errors import InputError, did_you_mean
from dovetail.text import csv_cell, csv_text
from dovetail.workload.cells import cells_of
from dovetail.workload.network import FreeOperation, Layer, Moved, Network, UnmappedOperation
from dovetail.workload.problem import (
    CONVOLUTION,
    GROUPED_CONVOLUTION,
    MATRIX_PRODUCT,
    MOST_ITERATIONS,
    MOST_WORDS,
    Problem,
    Shape,
)
from dovetail.workload.shapes import SHAPES, sized
from dovetail.workload.widths import parse_widths

#: What a row says beside its sizes.
FACTS = ("name", "kind", "shape", "repeats", "batch_dimension", "modules", "macs", "bits")
#: What a row of kind ``free`` may say of what it moves.
MOVED = ("reads", "writes", "elements", "parameters")
#: The shape of matrix products in older tables, and its dimensions -> what they are called now.
OLD_SHAPE = "matrix-product"
OLD_PRODUCT = {"H": "G", "M": "P", "N": "M", "K": "C"}
#: Dimensions and coefficients, in the order of columns.
SIZES = tuple(dict.fromkeys(size for shape in SHAPES.values() for size in (*shape.dimensions, *shape.coefficients)))
#: What a table's columns may be.
COLUMNS = (*FACTS, *MOVED, *SIZES, "H", "K")
#: What the lines before the header may say, as ``# network: resnet18``.
HEADINGS = ("network", "batch", "source")
#: What stands for the MACs of an unmapped operation that nobody knows; so does an empty cell.
UNKNOWN = "unknown"

Row = Mapping[str, str]


def read_csv(text: str, *, file: Path | str, name: str) -> Network:
    """Read a layer table.

    The first line that is no comment names the columns: ``name``, dimensions (``C M P Q R S N G``, ...) and
    coefficients (``Wstride`` for rows, ``Hstride`` for columns, ...), and optionally ``kind``, ``shape``, ``repeats``,
    ``batch_dimension``, ``modules``, and ``bits`` as ``weights=4 inputs=8``. An empty size is 1. A row of kind ``free``
    is an operation between products, whose ``reads``, ``writes``, ``elements`` and ``parameters`` (of all its runs) say
    what it moves, one of kind ``unmapped`` brings its ``macs``, which may be ``unknown``.
    Comments ``# note: ...`` are the network's.

    Args:
        text: the table.
        file: named in errors.
        name: the network's name unless a comment ``# network: NAME`` gives one.

    Raises:
        InputError: with file, line and column.
    """
    headings, notes, lines = _split(text)
    if not lines:
        raise InputError("no header line: the first line names the columns, such as name,C,M,P,Q,R,S", file=file)
    columns = [column.strip() for column in cells_of(lines[0][1], file, lines[0][0])]
    for column in columns:
        if column not in COLUMNS:
            raise InputError(f"unknown column '{column}'{did_you_mean(column, COLUMNS)}", file=file, line=lines[0][0])
    if "name" not in columns:
        raise InputError("no column 'name'", file=file, line=lines[0][0])
    rows: list[tuple[int, Row]] = []
    for number, line in lines[1:]:
        cells = [csv_cell(cell) for cell in cells_of(line, file, number)]
        if len(cells) != len(columns):
            raise InputError(f"{len(cells)} cells in a table of {len(columns)} columns", file=file, line=number)
        rows.append((number, dict(zip(columns, (cell.strip() for cell in cells), strict=True))))
    said = {key: value for key, (value, _) in headings.items()}
    batch = _integer(said, "batch", file, headings["batch"][1]) if said.get("batch") else 1
    network = network_of_rows(
        rows, file=file, name=said.get("network", name), batch=batch, source=said.get("source", str(file))
    )
    return replace(network, notes=notes)


def _split(text: str) -> tuple[dict[str, tuple[str, int]], tuple[str, ...], list[tuple[int, str]]]:
    """Split into headings (from comment lines; text and line), notes (from comments, too) and numbered lines."""
    headings: dict[str, tuple[str, int]] = {}
    notes: list[str] = []
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("#"):
            key, _, value = line[1:].partition(":")
            if key.strip() in HEADINGS:
                headings[key.strip()] = value.strip(), number
            elif key.strip() == "note" and value.strip():
                notes.append(value.strip())
        elif line.strip(" ,\t"):
            lines.append((number, line))
    return headings, tuple(notes), lines


def network_of_rows(
    rows: Sequence[tuple[int, Row]], *, file: Path | str, name: str, batch: int = 1, source: str = ""
) -> Network:
    """Build a network from rows (line, cells by column), as CSV and YAML tables share them."""
    layers: list[Layer] = []
    free: list[FreeOperation] = []
    unmapped: list[UnmappedOperation] = []
    lines: dict[str, int] = {}
    for line, row in rows:
        if not row.get("name"):
            raise InputError("a row without a name", file=file, line=line, key="name")
        count = _integer(row, "repeats", file, line)
        if row.get("kind") == "free":
            free.append(FreeOperation(row["name"], count, _moved(row, file, line)))
        elif row.get("kind") == "unmapped":
            unknown = row.get("macs", "") in ("", UNKNOWN)
            macs = None if unknown else _integer(row, "macs", file, line)
            unmapped.append(UnmappedOperation(row["name"], macs, count, _modules(row, ())))
        else:
            layer = _layer(row, count, file, line)
            if layer.name in lines:
                raise InputError(f"'{layer.name}' stands on line {lines[layer.name]} too", file=file, line=line)
            lines[layer.name] = line
            layers.append(layer)
    try:
        return Network(name, tuple(layers), tuple(free), tuple(unmapped), batch, source=source)
    except InputError as error:
        raise error.placed(file) from None


def _moved(row: Row, file: Path | str, line: int) -> Moved | None:
    """Return what a row says that an operation between products moves; None where it says nothing."""
    if not any(row.get(each) for each in MOVED):
        return None
    return Moved(*(_integer(row, each, file, line, least=0) for each in MOVED))


def _layer(row: Row, repeats: int, file: Path | str, line: int) -> Layer:
    row = _product_today(row, file, line)
    shape = _shape(row, file, line)
    sizes = {size: _integer(row, size, file, line) for size in SIZES if row.get(size)}
    for size, value in sizes.items():
        if value != 1 and size not in shape.dimensions + shape.coefficients:
            raise InputError(f"{value}, but the shape {shape.name} has no {size}", file=file, line=line, key=size)
    try:
        problem = sized(shape, row["name"], **sizes)
    except InputError as error:
        raise error.placed(file, line) from None
    batch_dimension: str | None = row.get("batch_dimension") or default_batch_dimension(shape)
    if batch_dimension == "none":
        batch_dimension = None
    elif batch_dimension not in shape.dimensions:
        raise InputError(
            f"the shape {shape.name} has no dimension '{batch_dimension}'", file=file, line=line, key="batch_dimension"
        )
    kind = row.get("kind") or kind_of(problem)
    if row.get("bits"):
        try:
            problem = problem.with_widths(parse_widths(row["bits"]))
        except InputError as error:
            raise error.placed(file, line, "bits") from None
    return Layer(row["name"], problem, repeats, kind, _modules(row, (row["name"],)), batch_dimension)


def _product_today(row: Row, file: Path | str, line: int) -> Row:
    """Return a row of an older table, with matrix products in ``H M N K``, in today's names; any other as it is."""
    own = [size for size in ("H", "K") if row.get(size)]
    if row.get("shape") != OLD_SHAPE and not own:
        return row
    if row.get("shape") not in (None, "", OLD_SHAPE):
        raise InputError(
            f"{row[own[0]]}, but the shape {row['shape']} has no {own[0]}", file=file, line=line, key=own[0]
        )
    for size in (size for size in SIZES if size not in OLD_PRODUCT and row.get(size, "1") not in ("", "1")):
        raise InputError(
            "a matrix product in H, M, N, K, as older tables have it, has no other sizes; today these are G, P, M, C",
            file=file,
            line=line,
            key=size,
        )
    moved = {new: row.get(old, "") for old, new in OLD_PRODUCT.items()}
    batch_dimension = row.get("batch_dimension", "")
    kept = {key: value for key, value in row.items() if key not in OLD_PRODUCT}
    shape = {"shape": MATRIX_PRODUCT.name, "batch_dimension": OLD_PRODUCT.get(batch_dimension, batch_dimension)}
    return kept | moved | shape


def _shape(row: Row, file: Path | str, line: int) -> Shape:
    name = row.get("shape")
    if not name:
        if row.get("kind") == "matrix product":
            return MATRIX_PRODUCT
        return CONVOLUTION if row.get("G", "") in ("", "1") else GROUPED_CONVOLUTION
    if name not in SHAPES:
        raise InputError(f"unknown shape '{name}'{did_you_mean(name, SHAPES)}", file=file, line=line, key="shape")
    return SHAPES[name]


def _integer(row: Row, key: str, file: Path | str, line: int, *, least: int = 1) -> int:
    text = row.get(key) or str(least)
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) < least:
        raise InputError(f"'{text}' is no whole number of at least {least}", file=file, line=line, key=key)
    most = MOST_WORDS if key in ("macs", *MOVED) else MOST_ITERATIONS
    if int(text) > most:
        raise InputError(f"{text} is too many; at most {most} is counted", file=file, line=line, key=key)
    return int(text)


def _modules(row: Row, default: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(row["modules"].split()) if row.get("modules") else default


def default_batch_dimension(shape: Shape) -> str:
    """Return the dimension that grows with the batch unless a table says otherwise."""
    return "G" if shape == MATRIX_PRODUCT else "N"


def kind_of(problem: Problem) -> str:
    """Name what a problem most likely is, for tables that don't say."""
    shape = problem.shape
    if shape == MATRIX_PRODUCT:
        return "matrix product"
    if shape.name.startswith("transposed"):
        return "transposed convolution"
    if "G" in shape.dimensions and problem.bound("G") > 1:
        depthwise = problem.bound("C") == 1
        return "depthwise convolution" if depthwise else "grouped convolution"
    spatial = [dimension for dimension in shape.dimensions if dimension in "TRSDQ"]  # rows of vectors lie in P
    return "linear" if all(problem.bound(dimension) == 1 for dimension in spatial) else "convolution"


def rows_of_network(network: Network, *, distinct: bool = False) -> list[dict[str, str]]:
    """Return the network's table rows, cells by column, empty cells left out.

    Args:
        network: any whose layers have ready shapes.
        distinct: each distinct problem once instead of each layer.

    Raises:
        InputError: when a layer's shape is none of the ready ones.
    """
    rows = [_row_of_layer(layer) for layer in (network.distinct() if distinct else network.layers)]
    for unmapped in network.unmapped:
        rows.append({"name": unmapped.name, "kind": "unmapped", "repeats": str(unmapped.count)})
        rows[-1] |= {"macs": UNKNOWN if unmapped.macs is None else str(unmapped.macs)}
        rows[-1] |= {"modules": " ".join(unmapped.modules)} if unmapped.modules else {}
    for free in network.free:
        rows.append({"name": free.name, "kind": "free", "repeats": str(free.count)})
        if free.moved is not None:
            rows[-1] |= {each: str(getattr(free.moved, each)) for each in MOVED}
    return rows


def _row_of_layer(layer: Layer) -> dict[str, str]:
    problem, shape = layer.problem, layer.problem.shape
    if SHAPES.get(shape.name) != shape:
        raise InputError(f"{layer.name}: a layer table holds ready shapes only, not '{shape.name}'; write problem YAML")
    row = {"name": layer.name, "kind": layer.kind, "shape": shape.name}
    if layer.repeats != 1:
        row["repeats"] = str(layer.repeats)
    if layer.batch_dimension != default_batch_dimension(shape):
        row["batch_dimension"] = layer.batch_dimension or "none"
    if layer.modules != (layer.name,):
        row["modules"] = " ".join(layer.modules)
    if problem.bits_text:
        row["bits"] = problem.bits_text
    sizes = dict(zip(shape.dimensions, problem.bounds, strict=True))
    sizes |= dict(zip(shape.coefficients, problem.coefficients, strict=True))
    return row | {size: str(value) for size, value in sizes.items() if value != 1}


def write_csv(network: Network, *, distinct: bool = False) -> str:
    """Return the network as a layer table that `read_csv` reads back to an equal network (data flow aside)."""
    rows = rows_of_network(network, distinct=distinct)
    columns = [column for column in (*FACTS, *SIZES, *MOVED) if any(column in row for row in rows) or column == "name"]
    text = ""
    facts = (("network", network.name), ("batch", str(network.batch)), ("source", network.source))
    for key, value in (*facts, *(("note", note) for note in network.notes)):
        if value:
            text += f"# {key}: {' '.join(value.split())}\n"
    return text + csv_text([columns, *([row.get(column, "") for column in columns] for row in rows)])


def read_index(text: str, *, file: Path | str) -> dict[str, int]:
    """Return how often each problem of a folder occurs, by the name of its file, from a table ``name,repeats``.

    Raises:
        InputError: with file and line.
    """
    _, _, lines = _split(text)
    if not lines or lines[0][1].replace(" ", "") != "name,repeats":
        raise InputError("the first line must be name,repeats", file=file)
    repeats: dict[str, int] = {}
    for number, line in lines[1:]:
        name, _, count = line.rpartition(",")
        repeats[name.strip()] = _integer({"repeats": count.strip()}, "repeats", file, number)
    return repeats


_TABLES = resources.files("dovetail.workload") / "tables"


@functools.cache
def bundled_names() -> dict[str, tuple[int, ...]]:
    """Return the bundled networks and the input sizes each comes in, the usual one first."""
    sizes: dict[str, list[int]] = {}
    for entry in sorted(_TABLES.iterdir(), key=lambda entry: entry.name):
        found = re.fullmatch(r"(\w+)@(\d+)\.csv", entry.name)
        if found:
            sizes.setdefault(found[1], []).append(int(found[2]))
    return {name: tuple(sorted(found, reverse=True)) for name, found in sizes.items()}


def read_bundled(name: str, input_size: int) -> Network:
    """Read a bundled table at batch 1."""
    file = f"{name}@{input_size}.csv"
    return read_csv((_TABLES / file).read_text(encoding="utf-8"), file=file, name=name)


def read_yaml(document: Node, *, name: str) -> Network:
    """Read a layer table in YAML: ``layers``, a list of mappings with the keys of `read_csv`'s columns.

    ``network``, ``batch`` and ``source`` stand beside it, and optionally ``unmapped`` (a list), ``free``
    (operation: count, or a mapping of ``repeats`` and what all runs move) and ``notes`` (a list of sentences).
    """
    entries = document.mapping(known=(*HEADINGS, "layers", "unmapped", "free", "notes"), required=("layers",))
    rows = [_yaml_row(item) for item in entries["layers"].sequence()]
    if "unmapped" in entries:
        rows += [(line, row | {"kind": "unmapped"}) for line, row in map(_yaml_row, entries["unmapped"].sequence())]
    if "free" in entries:
        rows += [_free_row(free, said) for free, said in entries["free"].mapping().items()]
    network = network_of_rows(
        rows,
        file=document.file,
        name=entries["network"].text() if "network" in entries else name,
        batch=entries["batch"].integer(minimum=1) if "batch" in entries else 1,
        source=entries["source"].text() if "source" in entries else str(document.file),
    )
    notes = entries["notes"].sequence() if "notes" in entries else ()
    return replace(network, notes=tuple(note.text() for note in notes))


def _free_row(name: str, said: Node) -> tuple[int, dict[str, str]]:
    """Return an operation between products: how often it runs, or that and what all its runs move."""
    row = {"name": name, "kind": "free"}
    if not isinstance(said.value, dict):
        return said.line, row | {"repeats": str(said.integer(minimum=1))}
    entries = said.mapping(known=("repeats", *MOVED), required=("repeats",))
    row["repeats"] = str(entries["repeats"].integer(minimum=1))
    return said.line, row | {each: str(entries[each].integer(minimum=0)) for each in MOVED if each in entries}


def _yaml_row(node: Node) -> tuple[int, dict[str, str]]:
    entries = node.mapping(known=COLUMNS, required=("name",))
    texts = ("name", "kind", "shape", "batch_dimension", "modules", "macs", "bits")
    row = {key: str(value.integer(minimum=1)) for key, value in entries.items() if key not in texts}
    if "macs" in entries:
        unknown = entries["macs"].value == UNKNOWN
        row["macs"] = UNKNOWN if unknown else str(entries["macs"].integer(minimum=1))
    for key in ("name", "kind", "shape", "batch_dimension"):
        if key in entries:
            row[key] = entries[key].text()
    if "bits" in entries:
        row["bits"] = str(entries["bits"].value) if isinstance(entries["bits"].value, int) else entries["bits"].text()
    if "modules" in entries:
        row["modules"] = " ".join(item.text() for item in entries["modules"].sequence())
    return node.line, row


def write_yaml(network: Network, *, distinct: bool = False) -> str:
    """Return the network as YAML that `read_yaml` reads back to an equal network (data flow aside)."""
    layers: list[dict[str, object]] = []
    unmapped: list[dict[str, object]] = []
    free: dict[str, object] = {}
    for row in rows_of_network(network, distinct=distinct):
        values: dict[str, object] = {
            key: int(value) if key in (*SIZES, "repeats", "macs") and value != UNKNOWN else value
            for key, value in row.items()
        }
        if "modules" in row:
            values["modules"] = row["modules"].split()
        if row["kind"] == "free":
            counts = {key: int(row[key]) for key in ("repeats", *MOVED) if key in row}
            free[row["name"]] = counts if len(counts) > 1 else int(row["repeats"])
        elif row["kind"] == "unmapped":
            unmapped.append({key: value for key, value in values.items() if key != "kind"})
        else:
            layers.append(values)
    content: dict[str, object] = {"network": network.name, "batch": network.batch, "source": network.source}
    content |= {"notes": list(network.notes)} if network.notes else {}
    content |= {"layers": layers} | ({"unmapped": unmapped} if unmapped else {}) | ({"free": free} if free else {})
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=160, allow_unicode=True)
