"""A mapspace as flat arrays, integers and reals, for compiled code: few arguments compile fast.

The integers begin with a header. Its entries are sizes, or where a table begins; the names below are their places.
Levels are outer to inner without compute; dims are the active ones; every table is in row-major order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dovetail.model.arrays import Floats, Ints, Singles

# Sizes, and whether: some tensor slides; chains run on past a second summed axis. Then idle sets and the points of
# their grid (see `dovetail.mapper.exact.completion`).
TENSORS, LEVELS, DIMS, AXES, CHAIN, WIDTH, OPTIONS, TILES, MACS, SLIDING, LONG_CHAINS, SETS, POINTS = range(13)

# Where integer tables begin.
(
    DIVISORS,  # (dims, width) rising
    COUNT,  # (dims,) how many of them
    RADIX,  # (dims,) weight of a dimension in a tile's index
    QUOTIENT,  # (dims, width, width) index of one divisor over another; -1 when it leaves a remainder
    LEAST,  # (levels, dims) smallest factor over time
    MOST,  # (levels, dims) largest
    MOST_LOOPS,  # (levels,) loops over time with more than one iteration
    KEEPERS,  # (levels, options) kept tensors as bit masks, padded with -1
    ORDER_START,  # (levels, 2 ** dims) first order for a set of looping dimensions
    ORDER_COUNT,  # (levels, 2 ** dims)
    ORDERS,  # (orders, dims) looping dimensions innermost first, padded with -1
    FANOUT_START,  # (levels,)
    FANOUT_COUNT,  # (levels,)
    FANOUTS,  # (fanouts, dims) spatial factors as divisor indices
    FANOUT_Y,  # (fanouts, dims) whether on Y
    FANOUT_ORDER,  # (fanouts, dims) dimensions outer to inner
    STOPS,  # (tensors, dims) 0: does not move it, 1 + axis: along a summed axis, -1: along an axis of its own
    LINKS_INSIDE,  # (levels + 1,) neighbours below this level or one further in might pass data on
    BY_MODEL,  # (fanouts, tensors) the fan-out's traffic is counted by the model itself, after the step
    COEFFICIENTS,  # (tensors, axes, dims)
    INJECTIVE,  # (tensors,)
    OUTPUT,  # (tensors,)
    NO_MULTICAST,  # (levels, tensors)
    NO_REUSE,  # (levels, tensors)
    READ_FIRST,  # (levels, tensors)
    BLOCK,  # (levels,)
    CAPACITY,  # (levels,)
    CLUSTERS,  # (levels,)
    COUNTER,  # (levels,) place of a level's traffic among the values of a row, or -1
    WORDS,  # (tensors, tiles) words of a tile
    VOLUME,  # (tiles,) executions of the loop body inside a tile
    PARALLELISM,  # (levels + 1, tiles) most compute units that a completion can use; 0: there is none
    PARTIAL,  # (levels, dims + 1, tiles) the same for a storage level once its first loops are chosen
    SET_OF,  # (2 ** tensors,) an idle set with all tensors of a bit mask; -1: there is none
    SERVES,  # (sets, dims) the dimension leaves some tensor of the set in place
    NEXT,  # (levels,) where a level's table (sources, options or fan-outs) of the source inside begins, ...
    NEXT_WIDTH,  # (levels,) ... how wide it is, ...
    NEXTS,  # ... and the tables
    PLACE,  # (levels + 1, tiles) place of a tile among those that have a completion, or -1
    PLACES,  # (levels + 1,) how many have
    LEAST_START,  # (levels + 1,) where the boundary's table begins in `Pack.least`
) = range(13, 54)
_HEADER = 54

# Where tables of reals begin (in the second half of the integers' header).
(
    ENERGY_OF,  # (levels, 4) pJ per access: read, write, update; pJ per cycle: leakage
    BANDWIDTH,  # (levels, 3) words per cycle: read, write, both
    LEAK_INSIDE,  # (levels + 1,) pJ per cycle of one instance of every level from here on
    GRID,  # (points,) shares of visits that fetch an idle tensor
    COMPUTE_PJ,  # (1,) pJ per execution of the loop body
    SLACK,  # (1,) pJ by which rounding may undercut the least energies
    DISTINCT,  # (tensors,) words of the whole tensor that are touched
    CYCLES_LEAST,  # (1,) cycles that some level's bandwidth asks of any mapping
) = range(_HEADER, _HEADER + 8)
_END = _HEADER + 8


class Pack(NamedTuple):
    """The arrays.

    Attributes:
        ints: header, then integer tables.
        reals: tables of reals.
        least: the tables of `dovetail.mapper.exact.completion`.
    """

    ints: Ints
    reals: Floats
    least: Singles


def pack(sizes: Mapping[int, int], tables: Mapping[int, ArrayLike], least: Singles) -> Pack:
    """Lay out sizes and tables, each under its name's place in the header."""
    header = np.zeros(_END, np.int64)
    for place, size in sizes.items():
        header[place] = size
    parts: dict[bool, list[np.ndarray]] = {True: [header], False: []}
    used = {True: _END, False: 0}
    for place, table in tables.items():
        whole = place < _HEADER
        flat = np.ascontiguousarray(table, np.int64 if whole else np.float64).ravel()
        header[place] = used[whole]
        used[whole] += flat.size
        parts[whole].append(flat)
    return Pack(np.concatenate(parts[True]), np.concatenate(parts[False]), least)
