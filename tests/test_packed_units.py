"""Units that do several products at once: brute force, a plain array as large, the reader, and figures by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.document import parse_document
from dovetail.errors import InputError, MappingError, NoMappingError
from dovetail.hardware.architecture import Architecture, ByBits, ProductSums
from dovetail.hardware.describe import describe
from dovetail.hardware.plain import architecture_of, design_fields
from dovetail.hardware.reader import read_architecture
from dovetail.mapper.exact.prepare import prepare
from dovetail.mapper.exact.space import build_space
from dovetail.mapper.local.sample import sampled_search
from dovetail.mapper.objective import Objective, ranks_of
from dovetail.mapper.search import search
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.mapping.notes import design_notes
from dovetail.mapping.packing import operation_energy, products_at_once
from dovetail.model.batch import candidate
from dovetail.model.evaluate import evaluate
from dovetail.network.bounds import physical_bounds
from dovetail.network.by_width import unit_areas, unit_table
from dovetail.network.map_network import map_network
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import Problem, convolution, linear
from dovetail.workload.widths import parse_widths
from mapper_strategies import constrained, ported, setups
from model_strategies import Setup as WalkSetup
from test_mapper_bounds import stays_below
from test_mapper_exact import CLOSE, assume_small, best_of_all, everything, is_allowed
from test_model_walk import check as equals_the_walk
from width_strategies import laid_out, packing, widened

ALL = frozenset(("Weights", "Inputs", "Outputs"))
TEXT = """architecture:
  version: 0.4
  nodes:
  - !Component {name: DRAM, class: DRAM, attributes: {width: 64, datawidth: 16}}
  - !Component {name: buffer, class: SRAM, attributes: {width: 16, depth: 4096, datawidth: 16}}
  - !Component
    name: mac
    class: intmac
    spatial: {meshX: 2}
    attributes: {datawidth: 16, %s}
"""
TABLE = EnergyTable(
    {
        "DRAM": ComponentCost({"read": 64.0, "write": 64.0, "update": 64.0, "leak": 0.0}),
        "buffer": ComponentCost({"read": 4.0, "write": 5.0, "update": 6.0, "leak": 0.0}, area_um2=100.0),
        "registers": ComponentCost({"read": 1.0, "write": 1.5, "update": 1.25, "leak": 0.125}),
        "mac": ComponentCost({"compute": 2.0}, area_um2=10.0),
    }
)


def design(attributes: str) -> Architecture:
    return read_architecture(parse_document(TEXT % attributes, file="arch.yaml"), "packs")


def pieces(attributes: str) -> Architecture:
    """Return the design with registers at every unit: what neighbours right above computing hand on is not in it."""
    levels = design(attributes).levels
    registers = replace(levels[1], name="registers", mesh_x=2, depth=8)
    return Architecture("packs", (*levels[:3], registers, *levels[3:]))


def with_bits(problem: Problem, text: str) -> Problem:
    return problem.with_widths(parse_widths(text))


@settings(max_examples=15)
@given(st.data(), st.sampled_from(Objective))
def test_the_search_equals_brute_force_over_an_array_as_large(data: st.DataObject, objective: Objective) -> None:
    """A packing unit is a fan-out to so many units; brute force has that fan-out and its constraints spelt out."""
    drawn, plain_design, energies = data.draw(st.one_of(setups(), constrained(), ported()))
    problem, wide = data.draw(widened(drawn, plain_design))
    architecture = data.draw(packing(wide))
    try:
        plain = (problem, laid_out(problem, architecture), energies)
        assume_small(plain)
        nests, costs = everything(plain)
        result = search(problem, architecture, energies, objective)
    except InputError as error:
        assert "wider than" in str(error)
        return
    except NoMappingError:
        assert best_of_all(nests, costs, plain, objective)[0] == np.inf
        return
    best, second = best_of_all(nests, costs, plain, objective)
    assert result.certificate.exact and result.certificate.tie_proven
    value, other = ranks_of(objective, np.array([result.cost.energy_pJ]), np.array([result.cost.cycles]))
    assert (value[0], other[0]) == pytest.approx((best, second), rel=CLOSE, abs=CLOSE)
    again = evaluate(result.mapping, problem, plain[1], energies)
    at_once = products_at_once(problem, architecture.compute)
    assert replace(again, utilization=0.0) == replace(result.cost, utilization=0.0)
    assert result.cost.utilization == pytest.approx(again.utilization / at_once)
    equals_the_walk(WalkSetup(result.mapping, problem, architecture, energies))
    random = Random(data.draw(st.integers(0, 9)))
    prepared = prepare(build_space(problem, architecture, energies))
    fitting = np.flatnonzero(costs.overflow < 0).tolist()
    for at in random.sample(fitting, min(4, len(fitting))):
        if is_allowed(nests, at, *plain[:2]):
            stays_below(prepared, candidate(nests, at), costs.energy_pJ[at], costs.cycles[at])


def test_a_layer_that_states_nothing_is_as_without_the_attribute() -> None:
    """To the last digit: the fan-out to one product changes no count, no bound and no answer."""
    layer = convolution(C=4, M=4, P=3, Q=2, R=3, S=2)
    plain, packs = (pieces(each) for each in ("technology: '45nm'", "products: {8: 2}"))
    for objective in Objective:
        one, other = (search(layer, each, TABLE, objective) for each in (plain, packs))
        same = Mapping(tuple(level for level in other.mapping.levels if level.level != "mac_products"))
        cost = evaluate(same, layer, plain, TABLE)
        assert [level for level in other.cost.levels if level.name != "mac_products"] == list(cost.levels)
        assert replace(other.cost, levels=(), networks={}) == replace(cost, levels=(), networks={})
        assert (other.certificate.value, other.certificate.bound) == (one.certificate.value, one.certificate.bound)


@pytest.mark.parametrize(
    ("bits", "count"), [("8", 1), ("weights=4,inputs=8", 2), ("weights=8,inputs=3", 2), ("4", 4), ("2", 16), ("5", 1)]
)
def test_bit_fusion_s_products(bits: str, count: int) -> None:
    """16 bricks of 2 x 2 bits (H. Sharma et al., ISCA 2018, section III): 1, 2, 4 and 16 products a cycle."""
    text = TEXT.replace("datawidth: 16, %s", "datawidth: 8, value_widths: [2, 4, 8], %s")
    fusion = "products: {8x4: 2, 4: 4, 8x2: 4, 4x2: 8, 2: 16}"
    unit = read_architecture(parse_document(text % fusion, file="arch.yaml"), "fusion").compute
    assert products_at_once(with_bits(linear(C=64, M=2), bits), unit) == count


def test_traffic_and_cycles_by_hand() -> None:
    """64 inputs of 4 bits times 2 x 64 weights: two units, four products at once each, whose sums add up in them."""
    layer = with_bits(linear(C=64, M=2), "weights=4,inputs=4,outputs=16,sums=16")
    packs = design("products: {8: 2, 4: 4}")
    mapping = Mapping(
        (
            LevelMapping("DRAM", keep=ALL),
            LevelMapping("buffer", temporal=(Loop("C", 16),), keep=ALL),
            LevelMapping("inter_mac_spatial", spatial_x=(Loop("M", 2),)),
            LevelMapping("mac_products", spatial_x=(Loop("C", 4),)),
        )
    )
    cost = evaluate(mapping, layer, packs, TABLE)
    buffer = cost["buffer"].tensors
    assert (cost.cycles, cost.computes, cost.utilization) == (16, 128, 1.0)
    assert (buffer["Weights"].reads, buffer["Inputs"].reads) == (128, 64)  # values; four lie in a word of 16 bits
    assert (buffer["Weights"].energy_pJ, buffer["Inputs"].energy_pJ) == (32 * (4.0 + 5.0), 16 * (4.0 + 5.0))
    assert buffer["Outputs"].updates == 2 * 16  # once a cycle and unit, not once a product
    assert cost.networks["mac_products <==> mac"]["Outputs"].spatial_reductions == 3 * 16  # per unit
    assert cost["mac"].compute_pJ == pytest.approx(128 * 2.0 * operation_energy(layer, packs.compute))
    assert physical_bounds(layer, packs).compute_cycles == 16
    assert search(layer, packs, TABLE, Objective.LATENCY).cost.cycles == 16
    assert search(with_bits(layer, "8"), packs, TABLE, Objective.LATENCY).cost.cycles == 32
    with pytest.raises(MappingError, match="mac_products: C 4 needs 4 products at once, and at these widths a unit do"):
        evaluate(mapping, with_bits(layer, "8"), packs, TABLE)


@pytest.mark.parametrize(("sums", "cycles"), [("together", 48), ("apart", 36), ("either", 36)])
def test_what_may_fill_a_unit(sums: str, cycles: int) -> None:
    """A depthwise 3x3 has nine products to add up, of which three fill four places; outputs fill them all."""
    layer = with_bits(convolution(C=1, M=1, P=4, Q=4, R=3, S=3), "4")
    packs = design(f"products: {{4: 4}}, product_sums: {sums}")
    packs = replace(packs, levels=(*packs.levels[:2], *packs.levels[3:]))  # one unit, not two
    found = search(layer, packs, TABLE, Objective.LATENCY)
    assert found.cost.cycles == cycles


def test_energy_of_a_product() -> None:
    """What the design states of the narrowest bits that hold; of others, Horowitz's figures."""
    packs = design("products: {8: 2}, product_energy: {8: 0.4, 8x4: 0.3, 4: 0.1}")
    layer = linear(C=8, M=8)
    shares = {bits: operation_energy(with_bits(layer, bits), packs.compute) for bits in ("8", "4", "6")}
    assert shares == {"8": 0.4, "4": 0.1, "6": 0.4}
    assert operation_energy(with_bits(layer, "weights=4,inputs=7"), packs.compute) == 0.3
    assert operation_energy(with_bits(layer, "12"), packs.compute) == pytest.approx(0.57, abs=0.03)
    assert operation_energy(layer, packs.compute) == 1.0


def test_a_sampled_answer_is_not_proven_by_the_energy_of_words_that_are_wider() -> None:
    """The bound is computing alone: at the layer's own bits, with as many products at once as they allow."""
    free = {name: ComponentCost(dict.fromkeys(("read", "write", "update", "leak"), 0.0)) for name in ("DRAM", "buffer")}
    table = EnergyTable({**free, "mac": ComponentCost({"compute": 2.0})})
    layer, packs = with_bits(linear(C=8, M=2), "4"), design("products: {4: 4}")
    certificate = sampled_search(layer, packs, table, Objective.EDP, samples=20).certificate
    assert certificate.compulsory_pJ == 16 * 2.0 * operation_energy(layer, packs.compute)
    assert certificate.compute_bound_cycles == 2
    assert certificate.bound <= search(layer, packs, table, Objective.EDP).certificate.value


def test_networks_tables_and_notes_say_it() -> None:
    packs = design("products: {8: 2, 4: 4}, product_energy: {4: 0.1}")
    layers = [with_bits(linear(C=64, M=2), bits) for bits in ("8", "4", "weights=4,inputs=8")]
    network = Network("three", tuple(Layer(f"fc{place}", each) for place, each in enumerate(layers)))
    cost = map_network(network, packs, TABLE, objective=Objective.LATENCY, workers=1)
    assert [each.cost.cycles for each in cost.layers] == [32, 16, 32]
    assert (cost.utilization, cost.products_at_once) == (1.0, 4)
    assert cost.area_um2 == 100.0 + 2 * 10.0  # what a unit takes, it takes once
    found = unit_areas(cost)
    assert [(each.operands, each.products, each.product_share) for each in found][::2] == [
        ("4x4", 4, 0.1),
        ("8x8", 2, operation_energy(layers[0], packs.compute)),
    ]
    assert "products" in unit_table(found).text()
    notes = design_notes(packs, layers)
    assert "packs: mac: at once a unit does 2 products of 8x8 and 4x8 bits, 4 products of 4x4 bits" in notes
    shown = describe(packs)
    assert "products at once: 4 of 4 bits, 2 of 8 bits; sums together" in shown and "fan-out by widths" in shown


def test_a_design_that_packs_survives_json() -> None:
    packs = design("products: {8: 2, 4x8: 3, 4: 4}, product_sums: apart, product_energy: {8: 0.5}")
    assert packs.compute.products == (ByBits(4, 4, 4), ByBits(8, 4, 3), ByBits(8, 8, 2))
    assert packs.compute.product_sums is ProductSums.APART
    again = architecture_of(json.loads(json.dumps(design_fields(packs))), "design")
    assert again.levels == packs.levels


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ("products: 4", "products: must be such as {8: 2, 4: 4}.*found '4'"),
        ("products: [8, 4]", "products: must be such as.*found '8'"),
        ("products: {8: 2.5}", "8 bits: must be a whole number of 1 to 4096 products"),
        ("products: {8: 0}", "8 bits: must be a whole number"),
        ("products: {8: many}", "must be such as.*'8: many'"),
        ("products: {0: 2}", "must be such as.*'0: 2'"),
        ("products: {-8: 2}", "must be such as.*'-8: 2'"),
        ("products: {8: [2]}", "must be such as.*'8: a list'"),
        ("products: {16: 2}", "16 bits: a unit of 16 bits does one product of its own words"),
        ("products: {8: 4, 4: 2}", "fewer at 4 bits than at 8, which are wider"),
        ("products: {8x4: 2, 4x8: 2}", "8x4 bits stand there twice"),
        ("products: {8: 2}, product_sums: sum", "product_sums: must be one of together, apart, either, found 'sum'"),
        ("product_energy: {8: 0}", "8 bits: must be above 0 and at most 1000"),
        ("product_energy: {8: .inf}", "must be such as"),
        ("product_energy: {16: 0.5}", "of the unit's own words of 16 bits it is 1"),
    ],
)
def test_bad_attributes_are_refused_where_they_stand(attributes: str, said: str) -> None:
    with pytest.raises(InputError, match=rf"arch.yaml:10: .*{said}"):
        design(attributes)


def test_the_level_of_products_may_not_meet_another() -> None:
    twice = (TEXT % "products: {8: 2}").replace("name: buffer", "name: mac_products")
    with pytest.raises(InputError, match="its products at once make a level 'mac_products'"):
        read_architecture(parse_document(twice, file="arch.yaml"), "packs")
