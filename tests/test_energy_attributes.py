"""Energies that a design itself gives: lines, addresses, wires. The reference's numbers, and a literal walk's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings

import test_imperfect
import test_model_walk
from dovetail.cli.main import main
from dovetail.components.accelergy_tables import read_energy_table
from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.errors import InputError
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.search import search
from dovetail.mapping.files import read_mapping
from dovetail.model.apart import hop_energies
from dovetail.model.cost import Cost
from dovetail.model.evaluate import evaluate
from dovetail.workload.problem_yaml import read_problem
from model_strategies import Setup, charged_setups

DATA = Path(__file__).parent / "data" / "energy_attributes"


def design(folder: Path, changes: dict[str, dict[str, object]]) -> Path:
    """Write the plain design with more attributes, by node."""
    nodes = yaml.safe_load((DATA / "nodes.yaml").read_text())
    lines = []
    for node in nodes:
        kind = node.pop("kind")
        node.setdefault("attributes", {}).update(changes.get(node["name"], {}))
        lines.append(f"  - !{kind} {json.dumps(node)}")
    path = folder / "drawn.yaml"
    path.write_text("\n".join(["architecture:", "  version: 0.4", "  nodes:", *lines, ""]))
    return path


def cost_of(folder: Path, changes: dict[str, dict[str, object]]) -> Cost:
    architecture = load_architecture(design(folder, changes))
    problem = read_problem(DATA / "problem.yaml")
    mapping = read_mapping(DATA / "map.yaml", architecture, problem)
    return evaluate(mapping, problem, architecture, read_energy_table(DATA / "ert.yaml"))


@pytest.mark.parametrize(
    ("attributes", "energy_pJ"),
    [
        ({}, 33654.912),
        ({"router_energy": 1.0}, 34998.912),
        ({"addr_gen_energy": 1.0}, 35190.912),
        ({"vector_access_energy": 9.0}, 39027.072),
    ],
)
def test_equals_the_reference(tmp_path: Path, attributes: dict[str, object], energy_pJ: float) -> None:
    """Four numbers that Timeloop (4cf6d4cd) gave for these files."""
    cost = cost_of(tmp_path, {"buf": attributes})
    assert cost.energy_pJ == pytest.approx(energy_pJ, rel=1e-12)
    assert sum(cost.energy_by_level.values()) == pytest.approx(energy_pJ, rel=1e-12)


def test_sums_that_a_storage_cannot_add_run_back_and_forth_below_it_and_nowhere_else(tmp_path: Path) -> None:
    plain = cost_of(tmp_path, {"buf": {"energy-per-ingress": 1.0}})
    both = cost_of(tmp_path, {"buf": {"energy-per-ingress": 1.0, "reduction_supported": False}})
    assert (both.cycles, both["buf"].tensors, both["DRAM"].tensors) == (
        plain.cycles,
        plain["buf"].tensors,
        plain["DRAM"].tensors,
    )
    before, after = (cost.networks["buf <==> inter_pe_spatial"]["Z"] for cost in (plain, both))
    assert after.ingresses == 2 * before.ingresses - plain["buf"].tensors["Z"].partition
    assert after.energy_pJ - before.energy_pJ == after.ingresses - before.ingresses > 0
    assert both.networks["DRAM <==> buf"] == plain.networks["DRAM <==> buf"]


@given(charged_setups())
@settings(max_examples=60)
def test_equals_a_literal_walk(setup: Setup) -> None:
    test_model_walk.check(setup)


@given(charged_setups(imperfect=True))
@settings(max_examples=60)
def test_equals_a_literal_walk_with_imperfect_factors(setup: Setup) -> None:
    test_imperfect.check(setup)


def test_what_a_container_hands_down_counts_on_its_fan_out_and_inside(tmp_path: Path) -> None:
    cost = cost_of(tmp_path, {"pe": {"router_energy": 1.0, "addr_gen_energy": 2.0}})
    paid = {name for name, links in cost.networks.items() if any(link.energy_pJ for link in links.values())}
    assert paid == {"inter_pe_spatial <==> rf", "rf <==> mac"}
    assert (cost["buf"].address_pJ, cost["DRAM"].address_pJ) == (0.0, 0.0)
    made = sum(tensor.address_generations for tensor in cost["rf"].tensors.values())
    assert cost["rf"].address_pJ == 2.0 * made * cost["rf"].instances
    below = cost.networks["rf <==> mac"].values()
    assert cost["rf"].network_pJ == sum(link.ingresses for link in below) * cost["rf"].instances


def test_a_component_does_not_hand_its_attributes_to_its_own_fan_out(tmp_path: Path) -> None:
    path = design(tmp_path, {})
    text = path.read_text().replace('"name": "rf", ', '"name": "rf", "spatial": {"meshX": 2}, ')
    path.write_text(text.replace('"depth": 64', '"depth": 64, "router_energy": 1.0'))
    architecture = load_architecture(path)
    assert architecture.level("inter_rf_spatial").wires is None
    assert architecture.level("rf").wires is not None


def test_a_hop_costs_its_wire(tmp_path: Path) -> None:
    """4 x 2 children below ``pe``: 8 bit a word, 0.5 mm a hop, 3 pJ a bit and mm; hops are counted per word."""
    wire = {"wire_energy": 3.0, "tile_width": 500, "network_word_bits": 8}
    priced, plain = cost_of(tmp_path, {"pe": wire}), cost_of(tmp_path, {})
    one = cost_of(tmp_path, {"pe": {"energy_per_hop": 1.0}})
    assert one.energy_pJ > plain.energy_pJ
    assert priced.energy_pJ - plain.energy_pJ == pytest.approx(12.0 * (one.energy_pJ - plain.energy_pJ))


def test_a_hop_is_as_long_as_what_lies_inside_is_wide(tmp_path: Path) -> None:
    architecture = load_architecture(design(tmp_path, {"pe": {"wire_energy": 1.0, "network_word_bits": 1}}))
    areas = {"rf": 300.0, "mac": 100.0}
    table = EnergyTable({level.name: ComponentCost({}, areas.get(level.name, 0.0)) for level in architecture.levels})
    assert hop_energies(architecture, table) == (0.0, 0.0, 0.02, 0.01)


def test_the_energy_tables_wire_gives_all_networks_their_wires(tmp_path: Path) -> None:
    architecture = load_architecture(design(tmp_path, {"buf": {"tile_width": 1000}}))
    table = EnergyTable({"wire": ComponentCost({"transfer_random": 0.5})})
    assert hop_energies(architecture, table) == (0.0, 4.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "attributes",
    [
        {"router_energy": 1.0}, {"energy_per_hop": 1.0}, {"energy-per-ingress": 1.0}, {"wire_energy": 1.0},
        {"addr_gen_energy": 1.0}, {"router-energy": 1},
    ],
)  # fmt: skip
def test_a_search_refuses_by_name_what_it_cannot_count(tmp_path: Path, attributes: dict[str, float]) -> None:
    architecture = load_architecture(design(tmp_path, {"buf": attributes}))
    problem, table = read_problem(DATA / "problem.yaml"), read_energy_table(DATA / "ert.yaml")
    (name,) = attributes
    with pytest.raises(InputError, match=f"buf: '{name.replace('router-', 'router_')}' is 1;.*dovetail evaluate"):
        search(problem, architecture, table)


def test_a_search_counts_lines_that_the_design_prices(tmp_path: Path) -> None:
    architecture = load_architecture(design(tmp_path, {"buf": {"vector_access_energy": 9.0, "addr_gen_energy": -1}}))
    problem, table = read_problem(DATA / "problem.yaml"), read_energy_table(DATA / "ert.yaml")
    found = search(problem, architecture, table)
    assert found.cost == evaluate(found.mapping, problem, architecture, table)
    assert found.cost["buf"].leakage_pJ == 0.0


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"router_energy": -1}, "must be at least 0, found -1"),
        ({"wire_energy": "yes"}, "must be a number"),
        ({"network_word_bits": 0}, "whole number of at least 1"),
        ({"router_enegry": 1}, "did you mean 'router_energy'"),
        ({"energy_per_ingress": 1}, "did you mean 'energy-per-ingress'"),
        ({"read_bandwith": 1}, "did you mean 'read_bandwidth'"),
        ({"adder_energy": 1}, "'adder_energy' is not supported"),
        ({"network_type": "M:N"}, "'network_type' is not supported"),
        ({"instances": 4}, "the fan-outs make 1 instances, not 4"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, attributes: dict[str, object], said: str) -> None:
    (name,) = attributes
    with pytest.raises(InputError, match=said) as caught:
        load_architecture(design(tmp_path, {"buf": attributes}))
    assert caught.value.line is not None
    assert caught.value.key is not None
    assert caught.value.key.endswith(f"attributes.{name}")


def test_evaluate_prints_where_the_energy_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        *("evaluate", str(DATA / "problem.yaml"), "--mapping", str(DATA / "map.yaml"), "--ert", str(DATA / "ert.yaml")),
        *("--on", str(design(tmp_path, {"buf": {"router_energy": 1.0, "addr_gen_energy": 1.0}}))),
    ]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert any(line.split()[:1] == ["addresses"] for line in printed.splitlines())
    assert any(line.split()[:1] == ["network"] for line in printed.splitlines())
    assert main([*arguments, "--json"]) == 0
    buf = next(level for level in json.loads(capsys.readouterr().out)["levels"] if level["level"] == "buf")
    assert (buf["network_pJ"], buf["tensors"]["A"]["address_pJ"] + buf["tensors"]["Z"]["address_pJ"]) == (1344, 1536)
