"""The least DRAM traffic against the room on the chip: equal to brute force, and below whatever a design moves."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings

import dovetail
from brute_force import _factors, _orders
from dovetail.api.schema import check
from dovetail.cli.main import main
from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture, Compute, Storage
from dovetail.model.arrays import Nest
from dovetail.model.batch import evaluate_batch
from dovetail.model.encode import encode_machine, encode_rules
from dovetail.model.evaluate import evaluate
from dovetail.traffic.bounds import weights_of
from dovetail.traffic.slope import Slope, Weights, slope
from dovetail.traffic.windows import Patience
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
