"""What check_mapping accepts, and the reason it gives for what it refuses."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.errors import MappingError
from dovetail.mapping.check import check_mapping
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from mapping_strategies import EYERISS, LAYER, NEST, architectures, mappings, problems


def with_entry(name, **changes):
    return Mapping(tuple(replace(entry, **changes) if entry.level == name else entry for entry in NEST.levels))


def refusal(mapping):
    with pytest.raises(MappingError) as caught:
        check_mapping(mapping, LAYER, EYERISS)
    return str(caught.value)


def test_a_mapping_that_fits_is_accepted():
    check_mapping(NEST, LAYER, EYERISS)


@given(st.data())
def test_every_drawn_mapping_is_accepted_and_no_longer_once_a_factor_grows(data):
    architecture, problem = data.draw(architectures()), data.draw(problems())
    mapping = data.draw(mappings(architecture, problem))
    check_mapping(mapping, problem, architecture)
    outermost = mapping.levels[0]
    at = data.draw(st.integers(0, len(outermost.temporal) - 1))
    loops = list(outermost.temporal)
    loops[at] = Loop(loops[at].dimension, loops[at].factor + 1)
    with pytest.raises(MappingError, match=f"factors of {loops[at].dimension}"):
        check_mapping(Mapping((replace(outermost, temporal=tuple(loops)), *mapping.levels[1:])), problem, architecture)


@given(st.data())
def test_covered_counts_the_indices_that_the_loops_visit(data):
    """Walk a dimension's loops with their short last passes and count: the definition of a residual."""
    factors = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    loops = [Loop("P", n, data.draw(st.none() | st.integers(1, n))) for n in factors]

    def visit(rest, is_last):
        if not rest:
            return 1
        count = rest[0].last if is_last else rest[0].factor
        return sum(visit(rest[1:], is_last and index == count - 1) for index in range(count))

    levels = tuple(LevelMapping(f"level{place}", temporal=(loop,)) for place, loop in enumerate(loops))
    assert Mapping(levels).covered("P") == visit(loops, is_last=True)


def test_names_of_levels():
    assert "has no level 'shared_gbl', did you mean 'shared_glb'?" in refusal(
        with_entry("shared_glb", level="shared_gbl")
    )
    assert "says nothing about level psum_spad" in refusal(Mapping(NEST.levels[:-1]))
    assert "stands in the mapping twice" in refusal(Mapping((*NEST.levels, NEST.levels[-1])))
    assert "outer to inner: DRAM" in refusal(Mapping(NEST.levels[::-1]))
    assert "mac is the compute level" in refusal(Mapping((*NEST.levels, LevelMapping("mac"))))
    assert "says nothing about level DRAM" in refusal(Mapping(()))


def test_storages_and_fanouts_each_keep_to_their_loops():
    assert "no spatial loops" in refusal(with_entry("shared_glb", spatial_x=(Loop("Q", 2),)))
    assert "no spatial loops" in refusal(with_entry("shared_glb", spatial_y=(Loop("Q", 2),)))
    assert "no loops over time" in refusal(with_entry("inter_PE_spatial", temporal=(Loop("Q", 2),)))
    assert "cannot keep Inputs" in refusal(with_entry("inter_PE_spatial", keep=frozenset({"Inputs"})))


def test_fanouts_are_counted_per_axis():
    assert refusal(with_entry("inter_PE_spatial", spatial_y=(Loop("C", 3), Loop("S", 5)))) == (
        "inter_PE_spatial: C 3 x S 5 needs 15 instances on Y but there are 12"
    )
    assert "needs 3 instances on X but there are 1" in refusal(
        with_entry("inter_PE_spatial", spatial_x=(Loop("C", 3),), spatial_y=(Loop("S", 3),))
    )


def test_loops():
    assert "conv has no dimension 'K'" in refusal(with_entry("shared_glb", temporal=(Loop("K", 7),)))
    assert "two loops over P" in refusal(with_entry("shared_glb", temporal=(Loop("P", 7), Loop("P", 1))))
    assert "factor 0; it must be at least 1" in refusal(with_entry("shared_glb", temporal=(Loop("P", 0),)))
    for last in (0, 8):
        loops = (Loop("P", 7, last),)
        assert f"makes {last} iterations; it must make 1 to 7" in refusal(with_entry("shared_glb", temporal=loops))


def test_tensors():
    assert "no tensor 'Weight', did you mean 'Weights'?" in refusal(with_entry("psum_spad", keep=frozenset({"Weight"})))


def test_factors_must_make_up_the_bound():
    assert refusal(with_entry("shared_glb", temporal=(Loop("P", 6),))) == (
        "the factors of P make 48 (DRAM 8 x shared_glb 6) but the problem has P = 56"
    )
    assert refusal(with_entry("shared_glb", temporal=(Loop("P", 2),))) == (
        "the factors of P make 16 (DRAM 8 x shared_glb 2) but the problem has P = 56"
    )
    assert refusal(with_entry("weights_spad", temporal=(Loop("M", 4),))) == (
        "the factors of R are all 1 but the problem has R = 3"
    )


def test_residuals_cover_what_does_not_divide():
    problem = replace(LAYER, bounds=tuple(55 if bound == 56 else bound for bound in LAYER.bounds))
    short = with_entry("shared_glb", temporal=(Loop("P", 7, 6),))
    short = Mapping((replace(short.levels[0]), *short.levels[1:]))
    columns = tuple(
        replace(entry, spatial_x=(Loop("Q", 14, 13),)) if entry.spatial_x else entry for entry in short.levels
    )
    check_mapping(Mapping(columns), problem, EYERISS)
    with pytest.raises(MappingError, match=r"make 55 \(DRAM 8 x shared_glb 7 \(last 6\)\) but the problem has P = 56"):
        check_mapping(Mapping(columns), LAYER, EYERISS)


def test_the_order_of_checks_never_hides_behind_hashing():
    """The same mapping is refused for the same reason whatever order its sets are built in."""
    for names in itertools.permutations(("Bias", "Weight", "Output")):
        assert "'Bias'" in refusal(with_entry("psum_spad", keep=frozenset(names)))


@given(st.data())
def test_factors_multiply_to_iterations_and_those_in_space_to_units(data):
    mapping = data.draw(mappings(data.draw(architectures()), data.draw(problems())))
    loops = [loop for entry in mapping.levels for loop in entry.loops]
    for dimension in {loop.dimension for loop in loops}:
        own = [loop.factor for loop in loops if loop.dimension == dimension]
        assert mapping.iterations(dimension) == math.prod(own)
    over_time = math.prod(loop.factor for entry in mapping.levels for loop in entry.temporal)
    assert mapping.parallelism * over_time == math.prod(loop.factor for loop in loops)


def test_a_level_that_a_mapping_lacks_is_no_key_of_it():
    with pytest.raises(KeyError, match="DROM"):
        NEST["DROM"]
