"""The batch form of the model is the model: same numbers for any mapping, however many at a time, in any thread."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.components.estimate import estimate
from dovetail.errors import CapacityError, MappingError
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.local.sample import sample
from dovetail.model.arrays import Nest
from dovetail.model.batch import candidate, evaluate_batch, stack
from dovetail.model.encode import decode_mapping, encode_machine, encode_mapping, encode_rules
from dovetail.model.evaluate import evaluate
from dovetail.workload.problem import convolution
from model_strategies import Setup, setups

LAYER = convolution(C=16, M=24, P=12, Q=28, R=3, S=3, N=2, stride=(2, 1), name="layer")


def assert_equal_to_the_model(nests: Nest, setup: Setup) -> None:
    _, problem, architecture, energies = setup
    costs = evaluate_batch(nests, encode_rules(problem, architecture), encode_machine(problem, architecture, energies))
    for i in range(len(nests.temporal)):
        mapping = decode_mapping(candidate(nests, i), problem, architecture)
        try:
            cost = evaluate(mapping, problem, architecture, energies)
        except CapacityError as error:
            assert architecture.levels[costs.overflow[i]].name == error.level
            continue
        assert costs.overflow[i] == -1
        assert costs.cycles[i] == cost.cycles
        assert costs.energy_pJ[i] == cost.energy_pJ  # to the last bit


@settings(max_examples=150)
@given(setups(special=True))
def test_equals_the_model_on_anything(setup: Setup) -> None:
    nest = encode_mapping(setup.mapping, setup.problem, setup.architecture)
    assert_equal_to_the_model(stack([nest]), setup)


@pytest.mark.parametrize("design", ["eyeriss_like", "simple_output_stationary", "simba_like"])
def test_equals_the_model_on_the_designs(design: str) -> None:
    architecture = load_architecture(design)
    nests = sample(LAYER, architecture, 60, seed=7)
    first = decode_mapping(candidate(nests, 0), LAYER, architecture)
    assert_equal_to_the_model(nests, Setup(first, LAYER, architecture, estimate(architecture)))


@given(st.lists(st.integers(0, 300), max_size=5), st.integers(1, 4))
@settings(max_examples=20)
def test_chunks_and_threads_change_nothing(cuts: list[int], threads: int) -> None:
    architecture = load_architecture("eyeriss_like")
    rules, machine = encode_rules(LAYER, architecture), encode_machine(LAYER, architecture, estimate(architecture))
    nests = sample(LAYER, architecture, 300, seed=2)
    whole = evaluate_batch(nests, rules, machine)
    edges = [0, *sorted(cuts), 300]
    chunks = [Nest._make(array[a:b] for array in nests) for a, b in itertools.pairwise(edges)]
    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(lambda chunk: evaluate_batch(chunk, rules, machine), chunks))
    for name in ("cycles", "energy_pJ", "overflow"):
        assert np.array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))


def test_arrays_of_the_wrong_shape_are_refused() -> None:
    architecture = load_architecture("eyeriss_like")
    rules, machine = encode_rules(LAYER, architecture), encode_machine(LAYER, architecture, estimate(architecture))
    nests = sample(LAYER, architecture, 3)
    with pytest.raises(MappingError, match=r"keep of the mappings has shape \(3, 7, 2\); it must be \(3, 7, 3\)"):
        evaluate_batch(nests._replace(keep=nests.keep[:, :, :2]), rules, machine)
