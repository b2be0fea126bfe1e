"""Compiles all that the exact search runs, once for a machine and version, on all cores at a time."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.errors import DovetailError
from dovetail.mapper.exact import completion, expand, fanouts
from dovetail.model.arrays import Nest, Rules, workspace
from dovetail.model.compile import is_kept, keeps_code
from dovetail.workers import WorkerExecutor, available_cpus


def compile_all(say: Callable[[str], None] | None = None) -> None:
    """Compile what is not kept yet, in one process per core; where nothing can be kept, leave it to the first calls.

    Args:
        say: told once, if there is anything to compile.
    """
    missing = _take_missing()
    cores = min(available_cpus(), len(missing))
    if cores < 2 or not sys.executable:
        return
    if say is not None:
        say("compiling the search (once for this version)")
    try:
        with WorkerExecutor(cores) as executor:
            list(executor.map(compile_one, missing))
    except (OSError, DovetailError):  # no processes to be had: the first calls compile
        return


def _take_missing() -> list[str]:
    """Return what is not kept yet the first time, and nothing from then on: every process tries once."""
    names = list(_untried())
    _untried().clear()
    return names


@functools.cache
def _untried() -> list[str]:
    return [name for name, function in _FUNCTIONS.items() if keeps_code(function) and not is_kept(function)]


def compile_one(name: str) -> None:
    """Compile one function by calling it on nothing."""
    _CALLS[name](_FUNCTIONS[name])


def _ints(*shape: int) -> Any:
    return np.zeros(shape, np.int64)


def _bools(*shape: int) -> Any:
    return np.zeros(shape, np.bool_)


def _step(function: Callable[..., Any]) -> None:
    """Call a step of `dovetail.mapper.exact.expand` on no partial mapping."""
    key, real, path = _ints(1), np.zeros(1), np.zeros(1, np.int32)
    rows = (_ints(0, 1), np.zeros((0, 1)), np.zeros((0, 1)), np.zeros((0, 1), np.int32))
    packed = (_ints(64), real, np.zeros(1, np.float32))
    function(*packed, real, 0, rows, (key, key, real, real, path), key, (*rows, real, key), key)


def _count_fanout(function: Callable[..., Any]) -> None:
    two, flags = _ints(1, 1), _bools(1, 1)
    rules = Rules(_ints(1, 1, 1), _bools(1), _bools(1), _ints(1), flags, flags, flags, flags, two)
    nest = Nest(two, two, two, two, two, flags)
    paths = np.zeros((0, 1), np.int32)
    function(rules, _bools(1), 0, _ints(0, 1), paths, np.zeros((0, 1)), nest, workspace(1, 1, 1, 1))


def _finish(function: Callable[..., Any]) -> None:
    none = np.zeros((0, 1))
    function(_ints(64), np.zeros(1), _ints(0, 1), none, none, _ints(1), np.zeros(1), none)


def _enlist(function: Callable[..., Any]) -> None:
    function(_ints(0, 1), np.zeros((0, 1)), _ints(1), 0, 0)


def _loop(function: Callable[..., Any]) -> None:
    table, one, none = _ints(1, 1), _ints(1), np.zeros((0, 1, 1), np.float32)
    function(
        one, table, one, table, _ints(1, 1, 1), one, _ints(1, 1, 1), np.zeros((1, 1, 1)), one, one, _bools(1, 1), one,
        _bools(1, 1), _bools(1, 1), _bools(1, 1), one, none, one, np.zeros((1, 1)), none,
    )  # fmt: skip


def _spread(function: Callable[..., Any]) -> None:
    none = np.zeros((0, 1, 1), np.float32)
    function(_ints(0, 1), _ints(1, 1, 1), _ints(1), _ints(0, 1), _ints(0), _ints(0, 1), _ints(1), none, none)


def _enter(function: Callable[..., Any]) -> None:
    none, table = np.zeros((0, 1, 1), np.float32), np.zeros((1, 1))
    function(_ints(1), 0, _ints(1, 1), table, table, table, table, np.zeros(1), _ints(1, 1), none, none)


#: Every compiled function of the search and how it is called on nothing; what takes longest to compile comes first.
_CALLS: dict[str, Callable[[Callable[..., Any]], None]] = {
    "count_fanout": _count_fanout,
    "expand_storage": _step,
    "expand_spatial": _step,
    "loop": _loop,
    "merge_rows": _step,
    "finish": _finish,
    "enter": _enter,
    "spread": _spread,
    "enlist": _enlist,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: next(getattr(module, name) for module in (fanouts, expand, completion) if hasattr(module, name))
    for name in _CALLS
}
