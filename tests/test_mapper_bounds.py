"""What the exact search believes of a partial mapping is true: replayed level by level, no bound exceeds the cost."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from dovetail.components.energy_table import EnergyTable
from dovetail.components.estimate import estimate
from dovetail.hardware.architecture import Architecture
from dovetail.hardware.reader import bundled_designs, load_architecture
from dovetail.mapper.exact import expand, explore
from dovetail.mapper.exact import pack as P  # noqa: N812
from dovetail.mapper.exact.prepare import Prepared, prepare
from dovetail.mapper.exact.space import build_space
from dovetail.mapper.local.improve import improve
from dovetail.mapper.local.sample import sample
from dovetail.mapper.objective import Objective
from dovetail.model.arrays import Nest
from dovetail.model.batch import candidate, evaluate_batch
from dovetail.model.encode import encode_machine, encode_mapping, encode_rules
from dovetail.workload.problem import Problem, convolution, linear

LAYERS = (
    convolution(C=32, M=16, P=28, Q=14, R=3, S=3, name="conv"),
    convolution(C=3, M=32, P=12, Q=12, R=5, S=5, N=2, stride=(2, 2), name="stem"),
    convolution(C=1, M=1, P=14, Q=14, R=3, S=3, G=24, name="depthwise"),
    convolution(C=64, M=48, P=10, Q=10, name="pointwise"),
    linear(C=256, M=100, name="linear"),
)


def replay(prepared: Prepared, nest: Nest) -> Iterator[tuple[float, float, bool]]:
    """Yield, boundary by boundary, energy and cycles that a mapping is bound to have, at last what it has."""
    space, packed = prepared.space, prepared.packed
    active, dims, tensors = list(space.active), len(space.active), len(space.rules.is_output)
    row = explore.first_rows(prepared)
    key, real, value, path = row.key[0], row.real[0], row.value[0], row.path[0]
    work = expand.scratch(dims, space.rules.coefficients.shape[1], tensors)
    sizes = np.array([divisors[-1] for divisors in space.divisors], np.int64)
    for level in range(len(space.levels)):
        start = level * (1 + 3 * dims)
        ints, width = packed.ints, packed.ints[packed.ints[P.NEXT_WIDTH] + level]
        step = ints[P.NEXTS] + ints[ints[P.NEXT] + level] + path[-1] * width
        if space.is_spatial[level]:
            x, y = nest.spatial_x[level, active], nest.spatial_y[level, active]
            at = _fanout(prepared, level, x, y, [active.index(d) for d in nest.spatial_order[level] if d in active])
            inside = sizes // (x * y)
            work[2 * dims : 3 * dims] = x * y
            tile = int(key[expand.TILE])
            key[expand.TILE] = _index(prepared, inside)
            key[expand.INSTANCES] *= (x * y).prod()
            fanout = int(ints[ints[P.FANOUT_START] + level]) + at
            chosen = space.fanouts[level][at]
            path[start + 1 : start + 1 + 3 * dims] = [*chosen.factors, *chosen.on_y, *chosen.order]
            expand.spread_out(
                ints, level, fanout, tile, int(key[expand.TILE]), int((x * y).prod()), key, real, work
            )  # fmt: skip
            path[-1], path[-2] = ints[step + at], ints[step + at + len(space.fanouts[level])]
            yield (*_bound(prepared, level, path, key, value), False)
            if space.by_model[level].any():
                explore._count_fanout(prepared, level, row)
                if not (real[expand.COUNTED * tensors : (expand.COUNTED + 1) * tensors] > 0).any():
                    path[-1] = path[-2]
        else:
            work[:dims] = sizes
            kept = sum(1 << t for t in range(tensors) if nest.keep[level, t])
            expand.keep(ints, packed.reals, level, kept, key, real, value, work)
            factors = nest.temporal[level, active]
            inside = sizes // factors
            work[dims : 2 * dims], work[2 * dims : 3 * dims] = inside, factors
            order = [active.index(d) for d in nest.order[level][::-1] if d in active]
            loops = [d for d in order if factors[d] > 1]
            longer = np.concatenate([ints, loops, [-1] * (dims - len(loops))]).astype(np.int64)
            old = key.copy()
            key[expand.TILE] = _index(prepared, inside)
            assert expand.remember(longer, level, len(ints), old, key, work)
            path[start] = kept
            path[start + 1 : start + 1 + 3 * dims] = [*factors, *([0] * dims), *order[::-1]]
            path[-1] = ints[step + space.keepers[level].index(kept)]
        sizes = inside
        yield (*_bound(prepared, level, path, key, value), False)
    energy, cycles = explore._totals(prepared, row)[0]
    yield energy, cycles, True


def _index(prepared: Prepared, sizes: np.ndarray) -> int:
    places = [divisors.index(int(size)) for divisors, size in zip(prepared.space.divisors, sizes, strict=True)]
    return sum(place * radix for place, radix in zip(places, prepared.space.radix, strict=True))


def _fanout(prepared: Prepared, level: int, x: np.ndarray, y: np.ndarray, order: list[int]) -> int:
    """Return the way to use a fan-out that costs what this one does."""
    loops = [d for d in order if x[d] * y[d] > 1]
    wanted = [d for d in loops if y[d] == 1] + [d for d in loops if y[d] > 1]
    same = [i for i, row in enumerate(prepared.space.fanouts[level]) if row.factors == tuple((x * y).tolist())]
    for i in same:
        row = prepared.space.fanouts[level][i]
        if [d for d in row.order if row.factors[d] > 1] == wanted and [d for d in loops if row.on_y[d]] == [
            d for d in loops if y[d] > 1
        ]:
            return i
    assert not prepared.space.linking[level].any(), "every order and axis is listed where neighbours may pass data on"
    return same[0]


def _bound(prepared: Prepared, level: int, path: np.ndarray, key: np.ndarray, value: np.ndarray) -> tuple[float, float]:
    packed = prepared.packed
    bound = expand.bound_of(packed.ints, packed.reals, packed.least, level + 1, int(path[-1]), key, value)
    return float(bound[0]), float(bound[1])


def check(problem: Problem, architecture: Architecture, energies: EnergyTable, count: int) -> int:
    """Replay random mappings and a good one; returns how many fitted."""
    prepared = prepare(build_space(problem, architecture, energies))
    bound = prepared.space.architecture
    rules, machine = encode_rules(problem, bound), encode_machine(problem, bound, energies)
    nests = sample(problem, architecture, count)
    costs = evaluate_batch(nests, rules, machine)
    found = improve(problem, architecture, energies, Objective.EDP, evaluations=4000)
    chosen = [(candidate(nests, i), costs.energy_pJ[i], costs.cycles[i]) for i in np.flatnonzero(costs.overflow < 0)]
    chosen.append((encode_mapping(found.mapping, problem, bound), found.cost.energy_pJ, found.cost.cycles))
    for nest, energy, cycles in chosen:
        axes = (nest.spatial_x > 1) & (nest.spatial_y > 1)
        if axes.any():
            continue  # one dimension on both axes: its own case of the model, which the space does not list
        assert prepared.compulsory_pJ <= energy * (1 + 1e-9)
        assert prepared.least_cycles <= cycles
        for bound_energy, bound_cycles, final in replay(prepared, nest):
            assert bound_energy <= energy * (1 + 1e-9)
            assert bound_cycles <= cycles * (1 + 1e-9)
            if final:
                # The model rounds cycles up from a quotient of sums, which may make one more, with its leakage.
                assert abs(bound_cycles - cycles) <= 1
                assert bound_energy == pytest.approx(energy, rel=1e-9 if bound_cycles == cycles else 1e-6)
    return len(chosen)


@pytest.mark.parametrize("problem", LAYERS, ids=[layer.name for layer in LAYERS])
@pytest.mark.parametrize("design", bundled_designs())
def test_no_bound_exceeds_the_cost(design: str, problem: Problem) -> None:
    architecture = load_architecture(design)
    assert check(problem, architecture, estimate(architecture), count=60) > 0
