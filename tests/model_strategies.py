"""Hypothesis strategies for whole evaluations: small problems of many kinds, small designs, mappings that fit both."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from hypothesis import strategies as st

from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.hardware.architecture import Architecture, Compute, Constraints, LoopConstraints, Spatial, Storage, Wires
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.workload.problem import Problem, Shape, Tensor, Term, convolution
from products import own_product


class Setup(NamedTuple):
    """The arguments of `dovetail.model.evaluate.evaluate`, in its order."""

    mapping: Mapping
    problem: Problem
    architecture: Architecture
    energies: EnergyTable


def _tensor(name: str, projection: str, *, is_output: bool = False) -> Tensor:
    """Read ``"A, P*a + R"``: axes by comma, summed terms by plus."""
    axes = tuple(tuple(Term(*term.strip().split("*")) for term in axis.split("+")) for axis in projection.split(","))
    return Tensor(name, axes, is_output)


def _shape(name: str, dimensions: str, inputs: list[str], output: str, coefficients: str = "") -> Shape:
    tensors = [_tensor(f"In{i}", projection) for i, projection in enumerate(inputs)]
    return Shape(
        name, tuple(dimensions), (*tensors, _tensor("Out", output, is_output=True)), tuple(coefficients.split())
    )


#: One-letter dimensions each; the first few are the kinds of the oracle, the rest are more general than it is.
SHAPES = (
    _shape("matmul", "MNK", ["M, K", "K, N"], "M, N"),
    _shape("three inputs", "IJKL", ["I, K, L", "K, J", "L, J"], "I, J"),
    _shape("conv1d", "CMPR", ["C, M, R", "C, P*stride + R*dilation"], "M, P", "stride dilation"),
    _shape("window alone", "PR", ["R", "P*stride + R*dilation"], "P", "stride dilation"),
    _shape("three summed", "PRT", ["P*a + R*b + T", "T, R"], "P", "a b"),
    _shape("on two axes", "PRC", ["P + R, P, C", "R, C"], "P", ""),
    _shape("diagonal", "PRC", ["P*a + R, R + C*b", "C"], "P", "a b"),
)
_DIVISIBLE = st.sampled_from([1, 2, 3, 4, 5, 6, 8, 9, 12])
_SMALL = st.integers(1, 3)


@st.composite
def problems(draw: st.DrawFn, most_macs: int = 3000) -> Problem:
    """Matrix products, convolutions in one and two dimensions, and projections that no network has."""
    kind = draw(st.integers(0, len(SHAPES) + 2))
    if kind == len(SHAPES):
        return own_product(M=draw(_DIVISIBLE), N=draw(_DIVISIBLE), K=draw(_DIVISIBLE), H=draw(_SMALL))
    if kind > len(SHAPES):
        pair = st.tuples(_SMALL, _SMALL)
        return convolution(
            C=draw(_SMALL),
            M=draw(_SMALL),
            P=draw(_DIVISIBLE),
            Q=draw(_DIVISIBLE),
            R=draw(_SMALL),
            S=draw(_SMALL),
            G=draw(st.sampled_from([1, 1, 2])),
            stride=draw(pair),
            dilation=draw(pair),
        )
    shape = SHAPES[kind]
    bounds = tuple(draw(_DIVISIBLE) for _ in shape.dimensions)
    while math.prod(bounds) > most_macs:
        bounds = tuple(-(-bound // 2) for bound in bounds)
    return Problem(shape, bounds, tuple(draw(_SMALL) for _ in shape.coefficients), shape.name)


def _listed(draw: st.DrawFn, tensors: list[str], *, special: bool) -> frozenset[str]:
    return frozenset(draw(st.sets(st.sampled_from(tensors), max_size=2))) if special else frozenset()


def _storage(draw: st.DrawFn, name: str, instances: int, tensors: list[str], *, special: bool) -> Storage:
    """A storage with room for everything; ``special``: with constraints and attributes that the oracle never has."""
    rate = st.sampled_from([None, None, 1, 2, 4, 0.5])
    limits = LoopConstraints(
        no_reuse=_listed(draw, tensors, special=special), rmw_first_update=_listed(draw, tensors, special=special)
    )
    cluster = draw(st.sampled_from([d for d in (1, 2, 4) if instances % d == 0])) if special else 1
    return Storage(
        name=name,
        component="SRAM",
        mesh_x=instances,
        width=draw(st.sampled_from([8, 16, 32, 64])) * cluster,
        datawidth=8,
        depth=draw(st.sampled_from([None, 1 << 20, 64])),
        cluster_size=cluster,
        multiple_buffering=draw(st.sampled_from([1, 2, 1.5])) if special else 1,
        read_bandwidth=draw(rate),
        write_bandwidth=draw(rate),
        shared_bandwidth=draw(rate) if special else None,
        constraints=Constraints(temporal=limits),
    )


def _fan_out(draw: st.DrawFn, name: str, instances: int, tensors: list[str], *, special: bool) -> Spatial:
    limits = LoopConstraints(
        no_reuse=_listed(draw, tensors, special=special), no_link_transfer=_listed(draw, tensors, special=special)
    )
    x, y = draw(st.sampled_from([(1, 4), (4, 1), (2, 3), (4, 2), (3, 3), (5, 3), (12, 1), (4, 4)]))
    constraints = Constraints(spatial=limits)
    return Spatial(name=name, component="dummy", mesh_x=instances, fanout_x=x, fanout_y=y, constraints=constraints)


@st.composite
def architectures(draw: st.DrawFn, problem: Problem, *, special: bool) -> Architecture:
    """One to four storages and up to two fan-outs, anywhere below the outermost storage."""
    kinds = ["storage"] * draw(st.integers(0, 3)) + ["fan-out"] * draw(st.sampled_from([0, 1, 1, 1, 2]))
    tensors = [tensor.name for tensor in problem.shape.tensors]
    levels: list[Storage | Spatial | Compute] = [_storage(draw, "outermost", 1, tensors, special=False)]
    instances = 1
    for i, kind in enumerate(draw(st.permutations(kinds))):
        if kind == "storage":
            storage = _storage(draw, f"buffer{i}", instances, tensors, special=special)
            gater = draw(st.sampled_from(["", *(level.name for level in levels)])) if special else ""
            levels.append(replace(storage, gated_at=gater))
        else:
            array = _fan_out(draw, f"array{i}", instances, tensors, special=special)
            levels.append(array)
            instances *= array.fanout
    return Architecture("drawn", (*levels, Compute(name="mac", component="mac", mesh_x=instances)))


@st.composite
def mappings(draw: st.DrawFn, problem: Problem, architecture: Architecture, *, imperfect: bool = False) -> Mapping:
    """Perfect factors, or any where ``imperfect``; any order, any bypass inside, drawn from the inside out."""
    left = dict(zip(problem.shape.dimensions, problem.bounds, strict=True))
    tensors = [tensor.name for tensor in problem.shape.tensors]
    entries = []
    for index, level in reversed(list(enumerate(architecture.levels[:-1]))):
        order = draw(st.permutations(problem.shape.dimensions))
        if isinstance(level, Spatial):
            cut = draw(st.integers(0, len(order)))
            x = _loops(draw, order[:cut], left, level.fanout_x, imperfect=imperfect)
            y = _loops(draw, order[cut:], left, level.fanout_y, imperfect=imperfect)
            entries.append(LevelMapping(level.name, spatial_x=x, spatial_y=y))
            continue
        keep = frozenset(tensors) if index == 0 else frozenset(draw(st.sets(st.sampled_from(tensors), min_size=1)))
        chosen = (
            tuple(Loop(d, left[d]) for d in order) if index == 0 else _loops(draw, order, left, 12, imperfect=imperfect)
        )
        entries.append(LevelMapping(level.name, temporal=chosen, keep=keep))
    return Mapping(tuple(reversed(entries)))


def _loops(draw: st.DrawFn, names: list[str], left: dict[str, int], room: int, *, imperfect: bool) -> tuple[Loop, ...]:
    loops = []
    for name in names:
        bound = left[name]
        allowed = [n for n in range(1, bound + 1) if (imperfect or bound % n == 0) and n <= room]
        factor = draw(st.sampled_from(allowed))
        room //= factor
        left[name] = -(-bound // factor)
        loops.append(Loop(name, factor, bound % factor or None))
    return tuple(loops)


def past_outermost(draw: st.DrawFn, setup: Setup) -> Setup:
    """Return a setup whose mapping lets some tensors that a level inside keeps pass the outermost level by."""
    outermost, *inner = setup.mapping.levels
    inside = frozenset().union(*(entry.keep for entry in inner))
    passing = frozenset(name for name in sorted(inside) if draw(st.booleans()))
    return setup._replace(mapping=Mapping((replace(outermost, keep=outermost.keep - passing), *inner)))


@st.composite
def energy_tables(draw: st.DrawFn, architecture: Architecture) -> EnergyTable:
    """Some energy for every action of every component."""
    energy = st.sampled_from([0.0, 0.5, 1.0, 3.25, 17.0])
    actions = ("read", "write", "update", "leak", "compute")
    return EnergyTable({level.name: ComponentCost({a: draw(energy) for a in actions}) for level in architecture.levels})


@st.composite
def setups(draw: st.DrawFn, *, special: bool = False, imperfect: bool = False) -> Setup:
    """Everything that one evaluation takes; ``special``: with what the oracle's cases never have."""
    problem = draw(problems())
    architecture = draw(architectures(problem, special=special))
    return Setup(
        draw(mappings(problem, architecture, imperfect=imperfect)),
        problem,
        architecture,
        draw(energy_tables(architecture)),
    )


@st.composite
def charged_setups(draw: st.DrawFn, *, imperfect: bool = False) -> Setup:
    """Designs in which networks, addresses and lines cost what the design itself says; some areas, for wires."""
    mapping, problem, architecture, energies = draw(setups(special=True, imperfect=imperfect))
    charge, length = st.sampled_from([0.0, 0.5, 1.0, 7.25]), st.sampled_from([None, 0.0, 500.0])
    levels = []
    for level in architecture.levels[:-1]:
        if draw(st.booleans()):
            wires = Wires(
                word_bits=draw(st.integers(1, 16)),
                hop_pJ=draw(st.sampled_from([None, 0.0, 2.0])),
                router_pJ=draw(charge),
                ingress_pJ=draw(charge),
                wire_pJ=draw(charge),
                tile_width_um=draw(length),
            )
            level = replace(level, wires=wires)
        if isinstance(level, Storage):
            level = replace(level, line_pJ=draw(st.sampled_from([None, None, 3.0])), address_pJ=draw(charge))
            level = replace(level, adds=draw(st.booleans()))
        levels.append(level)
    area = st.sampled_from([0.0, 100.0, 2500.0])
    table = EnergyTable({name: replace(cost, area_um2=draw(area)) for name, cost in energies.components.items()})
    return Setup(mapping, problem, replace(architecture, levels=(*levels, architecture.levels[-1])), table)


@st.composite
def spread_windows(draw: st.DrawFn) -> Setup:
    """Sliding windows whose output and kernel both lie across a large array: each word goes to one child or to many."""
    shape, side = draw(st.sampled_from(SHAPES[2:5])), st.integers(2, 9)
    size = {d: draw(side) if d in "PRT" else draw(_SMALL) for d in shape.dimensions}
    problem = Problem(shape, tuple(size.values()), tuple(draw(_SMALL) for _ in shape.coefficients), shape.name)
    tensors = [tensor.name for tensor in shape.tensors]
    levels = (
        _storage(draw, "outermost", 1, tensors, special=False),
        Spatial(name="array", component="dummy", fanout_x=9, fanout_y=81),
        _storage(draw, "buffer", 81, tensors, special=False),
    )
    architecture = Architecture("drawn", (*levels, Compute(name="mac", component="mac", mesh_x=81)))
    across = [d for d in draw(st.sampled_from(["PR", "RP", "PRT", "TRP"])) if d in size]
    y = tuple(Loop(d, size.pop(d)) for d in across[1:])
    x = (Loop(across[0], size.pop(across[0])),)
    rest = tuple(Loop(d, size[d]) for d in draw(st.permutations(list(size))))
    cut = draw(st.integers(0, len(rest)))
    everything = frozenset(tensors)
    mapping = Mapping(
        (
            LevelMapping("outermost", temporal=rest[:cut], keep=everything),
            LevelMapping("array", spatial_x=x, spatial_y=y),
            LevelMapping("buffer", temporal=rest[cut:], keep=everything),
        )
    )
    return Setup(mapping, problem, architecture, draw(energy_tables(architecture)))
