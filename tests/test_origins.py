"""Tensors that the outermost level lets pass by: where they lie, what is counted of them, and what a search may do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from brute_force import all_mappings, count_mappings
from dovetail.cli.main import main
from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.document import parse_document
from dovetail.errors import CapacityError, InputError, MappingError, NoMappingError
from dovetail.hardware.architecture import Architecture, Level, Storage
from dovetail.hardware.reader import read_architecture
from dovetail.mapper.imperfect import search_imperfect
from dovetail.mapper.local.sample import random_search
from dovetail.mapper.objective import Objective
from dovetail.mapper.search import search
from dovetail.mapping.check import check_mapping
from dovetail.mapping.constraints import violations
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.mapping.origins import origin_notes
from dovetail.model.arrays import Nest
from dovetail.model.batch import candidate
from dovetail.model.encode import decode_mapping
from dovetail.model.evaluate import evaluate
from dovetail.workload.problem import Problem, convolution
from mapper_strategies import Setup, setups, splits

#: As `simple_pim` of Timeloop's baseline designs: weights lie in the cells of a crossbar from the beginning.
PIM = """\
architecture:
  version: 0.4
  nodes:
  - !Component
    name: DRAM
    class: DRAM
    attributes: {width: 64, datawidth: 16}
    constraints: {dataspace: {keep: [Inputs, Outputs], bypass: [Weights]}}
  - !Component {name: glb, class: SRAM, attributes: {depth: 4096, width: 64, datawidth: 16},
      constraints: {dataspace: {bypass: [Weights]}}}
  - !Container {name: crossbar, spatial: {meshX: 8, meshY: 8}}
  - !Component {name: cell, class: storage, attributes: {depth: 1, width: 16, datawidth: 16},
      constraints: {dataspace: {keep: [Weights], bypass: [Inputs, Outputs]}}}
  - !Component {name: mac, class: intmac, attributes: {datawidth: 16}}
"""
LAYER = convolution(C=4, M=8, P=3, Q=2, R=2, S=1)


def pim(**changes: str) -> Architecture:
    text = PIM
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return read_architecture(parse_document(text, file="arch.yaml"), "pim")


def priced(architecture: Architecture) -> EnergyTable:
    cost = ComponentCost({"read": 3.0, "write": 5.0, "update": 2.0, "leak": 0.0, "compute": 1.0})
    return EnergyTable({level.name: cost for level in architecture.levels})


def test_weights_in_a_crossbar_are_read_there_and_nowhere_else() -> None:
    design = pim()
    found = search(LAYER, design, priced(design))
    assert found.certificate.exact
    assert not violations(found.mapping, LAYER, design)
    assert found.mapping["DRAM"].keep == {"Inputs", "Outputs"}
    weights = found.cost["cell"].tensors["Weights"]
    cells = weights.instances
    assert (weights.fills, weights.partition * cells, weights.reads * cells) == (0, 4 * 8 * 2, LAYER.macs)
    assert "Weights" not in found.cost["DRAM"].tensors
    outside = [links["Weights"] for name, links in found.cost.networks.items() if not name.startswith("cell")]
    assert [(link.ingresses, link.energy_pJ) for link in outside] == [(0, 0)] * len(outside)
    for other in (
        search_imperfect(LAYER, design, priced(design)).cost,
        random_search(LAYER, design, priced(design))[1],
    ):
        assert "Weights" not in other["DRAM"].tensors
        assert other["cell"].tensors["Weights"].fills == 0
        assert other.edp_J_cycle >= found.cost.edp_J_cycle * (1 - 1e-9)


def test_what_does_not_fit_as_a_whole_has_no_mapping() -> None:
    with pytest.raises(NoMappingError, match="no mapping"):
        search(replace(LAYER, bounds=(8, 8, *LAYER.bounds[2:])), pim(), priced(pim()))
    nowhere = pim(**{"{keep: [Weights], bypass: [Inputs, Outputs]}": "{bypass: [Weights, Inputs, Outputs]}"})
    with pytest.raises(NoMappingError, match=r"all levels let Weights pass by \(arch.yaml:8\); one must keep it"):
        search(LAYER, nowhere, priced(nowhere))


def test_a_design_that_leaves_zeros_out_is_refused() -> None:
    zeros = "sparse_optimizations: {action_optimization: [{type: gating, options: [{target: Inputs, "
    zeros += "condition_on: [Weights]}]}]}"
    sparse = pim(**{"name: glb,": f"name: glb, {zeros},"})
    with pytest.raises(InputError, match="DRAM of pim lets Weights pass by, and the design does something about zeros"):
        search(LAYER, sparse, priced(sparse))


def test_commands_say_where_it_lies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chip = "nodes:\n  - !Container {name: chip, attributes: {technology: 45}}"
    (tmp_path / "arch.yaml").write_text(PIM.replace("class: storage", "class: SRAM").replace("nodes:", chip))
    layer = "problem: {shape: cnn_layer, instance: {C: 4, K: 8, P: 3, Q: 2, R: 2, S: 1, N: 1}}\n"
    (tmp_path / "prob.yaml").write_text(layer)
    out = tmp_path / "best.yaml"
    given = [str(tmp_path / "prob.yaml"), "--on", str(tmp_path / "arch.yaml")]
    assert main(["map", *given, "--save", str(out)]) == 0
    said = capsys.readouterr().err
    assert "DRAM lets Weights pass by: all of it lies in cell from start to end" in said
    assert main(["evaluate", *given, "--mapping", str(out)]) == 0
    assert "all of it lies in cell" in capsys.readouterr().err


def test_a_mapping_may_do_what_the_design_does_not_ask_for() -> None:
    free = pim(**{"{keep: [Inputs, Outputs], bypass: [Weights]}": "{keep: [Inputs]}"})
    found = search(LAYER, pim(), priced(pim())).mapping
    (note,) = origin_notes(found, LAYER, free)
    assert note == "the mapping lets Weights pass DRAM by: it lies in cell from start to end"
    cost, as_asked = (evaluate(found, LAYER, design, priced(design)) for design in (free, pim()))
    assert (cost.cycles, cost.energy_pJ, cost.networks) == (as_asked.cycles, as_asked.energy_pJ, as_asked.networks)
    parts = Mapping(tuple(_looping_outside(entry) for entry in found.levels))
    (_, note) = origin_notes(parts, LAYER, free)
    assert note.startswith("cell does not hold all of Weights at a time (loops over M outside)")
    lost = replace(found, levels=tuple(replace(entry, keep=entry.keep - {"Weights"}) for entry in found.levels))
    with pytest.raises(MappingError, match="Weights passes all levels by; one must keep it, DRAM usually"):
        check_mapping(lost, LAYER, free)


def _looping_outside(entry: LevelMapping) -> LevelMapping:
    """Return a level of a mapping of the layer with the loop over M moved from the crossbar out of the cells."""
    if entry.level == "DRAM":
        return replace(entry, temporal=(*entry.temporal, Loop("M", 8)))
    axes = (tuple(loop for loop in axis if loop.dimension != "M") for axis in (entry.spatial_x, entry.spatial_y))
    x, y = axes
    return replace(entry, spatial_x=x, spatial_y=y)


def _least_of_all(setup: Setup, objective: Objective) -> float:
    """Return the least value of all mappings that keep what passes the outermost level by as a whole somewhere."""
    problem, architecture, energies = setup
    levels, least = architecture.levels[:-1], float("inf")
    nests = all_mappings(problem, architecture)
    names = [tensor.name for tensor in problem.shape.tensors]
    passing = [t for t, name in enumerate(names) if name in levels[0].constraints.bypass]
    nests.keep[:, 0, passing] = False
    for at in range(len(nests.keep)):
        nest = candidate(nests, at)
        if not all(_lies_whole(nest, t, problem, levels) for t in passing):
            continue
        mapping = decode_mapping(nest, problem, architecture)
        if violations(mapping, problem, architecture):
            continue
        try:
            cost = evaluate(mapping, problem, architecture, energies)
        except CapacityError:
            continue
        least = min(least, objective.value_of(cost.energy_pJ, cost.cycles))
    return least


def _lies_whole(nest: Nest, t: int, problem: Problem, levels: tuple[Level, ...]) -> bool:
    """Tell whether the first level that may keep a tensor does, whole, and one sum of each output."""
    tensor = problem.shape.tensors[t]
    may = [i for i, lv in enumerate(levels) if isinstance(lv, Storage) and tensor.name not in lv.constraints.bypass]
    if not may or not nest.keep[may[0], t]:
        return False
    moved = [name in tensor.dimensions for name in problem.shape.dimensions]
    if (nest.temporal[: may[0], moved] > 1).any():
        return False
    spatial = (nest.spatial_x * nest.spatial_y)[: may[0]]
    return not (tensor.is_output and (spatial[:, np.logical_not(moved)] > 1).any())


@settings(max_examples=25)
@given(setups(), st.data(), st.sampled_from(Objective))
def test_the_search_equals_brute_force(setup: Setup, data: st.DataObject, objective: Objective) -> None:
    problem, architecture, energies = setup
    assume(splits(problem, architecture) <= 200)
    assume(count_mappings(problem, architecture) <= 600)
    names = [tensor.name for tensor in problem.shape.tensors]
    bypass = frozenset(data.draw(st.sets(st.sampled_from(names), min_size=1)))
    outermost = architecture.levels[0]
    first = replace(outermost, absent=frozenset(), constraints=replace(outermost.constraints, bypass=bypass))
    architecture = replace(architecture, levels=(first, *architecture.levels[1:]))
    best = _least_of_all((problem, architecture, energies), objective)
    try:
        found = search(problem, architecture, energies, objective)
    except NoMappingError:
        assert best == float("inf")
        return
    assert found.certificate.exact
    assert not violations(found.mapping, problem, architecture)
    assert objective.value_of(found.cost.energy_pJ, found.cost.cycles) == pytest.approx(best, rel=1e-12, abs=1e-12)
