"""The exact mapper equals brute force: nothing in the whole space is better, and its answer is in the space."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from brute_force import all_mappings
from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.errors import NoMappingError
from dovetail.hardware.architecture import Architecture, Compute, Constraints, Level, LoopConstraints, Spatial, Storage
from dovetail.mapper.objective import Objective
from dovetail.mapper.search import search
from dovetail.mapping.check import check_mapping
from dovetail.mapping.constraints import violations
from dovetail.model.batch import candidate, evaluate_batch
from dovetail.model.encode import decode_mapping, encode_machine, encode_rules
from dovetail.workload.problem import Problem, Shape, Tensor, Term, convolution
from products import own_product

MOST = 60_000  # mappings that brute force is given


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    kind = draw(st.sampled_from(["matmul", "conv", "rows", "grouped", "three"]))
    size = st.sampled_from([1, 2, 2, 3, 4])
    if kind == "matmul":
        return own_product(M=draw(size), N=draw(size), K=draw(size))
    if kind == "conv":
        stride, dilation = draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from([1, 2]))
        return convolution(
            C=draw(st.sampled_from([1, 2])), M=draw(st.sampled_from([1, 2])), P=draw(size), Q=1, R=draw(size),
            stride=(stride, 1), dilation=(dilation, 1),
        )  # fmt: skip
    if kind == "rows":
        return convolution(C=1, M=1, P=2, Q=draw(st.sampled_from([2, 3])), R=draw(st.sampled_from([1, 2])), S=2)
    if kind == "grouped":
        return convolution(C=1, M=1, G=draw(size), P=draw(size), Q=1, R=2)
    shape = Shape(
        "three",
        ("I", "J", "K"),
        (
            Tensor("A", ((Term("I"),), (Term("J"),))),
            Tensor("B", ((Term("J"),), (Term("K"),))),
            Tensor("D", ((Term("K"),),)),
            Tensor("Z", ((Term("I"),), (Term("K"),)), is_output=True),
        ),
    )
    return Problem(shape, (draw(size), draw(size), draw(size)))


@st.composite
def machines(draw: st.DrawFn, problem: Problem) -> tuple[Architecture, EnergyTable]:
    names = [tensor.name for tensor in problem.shape.tensors]
    dims = problem.shape.dimensions
    levels: list[Level] = [Storage(name="DRAM", component="DRAM", width=64, datawidth=16)]
    kinds = draw(st.sampled_from(["s", "fs", "sf", "ss", "sfs", "fss", "f"]))
    mesh_x = mesh_y = 1
    for place, kind in enumerate(kinds):
        if kind == "f":
            x, y = draw(st.sampled_from([(2, 1), (1, 2), (2, 2), (3, 1), (4, 1)]))
            levels.append(
                Spatial(name=f"array{place}", component="", fanout_x=x, fanout_y=y, mesh_x=mesh_x, mesh_y=mesh_y)
            )
            mesh_x, mesh_y = mesh_x * x, mesh_y * y
            continue
        free = draw(st.integers(0, 2))
        keep = frozenset(draw(st.permutations(names))[: len(names) - free])
        bypass = frozenset(name for name in names if name not in keep and draw(st.booleans()))
        factors = ()
        loops = LoopConstraints(
            inner=tuple(draw(st.permutations(dims))[: draw(st.sampled_from([0, 0, 2]))]), factors=factors
        )
        levels.append(
            Storage(
                name=f"buffer{place}",
                component="SRAM",
                width=draw(st.sampled_from([16, 32])),
                datawidth=16,
                depth=draw(st.sampled_from([1, 2, 4, 8, 64])),
                mesh_x=mesh_x,
                mesh_y=mesh_y,
                read_bandwidth=draw(st.sampled_from([None, None, 1, 2])),
                write_bandwidth=draw(st.sampled_from([None, 1])),
                constraints=Constraints(keep=keep, bypass=bypass, temporal=loops),
            )
        )
    levels.append(Compute(name="mac", component="intmac", mesh_x=mesh_x, mesh_y=mesh_y))
    price = st.sampled_from([0.0, 0.5, 1.0, 3.0, 7.25])
    table = {
        level.name: ComponentCost(
            {
                "read": draw(price) * 10,
                "write": draw(price),
                "update": draw(price),
                "leak": draw(st.sampled_from([0.0, 0.1])),
            }
            if isinstance(level, Storage)
            else {"compute": 1.0, "leak": 0.0}
        )
        for level in levels
    }
    return Architecture("random", tuple(levels)), EnergyTable(table)


@st.composite
def setups(draw: st.DrawFn) -> tuple[Problem, Architecture, EnergyTable]:
    problem = draw(problems())
    return problem, *draw(machines(problem))


def _count(problem: Problem, architecture: Architecture) -> int:
    slots = sum(2 if isinstance(level, Spatial) else 1 for level in architecture.levels[:-1])
    return int(np.prod([slots ** sum(b % p == 0 for p in (2, 3)) * (2 if b == 4 else 1) for b in problem.bounds]))


@settings(max_examples=60)
@given(setups(), st.sampled_from(Objective))
def test_equals_brute_force(setup: tuple[Problem, Architecture, EnergyTable], objective: Objective) -> None:
    problem, architecture, energies = setup
    if _count(problem, architecture) > 800:
        return
    nests = all_mappings(problem, architecture)
    if len(nests.temporal) > MOST:
        return
    costs = evaluate_batch(nests, encode_rules(problem, architecture), encode_machine(architecture, energies))
    values = np.array([objective.value_of(e, c) for e, c in zip(costs.energy_pJ, costs.cycles, strict=True)])
    values[costs.overflow >= 0] = np.inf
    try:
        result = search(problem, architecture, energies, objective)
    except NoMappingError:
        for at in np.flatnonzero(np.isfinite(values)):
            assert violations(decode_mapping(candidate(nests, int(at)), problem, architecture), problem, architecture)
        return
    assert result.certificate.exact
    check_mapping(result.mapping, problem, architecture)
    assert not violations(result.mapping, problem, architecture)
    ours = objective.value_of(result.cost.energy_pJ, result.cost.cycles)
    if result.cost.cycles > result.cost.levels[-1].cycles:
        # The model rounds cycles up from a quotient of sums; mappings of equal traffic can differ by one cycle in it.
        ours = min(ours, objective.value_of(result.cost.energy_pJ, result.cost.cycles - 1))
    for at in np.flatnonzero(values < ours * (1 - 1e-9)):
        better = decode_mapping(candidate(nests, int(at)), problem, architecture)
        assert violations(better, problem, architecture), f"{values[at]} < {ours}"
