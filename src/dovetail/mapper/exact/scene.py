"""What the compiled search sees of a mapspace: named tuples of arrays, one per subject.

Levels are outer to inner without compute; dims are the active ones. Functions take the subjects that they need, which
compiles faster than the whole scene everywhere.
"""

from __future__ import annotations

from typing import NamedTuple

from dovetail.mapper.exact.advances import Fan
from dovetail.mapper.exact.demands import Demands
from dovetail.mapper.exact.lattice import Lattice
from dovetail.mapper.exact.outlook import Outlook
from dovetail.mapper.exact.packed import Packed
from dovetail.mapper.exact.tables import Tables
from dovetail.model.arrays import Bools, Floats, Ints, Machine, Rules
from dovetail.model.by_address import by_address


@by_address
class Choices(NamedTuple):
    """What storage levels may choose.

    Attributes:
        least: ``(levels, dims)`` smallest factor over time.
        most: ``(levels, dims)`` largest.
        most_loops: ``(levels,)`` loops over time with more than one iteration.
        keepers: ``(levels, options)`` kept tensors as bit masks, padded with -1.
        first_order: ``(levels, 2 ** dims)`` first order for a set of looping dimensions.
        order_count: ``(levels, 2 ** dims)`` how many there are.
        orders: ``(orders, dims)`` looping dimensions innermost first, padded with -1.
    """

    least: Ints
    most: Ints
    most_loops: Ints
    keepers: Ints
    first_order: Ints
    order_count: Ints
    orders: Ints


# How the level inside a fan-out treats a tensor. `NOTED`: a vector of demands says whether it may keep it.
ALWAYS, NEVER, NOTED, UNKNOWN = range(4)


@by_address
class Spreads(NamedTuple):
    """The ways to use the fan-outs, those of all levels one after the other.

    Attributes:
        first: ``(levels,)`` the first way of a level.
        counts: ``(levels,)`` how many it has.
        factors: ``(ways, dims)`` spatial factors as divisor indices.
        on_y: ``(ways, dims)`` whether on Y.
        order: ``(ways, dims)`` dimensions outer to inner.
        by_model: ``(ways, tensors)`` the traffic is counted by the model itself, after the step.
        apart: ``(ways, tensors)`` words sent for one that a child asks, at least, of what the model has yet to count.
        again: ``(ways, tensors)`` neighbours may serve what is asked for again while no loop moves the tensor.
        keeping: ``(levels + 1, tensors)`` how a level, the last one being compute, treats a tensor: see `NOTED`.
    """

    first: Ints
    counts: Ints
    factors: Ints
    on_y: Bools
    order: Ints
    by_model: Bools
    apart: Floats
    again: Bools
    keeping: Ints


@by_address
class Motion(NamedTuple):
    """How loops move tensors.

    Attributes:
        stops: ``(tensors, dims)`` 0: does not move it, 1 + axis: along a summed axis, -1: along an axis of its own.
        injective: ``(tensors,)`` as in `dovetail.model.arrays.Rules`.
        links_inside: ``(levels + 1,)`` neighbours below this level or one further in might pass data on.
        slides: some tensor slides.
        long_chains: chains run on past a second summed axis.
    """

    stops: Ints
    injective: Bools
    links_inside: Bools
    slides: bool
    long_chains: bool


@by_address
class Sourcing(NamedTuple):
    """Which source the levels further in fetch from (`dovetail.mapper.exact.sources`).

    Attributes:
        first: ``(levels,)`` where a level's table ``(sources, options)`` of the source inside begins, for the levels
            outside the outermost fan-out.
        width: ``(levels,)`` how wide it is.
        inside: the tables one after the other.
    """

    first: Ints
    width: Ints
    inside: Ints


@by_address
class Bounds(NamedTuple):
    """What no completion goes below (`dovetail.mapper.exact.completion`).

    Attributes:
        outlook: the least energy of what a level's loops leave open.
        least: pJ per visit of a tile, by the class of speed that a completion reaches: those of one are at most
            ``1 - class / classes`` as quick as the quickest mapping.
        class_cycles: ``(boundaries, classes)`` what completions of a class take at least.
        place: ``(levels + 1, tiles)`` place of a tile among those that have a completion, or -1.
        places: ``(levels + 1,)`` how many have.
        grid: ``(points,)`` shares of visits that fetch an idle tensor.
        set_of: ``(2 ** tensors,)`` an idle set with all tensors of a bit mask; -1: there is none.
        serves: ``(sets, dims)`` the dimension leaves some tensor of the set in place.
        leak_inside: ``(levels + 1,)`` pJ per cycle of one instance of every level from here on.
        price: ``(levels, tensors, actions)`` least pJ per word.
        distinct: ``(tensors,)`` words of the whole tensor that are touched.
        brought: ``(tensors, tiles)`` least words that a visit of a tile outside all fan-outs asks for.
        slack: pJ by which rounding may undercut the least energies.
        slack_cycles: cycles by which rounding may undercut what bandwidth asks.
        cycles: cycles that some level's bandwidth asks of any mapping.
    """

    outlook: Outlook
    least: Packed
    class_cycles: Floats
    place: Ints
    places: Ints
    grid: Floats
    set_of: Ints
    serves: Bools
    leak_inside: Floats
    price: Floats
    distinct: Floats
    brought: Floats
    slack: float
    slack_cycles: float
    cycles: float


@by_address
class Scene(NamedTuple):
    """All of it.

    Attributes:
        lattice: tiles as numbers.
        tiles: what is known of every tile; the last one is the whole problem.
        rules: the model's.
        machine: the model's.
        counter: ``(levels,)`` place of a bounded level's traffic among the values of a row, or -1.
        motion, choices, spreads, sourcing, bounds: see there.
        demands: of what is inside the outermost fan-out.
        fan: the fan-out that is passed, if the model counts it.
    """

    lattice: Lattice
    tiles: Tables
    rules: Rules
    machine: Machine
    counter: Ints
    motion: Motion
    choices: Choices
    spreads: Spreads
    sourcing: Sourcing
    bounds: Bounds
    demands: Demands
    fan: Fan
