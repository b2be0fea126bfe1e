"""Tensors that stay in a level: a design whose outer levels do not see them, and which has less room for the rest.

The rule. What stays lies in a part of one memory of its own, which has that memory's width, bandwidth and energies; the
mapper has what is left of the memory's words. Tensors that stay are read there, and outputs that stay are written
there, as a mapping asks the outermost of all levels for them; nothing outside of the memory is read or written for
them, no level between it and the outermost one holds them, and putting operands there costs nothing, for they are there
already.
Everything else (what a mapping may do, what it costs, that it is proven) is as for any design.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture, Constraints, Level, LoopConstraints, Storage

#: Tensors of products.
_TENSORS = {"Inputs", "Weights", "Outputs"}
#: What the part of a memory that holds what stays is called, behind the memory's name: operands, and outputs.
OPERANDS, RESULTS = "resident", "resident_outputs"


def check_level(architecture: Architecture, name: str) -> Storage:
    """Return the memory of that name, where something can stay in it.

    Raises:
        InputError: it is none, or nothing can stay in it; why is said.
    """
    level = architecture.level(name)
    if not isinstance(level, Storage):
        raise InputError(f"{name} of {architecture.name} is no memory, so nothing stays in it")
    if level is architecture.levels[0]:
        raise InputError(f"{name} is the outermost level of {architecture.name}: everything stays in it anyway")
    if level.words is None:
        raise InputError(f"{name} of {architecture.name} has no bounds, so what fits in it cannot be said")
    if level.instances > 1:
        raise InputError(
            f"{architecture.name} has {level.instances} of {name}: which of them something stays in is not counted, "
            "name a level that is one memory"
        )
    outermost = architecture.levels[0]
    if isinstance(outermost, Storage) and (passed := passing(outermost, _TENSORS)):
        raise InputError(
            f"{outermost.name} of {architecture.name} lets {' and '.join(sorted(passed))} pass by, so that it lies "
            "further in all the time: what stays besides is not counted"
        )
    outside = architecture.levels[: architecture.levels.index(level)]
    if architecture.is_sparse:
        raise InputError(
            f"{architecture.name} does something about zeros: what stays in a level is not counted with it"
        )
    for each in outside:
        if each.wires is not None or (isinstance(each, Storage) and each.address_pJ):
            raise InputError(
                f"{each.name} of {architecture.name} has networks or addresses that cost energy: what stays "
                "in a level is not counted with them"
            )
    return level


def passing(level: Level, tensors: Set[str]) -> set[str]:
    """Return which of the tensors a design's constraints let pass a level by."""
    constraints = level.constraints
    found = {name for name in tensors if name in constraints.bypass or "*" in constraints.bypass}
    return found if constraints.bypass_all_but is None else found | (set(tensors) - constraints.bypass_all_but)


def with_resident(
    architecture: Architecture,
    energies: EnergyTable,
    level: str,
    *,
    operands: Set[str] = frozenset(),
    outputs: Set[str] = frozenset(),
    reserved: int = 0,
    added: bool = False,
) -> tuple[Architecture, EnergyTable]:
    """Return a design in one of whose memories tensors stay.

    Args:
        architecture: the design.
        energies: what its components cost.
        level: the memory.
        operands: tensors that are read there; names that are none of a layer's are of no effect.
        outputs: tensors that are written there.
        reserved: words of the memory that the mapper does not have: those of all that stays, in this layer or others.
        added: whether outputs are added to what stays there of earlier layers, so that their first sums read it.

    Raises:
        InputError: nothing can stay there, or the design lets one of the tensors pass it by.
    """
    memory, staying = check_level(architecture, level), frozenset(operands | outputs)
    if passed := passing(memory, staying):
        raise InputError(f"{level} of {architecture.name} lets {' and '.join(sorted(passed))} pass by")
    assert memory.words is not None
    place = architecture.levels.index(memory)
    outer = [_without(each, staying) for each in architecture.levels[1:place]]
    outermost = architecture.levels[0]
    assert isinstance(outermost, Storage)
    inner = [_without(replace(memory, entries=max(0, memory.words - reserved)), staying)]
    parts = [_part(memory, OPERANDS, operands)] if operands else []
    parts += [_part(memory, RESULTS, outputs, added=added)] if outputs else []
    prices = {part.name: _price(energies[level], written=part.name.endswith(RESULTS)) for part in parts}
    first = replace(outermost, absent=outermost.absent | staying)
    levels: tuple[Level, ...] = (first, *parts, *outer, *inner, *architecture.levels[place + 1 :])
    return replace(architecture, levels=levels), EnergyTable({**energies.components, **prices})


def _without(level: Level, tensors: frozenset[str]) -> Level:
    """Return a level that lets tensors pass by."""
    said = level.constraints
    keep_all_but = None if said.keep_all_but is None else said.keep_all_but | tensors
    return replace(
        level,
        constraints=replace(
            said,
            keep=said.keep - tensors,
            bypass=said.bypass | tensors,
            keep_all_but=keep_all_but,
            said=tuple(each for each in said.said if each.name not in tensors),
        ),
    )


def _part(memory: Storage, called: str, tensors: Set[str], *, added: bool = False) -> Storage:
    """Return the part of a memory that holds what stays: as large as it must be, as fast as the memory.

    What lies there before is not written, so that of operands only reading takes time; all loops are outside.
    """
    names = frozenset(tensors)
    keep = Constraints(keep=names, bypass_all_but=names)
    name = f"{memory.name}_{called}"
    part = replace(memory, name=name, depth=None, entries=None, multiple_buffering=1, constraints=keep)
    if called == RESULTS:
        first = LoopConstraints(rmw_first_update=names if added else frozenset())
        return replace(part, constraints=replace(keep, temporal=first))
    reading = [each for each in (memory.read_bandwidth, memory.shared_bandwidth) if each is not None]
    return replace(
        part,
        read_bandwidth=min(reading, default=None),
        write_bandwidth=None,
        shared_bandwidth=None,
        constraints=replace(keep, temporal=LoopConstraints(only_listed=True)),
    )


def _price(component: ComponentCost, *, written: bool) -> ComponentCost:
    """Return what the part costs: as the memory, but nothing comes from outside, and it leaks as part of the memory."""
    actions = {**component.actions, "write": 0.0, "leak": 0.0}
    if not written:
        actions["update"] = 0.0
    return ComponentCost(actions, 0.0, component.source)
