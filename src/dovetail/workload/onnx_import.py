"""Reads a network from an ONNX file: shapes only."""

from __future__ import annotations

from pathlib import Path

from dovetail.errors import MissingExtraError
from dovetail.workload.network import Network


def read_onnx(path: Path, *, batch: int = 1, input_size: int | None = None) -> Network:
    """Read a network from an ONNX file."""
    raise MissingExtraError(f"reading {path}", "onnx")
