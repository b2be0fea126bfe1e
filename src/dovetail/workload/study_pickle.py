"""Reads the founding study's layer pickles without unpickling: only lists and tuples of whole numbers pass.

The study's exporter stores one tuple of eleven numbers per convolution: output columns and rows, input channels,
batch, output channels, kernel rows and columns, padding and stride of columns and rows (each pair columns first,
except the kernel). Its workload builder then took the output for the input and divided by the stride once more.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from dovetail.errors import InputError
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import Problem, convolution

FIELDS = ("w", "h", "c", "n", "m", "s", "r", "wpad", "hpad", "wstride", "hstride")
MAX_BYTES = 1_000_000

_MARK = object()
_NUMBERS = {"BININT", "BININT1", "BININT2", "INT", "LONG1", "LONG"}
_STORES = {"PUT", "BINPUT", "LONG_BINPUT"}
_LOADS = {"GET", "BINGET", "LONG_BINGET"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def read_study_pickle(path: Path, *, as_published: bool = False) -> Network:
    """Read a layer pickle that the founding study's exporter wrote.

    Args:
        path: the file.
        as_published: build the problems as the study did, its mistakes included, to reproduce its figures; otherwise
            the output is as it was stored. Groups and linear layers are lost in the file itself either way.

    Raises:
        InputError: when the file holds anything but plain tuples of eleven whole numbers.
    """
    rows = plain_tuples(path)
    layers = []
    for number, row in enumerate(rows, start=1):
        if len(row) != len(FIELDS):
            raise InputError(f"tuple {number} has {len(row)} numbers; the study's have {len(FIELDS)}", file=path)
        values = dict(zip(FIELDS, row, strict=True))
        if min(values[key] for key in FIELDS if not key.endswith("pad")) < 1 or min(row) < 0 or max(row) > 2**31:
            raise InputError(f"tuple {number} is no layer: {row}", file=path)
        try:
            problem = replace(_as_published(values) if as_published else _as_stored(values), name=f"conv{number}")
        except InputError as error:
            raise error.placed(path, key=f"tuple {number}") from None
        layers.append(Layer(problem.name, problem, 1, "convolution", (problem.name,), "N"))
    batches = {row[FIELDS.index("n")] for row in rows}
    return Network(path.stem, tuple(layers), batch=batches.pop() if len(batches) == 1 else 1, source=str(path))


def _as_stored(v: dict[str, int]) -> Problem:
    return convolution(
        N=v["n"], C=v["c"], M=v["m"], P=v["h"], Q=v["w"], R=v["s"], S=v["r"], stride=(v["hstride"], v["wstride"])
    )


def _as_published(v: dict[str, int]) -> Problem:
    P = int((v["h"] - v["r"] + 2 * v["hpad"]) / v["hstride"]) + 1
    Q = int((v["w"] - v["s"] + 2 * v["wpad"]) / v["wstride"]) + 1
    return convolution(N=v["n"], C=v["c"], M=v["m"], P=P, Q=Q, R=v["r"], S=v["s"], stride=(v["wstride"], v["hstride"]))


def plain_tuples(path: Path) -> list[tuple[int, ...]]:
    """Return the list of tuples in a pickle by walking its opcodes; nothing is imported, called or constructed.

    Raises:
        InputError: when the file can't be read or holds anything but a list of tuples of whole numbers.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", file=path) from None
    if len(data) > MAX_BYTES:
        raise InputError(f"is larger than {MAX_BYTES} bytes; no layer list is", file=path)
    try:
        value = _walk(pickletools.genops(data))
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise InputError(f"is no plain pickle: {str(error)[:120]}", file=path) from None
    if not isinstance(value, list) or not all(_is_row(row) for row in value):
        raise InputError("holds something else than a list of tuples of whole numbers", file=path)
    return [tuple(row) for row in value]


def _is_row(row: Any) -> bool:
    return isinstance(row, tuple | list) and all(type(number) is int for number in row)


def _walk(operations: Iterable[tuple[Any, Any, Any]]) -> Any:
    """Follow the opcodes of lists, tuples and numbers on a stack of our own; any other opcode is refused."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for operation, argument, _ in operations:
        name = operation.name
        if name in _NUMBERS:
            stack.append(argument)
        elif name in ("EMPTY_LIST", "EMPTY_TUPLE"):
            stack.append([] if name == "EMPTY_LIST" else ())
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("TUPLE", "LIST"):
            items = _since_mark(stack)
            stack.append(tuple(items) if name == "TUPLE" else items)
        elif name in _TUPLES:
            count = _TUPLES[name]
            items = [stack.pop() for _ in range(count)]
            stack.append(tuple(reversed(items)))
        elif name in ("APPEND", "APPENDS"):
            items = [stack.pop()] if name == "APPEND" else _since_mark(stack)
            if not isinstance(stack[-1], list):
                raise ValueError("it appends to something that is no list")
            stack[-1].extend(items)
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in _STORES:
            memo[int(argument)] = stack[-1]
        elif name in _LOADS:
            stack.append(memo[int(argument)])
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(f"it contains {name}, and only lists and tuples of whole numbers are read")
    raise ValueError("it ends too early")


def _since_mark(stack: list[Any]) -> list[Any]:
    items: list[Any] = []
    while (item := stack.pop()) is not _MARK:
        items.append(item)
    return items[::-1]
