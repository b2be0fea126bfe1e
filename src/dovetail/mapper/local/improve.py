"""A local search for good mappings early, where proofs take long: mappings change at random, and the best stay.

What is left after a crowd of mappings has had its share goes to anneals: chains of mappings that may get worse, ever
less so, which leads out of where a crowd is stuck. It proves nothing. The same seed and count give the same answer; no
clock is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import CapacityError, NotMetError
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.limits import GENES
from dovetail.mapper.local.anneal import annealed
from dovetail.mapper.local.moves import DRAWS, brood_of, change
from dovetail.mapper.local.sample import sample
from dovetail.mapper.mapspace import Crowd, Mapspace
from dovetail.mapper.objective import Objective, ranks_of
from dovetail.mapping.mapping import Mapping
from dovetail.mapping.origins import as_searched
from dovetail.model.arrays import Bools, Floats, Ints, Nest
from dovetail.model.batch import candidate, evaluate_all, evaluate_batch
from dovetail.model.compile import NOT_COMPILED, is_at_hand
from dovetail.model.cost import Cost
from dovetail.model.encode import decode_mapping, encode_mapping
from dovetail.model.evaluate import evaluate
from dovetail.workload.problem import Problem

#: Random mappings that it begins with.
SAMPLES = 4096
#: Those that a short search on a machine of its own begins with.
FIRST = 1024
#: Mappings that stay from one round to the next.
CROWD = 64
#: Changed mappings per round.
BROOD = 512
#: Rounds without a better mapping after which it begins anew from other random mappings.
STALE = 16
#: Mappings that a crowd meets before anneals begin; those that the first two anneals meet, the next two twice as many.
CROWDED, ANNEALED = 20_000, 8_000
#: Chains of an anneal side by side.
CHAINS = 6
#: How much worse, in the objective's logarithm, a mapping may get: from random ones and the best at first; at last.
HOT, WARM, COLD = 0.3, 0.1, 1e-3
#: Changes tried per evaluation asked for, at most: in small spaces most lead to mappings that were met before.
TRIES = 8
#: Random mappings that are looked at where there is no time to compile anything.
FEW = 200
#: Rounds in which a mapping that fits is looked for where no random one does.
REPAIRS = 400


@dataclass(frozen=True)
class Improved:
    """The best mapping met.

    Attributes:
        mapping: the mapping.
        cost: its cost, from the plain model.
        value: of the objective.
        evaluations: mappings evaluated.
    """

    mapping: Mapping
    cost: Cost
    value: float
    evaluations: int


def improve(
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    objective: Objective = Objective.EDP,
    *,
    seed: int = 0,
    evaluations: int = 60_000,
    stop: Callable[[], bool] = lambda: False,
    begin: Mapping | None = None,
) -> Improved:
    """Return a mapping that is likely to be the best or close to it.

    Args:
        problem: the layer.
        architecture: with its constraints.
        energies: energy table.
        objective: what to minimise; ties fall to the other of energy and cycles.
        seed: the same seed gives the same answer.
        evaluations: mappings to evaluate, about; fewer where the mapspace is small.
        stop: asked between rounds (some milliseconds) whether to end early.
        begin: a mapping to begin with, beside random ones.

    Raises:
        NotMetError: no mapping that fits was met; there may be one all the same.
        InputError: a constraint contradicts itself, or the energy table misses something.
    """
    mapspace = Mapspace.of(problem, as_searched(architecture, problem), energies, objective)
    first = sample(problem, architecture, SAMPLES, seed)
    best, done = _met(mapspace, first, seed, evaluations, stop, begin)
    mapping = mapspace.mapping(best)
    cost = evaluate(mapping, problem, architecture, energies)
    return Improved(mapping, cost, objective.value_of(cost.energy_pJ, cost.cycles), done)


def nearest_on(mapspace: Mapspace, *, evaluations: int, stop: Callable[[], bool] = lambda: False) -> Mapping:
    """Return a mapping that is likely to be among the best on a mapspace's machine, whatever it costs on the design.

    It may not even fit there: where a machine has room for more than the design, that is the caller's to find out.

    Raises:
        NotMetError: as `improve`.
    """
    first = sample(mapspace.problem, mapspace.architecture, FIRST, 0)
    return mapspace.mapping(_met(mapspace, first, 0, evaluations, stop, None)[0])


def _met(
    mapspace: Mapspace, drawn: Nest, seed: int, evaluations: int, stop: Callable[[], bool], begin: Mapping | None
) -> tuple[Crowd, int]:
    """Return the best mapping met, from random ones on, and how many were evaluated."""
    generator = np.random.default_rng(seed)
    first = _first(mapspace, drawn, generator)
    crowd = (first if begin is None else first.joined(_alone(mapspace, begin))).best(CROWD)
    best, done = _crowded(mapspace, first, crowd, generator, min(evaluations, CROWDED), stop)
    rounds = 0
    while CROWDED <= done < evaluations and not stop():  # the crowd of a small space ends before
        anew = first.take(generator.permutation(len(first.rank))[: 8 * CHAINS]).best(CHAINS)
        begun, heat = (anew, HOT) if rounds % 2 == 0 else (best.joined(anew.take(np.arange(1))), WARM)
        chains = begun.take(np.resize(np.arange(len(begun.rank)), CHAINS))
        steps = max(1, min(ANNEALED << rounds // 2, evaluations - done) // CHAINS)
        met, more = annealed(mapspace, chains, (heat, COLD), generator, steps, stop)
        best, done, rounds = best.joined(met).best(1), done + more, rounds + 1
    return best, done


def _crowded(
    mapspace: Mapspace,
    first: Crowd,
    crowd: Crowd,
    generator: np.random.Generator,
    evaluations: int,
    stop: Callable[[], bool],
) -> tuple[Crowd, int]:
    """Return the best of what a crowd becomes that changes and keeps its best, and how many mappings were met."""
    best, (done, tries, stale, anew), met = crowd, (len(first.rank), 0, 0, 0), set[int]()
    while done < evaluations and tries < TRIES * evaluations and not stop():
        genes, keep = _new(*_changed(mapspace, crowd, generator), met)
        done, tries = done + len(keep), tries + BROOD
        before = crowd.rank[0].tolist()
        crowd = crowd.joined(_evaluated(mapspace, genes, keep)).best(CROWD)
        stale = 0 if crowd.rank[0].tolist() < before else stale + 1
        if crowd.rank[0].tolist() < best.rank[0].tolist():
            best = crowd
        if stale >= STALE:
            crowd = first.take(generator.permutation(len(first.rank))[:CROWD]).best(CROWD)
            if anew % 2:  # now from random mappings alone, now from the best beside them
                crowd = crowd.joined(best.take(np.arange(1))).best(CROWD)
            stale, anew = 0, anew + 1
            met.clear()
    return best.take(np.arange(1)), done


def make_ready(problem: Problem, architecture: Architecture, energies: EnergyTable) -> None:
    """Compile or load what `improve` runs, by changing and evaluating no mapping, so that no clock counts that."""
    mapspace = Mapspace.of(problem, as_searched(architecture, problem), energies, Objective.EDP)
    levels, tensors = len(mapspace.machine.capacity), len(problem.shape.tensors)
    slots, keep = np.ones((1, levels, len(problem.bounds)), np.int64), np.ones((1, levels, tensors), np.bool_)
    order = np.arange(len(problem.bounds)) * slots
    genes = mapspace.genes(Nest(slots, order, slots, slots, order, keep))
    none = genes[:0], keep[:0]
    _change(mapspace, *none, genes, np.zeros(0, np.int64), np.empty((0, DRAWS)))
    _evaluated(mapspace, *none)
    annealed(mapspace, Crowd(genes, keep, np.zeros((1, 2))), (HOT, COLD), np.random.default_rng(0), 0, lambda: False)


def is_compiled() -> bool:
    """Return whether `improve` can begin at once, with nothing to compile."""
    return is_at_hand(change) and is_at_hand(evaluate_all)


def best_of_few(
    problem: Problem, architecture: Architecture, energies: EnergyTable, objective: Objective = Objective.EDP
) -> Improved:
    """Return the best of the first few random mappings that fit, in less than a second and with nothing compiled.

    For a search that was interrupted.

    Raises:
        KeyboardInterrupt: none of them fits.
    """
    bound, best = as_searched(architecture, problem), None
    try:
        drawn = sample(problem, architecture, FEW)
    except NotMetError:
        raise KeyboardInterrupt(NOT_COMPILED) from None
    for at in range(FEW):
        mapping = decode_mapping(candidate(drawn, at), problem, bound)
        try:
            cost = evaluate(mapping, problem, architecture, energies)
        except CapacityError:
            continue
        value = objective.value_of(cost.energy_pJ, cost.cycles)
        if best is None or value < best.value:
            best = Improved(mapping, cost, value, FEW)
    if best is None:
        raise KeyboardInterrupt(NOT_COMPILED)
    return best


def _alone(mapspace: Mapspace, mapping: Mapping) -> Crowd:
    """Return one mapping as a crowd."""
    nest = encode_mapping(mapping, mapspace.problem, mapspace.architecture)
    one = Nest._make([np.asarray(field)[None] for field in nest])
    return _evaluated(mapspace, mapspace.genes(one), one.keep)


def _evaluated(mapspace: Mapspace, genes: Ints, keep: Bools) -> Crowd:
    """Return mappings that fit, with their ranks."""
    nests = Nest._make([*(genes[:, field] for field in range(GENES)), keep])
    costs = evaluate_batch(nests, mapspace.rules, mapspace.machine)
    ranks = ranks_of(mapspace.objective, costs.energy_pJ, costs.cycles.astype(np.float64))
    return Crowd(genes, keep, np.stack(ranks, axis=1))


def _first(mapspace: Mapspace, nests: Nest, generator: np.random.Generator) -> Crowd:
    """Return the random mappings that fit; where none does, change them until one does."""
    genes, keep = mapspace.genes(nests), nests.keep
    excess, marks = _change(mapspace, genes, keep, genes[:0], np.zeros(len(keep), np.int64), np.empty((len(keep), 0)))
    tight = _by_excess(genes, keep, excess, marks)
    for _ in range(REPAIRS):
        fitting = np.flatnonzero(excess == 0)
        if len(fitting):
            return _evaluated(mapspace, genes[fitting], keep[fitting])
        genes, keep, excess, marks = _changed(mapspace, tight.best(CROWD), generator)
        good = np.flatnonzero(excess >= 0)
        tight = tight.best(CROWD).joined(_by_excess(genes[good], keep[good], excess[good], marks[good]))
    raise NotMetError(
        f"{mapspace.problem.name} on {mapspace.architecture.name}: the tiles of all mappings met are too large for "
        f"some storage, by {tight.rank[:, 0].min():.0f} words at least"
    )


def _by_excess(genes: Ints, keep: Bools, excess: Ints, marks: Ints) -> Crowd:
    """Return mappings ranked by the words that do not fit; marks part those that are equal."""
    return Crowd(genes, keep, np.stack([excess, marks], axis=1).astype(np.float64))


def _changed(mapspace: Mapspace, crowd: Crowd, generator: np.random.Generator) -> tuple[Ints, Bools, Ints, Ints]:
    """Return changed mappings of a crowd, better ones of it more often, with excess and marks."""
    mothers = (generator.random(BROOD) ** 2 * len(crowd.rank)).astype(np.int64)
    fathers = generator.integers(0, len(crowd.rank), BROOD)
    genes, keep = crowd.genes[mothers], crowd.keep[mothers]
    excess, marks = _change(mapspace, genes, keep, crowd.genes, fathers, generator.random((BROOD, DRAWS)))
    return genes, keep, excess, marks


def _change(
    mapspace: Mapspace, genes: Ints, keep: Bools, others: Ints, fathers: Ints, draws: Floats
) -> tuple[Ints, Ints]:
    """Change mappings in place; returns the words that do not fit, and marks."""
    brood, excess = brood_of(genes, keep, others, fathers, draws), np.empty(len(keep), np.int64)
    change(mapspace.limits, brood, excess)
    return excess, brood.marks


def _new(genes: Ints, keep: Bools, excess: Ints, marks: Ints, met: set[int]) -> tuple[Ints, Bools]:
    """Return the mappings that fit and were not met before, and note them."""
    fitting = np.flatnonzero(excess == 0)
    new = []
    for at, mark in zip(fitting.tolist(), marks[fitting].tolist(), strict=True):
        if mark not in met:
            met.add(mark)
            new.append(at)
    return genes[new], keep[new]
