"""What all mappings of one problem on one sparse design share: tensors, their zeros, formats, what is left out."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass

from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture, Level, Spatial, Storage
from dovetail.hardware.sparse import Leaving, TensorFormat
from dovetail.model.sparse.leaving import Group, Way
from dovetail.model.sparse.metadata import RankBits
from dovetail.model.sparse.nest import Operand, Sizes, operands
from dovetail.model.sparse.occupancy import Occupancy, occupancy_of
from dovetail.workload.problem import Problem


@dataclass(frozen=True)
class SparseScene:
    """One problem on one sparse design.

    Attributes:
        dimensions: names, in the problem's order.
        tensors: the problem's.
        zeros: where each tensor's zeros are.
        formats: per tensor, of the levels that keep it in one.
        bits: per (level, tensor) with a format, of the ranks' words, innermost first.
        groups: what levels leave out.
        able: what the compute units can do about zeros.
        fan_outs: per level that a mapping has an entry for, whether it is a fan-out.
    """

    dimensions: tuple[str, ...]
    tensors: tuple[Operand, ...]
    zeros: tuple[Occupancy, ...]
    formats: tuple[MappingOf[int, TensorFormat], ...]
    bits: MappingOf[tuple[int, int], tuple[RankBits, ...]]
    groups: tuple[Group, ...]
    able: frozenset[Leaving]
    fan_outs: tuple[bool, ...]

    @property
    def single(self) -> Sizes:
        """Sizes of one word."""
        return (1,) * len(self.dimensions)


def scene_of(problem: Problem, architecture: Architecture) -> SparseScene:
    """Return what the mappings of a problem on a sparse design share.

    Raises:
        InputError: the problem is no product of two tensors, or a format's words do not fit a line.
    """
    shape = problem.shape
    inputs = [tensor.name for tensor in shape.tensors if not tensor.is_output]
    if len(inputs) != 2 or len(shape.tensors) != 3:
        raise InputError(
            f"{problem.name} has the inputs {', '.join(inputs)} and {len(shape.tensors) - len(inputs)} outputs; on a "
            f"sparse design products of two tensors are counted (as in the reference)"
        )
    names = {tensor.name: index for index, tensor in enumerate(shape.tensors)}
    levels = architecture.levels[:-1]
    formats: list[dict[int, TensorFormat]] = [{} for _ in names]
    bits: dict[tuple[int, int], tuple[RankBits, ...]] = {}
    for at, level in enumerate(levels):
        for one in level.sparse.formats:
            if one.tensor in names:  # another layer's, else
                formats[names[one.tensor]][at] = one
                bits[at, names[one.tensor]] = _bits(level, one)
    return SparseScene(
        dimensions=shape.dimensions,
        tensors=operands(problem),
        zeros=tuple(occupancy_of(problem.density(t.name), problem.extent(t)) for t in shape.tensors),
        formats=tuple(formats),
        bits=bits,
        groups=tuple(group for at, level in enumerate(levels) for group in _groups(at, level, names)),
        able=architecture.compute.sparse.computing,
        fan_outs=tuple(isinstance(level, Spatial) for level in levels),
    )


def _bits(level: Level, written: TensorFormat) -> tuple[RankBits, ...]:
    """Return the bits of a format's words, innermost rank first."""
    assert isinstance(level, Storage), "a fan-out has no format"
    store = level.metadata
    found = tuple(RankBits(*store.word_bits(rank)) for rank in reversed(written.ranks))
    widest = max(max(bits) for bits in found)
    if widest > store.width:
        raise InputError(
            f"{level.name}: metadata words of {written.tensor} have {widest} bits, but a line of metadata has "
            f"{store.width} (metadata_storage_width)"
        )
    return found


def _groups(at: int, level: Level, names: MappingOf[str, int]) -> list[Group]:
    """Return what a level leaves out of the problem's tensors."""
    groups = []
    for one in level.sparse.leaves_out:
        ways = tuple(
            Way(names[choice.target], tuple(names[name] for name in choice.condition_on))
            for choice in one.choices
            if {choice.target, *choice.condition_on} <= names.keys()
        )
        if ways:
            groups.append(Group(at, one.how, ways))
    return groups
