"""What a multiply-accumulate costs at other widths than those that its energy is stated for.

A multiplier's energy goes by the product of its operands' bits, an adder's by its bits. Both figures are Horowitz's
(M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014, figure 1.1.9; 45 nm, 0.9 V):
multiplying takes 0.2 pJ at 8 bits and 3.1 pJ at 32, adding 0.03 pJ at 8 bits and 0.1 pJ at 32.

Area goes likewise. The figures are those that W. J. Dally set beside Horowitz's energies ("High-performance hardware
for machine learning", tutorial at NIPS 2015; synthesised for TSMC's 45 nm): a multiplier of 8 bits takes 282 um^2 and
one of 32 bits 3,495, adders of 8, 16 and 32 bits take 36, 67 and 137.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

#: (bits, pJ) of integer operations, as published.
MULTIPLY_PJ, ADD_PJ = ((8, 0.2), (32, 3.1)), ((8, 0.03), (32, 0.1))
#: (bits, um^2) of integer units, as published.
MULTIPLY_UM2, ADD_UM2 = ((8, 282.0), (32, 3495.0)), ((8, 36.0), (16, 67.0), (32, 137.0))
#: pJ per bit of one operand times bit of the other, and per bit added: least squares of the logarithms.
PER_BIT_PAIR = math.exp(sum(math.log(pJ / bits**2) for bits, pJ in MULTIPLY_PJ) / len(MULTIPLY_PJ))
PER_BIT_ADDED = math.exp(sum(math.log(pJ / bits) for bits, pJ in ADD_PJ) / len(ADD_PJ))
#: um^2 likewise.
UM2_PER_BIT_PAIR = math.exp(sum(math.log(um2 / bits**2) for bits, um2 in MULTIPLY_UM2) / len(MULTIPLY_UM2))
UM2_PER_BIT_ADDED = math.exp(sum(math.log(um2 / bits) for bits, um2 in ADD_UM2) / len(ADD_UM2))


def operation_pJ(operands: Sequence[int], sums: int) -> float:
    """Return pJ of multiplying operands of so many bits and adding the product to a sum, at 45 nm."""
    return _in_all(operands, sums, PER_BIT_PAIR, PER_BIT_ADDED)


def operation_um2(operands: Sequence[int], sums: int) -> float:
    """Return um^2 of a unit that multiplies operands of so many bits and adds the product to a sum, at 45 nm."""
    return _in_all(operands, sums, UM2_PER_BIT_PAIR, UM2_PER_BIT_ADDED)


def _in_all(operands: Sequence[int], sums: int, per_pair: float, per_bit: float) -> float:
    product, found = operands[0] if operands else 0, sums * per_bit
    for bits in operands[1:]:
        found += product * bits * per_pair
        product += bits
    return found


def area_share(operands: Sequence[int], sums: int, word: int) -> float:
    """Return what a unit of these widths takes of the area of one whose operands and sums are words of so many bits."""
    return operation_um2(operands, sums) / operation_um2([word] * len(operands), word)


def operation_share(operands: Sequence[int], sums: int, word: int) -> float:
    """Return what an operation takes of the energy of one on words of the unit's own width; 1 where all are as wide."""
    if sums == word and all(bits == word for bits in operands):
        return 1.0
    return operation_pJ(operands, sums) / operation_pJ([word] * len(operands), word)
