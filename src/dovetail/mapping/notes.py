"""What to know about how a design's constraints take to the layers at hand: right all the same, but maybe not meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dovetail.hardware.architecture import Architecture, FactorConstraint, Level, Relation, Spatial
from dovetail.hardware.binding import fixed_factor
from dovetail.hardware.names import Names, check_names, mentions, only_in_formats, source_of
from dovetail.mapping.constraints import axis_slots, bound_to, factor_range, names_of, pinned_order
from dovetail.mapping.origins import design_origin_notes
from dovetail.mapping.packing import packing_notes
from dovetail.mapping.widths import width_notes
from dovetail.workload.problem import Problem


def for_layers(architecture: Architecture, problems: Sequence[Problem]) -> Architecture:
    """Return the architecture for several layers together: a name that one of them has may be lacking in others.

    Raises:
        InputError: a constraint names a tensor or dimension that none of them has.
    """
    return check_names(architecture, [names_of(problem) for problem in problems])


def design_notes(architecture: Architecture, problems: Sequence[Problem]) -> tuple[str, ...]:
    """Return a sentence or two on each surprise in a design's constraints, said once for all layers.

    Names that layers lack, fixed factors that are cut to a layer's bound, splits that count more than the dimensions
    listed, constraints without effect, zeros that nothing is done about, widths that the design does not have as they
    are, tensors that its outermost level lets pass by.

    Args:
        architecture: its constraints as its file states them.
        problems: the layers at hand.

    Raises:
        InputError: a constraint names a tensor or dimension that none of them has, or contradicts itself.
    """
    distinct = list({(each.shape, each.bounds, each.coefficients): each for each in reversed(problems)}.values())[::-1]
    together = for_layers(architecture, distinct)
    found = [
        *together.notes,
        *_lacking(together, [names_of(problem) for problem in distinct]),
        *(note for level in together.levels for note in _cut(level, distinct)),
        *_shifted(together, distinct),
        *_unused_zeros(together, problems),
        *width_notes(together, problems),
        *packing_notes(together, problems),
        *design_origin_notes(together, distinct),
    ]
    return tuple(f"{architecture.name}: {note}" for note in dict.fromkeys(found))


def _unused_zeros(architecture: Architecture, layers: Sequence[Problem]) -> Iterator[str]:
    """Say that densities change nothing on a design that does nothing about zeros."""
    sparse = [layer.name for layer in layers if layer.densities]
    if sparse and not architecture.is_sparse:
        several = f" and {len(sparse) - 1} more" if len(sparse) > 1 else ""
        yield f"it does nothing about zeros, so the densities of {sparse[0]}{several} change nothing"


def _lacking(architecture: Architecture, layers: Sequence[Names]) -> Iterator[str]:
    """Name what some or all layers lack; names that the same layers lack come in one note."""
    groups: dict[tuple[str, tuple[bool, ...]], list[str]] = {}
    spoken = dict.fromkeys((mention.what, mention.name) for mention in mentions(architecture))
    silent = only_in_formats(architecture)
    for what, name in (each for each in spoken if each[0] != "dimension" or each[1] not in silent):
        lack = tuple(name not in layer.of(what) for layer in layers)
        if any(lack):
            groups.setdefault((what, lack), []).append(name)
    for (what, lack), names in groups.items():
        listed, several = ", ".join(names), len(names) > 1
        kind = f"{what}s" if several else what
        if len(layers) == 1:
            taken = "they count as dimensions" if several else "it counts as a dimension"
            yield f"{layers[0].layer} has no {kind} {listed}, of which the design speaks; {taken} of one iteration"
        elif all(lack):
            taken = "they count as dimensions" if several else "it counts as a dimension"
            yield f"no layer at hand has the {kind} {listed}, of which the design speaks; {taken} of one iteration"
        else:
            having = [layer.layer for layer, without in zip(layers, lack, strict=True) if not without]
            yield (
                f"{len(having)} of {len(layers)} distinct layers ({_some(having)}) have the {kind} {listed}, of which "
                f"the design speaks; its constraints on {'them' if several else 'it'} hold for these alone"
            )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])}, ..."


def _cut(level: Level, problems: Sequence[Problem]) -> Iterator[str]:
    """Name the fixed factors that are more than a layer's bound."""
    for loops in (level.constraints.temporal, level.constraints.spatial):
        for factor in loops.factors:
            if factor.relation is Relation.EQ:
                smaller = [problem for problem in problems if _is_cut(factor, problem)]
                if smaller:
                    yield f"{_place(factor)}{_cut_note(level, factor, smaller, problems)}"


def _is_cut(factor: FactorConstraint, problem: Problem) -> bool:
    return factor.dimension in problem.shape.dimensions and problem.bound(factor.dimension) < factor.value


def _cut_note(level: Level, factor: FactorConstraint, smaller: Sequence[Problem], problems: Sequence[Problem]) -> str:
    bound = smaller[0].bound(factor.dimension)
    if len(problems) == 1:
        taken = fixed_factor(factor, bound)
        of = f"{factor.dimension} = {bound} of {smaller[0].name}"
        return f"{level.name}: {factor} is more than {of} and taken as {taken}"
    return (
        f"{level.name}: {factor} is more than the {factor.dimension} of {len(smaller)} of {len(problems)} distinct "
        f"layers ({smaller[0].name} has {bound}) and taken as the whole of it there"
    )


def _place(factor: FactorConstraint) -> str:
    return "" if factor.source is None else f"{factor.source}: "


def _shifted(architecture: Architecture, problems: Sequence[Problem]) -> Iterator[str]:
    """Name the splits that put a listed dimension on another axis than its place in the list says."""
    waiting = [level.name for level in architecture.levels if isinstance(level, Spatial)]
    for problem in problems:
        if not waiting:
            return
        bound = bound_to(architecture, problem)
        for name in list(waiting):
            note = _shift(bound.level(name), problem)
            if note:
                waiting.remove(name)
                yield note


def _shift(level: Level, problem: Problem) -> str:
    """Return the note on a level's split; empty when every listed dimension lies where the list says."""
    loops = level.constraints.spatial
    slots = axis_slots(loops, problem)
    if slots is None or loops.split is None:
        return ""
    listed = tuple(reversed(loops.inner))
    moved = [
        name
        for place, name in enumerate(listed)
        if place < loops.split and name in slots.on_y and factor_range(loops, name, problem).most > 1
    ]
    if not moved:
        return ""
    before = [name for name in pinned_order(loops, problem).inner if name not in listed]
    stay = [name for name in listed[loops.split :] if name in slots.on_y]
    meant = f"{', '.join(moved)} on X" + (f" and {', '.join(stay)} on Y" if stay else "")
    source = source_of(loops.said, "key", "split")
    return (
        f"{'' if source is None else f'{source}: '}{level.name}: split {loops.split} counts {', '.join(before)} first, "
        f"which can only have factor 1 and stand before the dimensions listed, so {', '.join(moved)} "
        f"{'lies' if len(moved) == 1 else 'lie'} on Y ({problem.name}); for {meant} write permutation: "
        f"[{', '.join((*before, *listed))}] and split: {loops.split + len(before)}"
    )
