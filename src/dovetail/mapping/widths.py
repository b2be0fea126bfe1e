"""How values of a layer's widths lie in a design's memories, and how wide its units compute.

A storage holds as many whole values in a word as fit (four of 4 bits in 16), or takes several words for one that is
wider. Its ``value_widths`` say otherwise: a list of widths that it knows, values being padded up to the next, or
``any``: values back to back. A unit computes at the width of its operands unless its own ``value_widths`` list what it
knows. Partial sums are as wide as they must be, and no wider than a storage's words unless the layer says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture, Compute, Storage
from dovetail.workload.problem import Problem
from dovetail.workload.widths import SUMS, Width

ONE = Fraction(1)


class Held(NamedTuple):
    """What a value of a tensor takes at a level.

    Attributes:
        words: of the level's own width, scales included.
        sum_words: the same of a partial sum, where that is wider; otherwise as much as ``words``.
    """

    words: Fraction
    sum_words: Fraction


def states_widths(problem: Problem) -> bool:
    """Return whether a layer states any width; otherwise every level's own holds."""
    return bool(problem.widths) or problem.sum_bits is not None


def needed_sum_bits(problem: Problem, compute: Compute) -> int:
    """Return the bits of a partial sum that loses nothing: those of a product, and one per doubling of the sums."""
    return sum(operand_bits(problem, compute)) + math.ceil(math.log2(problem.reduction))


def operand_bits(problem: Problem, compute: Compute) -> list[int]:
    """Return the bits of a layer's operands; those of the unit's words where it states none."""
    widths = problem.widths or (None,) * len(problem.shape.tensors)
    operands = (w for tensor, w in zip(problem.shape.tensors, widths, strict=True) if not tensor.is_output)
    return [compute.datawidth if width is None else width.bits for width in operands]


def held(problem: Problem, architecture: Architecture) -> tuple[tuple[Held, ...], ...]:
    """Return per level without compute, and per tensor, what a value takes.

    The outermost level holds outputs at their own width, and partial sums that leave for it at theirs; all others hold
    partial sums. Levels that hold nothing count words as they are. Of a level that a tensor passes by, a value that is
    too wide takes several lines: only a mapping against the rules keeps it there.

    Raises:
        InputError: a value is wider than a line of a level that may keep it.
    """
    widths = problem.widths or (None,) * len(problem.shape.tensors)
    found = []
    for place, level in enumerate(architecture.levels[:-1]):
        row = []
        for tensor, width in zip(problem.shape.tensors, widths, strict=True):
            if not isinstance(level, Storage):
                row.append(Held(ONE, ONE))
                continue
            passes = tensor.name in level.constraints.bypass
            if tensor.is_output and place:
                own = _sum_words(level, problem, architecture.compute, passes=passes)
            else:
                own = ONE if width is None else words_of_value(level, width, tensor.name, passes=passes)
            spilt = tensor.is_output and not place
            row.append(Held(own, max(own, _sum_words(level, problem, architecture.compute)) if spilt else own))
        found.append(tuple(row))
    return tuple(found)


def _sum_words(storage: Storage, problem: Problem, compute: Compute, *, passes: bool = False) -> Fraction:
    if problem.sum_bits is not None:
        return words_of_value(storage, Width(problem.sum_bits), "partial sums", passes=passes)
    needed = needed_sum_bits(problem, compute)
    return ONE if needed >= storage.datawidth else words_of_value(storage, Width(needed), "partial sums", passes=passes)


def words_of_value(storage: Storage, width: Width, name: str, *, passes: bool = False) -> Fraction:
    """Return the words of a storage's own width that a value takes, with its share of the scale.

    Args:
        storage: the storage.
        width: of the value.
        name: what to call it in messages.
        passes: the tensor passes the storage by, so that it need not hold such values.

    Raises:
        InputError: the value is wider than a line.
    """
    line, word = storage.width // storage.cluster_size, storage.datawidth
    bits = padded(storage.value_widths, width.bits)
    if bits > line and not passes:
        raise InputError(f"{storage.name}: {name} of {bits} bits are wider than its line of {line} bits")
    if storage.any_width:
        return Fraction(bits, word) + Fraction(width.scale_bits, width.group * word)
    each = Fraction(1, word // bits) if bits <= word else Fraction(-(-bits // word))
    if not width.scale_bits:
        return each
    return Fraction(math.ceil(each * width.group) + -(-width.scale_bits // word), width.group)


def padded(known: Sequence[int], bits: int) -> int:
    """Return the least known width that so many bits fit in; the bits themselves where there is none."""
    return min((each for each in known if each >= bits), default=bits)


def unit_bits(problem: Problem, compute: Compute) -> tuple[list[int], int]:
    """Return the bits of the operands that a unit works on, and of the sums that it adds to.

    Raises:
        InputError: an operand is wider than any width that the unit lists.
    """
    operands = [tensor.name for tensor in problem.shape.tensors if not tensor.is_output]
    bits = operand_bits(problem, compute)
    for name, each in zip(operands, bits, strict=True):
        if compute.value_widths and each > max(compute.value_widths):
            listed = ", ".join(map(str, compute.value_widths))
            raise InputError(f"{compute.name}: {name} of {each} bits are wider than its units compute ({listed})")
    sums = min(needed_sum_bits(problem, compute), compute.datawidth) if problem.sum_bits is None else problem.sum_bits
    return [padded(compute.value_widths, each) for each in bits], padded(compute.value_widths, sums)


def width_notes(architecture: Architecture, problems: Sequence[Problem]) -> Iterator[str]:
    """Yield what becomes of widths that a design does not have as they are: a sentence each, said once for all layers.

    Raises:
        InputError: a value is wider than a line, or an operand than the units.
    """
    wide = [problem for problem in problems if states_widths(problem)]
    for problem in wide:
        held(problem, architecture)
        unit_bits(problem, architecture.compute)
    needs = [needed_sum_bits(problem, architecture.compute) for problem in wide if problem.sum_bits is None]
    outputs = {tensor.name for problem in wide for tensor in problem.shape.tensors if tensor.is_output}
    short = [
        f"{level.name} ({level.datawidth})"
        for level in architecture.storages[1:]
        if not level.constraints.bypass & outputs and any(need > level.datawidth for need in needs)
    ]
    if short:
        yield (
            f"partial sums need {_range(needs)} bits (those of the operands, and log2 of the reduction), and are "
            f"rounded to the words of {', '.join(short)}; {SUMS}=N says otherwise"
        )
    for place, level in enumerate(architecture.storages):
        yield from _padded_notes(level, wide, level.datawidth, outputs=place == 0)
    yield from _padded_notes(architecture.compute, wide, 0, outputs=False)


def _padded_notes(level: Storage | Compute, problems: Sequence[Problem], word: int, *, outputs: bool) -> Iterator[str]:
    """Name the widths that a level pads up, and those that take several of its words; ``outputs``: of those, too."""
    given: dict[int, list[str]] = {}
    for problem in problems:
        for tensor, width in zip(problem.shape.tensors, problem.widths, strict=False):
            if width is not None and (outputs or not tensor.is_output) and tensor.name not in level.constraints.bypass:
                given.setdefault(width.bits, []).append(tensor.name)
    for bits, names in sorted(given.items()):
        taken, which = padded(level.value_widths, bits), " and ".join(dict.fromkeys(names))
        if taken != bits:
            yield f"{level.name}: {bits}-bit {which} are padded to {taken} bits"
        elif 0 < word < bits and not (isinstance(level, Storage) and level.any_width):
            yield f"{level.name}: {bits}-bit {which} take {-(-bits // word)} words of {word} bits each"


def _range(values: Sequence[int]) -> str:
    least, most = min(values), max(values)
    return str(least) if least == most else f"{least} to {most}"
