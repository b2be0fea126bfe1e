"""Looks for better mappings than unproven searches gave, by an anneal that shares no move with the search.

    bench_anneal.py               40 cases of free designs whose proof a limit in work ended, 30,000 evaluations each
    bench_anneal.py --cases 10    fewer; --first 40 leaves out the first searches of the suite

The suite is that of `bench_free.py`, shuffled, always alike. Limits are in work and anneals are seeded, so every run
gives the same table, however busy the machine. An anneal is a few chains side by side, each from a random mapping on;
they move prime factors, loops and keepers at random and know nothing of what makes a mapping good. They share with the
search what mappings obey and fit, and the model.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import time
from collections.abc import Iterator

import numpy as np
from bench_free import Case, cases, free
from numba import njit

from dovetail.components.energy_table import EnergyTable
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.allowance import Allowance
from dovetail.mapper.exact.compiled import compile_all
from dovetail.mapper.limits import GENES, IS_FANOUT, OPEN, ORDER, SPATIAL_ORDER, SPATIAL_X, SPATIAL_Y, TEMPORAL
from dovetail.mapper.local.moves import brood_of, change
from dovetail.mapper.local.sample import sample
from dovetail.mapper.mapspace import Mapspace
from dovetail.mapper.search import search
from dovetail.mapping.constraints import bound_to
from dovetail.model.arrays import Bools, Floats, Ints, Nest
from dovetail.model.batch import evaluate_batch

#: Chains of an anneal, side by side; changes tried for each of their steps, of which the first that fits is evaluated.
CHAINS, TRIED = 3, 5
#: Random mappings whose best the chains begin at.
FIRST = 600
#: Temperatures of the logarithm of the objective, at the beginning and at the end.
HOT, COLD = 0.3, 1e-3


def anneal(case: Case, architecture: Architecture, energies: EnergyTable, evaluations: int, seed: int) -> float:
    """Return the least value of the objective that an anneal of so many evaluations meets."""
    space = Mapspace.of(case.problem, bound_to(architecture, case.problem), energies, case.objective)
    draw = np.random.default_rng(seed)
    drawn = sample(case.problem, architecture, FIRST, seed + 1)
    plain = np.ones((1, *space.genes(drawn).shape[1:]), np.int64)  # all loops outside: that fits where nothing is fixed
    plain[0, TEMPORAL, 0] = space.limits.bounds
    plain[0, [ORDER, SPATIAL_ORDER]] = np.arange(plain.shape[3])
    genes, keep = np.concatenate([space.genes(drawn), plain]), np.concatenate([drawn.keep, space.kept_at_least()[None]])
    fit = _excess(space, genes, keep) == 0
    genes, keep = genes[fit], keep[fit]
    value = _values(space, genes, keep)
    order = np.resize(np.argsort(value)[: 2 * CHAINS], CHAINS)
    genes, keep, value = genes[order], keep[order], value[order]
    least, steps = float(value.min()), (evaluations - FIRST) // CHAINS
    for step in range(steps):
        heat = HOT * (COLD / HOT) ** (step / steps)
        near, kept = np.repeat(genes, TRIED, axis=0), np.repeat(keep, TRIED, axis=0)
        _moved(near, kept, space.limits.levels, space.limits.primes, draw.random((len(near), 4, 7)))
        fit = (_excess(space, near, kept) == 0).reshape(CHAINS, TRIED)
        chains = np.flatnonzero(fit.any(axis=1))
        first = chains * TRIED + fit[chains].argmax(axis=1)
        met = _values(space, near[first], kept[first])
        least = min([least, *met.tolist()])
        taken = met <= value[chains] - heat * np.log(draw.random(len(chains)))
        changed = chains[taken]
        genes[changed], keep[changed], value[changed] = near[first[taken]], kept[first[taken]], met[taken]
    return math.exp(least)


def _excess(space: Mapspace, genes: Ints, keep: Bools) -> Ints:
    """Return by how many words mappings do not fit; -1 for what breaks a constraint."""
    excess, none = np.empty(len(keep), np.int64), np.zeros(len(keep), np.int64)
    change(space.limits, brood_of(genes, keep, genes[:0], none, np.empty((len(keep), 0))), excess)
    return excess


def _values(space: Mapspace, genes: Ints, keep: Bools) -> Floats:
    """Return the objective's logarithms."""
    costs = evaluate_batch(Nest._make([*(genes[:, field] for field in range(GENES)), keep]), space.rules, space.machine)
    return np.log(np.asarray(space.objective.formula(costs.energy_pJ, costs.cycles.astype(np.float64)), np.float64))


@njit  # type: ignore[untyped-decorator]
def _move(genes: Ints, keep: Bools, levels: Ints, primes: Ints, draw: Floats) -> None:
    """Change one mapping in place: a prime factor to another level, two loops of a level, or one kept tensor."""
    dims, level = genes.shape[2], int(draw[1] * genes.shape[1])
    fans_out = levels[level, IS_FANOUT] > 0
    if draw[0] < 0.6:
        d, prime = int(draw[2] * dims), 0
        while prime == 0:
            prime = primes[d, int(draw[3] * primes.shape[1])]
            draw[3] = (draw[3] + 1 / primes.shape[1]) % 1
        wanted = draw[4] * 3 * genes.shape[1]
        for i in range(3 * genes.shape[1]):  # the first slot from a random one on that has the prime
            at = int(wanted + i) % (3 * genes.shape[1])
            field = (TEMPORAL, SPATIAL_X, SPATIAL_Y)[at % 3]
            if genes[field, at // 3, d] % prime == 0:
                genes[field, at // 3, d] //= prime
                break
        genes[(SPATIAL_X + int(2 * draw[5])) if fans_out else TEMPORAL, level, d] *= prime
    elif draw[0] < 0.85:
        row = genes[SPATIAL_ORDER if fans_out else ORDER, level]
        a, b = int(draw[2] * dims), int(draw[3] * dims)
        row[a], row[b] = row[b], row[a]
    else:
        tensor = int(draw[2] * keep.shape[1])
        if levels[level, OPEN + tensor]:
            keep[level, tensor] = not keep[level, tensor]


@njit  # type: ignore[untyped-decorator]
def _moved(genes: Ints, keep: Bools, levels: Ints, primes: Ints, draws: Floats) -> None:
    """Change mappings in place, each once or more often; ``draws``: ``(candidates, moves, 7)``."""
    for i in range(len(genes)):
        for move in draws[i]:
            _move(genes[i], keep[i], levels, primes, move)
            if move[6] < 0.7:
                break


def shuffled() -> Iterator[Case]:
    """Yield the suite in an order of no meaning that is always the same."""

    def key(case: Case) -> bytes:
        named = f"{case.design} {case.links} {case.problem.name} {case.objective}"
        return hashlib.sha256(named.encode()).digest()

    yield from sorted(cases(), key=key)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=40, help="unproven searches (default: 40)")
    parser.add_argument("--first", type=int, default=0, help="searches of the suite to leave out (default: 0)")
    parser.add_argument("--work", type=int, default=3_000_000, help="steps of work a search (default: 3,000,000)")
    parser.add_argument("--evaluations", type=int, default=30_000, help="of an anneal (default: 30,000)")
    args = parser.parse_args()
    compile_all()
    unproven, beaten, proven = 0, 0, 0
    for place, case in enumerate(shuffled()):
        if unproven == args.cases:
            break
        if place < args.first:
            continue
        architecture, energies = free(case.design, case.links)
        began = time.process_time()
        found = search(case.problem, architecture, energies, case.objective, time_limit=Allowance(work=args.work))
        if found.certificate.exact:
            proven += 1
            continue
        searched = time.process_time()
        met = anneal(case, architecture, energies, args.evaluations, seed=place)
        better = 1 - met / found.certificate.value
        unproven, beaten = unproven + 1, beaten + (better > 1e-9)
        links, gap = "links" if case.links else "no links", found.certificate.gap
        said = "the same" if abs(better) <= 1e-9 else f"{-better:.2%} worse" if better < 0 else f"{better:.2%} BETTER"
        print(
            f"{case.design:26} {links:9} {case.problem.name:27} {case.objective.value:8} {searched - began:6.2f} "
            f"CPU-s, gap {gap:.1%}; anneal {time.process_time() - searched:.2f} CPU-s, {said}",
            flush=True,
        )
    print(f"{unproven} unproven searches ({proven} proven beside them), in {beaten} the anneal found something better")


if __name__ == "__main__":
    main()
