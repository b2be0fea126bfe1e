"""For how many visits of a tile in a row a tensor stays, after the loops that are decided."""

from __future__ import annotations

from dovetail.mapper.exact.rows import CHAIN_FIELDS, LENGTH, LOOPED, REUSE, TIMES, chain_start, of_tensor
from dovetail.mapper.exact.scene import Motion
from dovetail.model.arrays import Ints
from dovetail.model.compile import part


@part()
def reuse_of(motion: Motion, key: Ints, tensor: int) -> int:
    """Return for how many visits of a tile in a row a tensor stays."""
    tensors = motion.injective.shape[0]
    reuse: int = key[of_tensor(REUSE, tensor, tensors)]
    if motion.injective[tensor]:
        return reuse
    reuse, chain = 1, chain_start(tensors)
    for i in range(key[LENGTH]):
        if motion.stops[tensor, key[chain + CHAIN_FIELDS * i + LOOPED]] != 0:
            break
        reuse *= key[chain + CHAIN_FIELDS * i + TIMES]
    return reuse
