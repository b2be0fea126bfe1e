"""Takes a line of a CSV file apart."""

from __future__ import annotations

import csv
from pathlib import Path

from dovetail.errors import InputError


def cells_of(line: str, file: Path | str, number: int, separator: str = ",") -> list[str]:
    """Return the cells of a line.

    Args:
        line: no line break in it.
        file: named in errors.
        number: the line's, named in errors.
        separator: what stands between cells.

    Raises:
        InputError: it is no row of cells (one is longer than 131,072 signs); with file and line.
    """
    try:
        return next(csv.reader([line], delimiter=separator))
    except csv.Error as error:
        raise InputError(f"is no row of cells: {error}", file=file, line=number) from None
