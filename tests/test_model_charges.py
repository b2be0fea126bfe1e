"""The counting vocabulary by itself: narrower words of one tensor, lines, instances that share them, another action."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.hardware.architecture import Architecture, Compute, Spatial, Storage
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.model import charges, kernel
from dovetail.model.arrays import Machine, Nest, Rules, workspace
from dovetail.model.batch import evaluate_batch, stack
from dovetail.model.encode import encode_machine, encode_mapping, encode_rules
from dovetail.model.evaluate import evaluate
from dovetail.workload.problem import Problem, matrix_product
from dovetail.workload.widths import SUMS, Width
from model_strategies import Setup, setups

LAYER = matrix_product(C=64, M=32, P=16)
TENSORS = [tensor.name for tensor in LAYER.shape.tensors]
PRICES = {"read": 3.0, "write": 5.0, "update": 7.0, "leak": 0.5}
ENERGIES = EnergyTable(
    {
        "memory": ComponentCost({**PRICES, "read": 100.0}),
        "buffer": ComponentCost(PRICES),
        "mac": ComponentCost({"compute": 1.0}),
    }
)
BUFFER = 1


def design(**limits: float) -> Architecture:
    """Return a design whose memory pads values up to its words, and whose buffer takes them to the bit."""
    levels = (
        Storage(name="memory", component="DRAM", width=64, datawidth=16, value_widths=(16,)),
        Storage(name="buffer", component="SRAM", width=64, datawidth=16, depth=4096, any_width=True, **limits),
        Spatial(name="array", component="", fanout_x=4, fanout_y=1),
        Compute(name="mac", component="intmac", mesh_x=4),
    )
    return Architecture("design", levels)


MAPPING = Mapping(
    (
        LevelMapping("memory", temporal=(Loop("P", 16), Loop("M", 8)), keep=frozenset(TENSORS)),
        LevelMapping("buffer", temporal=(Loop("C", 64),), keep=frozenset(TENSORS)),
        LevelMapping("array", spatial_x=(Loop("M", 4),)),
    )
)


def machines(architecture: Architecture, tensor: int, bits: int) -> tuple[Machine, Machine]:
    """Return the machine with all words of 16 bits, and that with one tensor's of another width in the buffer."""
    return encode_machine(LAYER, architecture, ENERGIES), encode_machine(wide(tensor, bits), architecture, ENERGIES)


def wide(tensor: int, bits: int) -> Problem:
    """Return the layer with one tensor's words of so many bits; of outputs, the partial sums'."""
    return LAYER.with_widths({SUMS if LAYER.shape.tensors[tensor].is_output else TENSORS[tensor]: Width(bits)})


def counted(architecture: Architecture) -> tuple[Rules, Nest, np.ndarray]:
    rules, nest = encode_rules(LAYER, architecture), encode_mapping(MAPPING, LAYER, architecture)
    counts = np.zeros((*nest.keep.shape, charges.COUNTS), np.int64)
    kernel.count_all(rules, nest, workspace(len(nest.keep), *rules.coefficients.shape), counts)
    return rules, nest, counts


@pytest.mark.parametrize("tensor", range(3), ids=TENSORS)
def test_half_the_bits_of_a_tensor_at_a_level_halve_what_it_takes_there_and_its_lines(tensor: int) -> None:
    architecture = design()
    plain, narrow = machines(architecture, tensor, 8)
    _, _, counts = counted(architecture)
    for level in range(3):
        for t in range(3):
            half = 2 if (level, t) == (BUFFER, tensor) else 1
            words = int(counts[level, t, charges.TILE])
            taken = [charges.space_taken(m, level, t, words) / m.grains[level] for m in (plain, narrow)]
            assert taken[1] * half == taken[0]
            accesses = [
                [charges.lines(n, m.parts[level, t], m.block[level, t]) for n in 8 * counts[level, t]]
                for m in (plain, narrow)
            ]
            assert [n * half for n in accesses[1]] == accesses[0]
            asked = [charges.bandwidth_taken(m, level, t, 12) for m in (plain, narrow)]
            assert asked[1] * half == asked[0]
    assert np.array_equal(plain.capacity // plain.grains, narrow.capacity // narrow.grains)
    for name in ("clusters", "bandwidth", "energy", "leakage", "units"):
        assert np.array_equal(getattr(plain, name), getattr(narrow, name))


@pytest.mark.parametrize("tensor", range(3), ids=TENSORS)
def test_half_the_bits_of_a_tensor_halve_the_energy_of_its_accesses_there_and_nothing_else(tensor: int) -> None:
    architecture = design()
    plain, narrow = machines(architecture, tensor, 8)
    rules, nest, counts = counted(architecture)
    here, there = (evaluate_batch(stack([nest]), rules, m) for m in (plain, narrow))
    blocks = counts[BUFFER, tensor, charges.ACTED :] % 8 == 0
    assert blocks.all(), "every count fills whole lines of either width"
    own = charges.access_energy(plain, BUFFER, tensor, counts[BUFFER, tensor, charges.ACTED :], 1, 1)
    assert own > 0
    computing = LAYER.macs * (plain.compute_pJ - narrow.compute_pJ)
    assert computing > 0
    assert there.energy_pJ[0] == pytest.approx(here.energy_pJ[0] - own / 2 - computing, rel=1e-14)
    assert there.cycles[0] == here.cycles[0]
    assert there.overflow[0] == here.overflow[0] == -1


def test_narrower_words_fit_where_wider_ones_do_not_and_to_the_bit() -> None:
    architecture = design()
    _, _, counts = counted(architecture)
    tiles = counts[BUFFER, :, charges.TILE].tolist()
    for tensor in range(3):
        for bits in (4, 8, 12, 16, 24):
            need = sum(words * (bits if t == tensor else 16) for t, words in enumerate(tiles))
            _, machine = machines(architecture, tensor, bits)
            for spare in (-1, 0, 1):
                grains = (need + spare) * machine.grains // 16  # all that so many bits have room for
                room = np.where(np.arange(3) == BUFFER, grains, machine.capacity)
                assert charges.overflowing_level(machine._replace(capacity=room), counts) == (
                    BUFFER if spare < 0 else -1
                )


@pytest.mark.parametrize("limits", [{"read_bandwidth": 1.5}, {"write_bandwidth": 0.1}, {"shared_bandwidth": 2.0}])
def test_bandwidth_is_of_bits_over_the_level_s_own_width(limits: dict[str, float]) -> None:
    """All words half as wide are as good as twice the bandwidth."""
    architecture = design(**limits)
    plain, _ = machines(architecture, 0, 16)
    halves = LAYER.with_widths({"*": Width(8), SUMS: Width(8)})
    narrow = encode_machine(halves, architecture, ENERGIES)
    twice = encode_machine(LAYER, design(**{name: 2 * value for name, value in limits.items()}), ENERGIES)
    rules, nest, _ = counted(architecture)
    cycles = [int(evaluate_batch(stack([nest]), rules, machine).cycles[0]) for machine in (plain, narrow, twice)]
    assert cycles[1] == cycles[2] < cycles[0]


@settings(max_examples=60)
@given(setups(special=True), st.integers(1, 5))
def test_wider_levels_of_wider_words_count_the_same(setup: Setup, times: int) -> None:
    """Only how many words fit a line, the capacity and the bandwidth matters, not their width."""
    rules = encode_rules(setup.problem, setup.architecture)
    nest = encode_mapping(setup.mapping, setup.problem, setup.architecture)
    machine = encode_machine(setup.problem, setup.architecture, setup.energies)
    storages = [level for level in setup.architecture.levels if isinstance(level, Storage)]
    at = [i for i, level in enumerate(setup.architecture.levels[:-1]) if isinstance(level, Storage)]
    assert machine.block[at].tolist() == [[s.block] * len(rules.is_output) for s in storages]
    grown = machine._replace(grains=times * machine.grains, size=times * machine.size)
    grown = grown._replace(capacity=np.where(machine.capacity < 0, -1, times * machine.capacity))
    one, other = (evaluate_batch(stack([nest]), rules, m) for m in (machine, grown))
    assert (one.cycles, one.energy_pJ, one.overflow) == (other.cycles, other.energy_pJ, other.overflow)


@given(st.integers(0, 10**6), st.integers(1, 64), st.integers(1, 40))
def test_a_line_that_is_not_full_is_an_access_all_the_same(words: int, block: int, parts: int) -> None:
    assert charges.lines(words, 1, block) == math.ceil(words / block)
    assert charges.lines(words, parts, block) == math.ceil(Fraction(words * parts, block))


@given(st.integers(1, 64), st.integers(1, 8), st.tuples(*[st.integers(0, 10**6)] * 3))
def test_instances_that_share_a_line_pay_for_it_once(instances: int, clusters: int, words: tuple[int, ...]) -> None:
    plain, _ = machines(design(), 0, 16)
    machine = plain._replace(clusters=np.full(3, clusters))
    alone = sum(math.ceil(n / 4) * PRICES[action] for n, action in zip(words, charges.ACTIONS, strict=True))
    found = charges.access_energy(machine, BUFFER, 0, words, instances, instances)
    assert found == pytest.approx(alone * min(instances, clusters))
    assert charges.word_energy(machine, BUFFER, 0, charges.WRITE) == PRICES["write"] / 4


def test_the_words_of_a_tile_are_those_of_its_box() -> None:
    """Rows of a window: 3 places of the output, 2 of the filter, steps of 2 and 3; many tiles at a time."""
    axes = np.array([[2, 3, 0], [0, 0, 1]])
    assert charges.words_of(axes, np.array([3, 2, 5])) == (1 + 2 * 2 + 3 * 1) * 5
    sizes = np.array([[3, 1], [2, 1], [5, 4]])
    assert charges.words_of(axes, sizes).tolist() == [8 * 5, 1 * 4]
    assert charges.new_words(40, np.array([8, 5]), np.array([2, 0])) == 40 - 6 * 5
    assert charges.new_words(40, np.array([8, 5]), np.array([-9, 0])) == 40


def test_another_action_is_another_column(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name, and whether it reads: the machine has its price, a count has its number, and both are charged."""
    plain = encode_machine(LAYER, design(read_bandwidth=8.0), ENERGIES)
    _, _, counts = counted(design())
    monkeypatch.setattr(charges, "ACTIONS", (*charges.ACTIONS, "gated_read"))
    monkeypatch.setattr(charges, "READING", (*charges.READING, True))
    energy = np.concatenate([plain.energy, np.full((3, 3, 1), 0.25)], axis=2)
    more = np.concatenate([counts, np.full((3, 3, 1), 40)], axis=2)
    machine = plain._replace(energy=energy)
    before = charges.access_energy(machine, BUFFER, 0, np.append(counts[BUFFER, 0, charges.ACTED :], 0), 1, 1)
    after = charges.access_energy(machine, BUFFER, 0, more[BUFFER, 0, charges.ACTED :], 1, 1)
    assert after == before + 10 * 0.25
    assert charges.slowdown(machine, BUFFER, more, 5, 1, 1) == 8.0 / ((counts[BUFFER, :, charges.READS] + 40).sum() / 5)


def test_evaluating_goes_by_the_same_rules() -> None:
    architecture = design(read_bandwidth=1.5)
    cost = evaluate(MAPPING, LAYER, architecture, ENERGIES)
    machine = encode_machine(LAYER, architecture, ENERGIES)
    rules, nest, counts = counted(architecture)
    batch = evaluate_batch(stack([nest]), rules, machine)
    assert (batch.cycles[0], batch.energy_pJ[0]) == (cost.cycles, cost.energy_pJ)
    read = counts[BUFFER, :, charges.READS].sum() / (16 * 8 * 64)
    assert cost["buffer"].throttling == charges.throttling(machine, BUFFER, read, 0.0) < 1
