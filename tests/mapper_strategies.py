"""Hypothesis strategies for whole searches: problems so small that every mapping can be tried, on small designs."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import strategies as st

from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.hardware.architecture import (
    Architecture,
    Compute,
    Constraints,
    FactorConstraint,
    Level,
    LoopConstraints,
    Relation,
    Spatial,
    Storage,
)
from dovetail.workload.problem import Problem, Shape, Tensor, Term, convolution
from products import own_product

Setup = tuple[Problem, Architecture, EnergyTable]

_SIZE = st.sampled_from([1, 2, 2, 3, 4])
_COEFFICIENT = st.sampled_from([1, 1, 2, 3])


def tensor(name: str, projection: str, *, is_output: bool = False) -> Tensor:
    """Read ``"A, P*a + R"``: axes by comma, summed terms by plus."""
    axes = tuple(tuple(Term(*term.strip().split("*")) for term in axis.split("+")) for axis in projection.split(","))
    return Tensor(name, axes, is_output)


def shape(name: str, dimensions: str, inputs: list[str], output: str, coefficients: str = "") -> Shape:
    """Read a shape off its projections."""
    tensors = [tensor(f"In{i}", projection) for i, projection in enumerate(inputs)]
    return Shape(
        name, tuple(dimensions), (*tensors, tensor("Out", output, is_output=True)), tuple(coefficients.split())
    )


#: What no convolution or matrix product has: see the names.
SHAPES = (
    shape("three inputs", "IJK", ["I, J", "J, K", "K"], "I, K"),
    shape("on two axes", "PQR", ["P + R, Q + R", "R"], "P, Q"),
    shape("alone on two axes", "PRC", ["P, P, R", "R, C"], "P, C"),
    shape("two axes with steps", "PQR", ["P*a + R, Q + R*b", "R"], "P, Q", "a b"),
    shape("twice on one axis", "PRC", ["P*a + P + R", "R, C"], "P, C", "a"),
    shape("summed in both inputs", "PQR", ["P + R*a", "Q + R*b"], "P, Q", "a b"),
    shape("summed outputs", "PRC", ["P, C", "C, R"], "P*a + R", "a"),
    shape("outputs on two axes", "PQR", ["P, Q", "R"], "P + R, Q + R"),
    shape("three summed", "PRT", ["P*a + R*b + T", "T, R"], "P", "a b"),
    shape("equal steps", "PRC", ["P*a + R*a, C", "C, R"], "P", "a"),
    shape("in no tensor", "PRX", ["P + R", "R"], "P"),
    shape("a ring of axes", "PQR", ["P + Q, Q + R, R + P", "R"], "P"),
)


@st.composite
def projections(draw: st.DrawFn) -> Problem:
    """Draw any tensors of one to three axes, each a sum of one or two dimensions."""
    dims = "PQR"
    names = st.sampled_from(dims)
    term = st.builds(lambda d, c: f"{d}*c{c}", names, _COEFFICIENT)
    axis = st.lists(term, min_size=1, max_size=2).map(" + ".join)
    axes = st.lists(axis, min_size=1, max_size=3).map(", ".join)
    free = st.lists(names, min_size=1, max_size=2, unique=True).map(", ".join)
    inputs = draw(st.lists(axes, min_size=1, max_size=2))
    drawn = shape("any", dims, inputs, draw(free), "c1 c2 c3")
    return Problem(drawn, (draw(_SIZE), draw(_SIZE), draw(_SIZE)), (1, 2, 3), "any")


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Draw matrix products, convolutions, the shapes above and any others."""
    kind = draw(st.sampled_from(["matmul", "conv", "rows", "grouped", "shape", "shape", "any"]))
    if kind == "matmul":
        return own_product(M=draw(_SIZE), N=draw(_SIZE), K=draw(_SIZE))
    if kind == "conv":
        stride, dilation = draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from([1, 2]))
        return convolution(
            C=draw(st.sampled_from([1, 2])), M=draw(st.sampled_from([1, 2])), P=draw(_SIZE), Q=1, R=draw(_SIZE),
            stride=(stride, 1), dilation=(dilation, 1),
        )  # fmt: skip
    if kind == "rows":
        return convolution(C=1, M=1, P=2, Q=draw(st.sampled_from([2, 3])), R=draw(st.sampled_from([1, 2])), S=2)
    if kind == "grouped":
        return convolution(C=1, M=1, G=draw(_SIZE), P=draw(_SIZE), Q=1, R=2)
    if kind == "any":
        return draw(projections())
    chosen = draw(st.sampled_from(SHAPES))
    bounds = tuple(draw(_SIZE) for _ in chosen.dimensions)
    return Problem(chosen, bounds, tuple(draw(_COEFFICIENT) for _ in chosen.coefficients), chosen.name)


def _some(draw: st.DrawFn, names: list[str]) -> frozenset[str]:
    return frozenset(name for name in names if draw(st.sampled_from([False, False, False, True])))


def _fanout(draw: st.DrawFn, name: str, problem: Problem, mesh: tuple[int, int]) -> Spatial:
    names = [t.name for t in problem.shape.tensors]
    x, y = draw(st.sampled_from([(2, 1), (1, 2), (2, 2), (3, 1), (4, 1)]))
    limits = LoopConstraints(
        no_reuse=_some(draw, names), no_link_transfer=frozenset(n for n in names if draw(st.booleans()))
    )
    return Spatial(
        name=name, component="", fanout_x=x, fanout_y=y, mesh_x=mesh[0], mesh_y=mesh[1],
        constraints=Constraints(spatial=limits),
    )  # fmt: skip


def _buffer(draw: st.DrawFn, name: str, problem: Problem, mesh: tuple[int, int]) -> Storage:
    names, dims = [t.name for t in problem.shape.tensors], problem.shape.dimensions
    free = draw(st.integers(0, 2))
    keep = frozenset(draw(st.permutations(names))[: len(names) - free])
    bypass = frozenset(name for name in names if name not in keep and draw(st.booleans()))
    outputs = [t.name for t in problem.shape.tensors if t.is_output]
    loops = LoopConstraints(
        inner=tuple(draw(st.permutations(dims))[: draw(st.sampled_from([0, 0, 2]))]),
        no_reuse=_some(draw, names),
        rmw_first_update=_some(draw, outputs),
    )
    cluster = draw(st.sampled_from([1, 2])) if mesh[0] % 2 == 0 else 1
    return Storage(
        name=name,
        component="SRAM",
        width=draw(st.sampled_from([16, 32])) * cluster,
        datawidth=16,
        depth=draw(st.sampled_from([1, 2, 4, 8, 64])),
        entries=draw(st.sampled_from([None, None, 3, 7])),
        cluster_size=cluster,
        multiple_buffering=draw(st.sampled_from([1, 1, 2, 1.5])),
        mesh_x=mesh[0],
        mesh_y=mesh[1],
        read_bandwidth=draw(st.sampled_from([None, None, 1, 2, 0.7])),
        write_bandwidth=draw(st.sampled_from([None, None, 1, 1.3])),
        shared_bandwidth=draw(st.sampled_from([None, None, None, 1, 1.1])),
        constraints=Constraints(keep=keep, bypass=bypass, temporal=loops),
    )


#: Levels below a DRAM, outer to inner: storages and fan-outs.
KINDS = ("s", "fs", "sf", "ss", "sfs", "fss", "f", "ff", "ffs", "sff", "fsf", "ssf")


@st.composite
def machines(draw: st.DrawFn, problem: Problem, kinds: tuple[str, ...] = KINDS) -> tuple[Architecture, EnergyTable]:
    """One to three levels below a DRAM, storages and fan-outs in any order, with what files can say of them."""
    read, both = draw(st.sampled_from([None, None, 1, 3])), draw(st.sampled_from([None, None, 0.9]))
    outermost = Storage(
        name="DRAM", component="DRAM", width=64, datawidth=16, read_bandwidth=read, shared_bandwidth=both,
        absent=_some(draw, [tensor.name for tensor in problem.shape.tensors]),
    )  # fmt: skip
    levels: list[Level] = [outermost]
    mesh = (1, 1)
    for place, kind in enumerate(draw(st.sampled_from(kinds))):
        if kind == "f":
            array = _fanout(draw, f"array{place}", problem, mesh)
            levels.append(array)
            mesh = mesh[0] * array.fanout_x, mesh[1] * array.fanout_y
        else:
            levels.append(_buffer(draw, f"buffer{place}", problem, mesh))
    levels.append(Compute(name="mac", component="intmac", mesh_x=mesh[0], mesh_y=mesh[1]))
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
def setups(draw: st.DrawFn) -> Setup:
    """A problem, a design and its energies."""
    problem = draw(problems())
    return problem, *draw(machines(problem))


@st.composite
def constrained(draw: st.DrawFn) -> Setup:
    """A setup with more constraints on loops, in time and space."""
    problem, architecture, energies = draw(setups())
    for place, level in enumerate(architecture.levels[:-1]):
        kind = "spatial" if isinstance(level, Spatial) else "temporal"
        loops: LoopConstraints = getattr(level.constraints, kind)
        names = draw(st.permutations(problem.shape.dimensions))
        relation, value = draw(st.sampled_from([(Relation.EQ, 1), (Relation.LE, 2), (Relation.GE, 2)]))
        changes = draw(st.sampled_from(["nothing", "factor", "factors", "pins", "split", "few"]))
        if changes in ("factor", "factors"):
            count = 1 if changes == "factor" else 3
            loops = replace(loops, factors=tuple(FactorConstraint(n, relation, value) for n in names[:count]))
        elif changes == "pins":
            loops = replace(loops, inner=tuple(names[:2]), outer=tuple(names[2:3]))
        elif changes == "split" and kind == "spatial":
            loops = replace(loops, inner=tuple(names[:2]), outer=(), split=draw(st.integers(0, 3)))
        elif changes == "few":
            loops = replace(loops, max_dimensions=1)
        constraints: Constraints = replace(level.constraints, **{kind: loops})
        architecture = with_level(architecture, place, replace(level, constraints=constraints))
    return problem, architecture, energies


@st.composite
def ported(draw: st.DrawFn) -> Setup:
    """A setup whose storages read and write through one narrow port: traffic decides on the cycles, both ways."""
    problem, architecture, energies = draw(setups())
    rate = st.sampled_from([None, 0.2, 0.5, 1, 1.1])
    levels = (
        replace(level, read_bandwidth=None, write_bandwidth=None, shared_bandwidth=draw(rate))
        if isinstance(level, Storage)
        else level
        for level in architecture.levels
    )
    return problem, replace(architecture, levels=tuple(levels)), energies


def with_level(architecture: Architecture, place: int, level: Level) -> Architecture:
    """Return the architecture with another level at a place."""
    levels = architecture.levels
    return replace(architecture, levels=(*levels[:place], level, *levels[place + 1 :]))


def splits(problem: Problem, architecture: Architecture) -> int:
    """Return in how many ways the factors of the bounds can be laid on loops."""
    slots = sum(2 if isinstance(level, Spatial) else 1 for level in architecture.levels[:-1])
    primes = [[p for p in range(2, b + 1) if b % p == 0 and all(p % q for q in range(2, p))] for b in problem.bounds]
    return math.prod(
        slots ** len(found) * (2 if bound == 4 else 1) for bound, found in zip(problem.bounds, primes, strict=True)
    )
