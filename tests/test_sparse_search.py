"""Searches of sparse designs: equal to brute force on small ones, never below their floor, honest on large ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from brute_force import all_mappings, count_mappings
from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.components.estimate import estimate
from dovetail.errors import MappingError, NoMappingError
from dovetail.hardware.architecture import Architecture, Compute, Spatial, Storage
from dovetail.hardware.reader import load_architecture
from dovetail.hardware.sparse import Choice, Format, LeaveOut, Leaving, MetadataStore, Rank, Sparse, TensorFormat
from dovetail.mapper.allowance import Allowance
from dovetail.mapper.exact.space import build_space
from dovetail.mapper.objective import Objective
from dovetail.mapper.search import search
from dovetail.mapper.sparse import search as sparse_search
from dovetail.mapper.sparse.cells import entering
from dovetail.mapper.sparse.floor import floor_of
from dovetail.mapper.sparse.idle import with_idle_loops
from dovetail.mapper.sparse.shares import TileShares
from dovetail.mapping.constraints import bound_to
from dovetail.mapping.mapping import Mapping
from dovetail.model.arrays import Nest
from dovetail.model.batch import evaluate_batch
from dovetail.model.cost import Cost
from dovetail.model.encode import decode_mapping, encode_machine, encode_rules
from dovetail.model.evaluate import evaluate
from dovetail.model.sparse.scene import scene_of
from dovetail.workload.densities import Banded, Density, FixedStructured, Hypergeometric
from dovetail.workload.problem import Problem, Shape, Tensor, Term, convolution, matrix_product

PRODUCT = Shape(
    "product",
    ("M", "N", "K"),
    (
        Tensor("A", ((Term("M"),), (Term("K"),))),
        Tensor("B", ((Term("N"),), (Term("K"),))),
        Tensor("Z", ((Term("M"),), (Term("N"),)), is_output=True),
    ),
)
#: The same with windows of A that overlap, two words apart.
SLIDING = Shape(
    "sliding", ("M", "N", "K"), (Tensor("A", ((Term("M", "step"), Term("K")),)), *PRODUCT.tensors[1:]), ("step",)
)
QUICK = (Phase.explicit, Phase.reuse, Phase.generate)  # what fails is small enough as it is
SHARES = st.sampled_from((0.0, 0.1, 0.25, 0.5, 0.8, 1.0))


@st.composite
def layers(draw: st.DrawFn) -> Problem:
    bounds = tuple(draw(st.sampled_from((1, 2, 3, 4, 6))) for _ in range(3))
    shape = draw(st.sampled_from((PRODUCT, PRODUCT, SLIDING)))
    densities: list[Density] = []
    for tensor, (rows, columns) in zip(PRODUCT.tensors, ((0, 2), (1, 2), (0, 1)), strict=True):
        kinds = [st.builds(FixedStructured, SHARES), st.builds(Hypergeometric, SHARES)]
        if bounds[rows] == bounds[columns] and (shape is PRODUCT or tensor.name != "A"):
            kinds.append(st.builds(Banded, st.integers(0, bounds[rows] - 1)))
        densities.append(FixedStructured() if tensor.is_output and draw(st.booleans()) else draw(st.one_of(kinds)))
    return Problem(shape, bounds, (2,) * len(shape.coefficients), "tiny", tuple(densities))


@st.composite
def sparse(draw: st.DrawFn, fill: bool) -> Sparse:
    formats = []
    for tensor in draw(st.sets(st.sampled_from("ABZ"))) if fill else ():
        packed = draw(st.sampled_from(list(Format)))
        outer = draw(st.lists(st.just(Format.UOP), max_size=2))
        everything = (frozenset("MNK"),)
        ranks = tuple(Rank(kind, flattened=everything) for kind in (*outer, packed))
        formats.append(TensorFormat(tensor, ranks, draw(st.booleans())))
    left = []
    for _ in range(draw(st.integers(0, 2))):
        target, other = draw(st.sampled_from((("A", ("B",)), ("B", ("A",)), ("Z", ("A",)), ("Z", ("A", "B")))))
        left.append(LeaveOut(draw(st.sampled_from(list(Leaving))), (Choice(target, other),)))
    return Sparse(tuple(formats), tuple(left))


@st.composite
def designs(draw: st.DrawFn) -> tuple[Architecture, EnergyTable]:
    """Two storages or three, a fan-out perhaps between the last or above compute, units that do what they can."""
    able = MetadataStore(4, 16, 64, compresses=True, decompresses=True)
    block = draw(st.sampled_from((1, 2, 4)))
    x, y = draw(st.sampled_from(((1, 1), (2, 1), (2, 3))))
    fan_out = Spatial(name="array", component="fanout", fanout_x=x, fanout_y=y)
    place = draw(st.sampled_from((1, 2)))
    outer = Storage(
        name="outer", component="DRAM", width=8 * block, datawidth=8, metadata=able, sparse=draw(sparse(True))
    )
    inner = Storage(
        name="inner",
        component="SRAM",
        mesh_x=x if place == 1 else 1,
        mesh_y=y if place == 1 else 1,
        width=8,
        datawidth=8,
        depth=draw(st.sampled_from((6, 16, 100))),
        read_bandwidth=draw(st.sampled_from((None, 1.0, 2.0))),
        metadata=able,
        sparse=draw(sparse(draw(st.booleans()))),
    )
    computing = frozenset(draw(st.sets(st.sampled_from(list(Leaving)))))
    mac = Compute(name="mac", component="mac", mesh_x=x, mesh_y=y, sparse=Sparse(computing=computing))
    middle = Storage(
        name="middle", component="SRAM", width=8, datawidth=8, depth=100, metadata=able, sparse=draw(sparse(True))
    )
    levels = [outer, inner, mac]
    levels.insert(place, fan_out)
    if draw(st.booleans()):
        levels.insert(1, middle)
    prices = {
        "outer": {"read": 100.0, "write": 90.0, "update": 95.0, "leak": 0.0, "metadata_read": 20.0, "gated_read": 5.0},
        "middle": {"read": 15.0, "write": 16.0, "update": 17.0, "leak": 0.0, "metadata_read": 9.0},
        "inner": {"read": 5.0, "write": 6.0, "update": 7.0, "leak": draw(st.sampled_from((0.0, 2.0)))},
        "mac": {"compute": 3.0, "leak": 0.0} | ({"compute_gated": 1.0} if draw(st.booleans()) else {}),
    }
    table = EnergyTable({name: ComponentCost(actions) for name, actions in prices.items()})
    return Architecture("tiny", tuple(levels)), table


def each(nests: Nest) -> Iterator[Nest]:
    for at in range(len(nests.temporal)):
        yield Nest._make(array[at] for array in nests)


def costed(nest: Nest, layer: Problem, design: Architecture, table: EnergyTable) -> tuple[Mapping, Cost | None]:
    mapping = with_idle_loops(decode_mapping(nest, layer, design), design, layer)
    try:
        return mapping, evaluate(mapping, layer, design, table)
    except MappingError:
        return mapping, None


def few(layer: Problem, design: Architecture, most: int) -> None:
    assume(design.is_sparse)
    assume(2 < count_mappings(layer, design) <= most)


@given(layers(), designs(), st.sampled_from(list(Objective)))
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), phases=QUICK)
def test_a_search_equals_brute_force(
    layer: Problem, made: tuple[Architecture, EnergyTable], objective: Objective
) -> None:
    design, table = made
    few(layer, design, 200)
    costs = [cost for nest in each(all_mappings(layer, design)) if (cost := costed(nest, layer, design, table)[1])]
    if not costs:
        with pytest.raises(NoMappingError):
            search(layer, design, table, objective)
        return
    least = min(objective.value_of(cost.energy_pJ, cost.cycles) for cost in costs)
    found = search(layer, design, table, objective)
    assert found.certificate.exact
    assert math.isclose(found.certificate.value, least, rel_tol=1e-12)
    again = evaluate(found.mapping, layer, design, table)
    assert again.energy_pJ == found.cost.energy_pJ
    assert again.cycles == found.cost.cycles


@given(layers(), designs())
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), phases=QUICK)
def test_no_mapping_goes_below_its_floor(layer: Problem, made: tuple[Architecture, EnergyTable]) -> None:
    design, table = made
    few(layer, design, 20_000)
    bound = bound_to(design, layer)
    machine = encode_machine(layer, bound, table, apart=True)
    plain = replace(bound, levels=tuple(replace(level, sparse=Sparse()) for level in bound.levels))
    space = build_space(layer, plain, table, machine)
    allowed = np.ones((len(space.levels), space.tiles), np.bool_)
    shares = TileShares(scene_of(layer, bound), space)
    nests = all_mappings(layer, design)
    places = np.random.default_rng(0).permutation(len(nests.temporal))[:25]
    for at in places:
        nest = Nest._make(np.ascontiguousarray(array[[at]]) for array in nests)
        mapping, cost = costed(next(each(nest)), layer, design, table)
        if cost is None:
            continue
        alone = np.zeros_like(allowed)  # the smallest cell that has it, and the largest
        alone[np.arange(len(alone)), entering(space, mapping)[: len(alone)]] = True
        for cell in (allowed, alone):
            floor = floor_of(shares, machine, cell, bound, table)
            relaxed = evaluate_batch(nest, encode_rules(layer, design), floor.machine)
            assert relaxed.overflow[0] == -1
            assert relaxed.energy_pJ[0] - floor.slack_pJ <= cost.energy_pJ * (1 + 1e-9)
            assert (relaxed.cycles[0] - floor.slack_cycles) * floor.pace <= cost.cycles * (1 + 1e-9)


@given(layers(), designs(), st.sampled_from(list(Objective)))
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), phases=QUICK)
def test_no_mapping_goes_below_what_cells_prove(
    layer: Problem, made: tuple[Architecture, EnergyTable], objective: Objective
) -> None:
    design, table = made
    few(layer, design, 300)
    costs = [cost for nest in each(all_mappings(layer, design)) if (cost := costed(nest, layer, design, table)[1])]
    assume(costs)
    least = min(objective.value_of(cost.energy_pJ, cost.cycles) for cost in costs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse_search, "every_mapping", lambda _: None)
        patch.setattr(sparse_search, "MOST_ROUNDS", 0)
        patch.setattr(sparse_search, "MOST_CELLS", 8)
        found = search(layer, design, table, objective).certificate
    assert found.value >= least * (1 - 1e-12)
    proven = found.value / (1 + sparse_search.ROUNDED) if found.exact else found.bound
    assert proven <= least * (1 + 1e-9)


def half_of(inputs: Problem) -> Problem:
    known = {"Inputs": Hypergeometric(0.5), "Outputs": Hypergeometric(0.5), "Weights": FixedStructured(1.0)}
    return replace(inputs, densities=tuple(known[tensor.name] for tensor in inputs.shape.tensors))


def test_what_windows_overlap_is_metadata_of_either_and_the_proof_knows() -> None:
    """A format writes what lies between two tiles with either; bounds that forgot it left 5 % open here."""
    layer = half_of(convolution(C=128, M=256, P=14, Q=14, stride=(2, 2), name="layer3.0.downsample.0"))
    design = load_architecture("eyeriss_sparse")
    assert search(layer, design, estimate(design)).certificate.exact


@pytest.mark.parametrize("design", ["sparse_tensor_core", "dual_side_tensor_core"])
def test_where_nothing_is_zero_metadata_are_known_at_every_level(design: str) -> None:
    architecture = load_architecture(design)
    product = matrix_product(C=128, M=2048, P=8192, G=8)  # queries by keys of Llama-3-8B
    assert search(product, architecture, estimate(architecture)).certificate.exact


def test_a_layer_on_eyeriss_with_its_zeros_is_proven() -> None:
    layer = half_of(convolution(C=256, M=256, P=14, Q=14, R=3, S=3, name="layer3.0.conv2"))
    design = load_architecture("eyeriss_sparse")
    found = search(layer, design, estimate(design), Objective.ENERGY)
    assert found.certificate.exact
    dram = found.cost.levels[0].tensors
    assert dram["Inputs"].zeros is not None
    assert dram["Inputs"].reads * 2 == dram["Inputs"].zeros.dense_reads
    assert dram["Inputs"].zeros.metadata_pJ > 0


@pytest.mark.parametrize(("limit", "by_itself"), [(Allowance(seconds=600), True), (Allowance(work=1), False)])
def test_a_search_within_its_limit_is_not_said_to_be_ended_by_it(
    limit: Allowance, by_itself: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sparse_search, "every_mapping", lambda space: None)
    monkeypatch.setattr(sparse_search, "MOST_ROUNDS", 1)
    half = FixedStructured(1.0), Hypergeometric(0.5), FixedStructured(1.0)
    problem = replace(convolution(C=8, M=8, P=7, Q=7), densities=half)
    design = load_architecture("eyeriss_sparse")
    found = search(problem, design, estimate(design), front=True, time_limit=limit)  # such a front is never proven
    assert not found.certificate.exact
    assert found.ended_by_itself is by_itself
