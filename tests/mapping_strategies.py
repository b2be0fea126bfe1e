"""An Eyeriss-like design, layers, and hypothesis strategies for designs, problems and mappings that fit them."""

from __future__ import annotations

from hypothesis import strategies as st

from dovetail.hardware.architecture import Architecture, Compute, Constraints, Spatial, Storage
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.workload.problem import Problem, Shape, Tensor, Term, convolution
from products import own_product

EYERISS = Architecture(
    "eyeriss",
    (
        Storage(name="DRAM", component="DRAM", width=64, datawidth=16),
        Storage(name="shared_glb", component="SRAM", width=64, datawidth=16, depth=16384),
        Spatial(name="inter_PE_column_spatial", component="dummy_storage", fanout_x=14, fanout_y=1),
        Spatial(name="inter_PE_spatial", component="dummy_storage", fanout_x=1, fanout_y=12),
        Storage(name="weights_spad", component="RF", width=16, datawidth=16, depth=192),
        Storage(name="psum_spad", component="RF", width=16, datawidth=16, depth=16),
        Compute(name="mac", component="intmac"),
    ),
)
LAYER = convolution(C=3, M=64, P=56, Q=56, R=3, S=3, N=1, stride=(2, 2), name="conv")
EVERYTHING = frozenset({"Weights", "Inputs", "Outputs"})
NEST = Mapping(
    (
        LevelMapping("DRAM", temporal=(Loop("Q", 4), Loop("P", 8), Loop("M", 2)), keep=EVERYTHING),
        LevelMapping("shared_glb", temporal=(Loop("P", 7),), keep=frozenset({"Inputs", "Outputs"})),
        LevelMapping("inter_PE_column_spatial", spatial_x=(Loop("Q", 14),)),
        LevelMapping("inter_PE_spatial", spatial_y=(Loop("C", 3), Loop("S", 3))),
        LevelMapping("weights_spad", temporal=(Loop("M", 4), Loop("R", 3)), keep=frozenset({"Weights"})),
        LevelMapping("psum_spad", temporal=(Loop("M", 8),), keep=frozenset({"Outputs"})),
    )
)
_NO_LIMIT = 10**9
_CHAIN = Shape(
    "chain",
    ("Batch", "I", "J1"),
    (
        Tensor("Left", ((Term("Batch"),), (Term("I"),))),
        Tensor("Right", ((Term("I"), Term("J1")),)),
        Tensor("Sum", ((Term("Batch"),), (Term("J1"),)), is_output=True),
    ),
)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Convolutions, matrix products and a shape with long dimension names."""
    size = st.integers(1, 30)
    kind = draw(st.sampled_from(["convolution", "product", "chain"]))
    if kind == "convolution":
        return convolution(C=draw(size), M=draw(size), P=draw(size), Q=draw(size), R=draw(size), G=draw(size))
    if kind == "product":
        return own_product(M=draw(size), N=draw(size), K=draw(size), H=draw(size))
    return Problem(_CHAIN, (draw(size), draw(size), draw(size)))


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    """One to three storages with up to two fan-outs after each, some with bypass constraints.

    As in a network of different layers: what one lets pass by, another may lack.
    """
    levels: list[Storage | Spatial | Compute] = []
    for storage in range(draw(st.integers(1, 3))):
        bypass = frozenset(draw(st.sets(st.sampled_from(["Weights", "Inputs", "Left"])))) if storage else frozenset()
        name, limits = f"buffer{storage}", Constraints(bypass=bypass)
        levels.append(Storage(name=name, component="SRAM", width=16, datawidth=16, constraints=limits))
        for fanout in range(draw(st.integers(0, 2))):
            x, y = draw(st.integers(1, 16)), draw(st.integers(1, 16))
            name = f"inter_{storage}_{fanout}_spatial"
            levels.append(Spatial(name=name, component="dummy_storage", fanout_x=x, fanout_y=y))
    elsewhere = frozenset(("tensor", name) for level in levels for name in level.constraints.bypass)
    return Architecture("drawn", (*levels, Compute(name="mac", component="intmac")), elsewhere=elsewhere)


@st.composite
def mappings(draw: st.DrawFn, architecture: Architecture, problem: Problem, *, residuals: bool = True) -> Mapping:
    """A mapping that fits, drawn from the inside out; the outermost storage takes what is left of each bound."""
    left = dict(zip(problem.shape.dimensions, problem.bounds, strict=True))
    tensors = [tensor.name for tensor in problem.shape.tensors]
    entries: list[LevelMapping] = []
    for level in reversed(architecture.levels[1:-1]):
        order = draw(st.permutations(problem.shape.dimensions))
        if isinstance(level, Spatial):
            cut = draw(st.integers(0, len(order)))
            x = _loops(draw, order[:cut], left, level.fanout_x, residuals)
            y = _loops(draw, order[cut:], left, level.fanout_y, residuals)
            entries.append(LevelMapping(level.name, spatial_x=x, spatial_y=y))
        else:
            keep = frozenset(draw(st.sets(st.sampled_from(tensors))))
            entries.append(
                LevelMapping(level.name, temporal=_loops(draw, order, left, _NO_LIMIT, residuals), keep=keep)
            )
    order = draw(st.permutations(problem.shape.dimensions))
    outermost = tuple(Loop(name, left[name]) for name in order)
    entries.append(LevelMapping(architecture.levels[0].name, temporal=outermost, keep=frozenset(tensors)))
    return Mapping(tuple(reversed(entries)))


def _loops(draw, names, left: dict[str, int], room: int, residuals: bool) -> tuple[Loop, ...]:
    """Draw loops within ``room`` instances and take them off ``left``, rounding up where they do not divide it."""
    loops = []
    for name in names:
        bound = left[name]
        allowed = [n for n in range(1, bound + 1) if n <= room and (residuals or bound % n == 0)]
        factor = draw(st.sampled_from(allowed))
        room //= factor
        left[name] = -(-bound // factor)
        loops.append(Loop(name, factor, bound % factor or None))
    return tuple(loops)
