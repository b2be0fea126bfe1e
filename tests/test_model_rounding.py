"""Where the reference's arithmetic shows: halves, cut-off fills, and how many children share a tile."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dovetail.hardware.architecture import Architecture, Compute, Spatial, Storage
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.model import kernel, sharing
from dovetail.model.arrays import workspace
from dovetail.model.charges import nearest
from dovetail.model.encode import encode_mapping, encode_rules
from dovetail.workload.problem import convolution


def test_halves_are_rounded_away_from_zero() -> None:
    assert [nearest(value) for value in (0.5, 1.5, 2.5, 52.5, -2.5, 2.4999)] == [1, 2, 3, 53, -3, 2]


def test_words_to_one_child_round_as_sums_of_quotients_do() -> None:
    """Of 15 children 4 are alone with their tile, 8 share it by twos, 3 by threes: 21 words each, or a hair less."""
    groups = np.zeros(16, np.int64)
    groups[1:4] = (4, 4, 1)
    assert int(sharing.words_to_one_child(21, groups)) == 20
    assert abs(sharing.words_to_one_child(21, groups) - 21) < 1e-12


@given(*[st.integers(1, 5)] * 4, st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
def test_tiles_by_receivers_are_those_of_a_count(
    P: int, Q: int, R: int, S: int, M: int, stride: int, dilation: int
) -> None:
    """Rows and columns of a window across an array, and filters that all want the same input."""
    problem = convolution(C=1, M=M, P=P, Q=Q, R=R, S=S, stride=(stride, 1), dilation=(dilation, 2))
    levels = (
        Storage(name="DRAM", component="DRAM", width=8, datawidth=8),
        Spatial(name="array", component="dummy", fanout_x=75, fanout_y=25),
        Compute(name="mac", component="mac"),
    )
    architecture = Architecture("drawn", levels)
    x, y = (Loop("P", P), Loop("R", R), Loop("M", M)), (Loop("Q", Q), Loop("S", S))
    everything = frozenset({"Weights", "Inputs", "Outputs"})
    entries = (LevelMapping("DRAM", keep=everything), LevelMapping("array", spatial_x=x, spatial_y=y))
    rules = encode_rules(problem, architecture)
    nest = encode_mapping(Mapping(entries), problem, architecture)
    work = workspace(2, *rules.coefficients.shape)
    kernel.tile_sizes(nest, work)
    found = sharing.tiles_by_receivers(rules, 1, 1, work)
    rows = Counter(p * stride + r * dilation for p in range(P) for r in range(R))
    columns = Counter(q + s * 2 for q in range(Q) for s in range(S))
    wanted = Counter(a * b * M for a in rows.values() for b in columns.values())
    assert {i: n for i, n in enumerate(found) if n} == wanted
    assert sharing.tiles_handed_out(rules, 1, 1, work) == (sum(wanted.values()), max(wanted))
