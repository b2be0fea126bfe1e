"""Fronts of families of 500 designs are those of brute force, whatever they are over; `make families` does all of it.

In the suite each family has a few members and one set of axes (`DOVETAIL_FAMILIES=all` has all of both).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import numpy as np
import pytest

from dovetail.components.estimate import estimate
from dovetail.document import parse_document
from dovetail.family.axes import axes_below
from dovetail.family.explore import explore
from dovetail.family.family import Family, family_of, load_family
from dovetail.family.front import Axis, Front, Point, point_paying, read_axes
from dovetail.family.members import priced_as_it_is
from dovetail.family.traffic import priced_by_traffic
from dovetail.network.map_network import map_network
from dovetail.network.optimum import network_front, network_optimum
from dovetail.network.results import fronts_of
from dovetail.store import Store
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import convolution, matrix_product

WHOLE = os.environ.get("DOVETAIL_FAMILIES") == "all"
AXES = (
    "area,edp", "area,energy", "area,cycles", "energy,cycles", "energy,edp", "cycles,edp", "area,energy,cycles",
    "area,energy,edp", "area,cycles,edp", "energy,cycles,edp", "area,traffic", "traffic,cycles", "area,traffic,cycles",
    "area,power", "energy,power", "cycles,power", "area,cycles,power", "energy,cycles,power",
)  # fmt: skip
#: Parameters of eyeriss_like, 500 designs, and few.
EYERISS = {"shared_glb.depth": "8:128:x2", "shared_glb.read_bandwidth": "2:32:x2", "weights_spad.depth": "6:96:x2",
           "PE.meshY": "2,3,4,6"}  # fmt: skip
FEW = {"shared_glb.depth": "8,32", "PE.meshY": "2,4", "weights_spad.depth": "6,24"}
#: A chip in which whole constraints vary, too.
CHIP = """
variables: {{version: 0.4, technology: "45nm", global_cycle_seconds: 1e-9}}
architecture:
  version: 0.4
  nodes:
  - !Component {{name: DRAM, class: DRAM, attributes: {{width: 64, datawidth: 8, shared_bandwidth: 8}}}}
  - !Component
    name: buffer
    class: SRAM
    attributes: {{width: 32, datawidth: 8, depth: !choice {depths}, read_bandwidth: !choice {paces}}}
    constraints: {{dataspace: !choice [{{keep: [Inputs]}}, {{keep: [Inputs, Outputs]}}]}}
  - !Container {{name: PE, spatial: {{meshX: !choice {meshes}}}}}
  - !Component {{name: registers, class: regfile, attributes: {{width: 8, datawidth: 8, depth: !choice {sizes}}}}}
  - !Component {{name: mac, class: intmac, attributes: {{datawidth: 8}}}}
"""


def _family(name: str) -> Family:
    if name == "eyeriss_like":
        return load_family(name, EYERISS if WHOLE else FEW)
    whole = {"depths": [4, 8, 16, 32, 64], "paces": [1, 2, 4, 8, 16], "meshes": [1, 2, 3, 4, 6], "sizes": [3, 6]}
    few = {"depths": [4, 16], "paces": [2], "meshes": [2, 4], "sizes": [3]}
    return family_of(parse_document(CHIP.format(**(whole if WHOLE else few))), name)


def _network() -> Network:
    layers = (convolution(name="conv", C=2, M=4, R=2, S=1, P=3, Q=1), matrix_product(C=4, M=6, P=2, name="fc"))
    return Network("tiny", (Layer("conv", layers[0], 2), Layer("fc", layers[1])))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(tmp_path_factory.mktemp("brute") / "store") as store:
        yield store


_known: dict[tuple[str, bool], list[tuple[tuple[int, ...], float, float, int]]] = {}


def _brute(name: str, family: Family, store: Store, traffic: bool) -> list[tuple[tuple[int, ...], float, float, int]]:
    """Return (member, area, pJ or bytes, cycles) of all that every member's mappings offer, each mapped by itself."""
    if (name, traffic) not in _known:
        found = _known[name, traffic] = []
        for choice in itertools.product(*map(range, family.shape)):
            architecture = family.architecture(choice)
            priced = (priced_by_traffic if traffic else priced_as_it_is)(architecture, estimate(architecture))
            cost = map_network(_network(), *priced, front=True, store=store, workers=1)
            fronts = fronts_of(cost)
            assert fronts is not None and cost.exact
            whole, best = network_front(fronts), network_optimum(fronts)
            assert whole.complete
            points = [
                *zip(whole.energies_pJ.tolist(), whole.cycles.tolist(), strict=True),
                (best.energy_pJ, best.cycles),
            ]
            found += [(choice, cost.area_um2, paid, cycles) for paid, cycles in points]
    return _known[name, traffic]


@pytest.mark.parametrize("axes", AXES if WHOLE else ["area,energy,cycles"])
@pytest.mark.parametrize("name", ["eyeriss_like", "chip"])
def test_the_front_is_that_of_brute_force(kept: Store, name: str, axes: str) -> None:
    family, asked = _family(name), read_axes(axes)
    assert family.size == 500 or not WHOLE
    below, expected = Front(axes_below(asked)), Front(asked)
    for choice, area, paid, cycles in _brute(name, family, kept, Axis.TRAFFIC in asked):
        below.add(point_paying(choice, asked, area, paid, cycles))
    for point in below.points:
        seconds = family.architecture(point.choice).cycle_seconds
        power = point.energy_pJ * 1e-12 / (point.cycles * seconds)
        expected.add(Point(point.choice, point.area_um2, point.energy_pJ, point.cycles, point.traffic_bytes, power))
    found = explore(family, _network(), asked, store=kept, workers=1)
    assert found.proven and found.designs == found.mapped + found.bounded + sum(each.count for each in found.unmappable)
    values = [[point.value(axis) for axis in asked] for point in found.points]
    assert np.allclose(values, [[point.value(axis) for axis in asked] for point in expected.sorted()], rtol=1e-9)
