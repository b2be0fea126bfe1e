"""Recognises designs in the forms of neighbouring tools and turns them into v0.4; all others stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dovetail.document import Node, Scalar, read_text
from dovetail.errors import InputError
from dovetail.hardware.neighbours.accelforge import is_accelforge, read_accelforge
from dovetail.hardware.neighbours.scale_sim import is_scale_sim, read_scale_sim
from dovetail.hardware.neighbours.zigzag import is_zigzag, read_zigzag

_LIBCONFIG = "is in the libconfig form of Timeloop's first versions; write its levels as a YAML list of v0.4 nodes"


def read_config(path: Path) -> Node:
    """Return the design of a ``.cfg`` file: SCALE-Sim's configs are read, Timeloop's first form is refused.

    Raises:
        InputError: as `read_scale_sim` does, or the file is no such config.
    """
    if is_scale_sim(read_text(path)):
        return read_scale_sim(path)
    raise InputError(_LIBCONFIG, file=path)


def as_v04(document: Node, data: Mapping[str, Scalar] | None = None) -> Node:
    """Return the v0.4 document that a neighbour's design means; any other document as it is.

    Args:
        document: the design.
        data: values that stand above its variables.

    Raises:
        InputError: the design has something that has no equal here.
    """
    keys = frozenset(document.value) if isinstance(document.value, dict) else frozenset[str]()
    if "architecture" in keys:
        return document
    if is_zigzag(keys):
        return read_zigzag(document)
    return read_accelforge(document, data) if is_accelforge(document) else document
