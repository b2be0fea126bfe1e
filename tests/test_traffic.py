"""The least DRAM traffic against the room on the chip: equal to brute force, and below whatever a design moves."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import dovetail
from brute_force import _factors, _orders
from dovetail.api.schema import check
from dovetail.cli.main import main
from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.components.estimate import estimate
from dovetail.errors import InputError, NoMappingError
from dovetail.family.traffic import priced_by_traffic
from dovetail.hardware.architecture import Architecture, Compute, Storage
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.divisors import divisors_of
from dovetail.mapper.objective import Objective
from dovetail.model.arrays import Nest
from dovetail.model.batch import evaluate_batch
from dovetail.model.encode import encode_machine, encode_rules
from dovetail.model.evaluate import evaluate
from dovetail.network.map_network import map_network
from dovetail.traffic.bounds import weights_of
from dovetail.traffic.distance import distance
from dovetail.traffic.slope import Slope, Weights, slope
from dovetail.traffic.windows import Patience, Window, least_pass
from dovetail.traffic.windows import places as places_of
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import Problem, Shape, Tensor, Term, convolution, matrix_product
from dovetail.workload.widths import parse_widths
from model_strategies import setups

WORDS = Weights((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0))
ACTIONS = ("read", "write", "update", "leak")


def chip(tensors: int) -> tuple[Architecture, EnergyTable]:
    """A DRAM whose words cost 1 pJ, and a storage for each tensor, that cost nothing."""
    names = ["DRAM", *(f"place{i}" for i in range(tensors))]
    storages = tuple(Storage(name=name, component="SRAM", width=16, datawidth=16) for name in names)
    free = {name: ComponentCost(dict.fromkeys(ACTIONS, 0.0)) for name in names[1:]}
    paid = ComponentCost({**dict.fromkeys(ACTIONS, 1.0), "leak": 0.0})
    mac = ComponentCost({"compute": 0.0, "leak": 0.0})
    design = Architecture("places", (*storages, Compute(name="mac", component="intmac")))
    return design, EnergyTable({"DRAM": paid, **free, "mac": mac})


def brute_force(problem: Problem) -> dict[int, int]:
    """Return the least words moved by words held, over every nest with a place for each tensor, by the model."""
    tensors = len(problem.shape.tensors)
    design, energies = chip(tensors)
    levels = design.levels[:-1]
    rules, machine = encode_rules(problem, design), encode_machine(problem, design, energies)
    factors, orders = [], []
    for each in _factors(problem, levels):
        for order, _ in _orders(levels, each, len(problem.bounds)):
            factors.append(each["t"])
            orders.append(order)
    temporal, order = np.array(factors), np.array(orders)
    ones = np.ones_like(temporal)
    inside = np.cumprod(temporal[:, ::-1], axis=1)[:, ::-1]  # a level's tile is all from its loops inwards
    least: dict[int, int] = {}
    for places in itertools.permutations(range(tensors)):
        keep = np.zeros((len(temporal), tensors + 1, tensors), np.bool_)
        keep[:, 0] = True
        held = np.zeros(len(temporal), np.int64)
        for tensor, place in enumerate(places):
            keep[:, 1 + place, tensor] = True
            reach = 1 + ((inside[:, 1 + place, None] - 1) * rules.coefficients[tensor][None]).sum(axis=2)
            held += reach.prod(axis=1)
        costs = evaluate_batch(Nest(temporal, order, ones, ones, order, keep), rules, machine)
        for room, moved in zip(held.tolist(), costs.energy_pJ.tolist(), strict=True):
            least[room] = min(least.get(room, 1 << 60), round(moved))
    stairs: dict[int, int] = {}
    for room in sorted(least):
        if not stairs or least[room] < min(stairs.values()):
            stairs[room] = least[room]
    return stairs


def points(found: Slope) -> dict[int, int]:
    return dict(zip(found.room_bits.astype(int).tolist(), found.traffic_bits.astype(int).tolist(), strict=True))


#: Without holes between a tile's words; where tiles of one memory have holes, those of a fan-out's children do without.
EXACT = [
    matrix_product(C=2, M=2, P=3),
    convolution(C=2, M=2, P=4, Q=1, R=3, S=1),
    convolution(C=1, M=2, P=3, Q=2, R=2, S=1),
    convolution(C=1, M=2, P=8, Q=1, R=2, S=1),
    convolution(C=2, M=1, P=2, Q=2, R=3, S=1, G=2),
]


@pytest.mark.parametrize("problem", EXACT, ids=lambda problem: "x".join(str(bound) for bound in problem.bounds))
def test_it_is_the_least_over_all_nests(problem: Problem) -> None:
    assert points(slope(problem, WORDS)) == brute_force(problem)


def test_with_holes_it_is_no_more_than_of_one_memory() -> None:
    problem = convolution(C=2, M=2, P=4, Q=1, R=3, S=1, stride=(2, 1))
    found, least = slope(problem, WORDS), brute_force(problem)
    assert all(found.traffic(room) <= moved for room, moved in least.items())
    assert min(least.values()) == found.traffic(10**9) == 38  # each word once


def test_a_product_has_the_slope_that_a_hand_computes() -> None:
    problem = matrix_product(C=64, M=64, P=64)
    found = slope(problem, WORDS)
    whole, once = 64**3, 64 * 64
    assert found.traffic(2) == np.inf
    assert found.traffic(3) == 2 * whole + once  # a word of each: one of the operands or the sums stays
    assert found.traffic(16 * 8 + 8 + 1) == whole // 16 + whole // 8 + once  # 16 x 8 sums, 8 words of B, one of A
    assert found.traffic(once + 64) > 3 * once
    assert found.traffic(once + 64 + 1) == found.traffic(10**9) == 3 * once  # all of B, a row of sums, a word of A


def test_every_point_has_a_nest_whose_tiles_divide() -> None:
    problem = convolution(C=8, M=8, P=14, Q=14, R=3, S=3)
    found = slope(problem, WORDS)
    for room, moved in points(found).items():
        hold = found.hold(room)
        assert hold is not None
        assert set(hold.order) == {"Weights", "Inputs", "Outputs"}
        for inner, outer in itertools.pairwise(hold.order):
            assert all(hold.tiles[outer][d] % size == 0 for d, size in hold.tiles[inner].items())
        assert found.traffic(room - 1) > moved


def test_wide_values_weigh_by_their_bits() -> None:
    problem = matrix_product(C=16, M=16, P=16).with_widths(parse_widths("weights=4,inputs=8,outputs=16,sums=24"))
    weights = weights_of(problem, 16, 16)
    assert weights == Weights((4, 8, 24), (4, 8, 16), (4, 8, 24))
    found = slope(problem, weights)
    assert found.traffic(1e9) == 16 * 16 * (4 + 8 + 16)
    assert found.room_bits[0] == 4 + 8 + 24
    # a word of each: weights stay, inputs are read each time, sums written 16 times and read 15, all but the last wide
    assert found.traffic(36) == min(256 * 4 + 4096 * 8 + 256 * 16 + 15 * 256 * 48, 4096 * 4 + 4096 * 8 + 256 * 16)


def test_a_network_adds_up_and_costs_what_its_dram_says() -> None:
    network = dovetail.layers("alexnet@32")
    found = dovetail.bound(network, word_bits=8, pJ_per_bit=4, bytes_per_second=1e9)
    words = sum(layer.problem.touched(t) for layer in network.layers for t in layer.problem.shape.tensors)
    assert found.traffic_bytes(1e12) == words
    assert found.dram.energy_pJ(words) == 32 * words
    rooms = found.rooms()
    moved = [found.traffic_bytes(room) for room in rooms]
    assert moved == sorted(moved, reverse=True) and len(rooms) <= 24
    assert found.traffic_bytes(rooms[0] * 0.99) == np.inf
    assert found.table([1000.0]).rows[0][1:3] == (found.traffic_bytes(1000), found.traffic_bytes(1000) / words)


def test_a_dimension_on_two_axes_is_refused_by_name() -> None:
    shape = Shape(
        "d", ("P", "R"), (Tensor("A", ((Term("P"),), (Term("P"), Term("R")))), Tensor("B", ((Term("R"),),), True))
    )
    with pytest.raises(InputError, match="P lies on two axes of A"):
        slope(Problem(shape, (2, 2)), Weights((1, 1), (1, 1), (1, 1)))


def test_a_design_is_told_how_far_it_is(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("DOVETAIL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "t.csv").write_text("name,C,M,P,Q,R,S\na,4,8,6,6,3,3\n")
    words = ["bound", str(tmp_path / "t.csv"), "--on", "eyeriss_like", "--workers", "1", "--room", "40,1kB"]
    assert main([*words, "--svg", str(tmp_path / "s.svg"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert check(printed, closed=True) == "bound"
    on = printed["on"]
    assert on["least_bytes"] <= on["moved_bytes"] and on["times_least"] == on["moved_bytes"] / on["least_bytes"]
    assert on["room_bytes"] > 108_000  # the shared buffer, and the scratchpads of 168 elements
    assert ">eyeriss_like</text>" in (tmp_path / "s.svg").read_text()
    assert main(words) == 0
    assert "nobody moves less than" in capsys.readouterr().out


@settings(max_examples=25)
@given(setups())
def test_no_design_moves_less(setup) -> None:
    mapping, problem, design, energies = setup
    levels = (replace(level, depth=None) if isinstance(level, Storage) else level for level in design.levels)
    cost = evaluate(mapping, problem, replace(design, levels=tuple(levels)), energies)
    units = cost.levels[-1].instances
    tensors = len(problem.shape.tensors)
    held = units * tensors + sum(
        each.tile * level.instances for level in cost.levels[1:-1] for each in level.tensors.values()
    )
    moved = sum(each.reads + each.updates for each in cost.levels[0].tensors.values())
    words = Weights(*((1.0,) * tensors for _ in range(3)))
    try:
        found = slope(problem, words)
    except InputError:
        assume(False)
    assert found.traffic(held) <= moved


def test_a_bound_is_waited_for_as_long_as_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes minutes ends when time is up; what a cache knows is the same, however long one would wait."""
    layer = convolution(C=720, M=720, P=360, Q=360, R=60, S=60, N=720, name="slow")
    ticks = itertools.count()
    monkeypatch.setattr("dovetail.traffic.windows.time", SimpleNamespace(monotonic=lambda: 0.01 * next(ticks)))
    monkeypatch.setattr("dovetail.traffic.slope.time", SimpleNamespace(monotonic=lambda: 0.0))
    with pytest.raises(InputError, match=r"^slow: time is up before its bound is known"):
        slope(layer, WORDS, time_limit=3.0)
    assert next(ticks) == 302
    small = matrix_product(C=8, M=6, P=4)
    assert points(slope(small, WORDS, time_limit=1e9)) == points(slope(small, WORDS))
    assert Patience(3.0) == Patience(None)


def test_what_cannot_be_written_is_seen_all_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "t.csv"
    table.write_text("name,C,M,P\nfc,8,4,4\n")
    for more in ((), ("--json",)):
        assert main(["bound", str(table), "--csv", "/dev/full", *more]) == 2
        said = capsys.readouterr()
        assert "fc" in said.out or "MACs per byte" in said.out
        assert said.err.count("\n") == 1


#: Steps and sizes of dimensions that add up on an axis.
LOOPS = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 5)), min_size=1, max_size=4)


@given(LOOPS)
def test_places_touched_are_those_that_sums_reach(loops: list[tuple[int, int]]) -> None:
    sums = {sum(step * at for (step, _), at in zip(loops, places, strict=True)) for places in _places(loops)}
    steps, sizes = zip(*loops, strict=True)
    assert places_of(Window(steps, sizes), sizes) == len(sums)


def _places(loops: list[tuple[int, int]]) -> Iterator[tuple[int, ...]]:
    return itertools.product(*(range(size) for _, size in loops))


def test_places_on_a_long_axis_are_counted_or_refused_at_once() -> None:
    """What reached a trillion places was marked in as many bits."""
    assert places_of(Window((1, 10**6, 10**12), (10**6,) * 3), (10**6,) * 3) == 10**18
    assert places_of(Window((1, 1, 10**12), (10**6,) * 3), (10**6,) * 3) == (2 * 10**6 - 1) * 10**6
    with pytest.raises(InputError, match=r"steps 2, 3, 7 add up on an axis of 1[0-9,]+ places"):
        places_of(Window((2, 3, 7), (10**9,) * 3), (10**9,) * 3)


def _least_pass(steps, sizes, stages) -> int:
    """Return the least that loops around a tile send, each tried in every order and factor."""
    window = Window(steps, stages[-1])
    tile = places_of(window, sizes)

    def block(of: tuple[int, ...]) -> int:
        return len({sum(map(int.__mul__, steps, at)) for at in itertools.product(*map(range, of))})

    def outside(inside, back, sent, first, fresh) -> int:
        stage = next((end for end in stages if any(e > i for e, i in zip(end, inside, strict=True))), None)
        if stage is None:
            return sent
        found = []
        for d, step in enumerate(steps):
            for factor in divisors_of(stage[d] // inside[d])[1:]:
                moved = step * inside[d]
                more = tuple(size * (factor if place == d else 1) for place, size in enumerate(inside))
                if first is None:
                    doubled = tuple(size * (2 if place == d else 1) for place, size in enumerate(sizes))
                    new = min(tile, block(doubled) - block(sizes))
                    found.append(outside(more, moved, tile + (factor - 1) * new, moved, new))
                else:
                    brings = {0: 0, first: fresh}.get(moved - back, tile)
                    passes = sent + (factor - 1) * (brings + sent - tile)
                    found.append(outside(more, back + moved, passes, first, fresh))
        return min(found)

    return min(
        outside(sizes, 0, tile, None, 0), tile * math.prod(e // s for e, s in zip(stages[-1], sizes, strict=True))
    )


@settings(max_examples=60)
@given(st.data())
def test_a_pass_sends_the_least_of_all_loops_around_a_tile(data: st.DataObject) -> None:
    factor = st.sampled_from([1, 1, 2, 2, 3, 4])
    sizes = tuple(data.draw(factor) for _ in range(2))
    stages = [tuple(size * data.draw(factor) for size in sizes)]
    if data.draw(st.booleans()):
        stages.append(tuple(size * data.draw(factor) for size in stages[0]))
    steps = tuple(data.draw(st.integers(1, 3)) for _ in range(2))
    assert least_pass(Window(steps, stages[-1]), sizes, tuple(stages)) == _least_pass(steps, sizes, tuple(stages))


def _on_one_buffer(P: int, C: int, M: int) -> dict[int, int]:
    """Return the least words moved by words held of a product, over all tiles that share one place in the nest.

    That is what the mapper of Huang et al. (ISCA 2024, "Orojenesis") looks through: a buffer that keeps all three
    tensors, any tile, any order of the loops outside of it, partial sums that are not read the first time.
    """
    tensors = {"P": {"inputs", "outputs"}, "C": {"inputs", "weights"}, "M": {"weights", "outputs"}}
    sizes = {"P": P, "C": C, "M": M}
    words = {
        name: math.prod(sizes[d] for d in sizes if name in tensors[d]) for name in ("inputs", "weights", "outputs")
    }
    least: dict[int, int] = {}
    for tile in itertools.product(divisors_of(P), divisors_of(C), divisors_of(M)):
        inside = dict(zip(sizes, tile, strict=True))
        held = sum(math.prod(inside[d] for d in sizes if name in tensors[d]) for name in words)
        for order in itertools.permutations(sizes):  # outermost first
            loops = [(d, sizes[d] // inside[d]) for d in order if sizes[d] > inside[d]]
            moved = 0
            for name, count in words.items():
                inner = max((at for at, (d, _) in enumerate(loops) if name in tensors[d]), default=-1)
                again = math.prod(f for d, f in loops[: inner + 1] if name not in tensors[d])
                moved += count * (2 * again - 1 if name == "outputs" else again)
            least[held] = min(least.get(held, 1 << 62), moved)
    return least


#: Bytes that CUTLASS moved to and from the DRAM of NVIDIA GPUs with an L2 of so many MiB, a product of 4096 x 4096 x
#: 4096 32-bit floats: without and with tensor cores (NVlabs/timeloop, orojenesis/orojenesis_single.ipynb, "Fig.24a").
MEASURED = {2: (2.69 * 2**30, 1.58 * 2**30), 24: (650 * 2**20, 561.51 * 2**20), 40: (533 * 2**20, 411.06 * 2**20),
            50: (373.39 * 2**20, 373.33 * 2**20)}  # fmt: skip


def test_no_published_slope_of_a_product_is_below() -> None:
    for sizes in ((4096, 4096, 4096), (16384, 1024, 1024), (2048, 4096, 8192)):
        found = slope(matrix_product(P=sizes[0], C=sizes[1], M=sizes[2]), WORDS)
        one = _on_one_buffer(*sizes)
        assert all(found.traffic(room) <= moved for room, moved in one.items())
        assert (
            min(one.values()) == found.traffic_bits[-1] == sum(math.prod(p) for p in itertools.combinations(sizes, 2))
        )
        assert found.room_bits[-1] < min(room for room, moved in one.items() if moved == min(one.values()))
        assert one[3] == found.traffic(3)  # a word of each: no place is better than another
    found = slope(matrix_product(P=4096, C=4096, M=4096), WORDS)
    for cache_MiB, measured in MEASURED.items():
        assert 4 * found.traffic(cache_MiB * 2**20 / 4) <= min(measured)


#: Designs of few levels and of many, with neighbours that pass words on and without, each with a small buffer.
SMALL = {"eyeriss_like": "shared_glb", "simple_output_stationary": "shared_glb", "tpu_like": "unified_buffer"}


@settings(max_examples=10)
@given(st.data())
def test_no_search_for_the_least_traffic_finds_less(data: st.DataObject) -> None:
    """The exact optimum of what a design moves is at or above what no design can beat."""
    size = st.sampled_from([1, 2, 3, 4, 6])
    problem = convolution(
        name="small", C=data.draw(size), M=data.draw(size), P=data.draw(size), Q=data.draw(size),
        R=data.draw(st.integers(1, 3)), S=data.draw(st.integers(1, 3)), stride=(data.draw(st.sampled_from([1, 2])), 1),
    )  # fmt: skip
    name = data.draw(st.sampled_from(list(SMALL)))
    design = load_architecture(name)
    levels = tuple(
        replace(level, depth=max(level.depth // data.draw(st.sampled_from([64, 512, 1024])), 4), entries=None)
        if isinstance(level, Storage) and level.name == SMALL[name] and level.depth
        else level
        for level in design.levels
    )
    design = replace(design, levels=levels)
    network = Network("n", (Layer("small", problem),))
    try:
        cost = map_network(network, *priced_by_traffic(design, estimate(design)), objective=Objective.ENERGY, workers=1)
    except NoMappingError:
        assume(False)
    assert cost.exact
    assert distance(cost).times >= 1
