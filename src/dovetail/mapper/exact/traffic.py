"""What a partial mapping costs so far: the words that cross a level's boundary, restated for one boundary at a time.

What a word and an access cost is the model's word for it (`dovetail.model.charges`).
"""

# mypy: disable-error-code="no-any-return"
# (elements of arrays are of any type)

from __future__ import annotations

from dovetail.mapper.exact.reuse import reuse_of
from dovetail.mapper.exact.rows import (
    BY,
    CHAIN_FIELDS,
    COUNTED,
    CYCLES,
    ENERGY,
    EXTENT,
    FIRST,
    GIVEN,
    INSTANCES,
    KEEPER,
    KEEPER_INSTANCES,
    KEEPER_PART,
    LEAK,
    LENGTH,
    LINKED,
    LOOPED,
    MOVED,
    NOW,
    PART,
    PASSED,
    PEERS,
    REAL_FIELDS,
    REUSE,
    SENT,
    SHARE,
    SHARED,
    SIZE,
    STEP,
    TAKEN,
    TILE,
    TIMES,
    Row,
    Scratch,
    chain_start,
    copy_to,
    of_tensor,
)
from dovetail.mapper.exact.scene import Scene
from dovetail.model.arrays import Floats, Ints, Machine, Rules
from dovetail.model.charges import (
    access_energy,
    bandwidth_spilt,
    bandwidth_taken,
    cycles_taken,
    dense_words,
    extent,
    leakage,
    new_words,
    read_and_written,
    unread_words,
    words_filled,
    words_read,
    words_updated,
)
from dovetail.model.compile import part
from dovetail.model.kernel import scaled


@part()
def displace(coefficients: Ints, d: int, step: int, window: Ints) -> tuple[bool, bool, bool]:
    """Move a tile on by one step of a loop, ``coefficients`` ``(axes, dims)``.

    Returns whether the loop moves it at all, and whether that puts it back to where it was or displaces it as the first
    loop did.
    """
    moves, still, same = False, True, True
    for axis in range(coefficients.shape[0]):
        move = coefficients[axis, d] * step
        moves = moves or move != 0
        window[NOW, axis] = move - window[MOVED, axis]
        still = still and window[NOW, axis] == 0
        same = same and window[NOW, axis] == window[FIRST, axis]
        window[MOVED, axis] += move
    return moves, still, same


@part()
def delivered(rules: Rules, key: Ints, tensor: int, words: int, passes: int, scratch: Scratch) -> int:
    """Return the words sent to one child over the whole run, given the loops outside it.

    ``passes`` are the iterations over time outside; the scratch loops hold the child's sizes. A tensor that slides is
    settled loop by loop along the chain: the first loop that moves it brings what is fresh; one that moves it as the
    first did brings as much; one that moves it back to where it was brings nothing; all others bring the whole tile
    again.
    """
    tensors, axes, _ = rules.coefficients.shape
    if rules.injective[tensor]:
        return words * (passes // key[of_tensor(REUSE, tensor, tensors)])
    coefficients, window = rules.coefficients[tensor], scratch.window
    for axis in range(axes):
        window[MOVED, axis] = 0
        window[FIRST, axis] = 0
        window[EXTENT, axis] = extent(coefficients[axis], scratch.loops[SIZE])
    more, fresh, taken, moving = 0, 0, 1, False
    chain = chain_start(tensors)
    for i in range(key[LENGTH]):
        at = chain + CHAIN_FIELDS * i
        d, factor, step = key[at + LOOPED], key[at + TIMES], key[at + STEP]
        taken *= factor
        moves, still, same = displace(coefficients, d, step, window)
        if not moving and not moves:
            continue  # inside the first loop that moves it: reuse
        if not moving:
            moving = True
            copy_to(window[NOW], window[FIRST])
            fresh = new_words(words, window[EXTENT], window[FIRST])
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
def add_access(scene: Scene, value: Floats, tensor: int, at: tuple[int, int], words: tuple[int, ...]) -> None:
    """Charge accesses of a tensor ``at`` a level and its instances: words of each action per instance."""
    level, instances = at
    value[ENERGY] += access_energy(scene.machine, level, tensor, words, instances, instances)
    place = scene.counter[level]
    if place >= 0:
        reads, writes = read_and_written(words)
        spilt = bandwidth_spilt(scene.machine, level, tensor, reads)
        value[place + TAKEN] += bandwidth_taken(scene.machine, level, tensor, reads) + spilt
        value[place + GIVEN] += bandwidth_taken(scene.machine, level, tensor, writes) + spilt


@part()
def settle_reads(scene: Scene, row: Row, tensor: int, sent: float) -> None:
    """Charge a keeper for what its child is sent."""
    rules, key = scene.rules, row.key
    tensors, is_output = rules.is_output.shape[0], rules.is_output[tensor]
    level = key[of_tensor(KEEPER, tensor, tensors)]
    unread = unread_words(rules.read_first[level, tensor], key[of_tensor(KEEPER_PART, tensor, tensors)])
    reads = words_read(is_output, sent, row.real[PEERS, tensor], unread)
    at = level, key[of_tensor(KEEPER_INSTANCES, tensor, tensors)]
    add_access(scene, row.value, tensor, at, dense_words(reads, 0, words_updated(is_output, sent)))


@part()
def finish_levels(machine: Machine, counter: Ints, row: Row, before: int) -> None:
    """Turn the traffic of levels whose last child is now known into cycles."""
    key, value, tensors = row.key, row.value, row.real.shape[1]
    for level in range(before):
        place = counter[level]
        if place < 0 or (value[place + TAKEN] == 0 and value[place + GIVEN] == 0):
            continue
        waiting = False
        for tensor in range(tensors):
            waiting = waiting or key[of_tensor(KEEPER, tensor, tensors)] == level
        if waiting:
            continue
        slowest = cycles_taken(machine, level, value[place + TAKEN], value[place + GIVEN])
        value[CYCLES] = max(value[CYCLES], slowest)
        value[place + TAKEN] = 0.0
        value[place + GIVEN] = 0.0


@part()
def pass_by(real: Floats, tensor: int) -> None:
    """Count a fan-out that the model counted as the reference does when the level below lets the tensor pass."""
    real[SHARED, tensor] *= real[PASSED, tensor]
    for field in range(COUNTED, REAL_FIELDS):
        real[field, tensor] = 0.0


@part()
def enter(scene: Scene, level: int, tensor: int, passes: int, scratch: Scratch) -> float:
    """Charge what enters a level that keeps a tensor, and its keeper so far; returns the words from neighbours."""
    rules, row = scene.rules, scratch.row
    key, real = row.key, row.real
    tensors, instances = real.shape[1], key[INSTANCES]
    words = scene.tiles.words[tensor, key[TILE]]
    peers = 0.0
    if real[COUNTED, tensor] > 0:
        share = real[SHARE, tensor]
        sent = real[SHARED, tensor] * real[SENT, tensor]
        peers = real[LINKED, tensor] / instances
        pass_by(real, tensor)
    else:
        if rules.no_reuse[level, tensor]:
            share = float(words * passes)
        else:
            share = float(delivered(rules, key, tensor, words, passes, scratch))
        sent = real[SHARED, tensor] * share
    settle_reads(scene, row, tensor, sent)
    unread = unread_words(rules.read_first[level, tensor], key[of_tensor(PART, tensor, tensors)])
    fills = 0 if rules.origin[level, tensor] else words_filled(rules.is_output[tensor], share, peers, unread)
    add_access(scene, row.value, tensor, (level, instances), dense_words(0, fills, 0))
    return peers


@part()
def keep(scene: Scene, level: int, kept: int, scratch: Scratch) -> None:
    """Place the boundary of a storage level: charge what enters it and what its parent is asked for."""
    row = scratch.row
    key, real = row.key, row.real
    tensors, instances = real.shape[1], key[INSTANCES]
    volume = scene.tiles.volume
    passes = volume[-1] // (volume[key[TILE]] * instances)
    for tensor in range(tensors):
        if not kept >> tensor & 1:
            if real[COUNTED, tensor] > 0:
                pass_by(real, tensor)
            continue
        peers = enter(scene, level, tensor, passes, scratch) if level > 0 else 0.0
        real[SHARED, tensor] = 1.0
        real[PEERS, tensor] = peers
        key[of_tensor(KEEPER, tensor, tensors)] = level
        key[of_tensor(KEEPER_INSTANCES, tensor, tensors)] = instances
        part_now = key[of_tensor(PART, tensor, tensors)] if scene.rules.is_output[tensor] else 0
        key[of_tensor(KEEPER_PART, tensor, tensors)] = part_now
    finish_levels(scene.machine, scene.counter, row, level)
    row.value[LEAK] += leakage(scene.machine, level, 1, instances)


@part()
def spread_out(scene: Scene, level: int, way: int, tile: int, children: int, scratch: Scratch) -> None:
    """Count into a row how a way to use a fan-out spreads every tensor of a tile; those left to the model are marked.

    The row is of the tile inside already.
    """
    rules, row, real = scene.rules, scratch.row, scratch.row.real
    tensors = real.shape[1]
    for tensor in range(tensors):
        if real[COUNTED, tensor] > 0:
            pass_by(real, tensor)
        if rules.is_output[tensor]:
            words, at = scene.tiles.words[tensor], of_tensor(PART, tensor, tensors)
            row.key[at] = scaled(row.key[at], words[row.key[TILE]], words[tile])
        if children == 1:
            continue
        if scene.spreads.by_model[way, tensor]:
            real[COUNTED, tensor], real[SENT, tensor] = -1.0, 0.0
            real[PASSED, tensor] = scene.spreads.apart[way, tensor]
            if scene.spreads.again[way, tensor]:
                real[PASSED, tensor] /= reuse_of(scene.motion, row.key, tensor)
            continue
        if rules.no_multicast[level, tensor]:
            real[SHARED, tensor] *= children
            continue
        for d in range(scene.motion.stops.shape[1]):
            if scene.motion.stops[tensor, d] != 0:
                real[SHARED, tensor] *= scratch.loops[BY, d]
