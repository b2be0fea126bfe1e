"""One step of the exact search: every partial mapping extended by one level, in compiled code.

The search runs from the outermost level in. A partial mapping fixes all loops outside a boundary; what it costs so far
is final, because a level's traffic is decided by the tile that crosses its boundary and the loops outside. What the
levels inside will add depends on few things only: the tile, the instances in use, and how the innermost loops so far
reuse each tensor. Partial mappings that agree in these are compared, and only those that no other beats stay.
``docs/mapper.md`` has the argument.
"""

# mypy: disable-error-code="no-any-return"
# (elements of arrays are of any type)

from __future__ import annotations

import math

from dovetail.mapper.exact.advances import least_held, list_advances
from dovetail.mapper.exact.bounds import (
    OPEN_VISITS,
    Known,
    bound_of,
    bound_within,
    known_of,
    least_of,
    no_order,
    open_set,
    share_visits,
)
from dovetail.mapper.exact.chains import count_loops, remember
from dovetail.mapper.exact.dominance import offer
from dovetail.mapper.exact.goal import Goal, hopeless, objective_value
from dovetail.mapper.exact.menu import (
    agree,
    begin_menu,
    choose,
    is_image,
    is_too_dear,
    is_whole,
    list_choices,
    list_ways,
    measure,
    tile_inside,
    too_few,
)
from dovetail.mapper.exact.rows import (
    BY,
    BY_BOUND,
    BY_CAPACITY,
    COUNTED,
    CYCLES,
    ENERGY,
    FACTOR,
    INSTANCES,
    KEEPER,
    LEAK,
    ON_Y,
    ORDER,
    PASSED,
    SENT,
    SHARED,
    SOURCE,
    STATES,
    TILE,
    TOO_LONG,
    UNTIL,
    Parents,
    Row,
    Rows,
    Scratch,
    Table,
    copy_row,
    copy_to,
    kept_at,
    of_tensor,
    path_at,
)
from dovetail.mapper.exact.scene import UNKNOWN, Scene
from dovetail.mapper.exact.traffic import finish_levels, keep, settle_reads, spread_out
from dovetail.model.arrays import Ints
from dovetail.model.charges import fits, space_taken
from dovetail.model.compile import jit_plain, part

#: The kinds of step: past a storage level; past a fan-out; past one whose traffic the model is to count, and once more
#: when it has; the end, when all levels are passed.
STORAGE, FANOUT, UNCOUNTED_FANOUT, COUNTED_FANOUT, END = range(5)


@part()
def offer_if_hopeful(scene: Scene, goal: Goal, level: int, scratch: Scratch, table: Table, merge: bool) -> bool:
    """Offer a row that has passed a level unless its bound rules it out; False when there is no room left."""
    row = scratch.row
    energy, cycles = bound_of(scene, goal, level + 1, row, scratch.prices)
    if hopeless(goal, energy, cycles):
        table.stats[BY_BOUND] += 1
        return True
    bound, _ = objective_value(goal.code, energy, cycles)
    return offer(table, row, bound, merge)


@part()
def note_loops(level: int, order: Ints, row: Row, loops: Ints) -> None:
    """Write a storage level's loops into the path: factors, and the order outer to inner."""
    dims, path = loops.shape[1], row.path
    count, seen = count_loops(order), 0
    for i in range(count):
        d = order[count - 1 - i]
        path[path_at(level, ORDER, i, dims)] = d
        seen |= 1 << d
    at = count
    for d in range(dims):
        path[path_at(level, FACTOR, d, dims)] = loops[BY, d]
        path[path_at(level, ON_Y, d, dims)] = 0
        if not seen >> d & 1:
            path[path_at(level, ORDER, at, dims)] = d
            at += 1


@part()
def try_orders(
    scene: Scene, goal: Goal, level: int, chosen: tuple[int, int], known: Known, scratch: Scratch, table: Table
) -> bool:
    """Offer every order of a level's chosen loops; False when there is no room left.

    ``chosen``: the tile inside, and the looping dimensions as a bit mask.
    """
    inside, mask = chosen
    row = scratch.row
    first = scene.choices.first_order[level, mask]
    for at in range(first, first + scene.choices.order_count[level, mask]):
        order = scene.choices.orders[at]
        copy_to(scratch.entered.key, row.key)
        row.key[TILE] = inside
        if not remember(scene.motion, level, order, scratch):
            table.stats[TOO_LONG] += 1
            continue
        table.stats[STATES] += 1
        energy, cycles = bound_within(scene, goal, level + 1, row, known, scratch.prices)
        if hopeless(goal, energy, cycles):
            table.stats[BY_BOUND] += 1
            continue
        note_loops(level, order, row, scratch.loops)
        bound, _ = objective_value(goal.code, energy, cycles)
        if not offer(table, row, bound, True):
            return False
    return True


@part()
def offer_choices(scene: Scene, goal: Goal, level: int, scratch: Scratch, table: Table, counts: bool) -> bool:
    """Offer every choice on the menu in every order; False: no room left, or too much to do.

    ``counts``: they were not counted when they were listed.
    """
    entered, menu, stats = scratch.entered, scratch.menu, table.stats
    _, open_share = open_set(scene.motion, scene.bounds.set_of, entered.key)
    share_visits(scene.motion, entered.key, scratch.prices[OPEN_VISITS])
    known = known_of(scene, level + 1, entered, scratch.prices)
    for i in range(menu.used[0]):
        adds = menu.energy[i], menu.leak[i], menu.cycles[i]
        if is_too_dear(scene, goal, entered.value, known.slowest, adds):
            continue
        if counts:
            if stats[STATES] >= stats[UNTIL]:
                return False
            stats[STATES] += 1
        inside = menu.choice[i]
        mask = choose(scene.lattice, inside, scratch.loops)
        if no_order(scene, goal, level, inside, scratch, open_share, known):
            stats[BY_BOUND] += 1
        elif not try_orders(scene, goal, level, (inside, mask), known, scratch, table):
            return False
    return True


@part()
def taken_at(scene: Scene, level: int, kept: int, tile: int) -> int:
    """Return what a tile takes of a level's capacity when the level keeps these tensors."""
    taken = 0
    for tensor in range(scene.tiles.words.shape[0]):
        if kept >> tensor & 1:
            taken += space_taken(scene.machine, level, tensor, scene.tiles.words[tensor, tile])
    return taken


@part()
def expand_storage(scene: Scene, goal: Goal, level: int, parents: Parents, scratch: Scratch, table: Table) -> bool:
    """Add to a table all partial mappings that pass a storage level and may beat the goal; False: see `take_step`."""
    keepers, capacity = scene.choices.keepers, scene.machine.capacity[level]
    for group in range(parents.start, parents.stop):
        first, end = parents.begin[group], parents.begin[group + 1]
        tile = parents.rows.key[parents.order[first], TILE]
        measure(scene.lattice, tile, scratch.loops)
        least = least_of_all(scene, level, (first, end), parents, scratch)
        for option in range(keepers.shape[1]):
            if keepers[level, option] < 0:
                break
            if not fits(capacity, taken_at(scene, level, keepers[level, option], tile)):
                table.stats[BY_CAPACITY] += end - first
                continue
            agree_all(scene, level, option, (first, end), parents, scratch)
            if not list_choices(scene, goal, level, least, scratch, table.stats):
                return False
            for i in range(first, end):
                if end - first > 1:
                    enter_level(scene, level, option, parents, i, scratch)
                table.stats[STATES] += 1
                if not offer_choices(scene, goal, level, scratch, table, i > first):
                    return False
    return True


@part()
def least_of_all(scene: Scene, level: int, places: tuple[int, int], parents: Parents, scratch: Scratch) -> float:
    """Return the least pJ, but for leakage, of any completion of some partial mappings that enter a storage level.

    Whatever is kept, what a tile costs at least has been known since it was handed in.
    """
    least = math.inf
    for i in range(places[0], places[1]):
        copy_row(parents.rows, parents.order[i], scratch.row)
        least = min(least, least_of(scene, level, scratch.row, scratch.prices))
    return least


@part()
def enter_level(scene: Scene, level: int, option: int, parents: Parents, place: int, scratch: Scratch) -> None:
    """Have a partial mapping enter a storage level that keeps what an option says."""
    row, sourcing, dims = scratch.row, scene.sourcing, scratch.loops.shape[1]
    kept = scene.choices.keepers[level, option]
    copy_row(parents.rows, parents.order[place], row)
    keep(scene, level, kept, scratch)
    copy_to(row.key, scratch.entered.key)
    row.path[kept_at(level, dims)] = kept
    if level < sourcing.first.shape[0]:
        row.path[SOURCE] = sourcing.inside[sourcing.first[level] + row.path[SOURCE] * sourcing.width[level] + option]


@part()
def agree_all(
    scene: Scene, level: int, option: int, places: tuple[int, int], parents: Parents, scratch: Scratch
) -> None:  # fmt: skip
    """Have partial mappings enter a level, and note what they agree in."""
    first, end = places
    for i in range(first, end):
        enter_level(scene, level, option, parents, i, scratch)
        if i == first:
            begin_menu(scratch)
        agree(scene.motion, scratch)


@part()
def note_way(scene: Scene, level: int, way: int, scratch: Scratch) -> None:
    """Write a way to use a fan-out into the path."""
    spreads, path = scene.spreads, scratch.row.path
    dims = scratch.loops.shape[1]
    for d in range(dims):
        path[path_at(level, FACTOR, d, dims)] = scratch.loops[BY, d]
        path[path_at(level, ON_Y, d, dims)] = spreads.on_y[way, d]
        path[path_at(level, ORDER, d, dims)] = spreads.order[way, d]


@part()
def expand_spatial(scene: Scene, goal: Goal, level: int, parents: Parents, scratch: Scratch, table: Table) -> bool:
    """Add to a table all partial mappings that pass a fan-out and may still beat the goal; False: see `take_step`."""
    for group in range(parents.start, parents.stop):
        first, end = parents.begin[group], parents.begin[group + 1]
        measure(scene.lattice, parents.rows.key[parents.order[first], TILE], scratch.loops)
        least = least_of_all(scene, level, (first, end), parents, scratch)
        for i in range(first, end):
            copy_row(parents.rows, parents.order[i], scratch.row)
            if i == first:
                begin_menu(scratch)
            agree(scene.motion, scratch)
        if not list_ways(scene, goal, level, least, scratch, table.stats):
            return False
        for i in range(first, end):
            if not offer_ways(scene, goal, level, (parents.order[i], i > first), parents.rows, scratch, table):
                return False
    return True


@part()
def offer_ways(
    scene: Scene, goal: Goal, level: int, at: tuple[int, bool], rows: Rows, scratch: Scratch, table: Table
) -> bool:
    """Offer every way on the menu; False: no room left, or too much to do.

    ``at``: which row, and whether ways were not counted when they were listed.
    """
    row, menu, stats, (parent, counts) = scratch.row, scratch.menu, table.stats, at
    copy_row(rows, parent, row)
    slowest, tile = known_of(scene, level, row, scratch.prices).slowest, row.key[TILE]
    for i in range(menu.used[0]):
        if is_too_dear(scene, goal, rows.value[parent], slowest, (menu.energy[i], menu.leak[i], menu.cycles[i])):
            continue
        if counts:
            if stats[STATES] >= stats[UNTIL]:
                return False
            stats[STATES] += 1
        way = menu.choice[i]
        inside, children = tile_inside(scene.lattice, scene.spreads, way, tile, scratch.loops)
        copy_row(rows, parent, row)
        row.key[TILE] = inside
        row.key[INSTANCES] *= children
        note_way(scene, level, way, scratch)
        spread_out(scene, level, way, tile, children, scratch)
        if not offer_if_hopeful(scene, goal, level, scratch, table, True):
            return False
    return True


@part()
def expand_counted(scene: Scene, goal: Goal, level: int, parents: Parents, scratch: Scratch, table: Table) -> bool:
    """Do what `expand_spatial` does for a fan-out that the model is to count.

    Rows are not merged yet, and bounds assume that links save all they can: these are the same for all ways of equal
    factors.
    """
    spreads, row, fan = scene.spreads, scratch.row, scene.fan
    first, count = spreads.first[level], spreads.counts[level]
    for parent in range(parents.start, parents.stop):
        tile = parents.rows.key[parent, TILE]
        begin_ways(scene, level, parents.rows, parent, scratch)
        instances, least = row.key[INSTANCES], least_of(scene, level, row, scratch.prices)
        known, whole = known_of(scene, level, row, scratch.prices), is_whole(scene.lattice, scratch.loops)
        for way in range(first, first + count):
            place = fan.which[way - first]
            if fan.worth[place] == math.inf or (whole and is_image(scene.lattice, spreads, way)):
                continue
            inside, children = tile_inside(scene.lattice, spreads, way, tile, scratch.loops)
            if inside < 0 or scene.tiles.parallelism[level + 1, inside] == 0:
                continue
            if table.stats[STATES] >= table.stats[UNTIL]:
                return False
            table.stats[STATES] += 1
            if too_few(scene, goal, level, (instances * children, inside), known, least):
                table.stats[BY_BOUND] += 1
                fan.worth[place] = math.inf
                continue
            copy_row(parents.rows, parent, row)
            row.key[TILE] = inside
            row.key[INSTANCES] *= children
            note_way(scene, level, way, scratch)
            spread_out(scene, level, way, tile, children, scratch)
            worth = worth_of(scene, goal, level, place, scratch)
            if worth == math.inf:
                table.stats[BY_BOUND] += 1
            elif not offer(table, row, worth, False):
                return False
    return True


@part()
def begin_ways(scene: Scene, level: int, parents: Rows, parent: int, scratch: Scratch) -> None:
    """Forget what ways to use a fan-out are worth, and list what the loops outside do to a partial mapping's tiles."""
    loops, fan = scratch.loops, scene.fan
    copy_row(parents, parent, scratch.row)
    measure(scene.lattice, parents.key[parent, TILE], loops)
    for place in range(fan.worth.shape[0]):
        fan.worth[place] = -1.0
    list_advances(scene.rules, level, scratch.row, loops, fan)


@part()
def worth_of(scene: Scene, goal: Goal, level: int, place: int, scratch: Scratch) -> float:
    """Return the least value of what ways of the same factors lead to, infinity where that is hopeless.

    ``place``: as `Fan.which` has it; the row is of one of them.
    """
    fan = scene.fan
    if fan.worth[place] < 0:
        foresee(scene, level, place, scratch)
        energy, cycles = bound_of(scene, goal, level + 1, scratch.row, scratch.prices)
        worth, _ = objective_value(goal.code, energy, cycles)
        fan.worth[place] = math.inf if hopeless(goal, energy, cycles) else max(0.0, worth)
    return fan.worth[place]


@part()
def foresee(scene: Scene, level: int, place: int, scratch: Scratch) -> None:
    """Fill in what a fan-out that the model has yet to count sends at least; ``place``: as `Fan.which` has it."""
    fan, real = scene.fan, scratch.row.real
    for t in range(real.shape[1]):
        if real[COUNTED, t] < 0 and fan.slides[t] and scene.spreads.keeping[level + 1, t] != UNKNOWN:
            least_held(scene.rules, scene.lattice, fan, place, t, scratch.loops, fan.held)
            real[SENT, t] = fan.held[0]
            real[PASSED, t] = max(real[PASSED, t], fan.held[1])


@part()
def merge_rows(scene: Scene, goal: Goal, level: int, parents: Parents, scratch: Scratch, table: Table) -> bool:
    """Add to a table all rows, merged and bounded, once the model has counted their fan-out; False: no room."""
    row = scratch.row
    for parent in range(parents.start, parents.stop):
        copy_row(parents.rows, parent, row)
        if not offer_if_hopeful(scene, goal, level, scratch, table, True):
            return False
    return True


@part()
def finish(scene: Scene, rows: Rows, scratch: Scratch) -> None:
    """Write into complete mappings' values their energy and cycles to the end, leakage included."""
    row, macs, levels = scratch.row, scene.tiles.volume[-1], scene.counter.shape[0]
    tensors = row.real.shape[1]
    for i in range(rows.bound.shape[0]):
        copy_row(rows, i, row)
        steps = macs // row.key[INSTANCES]
        for tensor in range(tensors):
            sent = row.real[SHARED, tensor] * steps
            if row.real[COUNTED, tensor] > 0:
                sent = row.real[SHARED, tensor] * row.real[SENT, tensor]
            settle_reads(scene, row, tensor, sent)
            row.key[of_tensor(KEEPER, tensor, tensors)] = levels
        finish_levels(scene.machine, scene.counter, row, levels)
        cycles = math.ceil(max(row.value[CYCLES], float(steps)) * (1 - 1e-15))
        rows.value[i, ENERGY] = row.value[ENERGY] + macs * scene.machine.compute_pJ + row.value[LEAK] * cycles
        rows.value[i, CYCLES] = cycles


@jit_plain
def take_step(
    kind: int, scene: Scene, goal: Goal, level: int, parents: Parents, scratch: Scratch, table: Table
) -> bool:
    """Take one step with some partial mappings; what comes of it is added to a table.

    False: it has no room left, or so many states were examined as `UNTIL` says.

    The kinds of step share most of their parts, so that all together compile as fast as two of them.
    """
    if kind == STORAGE:
        return expand_storage(scene, goal, level, parents, scratch, table)
    if kind == FANOUT:
        return expand_spatial(scene, goal, level, parents, scratch, table)
    if kind == UNCOUNTED_FANOUT:
        return expand_counted(scene, goal, level, parents, scratch, table)
    if kind == COUNTED_FANOUT:
        return merge_rows(scene, goal, level, parents, scratch, table)
    finish(scene, parents.rows, scratch)
    return True
