"""Tables as pandas' data frames, which are an extra: imported when one is asked for, not before."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from dovetail.errors import MissingExtraError
from dovetail.table import Table

if TYPE_CHECKING:
    import pandas


def frame_of(table: Table) -> pandas.DataFrame:
    """Return a table's rows as a data frame, numbers in full, columns named as in CSV and JSON.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    if importlib.util.find_spec("pandas") is None:
        raise MissingExtraError("a data frame", "pandas")
    made: Any = importlib.import_module("pandas")
    return made.DataFrame(list(table.rows), columns=list(table.keys))
