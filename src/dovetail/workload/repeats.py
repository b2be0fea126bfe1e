"""Which places of a tensor hold the same: axes as factors, some of them repeated, followed through what is run.

Heads that share keys and values are often multiplied as if each had its own: keys are expanded, copied, scaled and
only then multiplied. Here an axis is a list of factors, outer to inner, whose product is its size; a *repeated* factor
is one along which nothing changes. A product whose one operand is repeated along a group is a product with more rows
(or columns) and fewer groups: `shared`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

#: Size of a factor, and whether it is repeated.
Factor = tuple[int, bool]
#: One axis: its factors, outer to inner; those of size 1 are left out.
Axis = tuple[Factor, ...]
#: A stretch of memory, outer to inner: size, stride in words, and whether it is repeated.
Stretch = tuple[int, int, bool]


def plain(shape: Sequence[int]) -> tuple[Axis, ...]:
    """Return the axes of a tensor of which nothing is known to be repeated."""
    return tuple(((size, False),) if size != 1 else () for size in shape)


def shared(left: Sequence[Axis], right: Sequence[Axis]) -> tuple[int, int]:
    """Return how many of the groups of a product share their right operand, and how many their left one.

    Args:
        left: the left operand's group axes.
        right: the right operand's, of the same sizes.

    What is repeated in both is computed as often as it is repeated, and stays with the groups.
    """
    rows = columns = 1
    for one, two in zip(left, right, strict=True):
        for size, in_left, in_right in _aligned(one, two):
            rows *= size if in_right and not in_left else 1
            columns *= size if in_left and not in_right else 1
    return rows, columns


def _aligned(left: Axis, right: Axis) -> list[tuple[int, bool, bool]]:
    """Return the factors that two axes of one size have in common, each with whether it is repeated in either."""
    size = math.prod(factor for factor, _ in left)
    cuts = sorted({*_ends(left), *_ends(right)})
    if any(after % before for before, after in itertools.pairwise(cuts)):
        return [(size, all(repeated for _, repeated in left), all(repeated for _, repeated in right))]
    return [
        (after // before, _repeated_at(left, before), _repeated_at(right, before))
        for before, after in reversed(list(zip([1, *cuts], cuts, strict=False)))
    ]


def _ends(axis: Axis) -> Iterator[int]:
    """Yield how many places each factor spans, innermost first."""
    span = 1
    for size, _ in reversed(axis):
        span *= size
        yield span


def _repeated_at(axis: Axis, place: int) -> bool:
    """Tell whether the factor that takes one from a place to the next so many further is repeated."""
    for end, (_, repeated) in zip(_ends(axis), reversed(axis), strict=True):
        if place < end:
            return repeated
    return True


def combined(axes: Sequence[Axis]) -> Axis:
    """Return one axis of what is computed place by place from several: repeated where all of them are."""
    result = axes[0]
    for other in axes[1:]:
        result = tuple((size, one and two) for size, one, two in _aligned(result, other))
    return result


def broadcast(axes: Sequence[Axis], shape: Sequence[int]) -> tuple[Axis, ...]:
    """Return a tensor's axes where it is broadcast to a shape: an axis that is missing or of size 1 is repeated."""
    missing = len(shape) - len(axes)
    return tuple(
        axes[place - missing] if place >= missing and axes[place - missing] else ((size, True),) if size != 1 else ()
        for place, size in enumerate(shape)
    )


def reshaped(axes: Sequence[Axis], shape: Sequence[int]) -> tuple[Axis, ...]:
    """Return a tensor's axes where its places, in order, are given another shape; nothing repeated where none fits."""
    factors = [factor for axis in axes for factor in axis][::-1]
    result: list[Axis] = []
    for size in shape:
        axis: list[Factor] = []
        left = size
        while left > 1 and factors:
            factor, repeated = factors.pop()
            if left % factor and factor % left:
                return plain(shape)
            axis.append((min(left, factor), repeated))
            if factor > left:
                factors.append((factor // left, repeated))
            left = max(1, left // factor)
        result.append(tuple(axis))
    return tuple(result)


class Repeats:
    """What of torch's tensors is repeated, by the memory that they are views of."""

    def __init__(self) -> None:
        self._stretches: dict[int, tuple[Stretch, ...]] = {}

    def axes(self, tensor: Any, memory: int) -> tuple[Axis, ...]:
        """Return a tensor's axes, given what identifies its memory."""
        strides = [int(stride) for stride in tensor.stride()]
        return viewed(tensor.shape, strides, int(tensor.storage_offset()), self._stretches.get(memory, ()))

    def made(self, tensor: Any, memory: int, axes: Sequence[Axis]) -> None:
        """Take note of a new tensor and its axes."""
        self.forget(memory)
        if not any(repeated for axis in axes for _, repeated in axis):
            return
        stretches: list[Stretch] = []
        for axis, stride in zip(axes, tensor.stride(), strict=True):
            for end, (size, repeated) in zip(_ends(axis), reversed(axis), strict=True):
                stretches.append((size, int(stride) * end // size, repeated))
        self._stretches[memory] = tuple(sorted(stretches, key=lambda each: each[1], reverse=True))

    def forget(self, memory: int) -> None:
        """Take note that memory was written to."""
        self._stretches.pop(memory, None)

    def any_in(self, tensor: Any, memory: int) -> bool:
        """Tell whether anything of a tensor is repeated, or may be."""
        return memory in self._stretches or any(
            s == 0 and n > 1 for n, s in zip(tensor.shape, tensor.stride(), strict=True)
        )


def viewed(shape: Sequence[int], strides: Sequence[int], offset: int, memory: Sequence[Stretch]) -> tuple[Axis, ...]:
    """Return the axes of a view.

    Args:
        shape: its sizes.
        strides: words from one place to the next along each axis.
        offset: words before its first place.
        memory: what it is a view of, in stretches of falling strides.
    """
    alone = tuple(((int(size), stride == 0),) if size != 1 else () for size, stride in zip(shape, strides, strict=True))
    reach = [offset // stride % size for size, stride, _ in memory]  # along each stretch, the last place touched
    axes: list[Axis] = []
    for axis, stride in zip(alone, strides, strict=True):
        walked = _walked(axis[0][0], stride, memory) if axis and stride else []
        if walked is None:
            return alone
        for size, step, place in walked:
            reach[place] += step * (size - 1)
        axes.append(tuple((size, memory[place][2]) for size, _, place in walked) or axis)
    if any(last >= size for last, (size, _, _) in zip(reach, memory, strict=True)):  # it runs over an end
        return alone
    return tuple(axes)


def _walked(size: int, stride: int, memory: Sequence[Stretch]) -> list[tuple[int, int, int]] | None:
    """Return an axis as (size, step, which stretch) outer to inner; None where it keeps to no whole stretches."""
    inner = [place for place, (n, unit, _) in enumerate(memory) if stride % unit == 0 and stride < unit * n]
    if not inner:
        return None
    place = inner[0]
    step = stride // memory[place][1]
    walked: list[tuple[int, int, int]] = []
    while size > 1:
        if place < 0 or memory[place][0] % step or (walked and memory[place][1] != stride):
            return None
        available = memory[place][0] // step
        if size > available and size % available:
            return None
        taken = min(size, available)
        walked.insert(0, (taken, step, place))
        size, stride, step, place = size // taken, memory[place][1] * memory[place][0], 1, place - 1
    return walked
