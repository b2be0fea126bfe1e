"""What no mapping goes below whatever its loops: held against every mapping of small problems, neighbours included."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings

from dovetail.components.estimate import estimate
from dovetail.document import parse_document
from dovetail.hardware.architecture import Constraints, Storage
from dovetail.hardware.reader import load_architecture, read_architecture
from dovetail.mapper.allowance import Allowance
from dovetail.mapper.exact.effort import Effort
from dovetail.mapper.exact.physical import compulsory, touched
from dovetail.mapper.exact.prepare import lay_out
from dovetail.mapper.exact.space import build_space
from dovetail.mapper.objective import Objective
from dovetail.mapper.search import search
from dovetail.workload.problem import convolution, matrix_product
from draws import draws
from mapper_strategies import Setup, setups
from test_mapper_exact import assume_small, everything, is_allowed


def floor_of(setup: Setup) -> float:
    laid_out = lay_out(build_space(*setup), Effort())
    distinct = touched(laid_out.space)
    return compulsory(laid_out.space, laid_out.tables, laid_out.per_word, distinct)


@settings(max_examples=draws(30))
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


#: Two memories outside of an array that multiplies C by M; the inner one has a port for a word per multiplier.
PORTS = """
variables: {version: 0.4, technology: "45nm", global_cycle_seconds: 1e-9}
architecture:
  version: 0.4
  nodes:
  - !Component {name: FLASH, class: DRAM, attributes: {width: 64, datawidth: 8, shared_bandwidth: 0.5}}
  - !Component
    name: SRAM
    class: SRAM
    attributes: {depth: 32768, width: 64, datawidth: 8, shared_bandwidth: 1.6}
    constraints: {dataspace: {keep: [Weights, Inputs, Outputs]}}
  - !Component
    name: scratchpad
    class: SRAM
    attributes: {depth: 2048, width: 64, datawidth: 8, read_bandwidth: 32, write_bandwidth: 32}
    constraints: {dataspace: {keep: [Weights, Inputs, Outputs]}}
  - !Container
    name: PE
    spatial: {meshX: 32}
    constraints: {spatial: {factors: [N=1, P=1, Q=1, R=1, S=1], no_link_transfer: [Weights, Inputs, Outputs]}}
  - !Component {name: mac, class: intmac, attributes: {datawidth: 8}}
"""


def test_partial_sums_that_a_port_reads_back_slow_every_mapping_down() -> None:
    """A step reads a weight for each unit, C inputs and M partial sums: 4 and 8 of them at least, 44 words of 32."""
    architecture = read_architecture(parse_document(PORTS), "ports")
    problem = convolution(C=64, M=64, P=80, Q=80, R=3, S=3)
    found = search(problem, architecture, estimate(architecture), Objective.EDP, time_limit=Allowance(work=1_000_000))
    proof, unread = found.certificate, problem.words(problem.shape.tensors[2])
    assert found.cost.cycles == (problem.macs // 32 * 44 - unread) // 32 == 10_124_800
    assert proof.exact and proof.compute_bound_cycles == problem.macs // 32
