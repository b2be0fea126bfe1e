"""The bundled sparse designs: published counts come out, layers of all kinds are mapped, and zeros pay."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dovetail.api.schema import check
from dovetail.cli.main import main
from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.components.estimate import estimate
from dovetail.document import parse_document
from dovetail.errors import MappingError
from dovetail.hardware.reader import (
    bundled_designs,
    dense_designs,
    design_file,
    load_architecture,
    read_architecture,
)
from dovetail.mapper.objective import Objective
from dovetail.mapper.search import search
from dovetail.mapper.sparse.idle import with_idle_loops
from dovetail.mapper.zeros import DENSITIES, over_densities, without_features
from dovetail.mapping.constraints import bound_to
from dovetail.mapping.files import write_mapping
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.model.cost import Cost
from dovetail.model.evaluate import evaluate
from dovetail.model.sparse.prices import price_notes
from dovetail.workload.densities import DENSE, Density, FixedStructured, Hypergeometric
from dovetail.workload.problem import Problem, convolution
from dovetail.workload.problem_yaml import write_problem

SPARSE = ("dual_side_tensor_core", "eyeriss_sparse", "eyeriss_v2_pe", "sparse_tensor_core")


def with_densities(problem: Problem, **densities: Density) -> Problem:
    return replace(problem, densities=tuple(densities.get(one.name, DENSE) for one in problem.shape.tensors))


def test_sparse_and_dense_ones_are_told_apart() -> None:
    assert set(bundled_designs()) == {*dense_designs(), *SPARSE}
    assert not set(dense_designs()) & set(SPARSE)


#: Layer: M, C, P = Q, what of M and of C is within the element, densities of inputs and weights, cycles that
#: Sparseloop publishes (Accelergy-Project/micro22-sparseloop-artifact, fig12_eyerissv2_pe_setup).
MOBILENET = {
    "L07": (64, 64, 32, 8, 8, 0.73, 0.52, 1592245),
    "L09": (128, 64, 16, 16, 8, 0.86, 0.82, 1479114),
    "L13": (256, 128, 8, 16, 8, 0.83, 0.64, 1114139),
    "L19": (256, 256, 8, 16, 8, 0.61, 0.55, 1407304),
    "L21": (256, 256, 8, 16, 8, 0.64, 0.60, 1610668),
    "L23": (256, 256, 8, 16, 8, 0.61, 0.70, 1791135),
    "L25": (512, 256, 4, 16, 8, 0.68, 0.65, 927185),
    "L27": (512, 512, 4, 16, 8, 0.58, 0.30, 729915),
}


def loops(**factors: int) -> tuple[Loop, ...]:
    return tuple(Loop(name, factor) for name, factor in factors.items())


def element_mapping(layer: Problem, inner_m: int, inner_c: int) -> Mapping:
    """Return the artifact's mapping: all places outside, channels within."""
    sizes = dict(zip(layer.shape.dimensions, layer.bounds, strict=True))
    outside = loops(M=sizes["M"] // inner_m, C=sizes["C"] // inner_c, S=1, Q=sizes["Q"], P=sizes["P"], R=1)
    idle = tuple(Loop(name, 1) for name in ("M", "C", "R", "S", "P", "Q"))
    within = loops(Q=1, P=1, S=1, R=1, C=inner_c, M=inner_m)
    levels = (
        LevelMapping("backing_storage", temporal=outside, keep=frozenset({"Weights", "Inputs", "Outputs"})),
        LevelMapping("iact_spad", temporal=idle, keep=frozenset({"Inputs"})),
        LevelMapping("weight_spad", temporal=idle, keep=frozenset({"Weights"})),
        LevelMapping("psum_spad", temporal=within, keep=frozenset({"Outputs"})),
        LevelMapping("reg", temporal=idle, keep=frozenset({"Inputs"})),
    )
    return Mapping(levels)


def on_the_element(layer: Problem, inner_m: int, inner_c: int) -> Cost:
    design = load_architecture("eyeriss_v2_pe")
    return evaluate(element_mapping(layer, inner_m, inner_c), layer, design, estimate(design))


@pytest.mark.parametrize("name", MOBILENET)
def test_the_element_of_eyeriss_v2_takes_the_published_cycles(name: str) -> None:
    m, c, side, inner_m, inner_c, inputs, weights, published = MOBILENET[name]
    layer = with_densities(
        convolution(C=c, M=m, P=side, Q=side, R=1, S=1, name=name),
        Inputs=Hypergeometric(inputs),
        Weights=Hypergeometric(weights),
    )
    cost = on_the_element(layer, inner_m, inner_c)
    assert abs(cost.cycles - published) <= 3


def test_what_zeros_do_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layer = convolution(C=8, M=8, P=4, Q=4, R=1, S=1, name="small")
    halves = {name: Hypergeometric(0.5) for name in ("Inputs", "Weights")}
    cost = on_the_element(with_densities(layer, **halves), 8, 8)
    table = cost.zeros_table()
    assert table is not None
    rows = {row[:2]: dict(zip(table.keys[2:], row[2:], strict=True)) for row in table.rows}
    computing = rows["mac", "computing"]
    # of a dense run's: half of the weights that would meet a zero are not even read, so that no unit is asked
    assert computing["done"] == pytest.approx(0.25)
    assert computing["gated"] == 0
    assert computing["done"] * cost.computes == cost.levels[-1].computing.done  # type: ignore[union-attr]
    weights = rows["weight_spad", "Weights"]
    assert weights["format"] == "UOP-RLE"
    assert weights["done"] + weights["skipped"] < 1
    assert weights["skipped"] > 0
    assert 0 < weights["metadata_energy_share"] < 1
    assert weights["metadata_bits"] > 0
    assert rows["backing_storage", "Inputs"]["density"] == pytest.approx(0.5)
    design = load_architecture("eyeriss_v2_pe")
    (tmp_path / "layer.yaml").write_text(write_problem(with_densities(layer, **halves)))
    write_mapping(tmp_path / "map.yaml", element_mapping(layer, 8, 8), design, layer)
    command = [
        "evaluate",
        str(tmp_path / "layer.yaml"),
        "--on",
        "eyeriss_v2_pe",
        "--mapping",
        str(tmp_path / "map.yaml"),
    ]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "what zeros do" in shown
    assert "UOP-RLE" in shown
    assert on_the_element(layer, 8, 8).zeros_table() is not None
    dense = load_architecture("eyeriss_like")
    assert search(layer, dense, estimate(dense)).cost.zeros_table() is None


@pytest.mark.parametrize(("kind", "word"), [("gating", "gated"), ("skipping", "skipped")])
def test_what_is_left_out_at_full_price_is_said(kind: str, word: str) -> None:
    text = design_file("eyeriss_v2_pe").read_text().replace("- {type: skipping}", f"- {{type: {kind}}}")
    design = read_architecture(parse_document(text), "mine")
    priced = estimate(design)
    assert price_notes(design, priced) == ()
    without = EnergyTable({**priced.components, "mac": ComponentCost({"compute": 2.0, "leak": 0.0})})
    (note,) = price_notes(design, without)
    assert f"mac has no energy compute_{word}" in note
    assert price_notes(load_architecture("eyeriss_like"), estimate(load_architecture("eyeriss_like"))) == ()


@pytest.mark.parametrize("weights", [0.25, 0.5, 1.0])
def test_a_sparse_tensor_core_takes_the_share_of_its_weights(weights: float) -> None:
    """As in Sparseloop's case study: half of the cycles at 2:4."""
    layer = with_densities(convolution(C=64, M=64, P=64, Q=2, name="conv"), Weights=FixedStructured(weights))
    levels = (
        LevelMapping("DRAM", temporal=loops(Q=2), keep=frozenset({"Weights", "Inputs", "Outputs"})),
        LevelMapping("SMEM", keep=frozenset({"Weights", "Inputs"})),
        LevelMapping("inter_subpartition_spatial", spatial_y=loops(M=4)),
        LevelMapping("RF", keep=frozenset({"Outputs"})),
        LevelMapping("inter_row_spatial", spatial_y=loops(M=16)),
        LevelMapping("inter_PE_spatial", spatial_x=loops(C=16)),
        LevelMapping("LRF", temporal=loops(P=64, C=4), keep=frozenset({"Weights"})),
    )
    design = load_architecture("sparse_tensor_core")
    energies = estimate(design)
    mapping = with_idle_loops(Mapping(levels), bound_to(design, layer), layer)
    if weights > 0.5:
        with pytest.raises(MappingError, match="LRF: tiles need 4 words"):
            evaluate(mapping, layer, design, energies)
        return
    cost = evaluate(mapping, layer, design, energies)
    assert cost.levels[-1].cycles == layer.macs * weights / 1024
    found = cost["LRF"].tensors["Weights"].zeros
    assert found is not None
    assert found.metadata_bits["random_read"] == 2 * cost["LRF"].tensors["Weights"].reads


def test_a_dual_side_tensor_core_takes_the_share_of_both() -> None:
    layer = with_densities(
        convolution(C=32, M=32, P=32, Q=1, name="conv"), Weights=Hypergeometric(0.4), Inputs=Hypergeometric(0.3)
    )
    levels = (
        LevelMapping("DRAM", keep=frozenset({"Weights", "Inputs", "Outputs"})),
        LevelMapping("GLB", keep=frozenset({"Weights", "Inputs"})),
        LevelMapping("buffer", temporal=loops(C=32), keep=frozenset({"Outputs"})),
        LevelMapping("line_buffer", temporal=loops(M=4, P=2), keep=frozenset({"Weights", "Inputs"})),
        LevelMapping("inter_row_spatial", spatial_y=loops(M=8)),
        LevelMapping("inter_lane_spatial", spatial_x=loops(P=16)),
    )
    design = load_architecture("dual_side_tensor_core")
    mapping = with_idle_loops(Mapping(levels), bound_to(design, layer), layer)
    cost = evaluate(mapping, layer, design, estimate(design))
    assert cost.levels[-1].cycles == pytest.approx(layer.macs * 0.12 / 128, rel=0.01)


def test_what_each_feature_saves_is_the_cost_without_it() -> None:
    layer = convolution(C=8, M=8, P=4, Q=4, R=1, S=1, name="small")
    layer = with_densities(layer, Inputs=Hypergeometric(0.25), Weights=Hypergeometric(0.5))
    design = load_architecture("eyeriss_v2_pe")
    energies, mapping = estimate(design), element_mapping(layer, 8, 8)
    best = evaluate(mapping, layer, design, energies)
    found = {(one.level, one.feature): one for one in without_features(mapping, layer, design, energies)}
    assert len(found) == 8 + 2  # formats, ways of leaving out, computing; two tensors in any format
    skipping = found["weight_spad", "skipping of Weights on Inputs"].cost
    assert skipping is not None
    assert skipping["weight_spad"].energy_pJ > best["weight_spad"].energy_pJ
    inside = found["weight_spad", "Weights as UOP-RLE"]  # what lies outside can't be decompressed there
    assert inside.cost is None
    assert "weight_spad" in inside.reason
    computing = found["mac", "skipping of computations"].cost
    assert computing is not None
    assert computing.cycles > best.cycles
    dense = load_architecture("eyeriss_like")
    assert without_features(mapping, layer, dense, estimate(dense)) == ()


def test_explain_says_what_each_feature_saves(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dovetail.mapper.explain.relaxations", lambda *_: iter(()))  # constraints are tested elsewhere
    layer = convolution(C=8, M=8, P=2, Q=2, R=1, S=1, name="small")
    (tmp_path / "layer.yaml").write_text(write_problem(with_densities(layer, Inputs=Hypergeometric(0.25))))
    command = ["explain", str(tmp_path / "layer.yaml"), "--on", "eyeriss_v2_pe"]
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert check(told, closed=True) == "explanation"
    assert {"level": "mac", "feature": "skipping of computations"}.items() <= told["zeros"][-3].items()
    assert main(command) == 0
    assert "without each thing that is done about zeros" in capsys.readouterr().out


def test_run_lengths_pay_up_to_the_density_at_which_they_are_as_many_bits_as_zeros() -> None:
    """A value and its run are 21 bits for 16, and a bit crosses the link at the same price in both."""
    layer = convolution(C=8, M=8, P=16, Q=16, N=4, name="small")
    layer = with_densities(layer, Inputs=Hypergeometric(0.5), Outputs=Hypergeometric(0.5))
    design = load_architecture("eyeriss_sparse")
    levels = (
        LevelMapping("DRAM", temporal=loops(N=4), keep=frozenset({"Weights", "Inputs", "Outputs"})),
        LevelMapping("shared_glb", temporal=loops(P=16), keep=frozenset({"Inputs", "Outputs"})),
        LevelMapping("weights_glb", keep=frozenset({"Weights"})),
        LevelMapping("inter_PE_column_spatial", spatial_x=loops(Q=8)),
        LevelMapping("inter_PE_spatial", spatial_y=loops(C=8)),
        LevelMapping("ifmap_spad", keep=frozenset({"Inputs"})),
        LevelMapping("weights_spad", keep=frozenset({"Weights"})),
        LevelMapping("psum_spad", temporal=loops(M=8), keep=frozenset({"Outputs"})),
    )
    levels = (replace(levels[0], temporal=loops(N=4, Q=2)), *levels[1:])
    mapping = with_idle_loops(Mapping(levels), bound_to(design, layer), layer)
    told = without_features(mapping, layer, design, estimate(design), Objective.ENERGY)
    pays = {one.feature: one.pays_below for one in told}
    assert pays["Inputs as UOP-RLE"] == pytest.approx(16 / 21, abs=0.01)
    assert pays["gating of Weights on Inputs"] is None
    curves = {one.tensor: one for one in over_densities(mapping, layer, design, estimate(design), Objective.ENERGY)}
    assert set(curves) == {"Inputs", "Outputs"}
    for curve in curves.values():
        assert curve.pays_below == pytest.approx(16 / 21, abs=0.01)
        better = [with_them[1] < without[1] for with_them, without in zip(curve.costs, curve.plain, strict=True)]
        assert better == [density < curve.pays_below for density in DENSITIES], "also beside 1, where lines jump"
        half = DENSITIES.index(0.5)
        cost = evaluate(mapping, layer, design, estimate(design))
        assert curve.now == 0.5 and curve.costs[half] == (cost.cycles, cost.energy_pJ)
