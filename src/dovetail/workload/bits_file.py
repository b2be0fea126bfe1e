"""Files that give layers their widths: CSV of ``layer,bits`` or of a column per tensor, or YAML of layer: bits."""

from __future__ import annotations

from pathlib import Path

from dovetail.document import Node, read_text
from dovetail.document_file import read_document
from dovetail.errors import InputError
from dovetail.text import csv_cell
from dovetail.workload.cells import cells_of
from dovetail.workload.widths import LayerBits, parse_layer_bits, parse_widths

_SUFFIXES = (".csv", ".yaml", ".yml")


def read_bits(text: str) -> tuple[LayerBits, ...]:
    """Read widths as a command is given them: by themselves, or the name of a file that holds some for each layer.

    Raises:
        InputError: they are of another form, with file and line where they stand in one.
    """
    if not text.endswith(_SUFFIXES):
        return (parse_layer_bits(text),)
    path = Path(text)
    return _rows(path) if path.suffix == ".csv" else _entries(path)


def _rows(path: Path) -> tuple[LayerBits, ...]:
    lines = [(n, line) for n, line in enumerate(read_text(path).splitlines(), start=1) if line.strip(" ,\t")]
    lines = [(n, line) for n, line in lines if not line.startswith("#")]
    tensors = _columns(path, lines[0][0] if lines else None, lines[0][1] if lines else "")
    found = []
    for number, line in lines[1:]:
        cells = [csv_cell(cell).strip() for cell in cells_of(line, path, number)]
        if tensors and any(cells[len(tensors) + 1 :]):
            raise InputError(f"{len(cells)} cells under {len(tensors) + 1} columns", file=path, line=number)
        stated = [f"{tensor}={bits}" for tensor, bits in zip(tensors, cells[1:], strict=False) if bits]
        stated = stated if tensors else [cell for cell in cells[1:] if cell]
        if not stated:
            raise InputError("a layer without its bits", file=path, line=number)
        try:
            found.append(LayerBits(cells[0], parse_widths(" ".join(stated))))
        except InputError as error:
            raise error.placed(path, number, "bits") from None
    return tuple(found)


def _columns(path: Path, line: int | None, header: str) -> list[str]:
    """Return the tensors whose bits the columns after the first one hold; none where each row names its tensors."""
    first, *names = [csv_cell(cell).strip() for cell in header.split(",")]
    if first != "layer" or not names or not all(names):
        raise InputError(
            "the first line must be layer,bits, or layer and the tensors, such as layer,weights,inputs,outputs",
            file=path,
            line=line,
        )
    return [] if names == ["bits"] else names


def _entries(path: Path) -> tuple[LayerBits, ...]:
    found = []
    for layer, node in read_document(path).mapping().items():
        if isinstance(node.value, dict):
            text = " ".join(f"{tensor}={_written(bits)}" for tensor, bits in node.mapping().items())
        else:
            text = _written(node)
        try:
            found.append(LayerBits(layer, parse_widths(text)))
        except InputError as error:
            raise node.fail(error.message) from None
    return tuple(found)


def _written(node: Node) -> str:
    """Return a width, or widths, as they were written."""
    if isinstance(node.value, str | int) and not isinstance(node.value, bool):
        return str(node.value)
    raise node.fail(
        f"the widths of a layer are a text such as weights=4,inputs=8, or tensors and their bits; found {node.kind}"
    )
