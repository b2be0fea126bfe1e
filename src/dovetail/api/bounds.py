"""The question "what can no design beat": the least DRAM traffic of a network against the room on the chip."""

from __future__ import annotations

from typing import Any

from dovetail.api import networks
from dovetail.api.networks import NetworkLike
from dovetail.traffic.bounds import WORD_BITS, Bound, Dram
from dovetail.traffic.bounds import bound as bounded


def bound(
    model: NetworkLike,
    *,
    input: Any = None,
    batch: int | None = None,
    word_bits: int = WORD_BITS,
    pJ_per_bit: float | None = None,
    bytes_per_second: float | None = None,
) -> Bound:
    """Find the least that a network's layers move to and from DRAM, for every size of what is on the chip.

    No nest of perfect factors moves less, on any design with so much room in all its storages together; layers run
    one after the other, none is fused with the next. `docs/bound.md` says what is counted.

    Args:
        model: a network, see `dovetail.layers`.
        input: what modules take.
        batch: batch size.
        word_bits: bits of values that no width is given for.
        pJ_per_bit: what a bit to or from DRAM takes.
        bytes_per_second: what DRAM moves, reads and writes together.

    Raises:
        InputError: the network is wrong, or no bound is known for one of its layers.

    >>> import dovetail
    >>> found = dovetail.bound(dovetail.matrix_product(C=64, M=64, P=64), word_bits=8)
    >>> found.traffic_bytes(3), found.traffic_bytes(4161)
    (528384.0, 12288.0)
    """
    return bounded(
        networks.layers(model, input=input, batch=batch), word_bits=word_bits, dram=Dram(pJ_per_bit, bytes_per_second)
    )
