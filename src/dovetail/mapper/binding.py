"""What holds a layer back: the words for it, and nothing else, so that whoever prints a stored reason loads little."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Binding(StrEnum):
    """What holds a layer back."""

    COMPUTE = "compute"
    BANDWIDTH = "bandwidth"
    CHOICE = "choice"
    DIMENSIONS = "too few parallel dimensions"
    CONSTRAINT = "constraint"
    CAPACITY = "capacity"
    DIVISIBILITY = "divisibility"
    SEVERAL = "several together"
    UNTESTED = "not tested"


@dataclass(frozen=True)
class Reason:
    """Why a layer takes more cycles than its design's compute units need at least.

    Attributes:
        binding: what holds it back.
        what: the level or the dimension concerned; empty where none is.
        text: why, as the end of a sentence that begins with 'because'.
        common: the same without the layer's numbers, so that layers can share it.
        units: compute units that the design lets the layer use at most; 0 where that is not known.
        cycles: what the layer could take if this alone were otherwise; None where that says nothing.
    """

    binding: Binding
    what: str
    text: str
    common: str
    units: int = 0
    cycles: int | None = None

    @property
    def label(self) -> str:
        """A few words for a column."""
        return f"{self.binding} {self.what}".strip()

    def to_data(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "binding": str(self.binding)}

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> Reason:
        """Return the reason that `to_data` was given of; raises KeyError, TypeError or ValueError on other data."""
        return Reason(**{**data, "binding": Binding(data["binding"])})
