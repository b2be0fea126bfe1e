"""A slow and literal restatement of what widths cost, for `dovetail.model.witness`: values laid down word by word."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from dovetail.components.arithmetic import PER_BIT_ADDED, PER_BIT_PAIR
from dovetail.hardware.architecture import Architecture, Level, Storage
from dovetail.workload.problem import Problem, Tensor


@dataclass(frozen=True)
class Room:
    """Words of a level's own width that a value takes, and a partial sum that is read again."""

    words: Fraction
    again: Fraction


def room(level: Level, tensor: Tensor, problem: Problem, architecture: Architecture) -> Room:
    """Return what values of a tensor take at a level: places of their width in words, and the scales of groups."""
    one = Room(Fraction(1), Fraction(1))
    if not isinstance(level, Storage) or (not problem.widths and problem.sum_bits is None):
        return one
    stated = dict(zip([each.name for each in problem.shape.tensors], problem.widths or [None] * 9, strict=False))
    width = stated[tensor.name]
    own = one.words if width is None else _laid_down(level, width.bits, width.scale_bits, width.group)
    if not tensor.is_output:
        return Room(own, own)
    bits = problem.sum_bits
    if bits is None:
        bits = min(_exact_sum(problem, architecture), level.datawidth)
    sums = _laid_down(level, bits, 0, 1) if bits != level.datawidth or problem.sum_bits else one.words
    return Room(own, max(own, sums)) if level is architecture.levels[0] else Room(sums, sums)


def _exact_sum(problem: Problem, architecture: Architecture) -> int:
    """Return the bits of the sum of all products of an output: so many that the largest fits."""
    bits, outputs = 0, [tensor for tensor in problem.shape.tensors if tensor.is_output]
    for place, tensor in enumerate(problem.shape.tensors):
        width = problem.widths[place] if problem.widths else None
        bits += 0 if tensor.is_output else architecture.compute.datawidth if width is None else width.bits
    added = 1
    for dimension in problem.shape.dimensions:
        added *= 1 if any(dimension in tensor.dimensions for tensor in outputs) else problem.bound(dimension)
    return bits + (added - 1).bit_length()


def _laid_down(level: Storage, bits: int, scale_bits: int, group: int) -> Fraction:
    """Return the words of a value: of a group with its scale, laid down word by word, divided by its values."""
    place = next((each for each in sorted(level.value_widths) if each >= bits), bits)
    if level.any_width:
        return Fraction(bits * group + scale_bits, group * level.datawidth)
    in_word = level.datawidth // place
    if not scale_bits:
        group = max(1, in_word)
    words, left = 0, group
    while left > 0:
        words += 1 if in_word else -(-place // level.datawidth)
        left -= max(1, in_word)
    return Fraction(words + -(-scale_bits // level.datawidth), group)


def computing(problem: Problem, architecture: Architecture) -> float:
    """Return what an operation takes of the energy stated for one: products of bits, and bits of the sum."""
    unit = architecture.compute
    if not problem.widths and problem.sum_bits is None:
        return 1.0
    known = sorted(unit.value_widths)
    bits = [unit.datawidth if width is None else width.bits for width in problem.widths or [None] * 9]
    operands = [b for b, tensor in zip(bits, problem.shape.tensors, strict=False) if not tensor.is_output]
    sums = problem.sum_bits or min(_exact_sum(problem, architecture), unit.datawidth)
    *operands, sums = (next((each for each in known if each >= b), b) for b in (*operands, sums))
    stated = {(each.wide, each.narrow): each.value for each in unit.product_energy}
    for wide, narrow in sorted(stated, key=lambda key: (key[0] * key[1], key[0])):
        if _no_wider(operands, wide, narrow):
            return stated[wide, narrow]
    if {*operands, sums} == {unit.datawidth}:
        return 1.0
    return _operation(operands, sums) / _operation([unit.datawidth] * len(operands), unit.datawidth)


def _no_wider(operands: list[int], wide: int, narrow: int) -> bool:
    """Return whether the operands, the widest first, find room one in ``wide`` bits and the rest in ``narrow``."""
    ordered = sorted(operands)
    return ordered.pop() <= wide and not [b for b in ordered if b > narrow]


def _operation(operands: list[int], sums: int) -> float:
    """Return pJ of an operation by the figures of `dovetail.components.arithmetic`."""
    energy, width = sums * PER_BIT_ADDED, operands[0] if operands else 0
    for bits in operands[1:]:
        energy += width * bits * PER_BIT_PAIR
        width += bits
    return energy
