"""What a nest of blocks does between its products: a softmax whose scores come block by block.

Of every block of scores the largest, and the powers of the differences from it; per query and block of keys the largest
and the sum of all blocks so far, and by which factor earlier powers shrink; the outputs so far times that factor; at
the end, outputs over the sum. All of it reads and writes the memory that scores do not leave. Where one block has all
keys it is a plain softmax. (T. Dao, "FlashAttention-2: Faster Attention with Better Parallelism and Work Partitioning",
2023, algorithm 1.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dovetail.fused.attention import STATE, Attention, Blocks
from dovetail.workload.network import FreeOperation, Moved, Network

SOFTMAX = "softmax"


def softmax_of(attention: Attention, blocks: Blocks) -> list[FreeOperation]:
    """Return what lies between the products of all runs."""
    rows = attention.groups * attention.queries
    steps = attention.keys // blocks.keys
    scores, outputs = _pass(rows * attention.keys), rows * attention.value_size
    if steps == 1:
        parts = {SOFTMAX: scores}
    else:
        parts = {
            "softmax_block": scores,
            "softmax_state": Moved(rows * STATE * steps, rows * STATE * steps, rows * steps),
            "softmax_rescale": _pass(outputs * (steps - 1)),
            "softmax_share": _pass(outputs),
        }
    runs = attention.scores.repeats
    return [FreeOperation(name, runs, moved.times(runs)) for name, moved in parts.items()]


def _pass(words: int) -> Moved:
    return Moved(words, words, words)


def without_softmax(network: Network, attentions: Sequence[Attention]) -> Network:
    """Return a network without the softmax of its attention; of one that does not say what it moves, as it is."""
    runs = sum(each.scores.repeats for each in attentions)
    words = sum(each.scores.repeats * each.groups * each.queries * each.keys for each in attentions)
    free = []
    for each in network.free:
        if each.name != SOFTMAX or each.moved is None:
            free.append(each)
        elif each.count > runs:
            moved = each.moved
            left = Moved(moved.reads - words, moved.writes - words, moved.elements - words, moved.parameters)
            free.append(replace(each, count=each.count - runs, moved=left))
    return replace(network, free=tuple(free))
