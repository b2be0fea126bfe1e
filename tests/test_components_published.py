"""Every public ERT and ART against our estimates: each number within 1 %, or a deviation whose reason is tested too."""

import json
import math
from pathlib import Path

import pytest

from dovetail.cli.main import main
from dovetail.components.compose import Composer, instantiate
from dovetail.components.compound import bundled_classes, read_classes
from dovetail.components.estimate import explain
from dovetail.components.estimator import ask
from dovetail.document import parse_document
from dovetail.hardware.reader import load_architecture

PUBLISHED = json.loads((Path(__file__).parent / "data" / "published_energies.json").read_text())["components"]

#: The class that tutorial 02 defines in a file of its own.
TUTORIAL = """
- name: tutorial_mac
  attributes: {multiplier_width: must_specify, adder_width: must_specify}
  subcomponents:
  - {name: adder, class: aladdin_adder, attributes: {width: adder_width}}
  - {name: multiplier, class: aladdin_multiplier, attributes: {width: multiplier_width}}
  actions:
  - name: compute
    subcomponents:
    - {name: adder, actions: [{name: add}]}
    - {name: multiplier, actions: [{name: multiply}]}
"""
CLASSES = {**bundled_classes(), **read_classes(parse_document(TUTORIAL).sequence())}


def named(row):
    sizes = "-".join(str(value) for name, value in row["attributes"].items() if name not in ("type", "technology"))
    return f"{row['class']}-{sizes}-{row['attributes'].get('technology', '')}-{'-'.join(row['deviations'])}"


def estimated(row, forced=()):
    """Return pJ by action and um^2 of a published component."""
    instance = instantiate(
        row["class"], {"technology": "SET ME", "global_cycle_seconds": 1e-9, **row["attributes"]}, CLASSES
    )
    composer = Composer(lambda query: ask(query, forced))
    return {name: composer.energy("it", instance, name).value for name in row["pJ"]}, composer.area(
        "it", instance
    ).value


def agrees(row, ours, theirs):
    """1 %, or half of the last decimal that is printed."""
    return math.isclose(ours, theirs, rel_tol=0.01, abs_tol=5.01e-4 if row["version"] == "0.3" else 5.01e-7)


def differing(row, energies, area):
    """Return the numbers that do not agree, by name."""
    found = {name for name, theirs in row["pJ"].items() if not agrees(row, energies[name], theirs)}
    return found | ({"area"} if row["um2"] is not None and not math.isclose(area, row["um2"], rel_tol=0.01) else set())


@pytest.mark.parametrize("row", [row for row in PUBLISHED if not row["deviations"]], ids=named)
def test_a_published_number_is_met(row):
    assert not differing(row, *estimated(row))


@pytest.mark.parametrize("row", [row for row in PUBLISHED if row["deviations"]], ids=named)
def test_a_deviation_has_the_reason_that_the_docs_give(row):
    forced = ("neurosim_intadder",) if "neurosim" in row["deviations"] else ()
    energies, area = estimated(row, forced)
    if "area_once" in row["deviations"]:
        width, depth = row["attributes"]["width"], row["attributes"]["depth"]
        area /= width / max(32, width) * depth / max(64, depth)
    if "one_bit" in row["deviations"]:
        bits = row["attributes"]["width"]
        energies, area = {name: value / bits for name, value in energies.items()}, area / bits
    if "nominal_area" in row["deviations"]:
        assert (area, row["um2"]) == (0, 1)
        area = 1
    assert not differing(row, energies, area)
    assert differing(row, *estimated(row)), "no deviation: take it off the list"


ONE_LEVEL = """
architecture:
  version: 0.4
  nodes:
  - !Container {name: accelerator, attributes: {technology: "40nm", global_cycle_seconds: 1e-9}}
"""
BUFFER = "  - !Component {name: Buffer, class: regfile, attributes: {depth: 64, width: 8, datawidth: 8}}\n"
MEMORY = "  - !Component {name: MainMemory, class: SRAM, attributes: {depth: 32768, width: 64, datawidth: 8}}\n"
MAC = "  - !Component {name: MACC, class: intmac, attributes: {width: 8}}\n"


def test_a_beginners_file_without_classes_costs_what_the_tutorials_publish(tmp_path):
    """Tutorials 00 and 01 of timeloop-accelergy-exercises, 01_accelergy_timeloop_2020_ispass/timeloop/*/ref-output."""
    (tmp_path / "arch.yaml").write_text(ONE_LEVEL + MEMORY + BUFFER + MAC)
    found = {each.level: each.cost() for each in explain(load_architecture(str(tmp_path / "arch.yaml")))}
    assert found["MainMemory"].actions == pytest.approx(
        {"read": 43.353054, "write": 30.878292, "update": 30.878292, "leak": 0.007972}, abs=1.1e-6
    )
    assert found["MainMemory"].area_um2 == pytest.approx(707084, rel=1e-6)
    assert found["Buffer"].actions == {"read": 0.42564, "write": 0.42564, "update": 0.42564, "leak": 0.000861}
    assert found["Buffer"].area_um2 == 887.84
    assert found["MACC"].energy("compute") == 0.845
    assert found["MACC"].area_um2 == 332.25
    assert not any(cost.source.endswith("(extrapolated)") for cost in found.values())


CONV = """
problem:
  version: 0.4
  shape:
    name: Conv1D
    dimensions: [R, P]
    data_spaces:
    - {name: Weights, projection: [[[R]]]}
    - {name: Inputs, projection: [[[R], [P]]]}
    - {name: Outputs, projection: [[[P]]], read_write: True}
  instance: {R: 3, P: 16}
"""
INNER = "mapping:\n- {target: Buffer, type: temporal, factors: R=3 P=16, permutation: RP}\n"
OUTER = """
mapping:
- {target: Buffer, type: temporal, factors: R=1 P=16, permutation: PR}
- {target: MainMemory, type: temporal, factors: R=3 P=1, permutation: RP}
"""


@pytest.mark.parametrize(("memory", "mapping", "femtojoules"), [("", INNER, 2406.54), (MEMORY, OUTER, 7500.08)])
def test_a_tutorials_whole_energy_per_compute(capsys, tmp_path, memory, mapping, femtojoules):
    """The last lines of timeloop-model.stats.txt of tutorials 00 and 01 (weight stationary)."""
    (tmp_path / "arch.yaml").write_text(ONE_LEVEL + memory + BUFFER + MAC)
    (tmp_path / "prob.yaml").write_text(CONV)
    (tmp_path / "map.yaml").write_text(mapping)
    arch, prob, given = (str(tmp_path / f"{name}.yaml") for name in ("arch", "prob", "map"))
    assert main(["evaluate", prob, "--on", arch, "--mapping", given, "--json"]) == 0
    cost = json.loads(capsys.readouterr().out)
    assert 1000 * cost["energy_pJ"] / cost["computes"] == pytest.approx(femtojoules, abs=0.0051)
