"""What no mapping goes below whatever its loops: held against every mapping of small problems, neighbours included."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings

from dovetail.components.estimate import estimate
from dovetail.hardware.architecture import Constraints, Storage
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.exact.effort import Effort
from dovetail.mapper.exact.physical import compulsory, touched
from dovetail.mapper.exact.prepare import lay_out
from dovetail.mapper.exact.space import build_space
from dovetail.workload.problem import matrix_product
from mapper_strategies import Setup, setups
from test_mapper_exact import assume_small, everything, is_allowed


def floor_of(setup: Setup) -> float:
    laid_out = lay_out(build_space(*setup), Effort())
    distinct = np.array([touched(laid_out.space, t) for t in range(len(setup[0].shape.tensors))])
    return compulsory(laid_out.space, laid_out.tables, laid_out.per_word, distinct)


@settings(max_examples=30)
@given(setups())
def test_no_mapping_takes_less_than_it_must(setup: Setup) -> None:
    assume_small(setup)
    least = floor_of(setup)
    nests, costs = everything(setup)
    for at in np.argsort(costs.energy_pJ):
        if costs.energy_pJ[at] >= least * (1 - 1e-9):
            break
        assert costs.overflow[at] >= 0 or not is_allowed(nests, int(at), *setup[:2])


def test_every_word_leaves_the_memory_once_also_where_any_level_may_keep_it() -> None:
    design = load_architecture("simple_weight_stationary")
    free = replace(design, levels=tuple(replace(level, constraints=Constraints()) for level in design.levels))
    problem, energies = matrix_product(C=64, M=32, P=1), estimate(design)
    memory, outside = energies[design.levels[0].name], design.levels[0]
    assert isinstance(outside, Storage)
    pJ = (problem.macs + 64) * memory.energy("read") + 32 * memory.energy("update")
    assert floor_of((problem, free, energies)) >= pJ / outside.block
