"""A mapspace as two flat arrays, integers and reals, for compiled code: few arguments compile fast.

The integers begin with a header. Its entries are sizes, or where a table begins; the names below are their places.
Levels are outer to inner without compute; dims are the active ones; every table is in row-major order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dovetail.model.arrays import Floats, Ints

# Sizes, and whether: some tensor slides; chains run on past a second summed axis; every dimension moves all tensors but
# one at most; the fan-out that registers are fed through, or -1.
TENSORS, LEVELS, DIMS, AXES, CHAIN, WIDTH, OPTIONS, TILES, MACS, SLIDING, LONG_CHAINS, EXCLUSIVE, ARRAY = range(13)

# Where integer tables begin.
(
    DIVISORS,  # (dims, width) rising
    COUNT,  # (dims,) how many of them
    RADIX,  # (dims,) weight of a dimension in a tile's index
    QUOTIENT,  # (dims, width, width) index of one divisor over another; -1 when it leaves a remainder
    SPATIAL,  # (levels,)
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
    BY_MODEL,  # (levels, tensors) the fan-out's traffic is counted by the model itself, after the step
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
    MORE,  # (levels + 1, tensors) some level from here on must keep the tensor
    WORDS,  # (tensors, tiles) words of a tile
    VOLUME,  # (tiles,) executions of the loop body inside a tile
    PARALLELISM,  # (levels + 1, tiles) most compute units that a completion can use; 0: there is none
    REGISTER,  # (tensors,) the innermost level that must keep the tensor can hold but one word of it
    PARTIAL,  # (levels, dims + 1, tiles) the same for a storage level once its first loops are chosen
) = range(13, 49)
_HEADER = 49

# Where tables of reals begin (in the second half of the integers' header).
(
    ENERGY_OF,  # (levels, 4) pJ per access: read, write, update; pJ per cycle: leakage
    BANDWIDTH,  # (levels, 3) words per cycle: read, write, both
    PER_WORD,  # (levels, 3) least pJ per word read, written from outside, written from inside
    INSIDE,  # (levels + 1, tensors) least pJ per word for the levels from here on that must keep the tensor
    LEAK_INSIDE,  # (levels + 1,) pJ per cycle of one instance of every level from here on
    DISTINCT,  # (tensors,) words of the whole tensor that are touched
    AGAIN,  # (tensors, tiles) iterations outside a tile of the dimensions that do not move the tensor
    COMPUTE_LEAST,  # (1,) pJ that computing costs at least, with the reads and updates that feed it
    COMPUTE_PJ,  # (1,) pJ per execution of the loop body
    CHANGING,  # (tiles,) least pJ of what registers are sent, before the fan-out `ARRAY` is passed
    CHANGE_FROM,  # (levels, tensors) least pJ of sending a tensor's register one word from a level
    CHANGE_HELD,  # (1,) pJ to take off again: outputs that are not read the first time
) = range(_HEADER, _HEADER + 12)
_END = _HEADER + 12


class Pack(NamedTuple):
    """The two arrays.

    Attributes:
        ints: header, then integer tables.
        reals: tables of reals.
    """

    ints: Ints
    reals: Floats


def pack(sizes: Mapping[int, int], tables: Mapping[int, ArrayLike]) -> Pack:
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
    return Pack(np.concatenate(parts[True]), np.concatenate(parts[False]))
