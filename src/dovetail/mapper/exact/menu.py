"""The choices of loops of a storage level, listed once for all partial mappings that agree in what they cost inside.

Inside the outermost fan-out a level's choice has the same demands of the levels inside, at the same prices, for all
partial mappings of a tile whose tensors are kept by the same levels. So each choice is priced once, as if what loops
outside reuse were the most of all these mappings; a mapping then needs to look closely only at choices that are not too
dear for it at that price.
"""

# mypy: disable-error-code="no-any-return"
# (elements of arrays are of any type)

from __future__ import annotations

import math

from dovetail.mapper.exact.bounds import OPEN_VISITS, Known, known_of, no_factors, price_choice
from dovetail.mapper.exact.goal import Goal, hopeless
from dovetail.mapper.exact.lattice import Lattice
from dovetail.mapper.exact.reuse import reuse_of
from dovetail.mapper.exact.rows import (
    BY,
    BY_BOUND,
    CHOICE,
    ENERGY,
    INSIDE,
    REAL_FIELDS,
    SIZE,
    SIZE_PLACE,
    STATES,
    TILE,
    UNTIL,
    Scratch,
    copy_to,
)
from dovetail.mapper.exact.scene import Choices, Motion, Scene
from dovetail.model.arrays import Ints
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
def begin_menu(scratch: Scratch) -> None:
    """Begin to note what partial mappings that have entered a level agree in: what the one at hand is."""
    row, agreed, menu = scratch.row, scratch.menu.agreed, scratch.menu
    copy_to(row.key, agreed.key)
    for field in range(REAL_FIELDS):
        copy_to(row.real[field], agreed.real[field])
    copy_to(row.path, agreed.path)
    copy_to(row.value, agreed.value)
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
def is_too_dear(scene: Scene, goal: Goal, spent: float, known: Known, choice: tuple[float, float]) -> bool:
    """Return whether a choice leaves nothing to gain for a partial mapping that has spent so many pJ.

    ``choice``: what `price_choice` says of it.
    """
    energy, cycles = choice
    cycles = max(known.slowest, cycles)
    return hopeless(goal, spent - scene.bounds.slack - known.unread + energy + known.leak * cycles, cycles)


@part()
def list_choice(scene: Scene, goal: Goal, level: int, inside: int, scratch: Scratch, known: Known) -> bool:
    """Put the loops chosen on the menu unless they are too dear for all that it is for; False: they are."""
    menu, priced = scratch.menu, (-math.inf, 0.0)
    if level + 1 >= scene.demands.outermost:
        priced = price_choice(scene, level + 1, inside, scratch, known)
        if is_too_dear(scene, goal, menu.agreed.value[ENERGY], known, priced):
            return False
    at = menu.used[0]
    menu.inside[at] = inside
    menu.energy[at], menu.cycles[at] = priced
    menu.used[0] = at + 1
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
            if looping > scene.choices.most_loops[level] or not list_choice(scene, goal, level, inside, scratch, known):
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
