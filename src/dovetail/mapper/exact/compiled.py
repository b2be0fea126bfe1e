"""Compiles all that the exact search runs, once for a machine and version, on all cores at a time."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dovetail.errors import DovetailError
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.exact.advances import Fan
from dovetail.mapper.exact.ceiling import Ceiling
from dovetail.mapper.exact.demands import (
    Demands,
    Entry,
    Loop,
    Spreading,
    enter_all,
    loop_over,
    spread_all,
    unite,
)
from dovetail.mapper.exact.dominance import enlist, room_for, table_for
from dovetail.mapper.exact.entering import Arriving, Entering, Entrance, Keepers, Passage, enter
from dovetail.mapper.exact.expand import STORAGE, take_step
from dovetail.mapper.exact.explore import empty_nest, one_by_one
from dovetail.mapper.exact.fanouts import Passed, count_fanout
from dovetail.mapper.exact.goal import goal_of
from dovetail.mapper.exact.lattice import Lattice
from dovetail.mapper.exact.outlook import Outlook
from dovetail.mapper.exact.packed import Packed, fill_slots, forget_beaten, most_slots
from dovetail.mapper.exact.pricing import Prices, price_fanout
from dovetail.mapper.exact.rows import COUNTERS, Widths, scratch
from dovetail.mapper.exact.scene import Bounds, Choices, Motion, Scene, Sourcing, Spreads
from dovetail.mapper.exact.space import may_need_counting
from dovetail.mapper.exact.speed import Pace
from dovetail.mapper.exact.tables import Tables
from dovetail.mapper.exact.through_loops import Factors, Innermost, Met, loop
from dovetail.mapper.exact.vectors import FIXED, Outside, Working
from dovetail.mapper.exact.ways import Ways
from dovetail.mapper.exact.windows import SENT_FIELDS, Windows
from dovetail.mapper.objective import Objective
from dovetail.model.arrays import Bools, Floats, Ints, Machine, Rules, Singles, workspace
from dovetail.model.compile import is_kept, keeps_code
from dovetail.workers import WorkerExecutor, available_cpus
from dovetail.workload.problem import Problem


def compile_all(
    say: Callable[[str], None] | None = None, layers: Sequence[tuple[Problem, Architecture]] | None = None
) -> None:
    """Compile what is not kept yet, in one process per core; where nothing can be kept, leave it to the first calls.

    Args:
        say: told once, if there is anything to compile.
        layers: that are to be searched, and what on: what none of them needs is left out. None: all is compiled.
    """
    missing = _take_missing(layers)
    if missing and say is not None:
        say("compiling the search (once for this version)")
    cores = min(available_cpus(), len(missing))
    if cores < 2 or not sys.executable:
        return
    try:
        with WorkerExecutor(cores) as executor:
            list(executor.map(compile_one, missing))
    except (OSError, DovetailError):  # no processes to be had: the first calls compile
        return


def _take_missing(layers: Sequence[tuple[Problem, Architecture]] | None) -> list[str]:
    """Return what is needed and not kept yet the first time, and nothing from then on: every process tries once."""
    counting, untried = count_fanout.__name__, _untried()
    if counting in untried and layers is not None and not any(_needs_counting(*layer) for layer in layers):
        names = [name for name in untried if name != counting]
        untried[:] = [counting]
    else:
        names = list(untried)
        untried.clear()
    return names


def _needs_counting(problem: Problem, architecture: Architecture) -> bool:
    try:
        return may_need_counting(problem, architecture)
    except DovetailError:  # its search says what is wrong
        return False


@functools.cache
def _untried() -> list[str]:
    return [name for name, function in _FUNCTIONS.items() if keeps_code(function) and not is_kept(function)]


@functools.cache
def load_most() -> None:
    """Load what every search runs, or compile it, so that no clock counts it."""
    for name, function in _FUNCTIONS.items():
        if function is not count_fanout:
            compile_one(name)


@functools.cache
def load_counting() -> None:
    """Load, or compile, what counts the fan-outs that are left to the model."""
    compile_one(count_fanout.__name__)


def compile_one(name: str) -> None:
    """Compile one function, or load it, by calling it on nothing."""
    function = _FUNCTIONS[name]
    _CALLS[function](function)


def _ints(*shape: int) -> Ints:
    return np.zeros(shape, np.int64)


def _bools(*shape: int) -> Bools:
    return np.zeros(shape, np.bool_)


def _singles(*shape: int) -> Singles:
    return np.zeros(shape, np.float32)


_WIDTHS = Widths.of(1, 1, 1, 1, 0)


def _rules() -> Rules:
    flags = _bools(1, 1)
    return Rules(_ints(1, 1, 1), _bools(1), _bools(1), _ints(1), flags, flags, flags, flags, flags, _ints(1, 2))


def _machine() -> Machine:
    one, two, reals = _ints(1), _ints(1, 1), np.zeros((1, 1))
    bandwidth, prices = np.zeros((1, 3)), np.zeros((1, 1, 1))
    return Machine(one, two, one, two, two, one, bandwidth, reals, reals, prices, np.zeros(1), 0.0, 1)


def _lattice() -> Lattice:
    one = _ints(1)
    return Lattice(_ints(1, 1), one, one, _ints(1, 1, 1), one, one)


def _scene() -> Scene:
    one, two, reals, flags = _ints(1), _ints(1, 1), np.zeros(1), _bools(1, 1)
    return Scene(
        _lattice(),
        Tables(two, one, two, _ints(1, 1, 1)),
        _rules(),
        _machine(),
        one,
        Motion(two, _bools(1), _bools(1), slides=False, long_chains=False),
        Choices(two, two, one, two, two, two, two),
        Spreads(one, one, two, flags, two, flags, np.zeros((1, 1)), flags, two),
        Sourcing(one, one, one),
        Bounds(
            Outlook(one, one, _singles(1)),
            Packed(one, one, _singles(1)),
            np.zeros((1, 1)),
            two,
            one,
            reals,
            one,
            flags,
            reals,
            np.zeros((1, 1, 1)),
            reals,
            np.zeros((1, 1)),
            0.0,
            0.0,
            0.0,
        ),
        _demands(),
        Fan.none(1, 1),
    )


def _step(function: Callable[..., Any]) -> None:
    nothing = room_for(0, _WIDTHS, 1)
    room = table_for(nothing, _ints(COUNTERS))
    given = _scene(), goal_of(Objective.EDP.code), 0, one_by_one(nothing)
    function(STORAGE, *given, scratch(_WIDTHS, 1, 1, 1, 1), room)


def _count_fanout(function: Callable[..., Any]) -> None:
    nothing, passed = room_for(0, _WIDTHS, 1), Passed(0, _bools(1), _ints(0, 1))
    function(_rules(), passed, nothing.path, nothing.real, empty_nest(1, 1, 1), workspace(1, 1, 1, 1))


def _enlist(function: Callable[..., Any]) -> None:
    function(table_for(room_for(0, _WIDTHS, 1)), 0)


def _loop(function: Callable[..., Any]) -> None:
    one, two, flags = _ints(1), _ints(1, 1), _bools(1, 1)
    factors = Factors(_lattice(), _ints(1, 1, 1), np.zeros((1, 1, 1)), one, one)
    met = Met(one, two, one, one, one, one, np.zeros((1, 1)))
    function(factors, Innermost(flags, flags, one, flags, flags), met, _singles(0, 1, 1, 1), _singles(0, 1, 1, 1))


def _working() -> Working:
    outside = Outside(np.zeros(1), np.zeros(1), _bools(1), np.zeros(1))
    return Working.empty((1, 1, 2 + FIXED), outside, Ceiling.none(1), _ints(1))


def _unite(function: Callable[..., Any]) -> None:
    function(_ints(1), _working(), _working(), 0, 0)


def _loop_over(function: Callable[..., Any]) -> None:
    function(Loop(0, 0, False, 1, 1), _lattice(), _ints(0, 1), _ints(1), _working(), np.zeros(2 + FIXED), 0, 0)


def _enter_all(function: Callable[..., Any]) -> None:
    table, flags, reals, vector = np.zeros((1, 1)), _bools(1), np.zeros(1), np.zeros(2 + FIXED)
    entry = Entry(_ints(1), 0, _machine(), _ints(1, 1), table, table, flags, flags, flags, table, reals)
    function(entry, _ints(0), _working(), _working(), vector, 0, 0)


def _demands() -> Demands:
    return Demands(0, _ints(1, 1), _ints(1, 1), np.zeros((1, 2 + FIXED)), _ints(1))


def _spreading() -> Spreading:
    ways = Ways(_ints(1, 1), np.zeros(1), np.zeros((1, 1)), _bools(1, 1), _bools(1, 1), np.zeros(1))
    return Spreading(_lattice(), _ints(0, 1), ways, Windows.none(1, 1, 1), np.zeros((1, SENT_FIELDS)))


def _spread_all(function: Callable[..., Any]) -> None:
    function(_spreading(), _ints(0), _working(), _working(), np.zeros(2 + FIXED), 0, 0)


def _pace() -> Pace:
    return Pace(_ints(1, 1), np.zeros(1), _machine(), _bools(1), 1.0, _ints(1))


def _price_fanout(function: Callable[..., Any]) -> None:
    table, row, nowhere, vector = np.zeros((1, 1)), np.zeros(1), _singles(0, 0, 1, 1), np.zeros(3 + FIXED)
    prices = Prices(table, row, table, _pace(), 0, _ints(1, 2), row)
    function(_spreading(), _demands(), prices, Ceiling.none(1), _working(), vector, nowhere, row, 0, 0)


def _enter(function: Callable[..., Any]) -> None:
    table: Floats = np.zeros((1, 1))
    entrance, arriving = Entrance(table, table, table), Arriving(table, np.zeros(1), _ints(1, 1))
    row = np.zeros(1)
    passage = Passage(_pace(), 0, _ints(1, 1), 0, row, row, Entering(row, row, row))
    function(Keepers(_ints(1), 0), passage, entrance, arriving, _singles(0, 1, 1, 1), _singles(0, 1, 1, 1))


def _forget_beaten(function: Callable[..., Any]) -> None:
    function(_singles(0, 1, 1, 1), 1)


def _most_slots(function: Callable[..., Any]) -> None:
    function(_singles(0, 1, 1, 1), 1)


def _fill_slots(function: Callable[..., Any]) -> None:
    function(_singles(0, 1, 1, 1), 1, 1, _singles(0, 1, 1))


#: How every compiled function of the search is called on nothing; what takes longest to compile comes first.
_CALLS: dict[Callable[..., Any], Callable[[Callable[..., Any]], None]] = {
    take_step: _step,
    count_fanout: _count_fanout,
    loop: _loop,
    enter: _enter,
    forget_beaten: _forget_beaten,
    most_slots: _most_slots,
    fill_slots: _fill_slots,
    price_fanout: _price_fanout,
    spread_all: _spread_all,
    enter_all: _enter_all,
    loop_over: _loop_over,
    unite: _unite,
    enlist: _enlist,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {function.__name__: function for function in _CALLS}
