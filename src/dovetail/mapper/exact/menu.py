"""What a level may choose, listed once for all partial mappings that agree in what they cost inside.

At the outermost fan-out and inside, a level's choice of loops, or of a way to use a fan-out, makes the same demands of
the levels inside, at the same prices, for all partial mappings of a tile whose tensors are kept by the same levels. So
each choice is priced once, as if what loops outside reuse were the most of all these mappings; a mapping then needs to
look closely only at choices that are not too dear for it at that price.
"""

# mypy: disable-error-code="no-any-return"
# (elements of arrays are of any type)

from __future__ import annotations

import math

from dovetail.mapper.exact.bounds import OPEN_VISITS, VISITS, Known, known_of, least_added, no_factors, share_most
from dovetail.mapper.exact.goal import Goal, hopeless
from dovetail.mapper.exact.lattice import Lattice
from dovetail.mapper.exact.reuse import reuse_of
from dovetail.mapper.exact.rows import (
    BY,
    BY_BOUND,
    CHOICE,
    ENERGY,
    INSIDE,
    INSTANCES,
    LEAK,
    REAL_FIELDS,
    SIZE,
    SIZE_PLACE,
    STATES,
    TILE,
    UNTIL,
    Menu,
    Row,
    Scratch,
    copy_to,
)
from dovetail.mapper.exact.scene import Choices, Motion, Scene, Spreads
from dovetail.mapper.exact.traffic import spread_out
from dovetail.model.arrays import Floats, Ints
from dovetail.model.compile import part


@part()
def measure(lattice: Lattice, tile: int, loops: Ints) -> None:
    """Write down how large a tile is."""
    for d in range(loops.shape[1]):
        loops[SIZE_PLACE, d] = (tile // lattice.radix[d]) % lattice.counts[d]
        loops[SIZE, d] = lattice.divisors[d, loops[SIZE_PLACE, d]]


@part()
def is_whole(lattice: Lattice, loops: Ints) -> bool:
    """Return whether dimensions change places in a mirror image, and no level outside divided any of them."""
    found = False
    for d in range(loops.shape[1]):
        if lattice.mirror[d] != d:
            found = True
            if loops[SIZE_PLACE, d] < lattice.counts[d] - 1:
                return False
    return found


@part()
def least_choice(lattice: Lattice, d: int, loops: Ints) -> int:
    """Return the place of the least factor of a dimension that one of two mirror images has to have.

    A dimension has no smaller factor than the one that it changes places with, unless an earlier pair's differ.
    """
    partner = lattice.mirror[d]
    if partner >= d:
        return 0
    for e in range(partner):
        other = lattice.mirror[e]
        if e < other and loops[CHOICE, e] != loops[CHOICE, other]:
            return 0
    place: int = loops[CHOICE, partner]
    return place


@part()
def next_factor(lattice: Lattice, choices: Choices, level: int, d: int, loops: Ints, whole: bool) -> bool:
    """Move on to the next allowed factor of a dimension; False when there is none left; ``whole``: see `is_whole`."""
    place, choice = loops[SIZE_PLACE, d], loops[CHOICE, d] + 1
    if whole:
        choice = max(choice, least_choice(lattice, d, loops))
    while choice <= place:
        factor = lattice.divisors[d, choice]
        rest = lattice.quotient[d, place, choice]
        if rest >= 0 and choices.least[level, d] <= factor <= choices.most[level, d]:
            loops[BY, d] = factor
            loops[INSIDE, d] = lattice.divisors[d, rest]
            loops[CHOICE, d] = choice
            return True
        choice += 1
    loops[CHOICE, d] = -1
    return False


@part()
def rest_of(lattice: Lattice, d: int, loops: Ints) -> int:
    """Return how the index of the tile changes by the factor chosen for a dimension."""
    place = loops[SIZE_PLACE, d]
    return (lattice.quotient[d, place, loops[CHOICE, d]] - place) * lattice.radix[d]


@part()
def choose(lattice: Lattice, inside: int, loops: Ints) -> int:
    """Fill in the loops that leave a tile inside of the one measured; returns the looping dimensions, a bit mask."""
    mask = 0
    for d in range(loops.shape[1]):
        place = (inside // lattice.radix[d]) % lattice.counts[d]
        choice = lattice.quotient[d, loops[SIZE_PLACE, d], place]
        loops[CHOICE, d], loops[BY, d] = choice, lattice.divisors[d, choice]
        loops[INSIDE, d] = lattice.divisors[d, place]
        if choice > 0:
            mask |= 1 << d
    return mask


@part()
def begin_row(one: Row, other: Row) -> None:
    """Make one partial mapping what another one is, decisions aside."""
    copy_to(one.key, other.key)
    for field in range(REAL_FIELDS):
        copy_to(one.real[field], other.real[field])
    copy_to(one.value, other.value)


@part()
def begin_menu(scratch: Scratch) -> None:
    """Begin to note what partial mappings that have entered a level agree in: what the one at hand is."""
    menu = scratch.menu
    begin_row(scratch.row, menu.agreed)
    copy_to(scratch.row.path, menu.agreed.path)
    for t in range(menu.open_visits.shape[0]):
        menu.open_visits[t] = 1.0


@part()
def agree(motion: Motion, scratch: Scratch) -> None:
    """Note that a partial mapping that has entered a level is one of those that a menu is for."""
    row, menu = scratch.row, scratch.menu
    for i in range(row.value.shape[0]):
        menu.agreed.value[i] = min(menu.agreed.value[i], row.value[i])
    for t in range(menu.open_visits.shape[0]):
        menu.open_visits[t] = min(menu.open_visits[t], 1.0 / reuse_of(motion, row.key, t))


@part()
def is_too_dear(scene: Scene, goal: Goal, value: Floats, slowest: float, choice: tuple[float, float, float]) -> bool:
    """Return whether a choice leaves nothing to gain for a partial mapping.

    Args:
        scene: the mapspace.
        goal: what to beat.
        value: of the mapping.
        slowest: cycles of any completion of it.
        choice: pJ, pJ of leakage per cycle, and cycles that it adds, as a `Menu` has them.
    """
    energy, leak, cycles = choice
    cycles = max(slowest, cycles)
    energy += value[ENERGY] - scene.bounds.slack + (value[LEAK] + leak) * cycles
    return hopeless(goal, energy, cycles)


@part()
def put(menu: Menu, choice: int, adds: tuple[float, float, float]) -> None:
    """Put a choice on the menu; ``adds``: as `is_too_dear` has it."""
    at = menu.used[0]
    menu.choice[at] = choice
    menu.energy[at], menu.leak[at], menu.cycles[at] = adds
    menu.used[0] = at + 1


@part()
def list_loops(scene: Scene, goal: Goal, level: int, inside: int, scratch: Scratch, known: Known) -> bool:
    """Put the loops chosen on the menu unless they are too dear for all that it is for; False: they are."""
    menu, agreed, adds = scratch.menu, scratch.menu.agreed, (-math.inf, 0.0, 0.0)
    if level + 1 >= scene.demands.outermost:
        share_most(scene, scratch)
        tile, agreed.key[TILE] = agreed.key[TILE], inside
        energy, cycles = least_added(scene, level + 1, agreed, scratch.prices, known.copies)
        agreed.key[TILE] = tile
        adds = energy - known.unread, known.leak - agreed.value[LEAK], cycles
        if is_too_dear(scene, goal, agreed.value, known.slowest, adds):
            return False
    put(menu, inside, adds)
    return True


@part()
def list_choices(scene: Scene, goal: Goal, level: int, least: float, scratch: Scratch, stats: Ints) -> bool:
    """List a level's choices of loops, factor by factor; False: that is too much to do.

    ``least``: pJ of any completion without leakage, of those that the menu is for.
    """
    agreed, loops, menu = scratch.menu.agreed, scratch.loops, scratch.menu
    dims, lattice = loops.shape[1], scene.lattice
    inside, looping, d = agreed.key[TILE], 0, 0
    copy_to(menu.open_visits, scratch.prices[OPEN_VISITS])
    known, whole = known_of(scene, level + 1, agreed, scratch.prices), is_whole(lattice, loops)
    menu.used[0] = 0
    for i in range(dims):
        loops[CHOICE, i] = -1
    while d >= 0:
        if stats[STATES] >= stats[UNTIL]:
            return False
        # A choice not yet undone means that this place was reached from further in.
        if (d == dims or loops[CHOICE, d] < 0) and no_factors(scene, goal, (level, d, inside), agreed, least, known):
            stats[STATES] += 1
            stats[BY_BOUND] += 1
            d -= 1
            continue
        if d == dims:
            stats[STATES] += 1
            if looping > scene.choices.most_loops[level] or not list_loops(scene, goal, level, inside, scratch, known):
                stats[BY_BOUND] += 1
            d -= 1
            continue
        if loops[CHOICE, d] >= 0:  # take the loop over d back
            inside -= rest_of(lattice, d, loops)
            if loops[BY, d] > 1:
                looping -= 1
        if not next_factor(lattice, scene.choices, level, d, loops, whole):
            d -= 1
            continue
        inside += rest_of(lattice, d, loops)
        if loops[BY, d] > 1:
            looping += 1
        d += 1
    return True


@part()
def is_image(lattice: Lattice, spreads: Spreads, way: int) -> bool:
    """Return whether the mirror image of a way to use a fan-out is the one to take: see `least_choice`."""
    for d in range(lattice.mirror.shape[0]):
        partner = lattice.mirror[d]
        if partner < d and spreads.factors[way, d] != spreads.factors[way, partner]:
            smaller: bool = spreads.factors[way, d] < spreads.factors[way, partner]
            return smaller
    return False


@part()
def tile_inside(lattice: Lattice, spreads: Spreads, way: int, tile: int, loops: Ints) -> tuple[int, int]:
    """Return the tile of one child, -1 where a way to use a fan-out does not divide the tile, and the children.

    Fills in the factors.
    """
    inside, children = 0, 1
    for d in range(loops.shape[1]):
        factor = spreads.factors[way, d]
        place = (tile // lattice.radix[d]) % lattice.counts[d]
        rest = lattice.quotient[d, place, factor]
        if rest < 0:
            return -1, 1
        inside += rest * lattice.radix[d]
        loops[BY, d] = lattice.divisors[d, factor]
        children *= loops[BY, d]
    return inside, children


@part()
def too_few(scene: Scene, goal: Goal, level: int, used: tuple[int, int], known: Known, least: float) -> bool:
    """Return whether so many instances of a tile leave nothing to gain, for the cycles that computing takes alone.

    ``used``: the instances inside a fan-out, and the tile of each; ``least``: pJ of any completion without leakage.
    """
    instances, inside = used
    cycles = max(known.slowest, scene.tiles.volume[-1] / (instances * scene.tiles.parallelism[level + 1, inside]))
    return hopeless(goal, least + known.leak * cycles, cycles)


@part()
def list_ways(scene: Scene, goal: Goal, level: int, least: float, scratch: Scratch, stats: Ints) -> bool:
    """List the ways to use a fan-out that the model need not count; False: too much to do; see `list_choices`."""
    menu, row, agreed, spreads = scratch.menu, scratch.row, scratch.menu.agreed, scene.spreads
    known, whole = known_of(scene, level, agreed, scratch.prices), is_whole(scene.lattice, scratch.loops)
    tile, first = agreed.key[TILE], spreads.first[level]
    menu.used[0] = 0
    for way in range(first, first + spreads.counts[level]):
        if whole and is_image(scene.lattice, spreads, way):
            continue
        inside, children = tile_inside(scene.lattice, spreads, way, tile, scratch.loops)
        if inside < 0 or scene.tiles.parallelism[level + 1, inside] == 0:
            continue
        if stats[STATES] >= stats[UNTIL]:
            return False
        stats[STATES] += 1
        if too_few(scene, goal, level, (agreed.key[INSTANCES] * children, inside), known, least):
            stats[BY_BOUND] += 1
            continue
        begin_row(agreed, row)
        row.key[TILE] = inside
        row.key[INSTANCES] *= children
        spread_out(scene, level, way, tile, children, scratch)
        within = known_of(scene, level + 1, row, scratch.prices)
        copy_to(menu.open_visits, scratch.prices[VISITS])
        energy, cycles = least_added(scene, level + 1, row, scratch.prices, within.copies)
        adds = energy - within.unread, within.leak - row.value[LEAK], cycles
        if is_too_dear(scene, goal, agreed.value, within.slowest, adds):
            stats[BY_BOUND] += 1
            continue
        put(menu, way, adds)
    return True
