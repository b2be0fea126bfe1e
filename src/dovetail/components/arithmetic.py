"""What a multiply-accumulate costs at other widths than those that its energy is stated for.

A multiplier's energy goes by the product of its operands' bits, an adder's by its bits. Both figures are Horowitz's
(M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014, figure 1.1.9; 45 nm, 0.9 V):
multiplying takes 0.2 pJ at 8 bits and 3.1 pJ at 32, adding 0.03 pJ at 8 bits and 0.1 pJ at 32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

#: (bits, pJ) of integer operations, as published.
MULTIPLY_PJ, ADD_PJ = ((8, 0.2), (32, 3.1)), ((8, 0.03), (32, 0.1))
#: pJ per bit of one operand times bit of the other, and per bit added: least squares of the logarithms.
PER_BIT_PAIR = math.exp(sum(math.log(pJ / bits**2) for bits, pJ in MULTIPLY_PJ) / len(MULTIPLY_PJ))
PER_BIT_ADDED = math.exp(sum(math.log(pJ / bits) for bits, pJ in ADD_PJ) / len(ADD_PJ))


def operation_pJ(operands: Sequence[int], sums: int) -> float:
    """Return pJ of multiplying operands of so many bits and adding the product to a sum, at 45 nm."""
    product, energy = operands[0] if operands else 0, sums * PER_BIT_ADDED
    for bits in operands[1:]:
        energy += product * bits * PER_BIT_PAIR
        product += bits
    return energy


def operation_share(operands: Sequence[int], sums: int, word: int) -> float:
    """Return what an operation takes of the energy of one on words of the unit's own width; 1 where all are as wide."""
    if sums == word and all(bits == word for bits in operands):
        return 1.0
    return operation_pJ(operands, sums) / operation_pJ([word] * len(operands), word)
