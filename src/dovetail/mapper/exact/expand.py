"""One step of the exact search: every partial mapping extended by one level, in compiled code.

The search runs from the outermost level in. A partial mapping fixes all loops outside a boundary; what it costs so far
is final, because a level's traffic is decided by the tile that crosses its boundary and the loops outside. What the
levels inside will add depends on few things only: the tile, the instances in use, and how the innermost loops so far
reuse each tensor. Partial mappings that agree in these are compared, and only those that no other beats stay.
``docs/mapper.md`` has the argument.

A partial mapping is a row in four arrays: ``key`` (what the future depends on, integers), ``real`` (the same, reals),
``value`` (what it costs so far) and ``path`` (its decisions). With T tensors:

- ``key``: tile, instances in use, length of the chain; then per tensor: reuse so far, level that keeps it, instances
  of that level, partition now, partition of the keeper; then per chain entry: dimension, factor, step.
- ``real``: per tensor: children per word since the keeper, words from neighbours at the keeper; then, when the model
  counted the fan-out just passed: 1, words sent, children per word should the next level let the tensor pass, words
  that a child receives, words linked.
- ``value``: energy (pJ), leakage (pJ per cycle), cycles; then words read and written so far per bounded level.
- ``path``: per level: kept tensors; then per dim factor, whether on Y, dimension of the loop at that place. At the end
  the source that the levels further in fetch from should neighbours pass nothing on at the fan-out just passed, and
  the source in any case (see `dovetail.mapper.exact.sources`; both follow from the rest).

``I``, ``F`` and ``H`` are the mapspace (`dovetail.mapper.exact.pack`); ``G`` is the goal, see `goal_array`.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"
# ruff: noqa: ANN001, ANN201, C901, E741 - compiled code infers its types from the arrays

from __future__ import annotations

import math

import numpy as np

from dovetail.mapper.exact import pack as P  # noqa: N812 - the header's names are read like columns
from dovetail.mapper.exact.completion import ROUNDING
from dovetail.model.arrays import Floats, Ints
from dovetail.model.compile import jit_plain, part
from dovetail.model.kernel import scaled

# Columns of a row.
TILE, INSTANCES, LENGTH, PER_TENSOR = range(4)
REUSE, KEEPER, KEEPER_INSTANCES, PART, KEEPER_PART, KEY_FIELDS = range(6)
SHARED, PEERS, COUNTED, SENT, PASSED, SHARE, LINKED, REAL_FIELDS = range(8)
ENERGY, LEAK, CYCLES, TRAFFIC = range(4)

# Columns of `stats`.
STATES, BY_BOUND, BY_DOMINANCE, BY_CAPACITY, TOO_LONG = range(5)

# What is minimised; FRONT keeps all that no known point beats in both energy and cycles.
EDP, ENERGY_FIRST, LATENCY_FIRST, ED2P, FRONT = range(5)

#: Relative margin within which two values count as equal: sums in another order differ by less.
MARGIN = 1e-12


def goal_array(code: int, value: float = math.inf, second: float = math.inf, front: Floats | None = None) -> Floats:
    """Return what to beat: code, value, second value, points, then cycles (rising) and least energies of a front."""
    points = np.zeros((2, 0)) if front is None else front
    return np.concatenate([[code, value, second, points.shape[1]], points[0], points[1]])


def columns(tensors: int, levels: int, dims: int, chain: int, bounded: int) -> tuple[int, int, int, int]:
    """Return how many columns key, real, value and path have."""
    keys = PER_TENSOR + KEY_FIELDS * tensors + 3 * chain
    return keys, REAL_FIELDS * tensors, TRAFFIC + 2 * bounded, levels * (1 + 3 * dims) + 2


def scratch(dims: int, axes: int, tensors: int) -> Ints:
    """Return scratch space: sizes, inside, factors, place, choice (dims each), 4 vectors (axes), met (tensors)."""
    return np.zeros(5 * dims + 4 * axes + tensors, np.int64)


@part()
def objective_value(code, energy, cycles):
    """Return what is minimised, and what breaks ties."""
    if code == ENERGY_FIRST:
        return energy, cycles
    if code == LATENCY_FIRST:
        return cycles, energy
    if code == ED2P:
        return energy * cycles * cycles, energy
    return energy * cycles, energy


@part()
def hopeless(G, energy, cycles):
    """Return whether nothing with at least this energy and these cycles can improve on what is known."""
    if G[0] == FRONT:
        low, high = 0, int(G[3])
        while low < high:  # the last point of no more cycles
            middle = (low + high) // 2
            if G[4 + middle] <= cycles * (1 + MARGIN):
                low = middle + 1
            else:
                high = middle
        return low > 0 and G[4 + int(G[3]) + low - 1] <= energy * (1 + MARGIN)
    value, second = objective_value(G[0], energy, cycles)
    if value > G[1] * (1 + MARGIN):
        return True
    return value >= G[1] * (1 - MARGIN) and second >= G[2] * (1 - MARGIN)


@part()
def nearest(value):
    """Round halves away from zero, as the model does."""
    return math.floor(value + 0.5) if value >= 0 else -math.floor(0.5 - value)


@part()
def delivered(I, key, tensor, words, passes, W):
    """Return the words sent to one child over the whole run, given the loops outside it.

    ``passes`` are the iterations over time outside; W holds the child's sizes. A tensor that slides is settled loop by
    loop along the chain: the first loop that moves it brings what is fresh; one that moves it as the first did brings
    as much; one that moves it back to where it was brings nothing; all others bring the whole tile again.
    """
    if I[I[P.INJECTIVE] + tensor]:
        return words * (passes // key[PER_TENSOR + REUSE * I[P.TENSORS] + tensor])
    axes, dims = I[P.AXES], I[P.DIMS]
    moved, first, now, tile = 5 * dims, 5 * dims + axes, 5 * dims + 2 * axes, 5 * dims + 3 * axes
    for axis in range(axes):
        W[moved + axis] = 0  # how far the loops so far move the tile
        W[first + axis] = 0  # the first displacement
        reach = 1
        for d in range(dims):
            reach += I[I[P.COEFFICIENTS] + (tensor * axes + axis) * dims + d] * (W[d] - 1)
        W[tile + axis] = reach
    more, fresh, taken, moving = 0, 0, 1, False
    chain = PER_TENSOR + KEY_FIELDS * I[P.TENSORS]
    for i in range(key[LENGTH]):
        d, factor, step = key[chain + 3 * i], key[chain + 3 * i + 1], key[chain + 3 * i + 2]
        taken *= factor
        still, same, moves = True, True, False
        for axis in range(axes):
            move = I[I[P.COEFFICIENTS] + (tensor * axes + axis) * dims + d] * step
            moves = moves or move != 0
            W[now + axis] = move - W[moved + axis]
            still = still and W[now + axis] == 0
            same = same and W[now + axis] == W[first + axis]
            W[moved + axis] += move
        if not moving and not moves:
            continue  # inside the first loop that moves it: reuse
        if not moving:
            moving = True
            overlap = 1
            for axis in range(axes):
                W[first + axis] = W[now + axis]
                overlap *= max(0, W[tile + axis] - abs(W[now + axis]))
            fresh = words - overlap
            sent = fresh
        elif still:
            sent = 0
        elif same:
            sent = fresh
        else:
            sent = words
        more += (factor - 1) * (sent + more)
    return (words + more) * (passes // taken)


@part()
def add_access(I, F, value, level, instances, reads, fills, updates):
    """Charge accesses of one tensor at a level, per instance, in words."""
    block, prices = I[I[P.BLOCK] + level], I[P.ENERGY_OF] + 4 * level
    energy = -(-reads // block) * F[prices]
    energy += -(-fills // block) * F[prices + 1]
    energy += -(-updates // block) * F[prices + 2]
    value[ENERGY] += energy * min(instances, I[I[P.CLUSTERS] + level])
    counter = I[I[P.COUNTER] + level]
    if counter >= 0:
        value[counter] += reads
        value[counter + 1] += fills + updates


@part()
def settle_reads(I, F, key, real, value, tensor, sent):
    """Charge a keeper for what its child is sent."""
    T = I[P.TENSORS]
    level = key[PER_TENSOR + KEEPER * T + tensor]
    instances = key[PER_TENSOR + KEEPER_INSTANCES * T + tensor]
    peers = real[PEERS * T + tensor]
    if not I[I[P.OUTPUT] + tensor]:
        add_access(I, F, value, level, instances, nearest(sent + peers), 0, 0)
        return
    once = key[PER_TENSOR + KEEPER_PART * T + tensor]
    if I[I[P.READ_FIRST] + level * T + tensor]:
        once = 0
    add_access(I, F, value, level, instances, nearest(max(0.0, sent + peers - once)), 0, nearest(sent))


@part()
def finish_levels(I, F, key, value, before):
    """Turn the traffic of levels whose last child is now known into cycles."""
    T = I[P.TENSORS]
    for level in range(before):
        counter = I[I[P.COUNTER] + level]
        if counter < 0 or (value[counter] == 0 and value[counter + 1] == 0):
            continue
        waiting = False
        for tensor in range(T):
            waiting = waiting or key[PER_TENSOR + KEEPER * T + tensor] == level
        if waiting:
            continue
        reads, writes, bandwidth = value[counter], value[counter + 1], I[P.BANDWIDTH] + 3 * level
        cycles = max(reads / F[bandwidth], writes / F[bandwidth + 1])
        value[CYCLES] = max(value[CYCLES], cycles, (reads + writes) / F[bandwidth + 2])
        value[counter] = 0.0
        value[counter + 1] = 0.0


@part()
def pass_by(T, real, tensor):
    """Count a fan-out that the model counted as the reference does when the level below lets the tensor pass."""
    real[SHARED * T + tensor] *= real[PASSED * T + tensor]
    for field in range(COUNTED, REAL_FIELDS):
        real[field * T + tensor] = 0.0


@part()
def keep(I, F, level, kept, key, real, value, W):
    """Place the boundary of a storage level: charge what enters it and what its parent is asked for."""
    T, tile, instances = I[P.TENSORS], key[TILE], key[INSTANCES]
    passes = I[P.MACS] // (I[I[P.VOLUME] + tile] * instances)
    for tensor in range(T):
        counted = real[COUNTED * T + tensor] > 0
        if not kept >> tensor & 1:
            if counted:
                pass_by(T, real, tensor)
            continue
        output = I[I[P.OUTPUT] + tensor]
        part = key[PER_TENSOR + PART * T + tensor]
        peers = 0.0
        if level > 0:
            words = I[I[P.WORDS] + tensor * I[P.TILES] + tile]
            if counted:
                share = real[SHARE * T + tensor]
                sent = real[SHARED * T + tensor] * real[SENT * T + tensor]
                peers = real[LINKED * T + tensor] / instances
                pass_by(T, real, tensor)
            else:
                if I[I[P.NO_REUSE] + level * T + tensor]:
                    share = float(words * passes)
                else:
                    share = float(delivered(I, key, tensor, words, passes, W))
                sent = real[SHARED * T + tensor] * share
            settle_reads(I, F, key, real, value, tensor, sent)
            fills = int(share + peers)
            if output:
                once = 0 if I[I[P.READ_FIRST] + level * T + tensor] else part
                fills = nearest(max(0.0, share + peers - once))
            add_access(I, F, value, level, instances, 0, fills, 0)
        real[SHARED * T + tensor] = 1.0
        real[PEERS * T + tensor] = peers
        key[PER_TENSOR + KEEPER * T + tensor] = level
        key[PER_TENSOR + KEEPER_INSTANCES * T + tensor] = instances
        key[PER_TENSOR + KEEPER_PART * T + tensor] = part if output else 0
    finish_levels(I, F, key, value, level)
    value[LEAK] += F[I[P.ENERGY_OF] + 4 * level + 3] * instances


@part()
def reuse_of(I, key, tensor):
    """Return for how many visits of a tile in a row a tensor stays."""
    if I[I[P.INJECTIVE] + tensor]:
        return key[PER_TENSOR + REUSE * I[P.TENSORS] + tensor]
    reuse, chain = 1, PER_TENSOR + KEY_FIELDS * I[P.TENSORS]
    for i in range(key[LENGTH]):
        if I[I[P.STOPS] + tensor * I[P.DIMS] + key[chain + 3 * i]] != 0:
            break
        reuse *= key[chain + 3 * i + 1]
    return reuse


@part()
def open_set(I, key):
    """Return the idle set that the loops so far leave in place (-1: none), and the share of visits that fetch it."""
    idle, longest = 0, 1
    for tensor in range(I[P.TENSORS]):
        reuse = reuse_of(I, key, tensor)
        if reuse > 1:
            idle |= 1 << tensor
            longest = max(longest, reuse)
    return I[I[P.SET_OF] + idle], 1.0 / longest


@part()
def least_row(I, level, source, tile):
    """Return where the least energies of completing a tile from a level on begin, or -1 when nothing completes it."""
    place = I[I[P.PLACE] + level * I[P.TILES] + tile]
    if place < 0:
        return -1
    lanes = 1 + I[P.SETS] * (I[P.POINTS] - 1)
    return I[I[P.LEAST_START] + level] + (source * I[I[P.PLACES] + level] + place) * lanes


@part()
def least_energy(I, F, H, row, idle, share):
    """Return the least pJ per visit when a set of tensors is fetched at a share of the visits."""
    points = I[P.POINTS]
    if idle < 0 or share >= 1.0:
        return H[row]
    lane, k = row + idle * (points - 1), 1
    while share < F[I[P.GRID] + k]:
        k += 1
    below, above = F[I[P.GRID] + k], F[I[P.GRID] + k - 1]
    high = H[row] if k == 1 else H[lane + k - 1]
    return H[lane + k] + (share - below) / (above - below) * (high - H[lane + k])


@part()
def least_cycles(I, F, key, value, steps):
    """Return the least cycles that any completion takes, of which ``steps`` are for computing."""
    cycles, T = max(value[CYCLES], steps, F[I[P.CYCLES_LEAST]]), I[P.TENSORS]
    for level in range(I[P.LEVELS]):
        counter = I[I[P.COUNTER] + level]
        if counter < 0 or (value[counter] == 0 and value[counter + 1] == 0):
            continue
        reads, writes, bandwidth = value[counter], value[counter + 1], I[P.BANDWIDTH] + 3 * level
        for tensor in range(T):
            if key[PER_TENSOR + KEEPER * T + tensor] == level:  # has yet to pass it on
                least = F[I[P.DISTINCT] + tensor] / key[PER_TENSOR + KEEPER_INSTANCES * T + tensor] - 1
                if I[I[P.OUTPUT] + tensor]:
                    writes += least
                else:
                    reads += least
        cycles = max(cycles, reads / F[bandwidth], writes / F[bandwidth + 1], (reads + writes) / F[bandwidth + 2])
    return cycles


@part()
def bound_of(I, F, H, level, source, key, value):
    """Return the least (energy, cycles) that any completion can have; the levels outside ``level`` are decided."""
    tile, instances = key[TILE], key[INSTANCES]
    row = least_row(I, level, source, tile)
    if row < 0:
        return math.inf, math.inf
    idle, share = open_set(I, key)
    visits = I[P.MACS] / I[I[P.VOLUME] + tile]
    inside = least_energy(I, F, H, row, idle, share)
    steps = I[P.MACS] / (instances * I[I[P.PARALLELISM] + level * I[P.TILES] + tile])
    cycles = least_cycles(I, F, key, value, steps)
    energy = value[ENERGY] + visits * inside * (1 - ROUNDING) - F[I[P.SLACK]]
    return energy + (value[LEAK] + F[I[P.LEAK_INSIDE] + level] * instances) * cycles, cycles


@part()
def no_use(I, F, G, level, d, inside, key, value, least, slowest):
    """Return whether the loops chosen for the first ``d`` dimensions of a storage level leave too few units in use.

    ``least``: pJ of any completion without leakage; ``slowest``: cycles of any.
    """
    parallel = I[I[P.PARTIAL] + (level * (I[P.DIMS] + 1) + d) * I[P.TILES] + inside]
    if parallel == 0:
        return True
    cycles = max(slowest, I[P.MACS] / (key[INSTANCES] * parallel))
    leak = value[LEAK] + F[I[P.LEAK_INSIDE] + level + 1] * key[INSTANCES]
    return hopeless(G, least + leak * cycles, cycles)


@part()
def no_order(I, F, H, G, level, source, inside, open_share, key, value, slowest, W):
    """Return whether a storage level's loops leave nothing to gain, whatever their order.

    An innermost loop leaves one idle set in place; all loops that serve it bring reuse at most, after what the loops
    outside brought.
    """
    dims = I[P.DIMS]
    row = least_row(I, level + 1, source, inside)
    if row < 0:
        return True
    best = math.inf
    for idle in range(I[P.SETS]):
        share, pure = 1.0, True
        for d in range(dims):
            if W[2 * dims + d] > 1:
                if I[I[P.SERVES] + idle * dims + d]:
                    share /= W[2 * dims + d]
                else:
                    pure = False
        if pure:
            share *= open_share
        best = min(best, least_energy(I, F, H, row, idle, share))
    visits = I[P.MACS] / I[I[P.VOLUME] + inside]
    cycles = max(slowest, I[P.MACS] / (key[INSTANCES] * I[I[P.PARALLELISM] + (level + 1) * I[P.TILES] + inside]))
    energy = value[ENERGY] + visits * best * (1 - ROUNDING) - F[I[P.SLACK]]
    return hopeless(G, energy + (value[LEAK] + F[I[P.LEAK_INSIDE] + level + 1] * key[INSTANCES]) * cycles, cycles)


@part()
def hash_of(key, real, slots):
    """Return a slot for what a partial mapping's future depends on."""
    h = np.uint64(1469598103934665603)
    for i in range(key.shape[0]):
        h = (h ^ np.uint64(key[i])) * np.uint64(1099511628211)
    for i in range(real.shape[0]):
        h = (h ^ np.uint64(int(real[i] * 64.0))) * np.uint64(1099511628211)
    h = h ^ (h >> np.uint64(29))
    return int(h % np.uint64(slots))


@part()
def offer(keys, reals, values, paths, bounds, chains, key, real, value, path, bound, stats, merge):
    """Add a row unless one of equal future costs no more; strike out those that it beats. False: no room left.

    ``chains``: the number of rows used, then per row the next one of equal hash and whether it is alive, then the
    first row per slot.
    """
    used, room = chains[0], bounds.shape[0]
    if used == room:
        return False
    slot = 1 + 2 * room + hash_of(key, real, chains.shape[0] - 1 - 2 * room)
    other = chains[slot] if merge else -1
    while other >= 0:
        if chains[1 + room + other]:
            equal = True
            for i in range(key.shape[0]):
                if keys[other, i] != key[i]:
                    equal = False
                    break
            if equal:
                for i in range(real.shape[0]):
                    if reals[other, i] != real[i]:
                        equal = False
                        break
            if equal:
                worse, better = True, True
                for i in range(value.shape[0]):
                    worse = worse and values[other, i] <= value[i]
                    better = better and value[i] <= values[other, i]
                if worse or better:
                    stats[BY_DOMINANCE] += 1
                if worse:
                    return True
                if better:
                    chains[1 + room + other] = 0
        other = chains[1 + other]
    for i in range(key.shape[0]):
        keys[used, i] = key[i]
    for i in range(real.shape[0]):
        reals[used, i] = real[i]
    for i in range(value.shape[0]):
        values[used, i] = value[i]
    for i in range(path.shape[0]):
        paths[used, i] = path[i]
    bounds[used] = bound
    chains[1 + used] = chains[slot]
    chains[1 + room + used] = 1
    chains[slot] = used
    chains[0] = used + 1
    return True


@part()
def settled_by(I, d, W):
    """Note the axis along which a loop moves each sliding tensor; True when all of them are settled by it."""
    T, met = I[P.TENSORS], 5 * I[P.DIMS] + 4 * I[P.AXES]
    settled = True
    for tensor in range(T):
        if I[I[P.INJECTIVE] + tensor]:
            continue
        how, so_far = I[I[P.STOPS] + tensor * I[P.DIMS] + d], W[met + tensor]
        if how == -1 or (how > 0 and so_far > 0 and so_far != how and not I[P.LONG_CHAINS]):
            W[met + tensor] = -1
        elif how > 0 and so_far == 0:
            W[met + tensor] = how
        settled = settled and W[met + tensor] == -1
    return settled


@part()
def moves_sliding(I, d):
    """Return whether a dimension moves any sliding tensor."""
    for tensor in range(I[P.TENSORS]):
        if not I[I[P.INJECTIVE] + tensor] and I[I[P.STOPS] + tensor * I[P.DIMS] + d] != 0:
            return True
    return False


@part()
def chain_on(I, level, row, loops, old, key, W):
    """Fill in the chain: the level's loops, then the chain before, up to the loop that settles every tensor."""
    T, dims = I[P.TENSORS], I[P.DIMS]
    start, met = PER_TENSOR + KEY_FIELDS * T, 5 * dims + 4 * I[P.AXES]
    for tensor in range(T):
        W[met + tensor] = 0
    for i in range(start, key.shape[0]):
        key[i] = 0
    length, last = 0, 0
    for i in range(loops + old[LENGTH]):
        if i < loops:
            d = I[row + i]
            factor, step = W[2 * dims + d], W[dims + d]
        else:
            at = start + 3 * (i - loops)
            d, factor, step = old[at], old[at + 1], old[at + 2]
        if settled_by(I, d, W):
            break
        if length == I[P.CHAIN]:
            return False
        at = start + 3 * length
        key[at], key[at + 1], key[at + 2] = d, factor, step
        length += 1
        if moves_sliding(I, d):
            last = length
    if not I[I[P.LINKS_INSIDE] + level + 1] and length > last:
        length = shorten(I, start, length, last, key)
    key[LENGTH] = length
    return True


@part()
def shorten(I, start, length, last, key):
    """Merge loops at the end of a chain that move nothing; returns the new length.

    Outside the last loop that moves something they multiply, like all that follows. Where nothing moves they bring
    reuse, and only their product matters.
    """
    factor, d = 1, key[start]
    for i in range(last, length):
        factor *= key[start + 3 * i + 1]
        d = min(d, key[start + 3 * i])
    for i in range(start + 3 * last, start + 3 * length):
        key[i] = 0
    if last > 0:
        return last
    for other in range(I[P.DIMS]):
        if not moves_sliding(I, other):
            d = other
            break
    key[start], key[start + 1] = d, factor
    return 1


@part()
def remember(I, level, row, old, key, W):
    """Fill in reuse and chain after the loops of one order (at ``row``, innermost first); False: too long a chain."""
    T, dims = I[P.TENSORS], I[P.DIMS]
    loops = 0
    while loops < dims and I[row + loops] >= 0:
        loops += 1
    for tensor in range(T):
        if not I[I[P.INJECTIVE] + tensor]:
            continue
        reuse, closed = 1, False
        for i in range(loops):
            d = I[row + i]
            if I[I[P.STOPS] + tensor * dims + d] != 0:
                closed = True
                break
            reuse *= W[2 * dims + d]
        key[PER_TENSOR + REUSE * T + tensor] = reuse if closed else reuse * old[PER_TENSOR + REUSE * T + tensor]
    if I[P.SLIDING]:
        return chain_on(I, level, row, loops, old, key, W)
    return True


@part()
def note_loops(I, level, row, path, W):
    """Write a storage level's loops into the path: factors, and the order outer to inner."""
    dims = I[P.DIMS]
    start, loops, seen = level * (1 + 3 * dims), 0, 0
    while loops < dims and I[row + loops] >= 0:
        loops += 1
    for i in range(loops):
        d = I[row + loops - 1 - i]
        path[start + 1 + 2 * dims + i] = d
        seen |= 1 << d
    at = loops
    for d in range(dims):
        path[start + 1 + d] = W[2 * dims + d]
        path[start + 1 + dims + d] = 0
        if not seen >> d & 1:
            path[start + 1 + 2 * dims + at] = d
            at += 1


@part()
def next_factor(I, level, d, W):
    """Move on to the next allowed factor of a dimension; False when there is none left."""
    dims, width = I[P.DIMS], I[P.WIDTH]
    place, choice = W[3 * dims + d], W[4 * dims + d] + 1
    while choice <= place:
        factor = I[I[P.DIVISORS] + d * width + choice]
        rest = I[I[P.QUOTIENT] + (d * width + place) * width + choice]
        if rest >= 0 and I[I[P.LEAST] + level * dims + d] <= factor <= I[I[P.MOST] + level * dims + d]:
            W[2 * dims + d] = factor
            W[dims + d] = I[I[P.DIVISORS] + d * width + rest]
            W[4 * dims + d] = choice
            return True
        choice += 1
    W[4 * dims + d] = -1
    return False


@part()
def copy_to(source, target):
    """Copy one row."""
    for i in range(source.shape[0]):
        target[i] = source[i]


@part()
def try_orders(I, F, H, G, level, inside, mask, base, real, value, key, path, W, rows, stats):
    """Offer every order of the level's chosen loops; False when there is no room left."""
    keys, reals, values, paths, bounds, chains = rows
    dims = I[P.DIMS]
    sets = level * (1 << dims) + mask
    first = I[I[P.ORDER_START] + sets]
    for order in range(first, first + I[I[P.ORDER_COUNT] + sets]):
        row = I[P.ORDERS] + order * dims
        copy_to(base, key)
        key[TILE] = inside
        if not remember(I, level, row, base, key, W):
            stats[TOO_LONG] += 1
            continue
        stats[STATES] += 1
        energy, cycles = bound_of(I, F, H, level + 1, path[-1], key, value)
        if hopeless(G, energy, cycles):
            stats[BY_BOUND] += 1
            continue
        note_loops(I, level, row, path, W)
        bound, _ = objective_value(G[0], energy, cycles)
        if not offer(keys, reals, values, paths, bounds, chains, key, real, value, path, bound, stats, True):
            return False
    return True


@part()
def loops_of(I, F, H, G, level, least, base, real, value, key, path, W, rows, stats):
    """Offer every choice of loops of a storage level, factor by factor; False when there is no room left."""
    dims = I[P.DIMS]
    inside, looping, mask, d = base[TILE], 0, 0, 0
    _, open_share = open_set(I, base)
    slowest = least_cycles(I, F, base, value, 0.0)
    for i in range(dims):
        W[4 * dims + i] = -1
    while d >= 0:
        # A choice not yet undone means that this place was reached from further in.
        if (d == dims or W[4 * dims + d] < 0) and no_use(I, F, G, level, d, inside, base, value, least, slowest):
            stats[STATES] += 1
            stats[BY_BOUND] += 1
            d -= 1
            continue
        if d == dims:
            allowed = looping <= I[I[P.MOST_LOOPS] + level]
            allowed = allowed and not no_order(I, F, H, G, level, path[-1], inside, open_share, base, value, slowest, W)
            stats[STATES] += 1
            if not allowed:
                stats[BY_BOUND] += 1
            elif not try_orders(I, F, H, G, level, inside, mask, base, real, value, key, path, W, rows, stats):
                return False
            d -= 1
            continue
        radix, size = I[I[P.RADIX] + d], W[3 * dims + d]
        if W[4 * dims + d] >= 0:  # take the loop over d back
            rest = I[I[P.QUOTIENT] + (d * I[P.WIDTH] + size) * I[P.WIDTH] + W[4 * dims + d]]
            inside += (size - rest) * radix
            if W[2 * dims + d] > 1:
                looping -= 1
                mask &= ~(1 << d)
        if not next_factor(I, level, d, W):
            d -= 1
            continue
        rest = I[I[P.QUOTIENT] + (d * I[P.WIDTH] + size) * I[P.WIDTH] + W[4 * dims + d]]
        inside += (rest - size) * radix
        if W[2 * dims + d] > 1:
            looping += 1
            mask |= 1 << d
        d += 1
    return True


@jit_plain
def expand_storage(I, F, H, G, level, parents, row, W, rows, stats):
    """Add to ``rows`` all partial mappings that pass a storage level and may still improve on the goal.

    ``parents`` are (keys, reals, values, paths), ``row`` scratch rows (base, key, real, value, path); False: no room.
    """
    old_keys, old_reals, old_values, old_paths = parents
    base, key, real, value, path = row
    T, dims, tiles = I[P.TENSORS], I[P.DIMS], I[P.TILES]
    for parent in range(old_keys.shape[0]):
        tile = old_keys[parent, TILE]
        for d in range(dims):
            W[3 * dims + d] = (tile // I[I[P.RADIX] + d]) % I[I[P.COUNT] + d]
            W[d] = I[I[P.DIVISORS] + d * I[P.WIDTH] + W[3 * dims + d]]
        for option in range(I[P.OPTIONS]):
            kept = I[I[P.KEEPERS] + level * I[P.OPTIONS] + option]
            if kept < 0:
                break
            total = 0
            for tensor in range(T):
                if kept >> tensor & 1:
                    total += I[I[P.WORDS] + tensor * tiles + tile]
            capacity = I[I[P.CAPACITY] + level]
            if capacity >= 0 and total > capacity:
                stats[BY_CAPACITY] += 1
                continue
            copy_to(old_keys[parent], base)
            copy_to(old_reals[parent], real)
            copy_to(old_values[parent], value)
            copy_to(old_paths[parent], path)
            # Whatever is kept, what the tile costs at least has been known since it was handed in.
            energy, cycles = bound_of(I, F, H, level, path[-1], base, value)
            least = energy - (value[LEAK] + F[I[P.LEAK_INSIDE] + level] * base[INSTANCES]) * cycles
            keep(I, F, level, kept, base, real, value, W)
            path[level * (1 + 3 * dims)] = kept
            path[-1] = I[I[P.NEXTS] + I[I[P.NEXT] + level] + path[-1] * I[I[P.NEXT_WIDTH] + level] + option]
            stats[STATES] += 1
            if not loops_of(I, F, H, G, level, least, base, real, value, key, path, W, rows, stats):
                return False
    return True


@part()
def spread_out(I, level, fanout, tile, inside, children, key, real, W):
    """Count into a row how a fan-out spreads every tensor; those left to the model are marked."""
    T, dims, tiles = I[P.TENSORS], I[P.DIMS], I[P.TILES]
    for tensor in range(T):
        if real[COUNTED * T + tensor] > 0:
            pass_by(T, real, tensor)
        if I[I[P.OUTPUT] + tensor]:
            words = I[P.WORDS] + tensor * tiles
            at = PER_TENSOR + PART * T + tensor
            key[at] = scaled(key[at], I[words + inside], I[words + tile])
        if children == 1:
            continue
        if I[I[P.BY_MODEL] + fanout * T + tensor]:
            real[COUNTED * T + tensor] = -1.0
            continue
        if I[I[P.NO_MULTICAST] + level * T + tensor]:
            real[SHARED * T + tensor] *= children
            continue
        for d in range(dims):
            if I[I[P.STOPS] + tensor * dims + d] != 0:
                real[SHARED * T + tensor] *= W[2 * dims + d]


@jit_plain
def expand_spatial(I, F, H, G, level, parents, row, W, rows, stats):
    """Add to ``rows`` all partial mappings that pass a fan-out and may still improve on the goal; False: no room.

    Where the model is to count the fan-out, rows are not merged yet, and bounds assume that links save all they can.
    """
    old_keys, old_reals, old_values, old_paths = parents
    keys, reals, values, paths, bounds, chains = rows
    _, key, real, value, path = row
    T, dims, tiles, width = I[P.TENSORS], I[P.DIMS], I[P.TILES], I[P.WIDTH]
    start, first = level * (1 + 3 * dims), I[I[P.FANOUT_START] + level]
    by_model = False
    for at in range(first * T, (first + I[I[P.FANOUT_COUNT] + level]) * T):
        by_model = by_model or I[I[P.BY_MODEL] + at] != 0
    for parent in range(old_keys.shape[0]):
        tile = old_keys[parent, TILE]
        for fanout in range(first, first + I[I[P.FANOUT_COUNT] + level]):
            inside, children = 0, 1
            for d in range(dims):
                factor = I[I[P.FANOUTS] + fanout * dims + d]
                place = (tile // I[I[P.RADIX] + d]) % I[I[P.COUNT] + d]
                rest = I[I[P.QUOTIENT] + (d * width + place) * width + factor]
                if rest < 0:
                    inside = -1
                    break
                inside += rest * I[I[P.RADIX] + d]
                W[2 * dims + d] = I[I[P.DIVISORS] + d * width + factor]
                children *= W[2 * dims + d]
            if inside < 0 or I[I[P.PARALLELISM] + (level + 1) * tiles + inside] == 0:
                continue
            copy_to(old_keys[parent], key)
            copy_to(old_reals[parent], real)
            copy_to(old_values[parent], value)
            copy_to(old_paths[parent], path)
            key[TILE] = inside
            key[INSTANCES] *= children
            for d in range(dims):
                path[start + 1 + d] = W[2 * dims + d]
                path[start + 1 + dims + d] = I[I[P.FANOUT_Y] + fanout * dims + d]
                path[start + 1 + 2 * dims + d] = I[I[P.FANOUT_ORDER] + fanout * dims + d]
            spread_out(I, level, fanout, tile, inside, children, key, real, W)
            source = I[P.NEXTS] + I[I[P.NEXT] + level] + path[-1] * I[I[P.NEXT_WIDTH] + level] + fanout - first
            path[-1], path[-2] = I[source], I[source + I[I[P.FANOUT_COUNT] + level]]
            stats[STATES] += 1
            energy, cycles = bound_of(I, F, H, level + 1, path[-1], key, value)
            if hopeless(G, energy, cycles):
                stats[BY_BOUND] += 1
                continue
            bound, _ = objective_value(G[0], energy, cycles)
            if not offer(
                keys, reals, values, paths, bounds, chains, key, real, value, path, bound, stats, not by_model
            ):
                return False
    return True


@jit_plain
def merge_rows(I, F, H, G, level, parents, row, W, rows, stats):
    """Add to ``rows`` all rows, merged and bounded, once the model has counted their fan-out; False: no room."""
    old_keys, old_reals, old_values, old_paths = parents
    keys, reals, values, paths, bounds, chains = rows
    _, key, real, value, path = row
    for parent in range(old_keys.shape[0]):
        copy_to(old_keys[parent], key)
        copy_to(old_reals[parent], real)
        copy_to(old_values[parent], value)
        copy_to(old_paths[parent], path)
        linked = False
        for tensor in range(I[P.TENSORS]):
            linked = linked or real[COUNTED * I[P.TENSORS] + tensor] > 0
        if not linked:
            path[-1] = path[-2]
        energy, cycles = bound_of(I, F, H, level + 1, path[-1], key, value)
        if hopeless(G, energy, cycles):
            stats[BY_BOUND] += 1
            continue
        bound, _ = objective_value(G[0], energy, cycles)
        if not offer(keys, reals, values, paths, bounds, chains, key, real, value, path, bound, stats, True):
            return False
    return True


@jit_plain
def finish(I, F, keys, reals, values, key, value, totals):
    """Fill ``totals`` ``(rows, 2)`` with the energy and cycles of complete mappings."""
    T, L = I[P.TENSORS], I[P.LEVELS]
    for i in range(keys.shape[0]):
        copy_to(keys[i], key)
        copy_to(values[i], value)
        steps = I[P.MACS] // key[INSTANCES]
        for tensor in range(T):
            sent = reals[i, SHARED * T + tensor] * steps
            if reals[i, COUNTED * T + tensor] > 0:
                sent = reals[i, SHARED * T + tensor] * reals[i, SENT * T + tensor]
            settle_reads(I, F, key, reals[i], value, tensor, sent)
            key[PER_TENSOR + KEEPER * T + tensor] = L
        finish_levels(I, F, key, value, L)
        cycles = math.ceil(max(value[CYCLES], float(steps)) * (1 - 1e-15))
        totals[i, 0] = value[ENERGY] + I[P.MACS] * F[I[P.COMPUTE_PJ]] + value[LEAK] * cycles
        totals[i, 1] = cycles


@jit_plain
def enlist(keys, reals, chains, used, room):
    """Fill empty chains for ``used`` rows that are all alive."""
    slots = chains.shape[0] - 1 - 2 * room
    for row in range(used):
        slot = 1 + 2 * room + hash_of(keys[row], reals[row], slots)
        chains[1 + row] = chains[slot]
        chains[1 + room + row] = 1
        chains[slot] = row
    chains[0] = used
