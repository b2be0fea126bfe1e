"""Families of designs: what varies is read, floors cost no more than members, and fronts equal those of brute force."""

from __future__ import annotations

import csv
import importlib.util
import itertools
import json
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.api.schema import check
from dovetail.cli.main import main
from dovetail.components.estimate import estimate
from dovetail.content import content_key
from dovetail.document import parse_document
from dovetail.errors import InputError, InternalError
from dovetail.family.agenda import FIRST_SECONDS, MORE, SECONDS
from dovetail.family.boxes import Boxes
from dovetail.family.budgets import read_budget
from dovetail.family.certificate import certificate_text, front_claim
from dovetail.family.costs import Costs as BoxCosts
from dovetail.family.costs import Request
from dovetail.family.design_text import document_text
from dovetail.family.explore import explore
from dovetail.family.family import Family, family_of, load_family
from dovetail.family.floors import Apart, Floor, Floors
from dovetail.family.front import Axis, Front, Point, read_axes
from dovetail.family.measures import corners, measures_for
from dovetail.family.members import Members, Pricing, priced_as_it_is
from dovetail.family.result import Exploration
from dovetail.family.sampling import Method, read_method, sample
from dovetail.family.saved import save_front
from dovetail.family.traffic import priced_by_traffic
from dovetail.family.verify import verify_front
from dovetail.hardware.design_files import read_design
from dovetail.hardware.reader import bundled_designs, design_file, load_architecture, read_architecture
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import SearchResult
from dovetail.mapper.search import search
from dovetail.mapper.verify import Verdict
from dovetail.mapping.files import parse_mapping
from dovetail.model.evaluate import evaluate
from dovetail.network.jobs import Job
from dovetail.network.map_network import map_network
from dovetail.network.optimum import network_front, network_optimum
from dovetail.network.records import keep, kept_result
from dovetail.network.results import fronts_of
from dovetail.report.family_page import family_page, family_section
from dovetail.store import Store
from dovetail.workers import InlineExecutor
from dovetail.workload.layer_table import write_yaml
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import convolution
from dovetail.workload.together import together
from dovetail.workload.widths import parse_layer_bits

_VARY = {"shared_glb.depth": "256:4096:x4", "weights_spad.depth": "24,96", "PE.meshY": "4,6"}
#: By member its area, and the energy and cycles of every point it has.
Costs = dict[tuple[int, ...], tuple[float, list[tuple[float, int]]]]
_AXES = ("area,edp", "area,energy", "area,cycles", "energy,cycles", "area,energy,cycles", "area,energy,edp")
_TRAFFIC = ("area,traffic", "traffic,cycles", "area,traffic,cycles")


def _network() -> Network:
    layers = (
        Layer("one", convolution(name="one", C=4, M=12, R=3, S=3, P=6, Q=6), 2),
        Layer("two", convolution(name="two", C=12, M=8, R=1, S=1, P=6, Q=6)),
    )
    return Network("small", layers)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store that all tests here share: many ask for the same searches."""
    with Store.open(tmp_path_factory.mktemp("family") / "store") as store:
        yield store


def _brute(family: Family, network: Network, store: Store, pricing: Pricing = priced_as_it_is) -> Costs:
    """Return the area and all points of every member, each read and mapped by itself."""
    found = {}
    for choice in itertools.product(*map(range, family.shape)):
        architecture = family.architecture(choice)
        priced = pricing(architecture, estimate(architecture))
        cost = map_network(network, *priced, front=True, store=store, workers=1)
        fronts = fronts_of(cost)
        assert fronts is not None
        whole = network_front(fronts)
        ends = [network_optimum(fronts, objective) for objective in Objective]
        points = [*zip(whole.energies_pJ.tolist(), whole.cycles.tolist(), strict=True)]
        found[choice] = cost.area_um2, points + [(end.energy_pJ, end.cycles) for end in ends]
    return found


@pytest.fixture(scope="module")
def brute(kept: Store) -> tuple[Family, Network, Costs]:
    family = load_family("eyeriss_like", _VARY)
    return family, _network(), _brute(family, _network(), kept)


@pytest.mark.parametrize("axes", _AXES)
def test_the_front_is_that_of_brute_force(brute, kept: Store, axes: str) -> None:
    family, network, members = brute
    expected = Front(read_axes(axes))
    for choice, (area, points) in members.items():
        for energy, cycles in points:
            expected.add(Point(choice, area, energy, cycles))
    found = explore(family, network, read_axes(axes), store=kept, workers=1)
    values = [[point.value(axis) for axis in found.axes] for point in found.points]
    assert found.proven
    assert found.gap == 1
    assert found.designs == found.mapped + found.bounded == family.size
    assert np.allclose(values, [[p.value(axis) for axis in found.axes] for p in expected.sorted()], rtol=1e-12)


@pytest.mark.parametrize("axes", _TRAFFIC)
def test_the_front_of_traffic_is_that_of_brute_force(kept: Store, axes: str) -> None:
    family, network = load_family("eyeriss_like", {"shared_glb.depth": "8,32", "PE.meshY": "4,6"}), _network()
    expected = Front(read_axes(axes))
    for choice, (area, points) in _brute(family, network, kept, priced_by_traffic).items():
        for moved, cycles in points:
            expected.add(Point(choice, area, 0.0, cycles, moved))
    found = explore(family, network, read_axes(axes), store=kept, workers=1)
    assert found.proven
    assert len(found.points) > 1 or Axis.AREA not in found.axes
    values = [[point.value(axis) for axis in found.axes] for point in found.points]
    assert np.allclose(values, [[p.value(axis) for axis in found.axes] for p in expected.sorted()], rtol=1e-12)
    for point in found.points:  # what is told of a point is what its mappings do
        architecture = family.architecture(point.choice)
        energies, dram = estimate(architecture), architecture.storages[0]
        moved = energy = 0.0
        for each in found.mappings(point):
            cost = evaluate(each.mapping, each.layer.problem, architecture, energies)
            counts = cost.levels[0].tensors.values()
            lines = sum(math.ceil(n / dram.block) for one in counts for n in (one.reads, one.fills, one.updates))
            moved += each.runs * lines * dram.block * dram.datawidth / 8
            energy += each.runs * cost.energy_pJ
        assert (point.traffic_bytes, point.energy_pJ) == pytest.approx((moved, energy), rel=1e-12)
    claim = front_claim(parse_document(certificate_text(found), file="front.json", lines=True))
    assert {check.verdict for check in verify_front(claim, samples=2)} == {Verdict.HOLDS}


@pytest.mark.parametrize("axes", ["area,power", "cycles,power", "area,cycles,power"])
def test_the_front_of_power_is_picked_from_one_of_energy_and_cycles(brute, kept: Store, axes: str) -> None:
    family, network, members = brute
    below, expected = (
        Front(read_axes("area,energy,cycles" if "area" in axes else "energy,cycles")),
        Front(read_axes(axes)),
    )
    for choice, (area, points) in members.items():
        for energy, cycles in points:
            below.add(Point(choice, area, energy, cycles))
    for point in below.points:
        seconds = family.architecture(point.choice).cycle_seconds
        expected.add(replace(point, power_W=point.energy_pJ * 1e-12 / (point.cycles * seconds)))
    found = explore(family, network, read_axes(axes), store=kept, workers=1)
    assert found.proven
    values = [[point.value(axis) for axis in found.axes] for point in found.points]
    assert np.allclose(values, [[p.value(axis) for axis in found.axes] for p in expected.sorted()], rtol=1e-12)
    assert all(list(found.mappings(point)) for point in found.points)
    claim = front_claim(parse_document(certificate_text(found), file="front.json", lines=True))
    assert {check.verdict for check in verify_front(claim, samples=0)} == {Verdict.HOLDS}


def test_traffic_is_not_weighed_against_energy() -> None:
    for axes in ("traffic,energy", "area,edp,traffic", "traffic,power"):
        with pytest.raises(InputError, match="no axes of one front"):
            read_axes(axes)
    family = load_family("eyeriss_like", _VARY, budgets=["power <= 1 W"])
    with pytest.raises(InputError, match=r"'power <= 1 W' has no place beside the axis traffic"):
        explore(family, _network(), read_axes("area,traffic"), workers=1)


@pytest.mark.parametrize("budget", ["area <= 0.3 mm2", "energy <= 9 uJ", "cycles <= 3000", "latency <= 3 us"])
def test_budgets_leave_the_best_of_what_keeps_to_them(brute, kept: Store, budget: str) -> None:
    _, network, members = brute
    family = load_family("eyeriss_like", _VARY, budgets=[budget])
    limit = read_budget(budget)
    expected = Front(read_axes("area,edp"))
    for choice, (area, points) in members.items():
        for energy, cycles in points:
            point = Point(choice, area, energy, cycles)
            if not limit.broken_by(point, 1e-9):
                expected.add(point)
    assert len(expected.points) > 0
    found = explore(family, network, read_axes("area,edp"), store=kept, workers=1)
    values = [(point.area_um2, point.edp_J_cycle) for point in found.points]
    assert np.allclose(values, [(p.area_um2, p.edp_J_cycle) for p in expected.sorted()], rtol=1e-12)


def test_a_latency_is_judged_by_the_clock_of_its_own_member(kept: Store) -> None:
    network = _network()
    vary = {"shared_glb.depth": "8192,16384", "global_cycle_seconds": "2e-9,1e-9"}
    whole = _brute(load_family("eyeriss_like", vary), network, kept)
    least = min(cycles for _, points in whole.values() for _, cycles in points)
    most = 1.5e-9 * least  # only the fast clock keeps to it
    family = load_family("eyeriss_like", vary, budgets=[f"latency <= {most:g} s"])
    expected = Front(read_axes("energy,cycles"))
    for choice, (area, points) in whole.items():
        seconds = family.architecture(choice).cycle_seconds
        for energy, cycles in points:
            if cycles * seconds <= most:
                expected.add(Point(choice, area, energy, cycles))
    found = explore(family, network, read_axes("energy,cycles"), store=kept, workers=1)
    assert found.proven and {family.architecture(point.choice).cycle_seconds for point in found.points} == {1e-9}
    assert [(p.energy_pJ, p.cycles) for p in found.points] == [(p.energy_pJ, p.cycles) for p in expected.sorted()]


class _Slow:
    """Searches of which those that may take less than so many seconds prove nothing but a loose bound."""

    def __init__(self, store: Store, seconds: float) -> None:
        self.store, self.seconds = store, seconds
        self.asked: list[float] = []

    def __call__(self, job: Job) -> SearchResult:
        result = kept_result(self.store, job)
        if result is None:
            result = replace(job, time_limit=None).run()
            keep(self.store, job, result)
        assert job.time_limit is not None
        self.asked.append(job.time_limit)
        if job.time_limit >= self.seconds or job.objective is Objective.ENERGY:
            return result
        loose = replace(result.certificate, exact=False, tie_proven=False, bound=0.9 * result.certificate.value)
        return replace(result, certificate=loose, front=())


@pytest.mark.parametrize("axes", ["area,edp", "area,energy,cycles", "area,cycles"])
def test_what_searches_leave_open_is_returned_to_with_more_time(
    brute, kept: Store, axes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    family, network, members = brute
    slow = _Slow(kept, SECONDS * MORE)
    monkeypatch.setattr("dovetail.network.outcomes.outcome", slow)
    expected = Front(read_axes(axes))
    for choice, (area, points) in members.items():
        for energy, cycles in points:
            expected.add(Point(choice, area, energy, cycles))
    found = explore(family, network, read_axes(axes), workers=1)
    values = [[point.value(axis) for axis in found.axes] for point in found.points]
    assert found.proven
    assert np.allclose(values, [[p.value(axis) for axis in found.axes] for p in expected.sorted()], rtol=1e-12)
    assert set(slow.asked) == {FIRST_SECONDS, SECONDS, SECONDS * MORE}
    assert slow.asked.index(SECONDS * MORE) > slow.asked.index(SECONDS)  # short ones first


@pytest.mark.parametrize("axes", ["area,edp", "area,energy,cycles"])
def test_a_front_that_is_not_proven_has_a_gap_that_holds(
    brute, kept: Store, axes: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    family, network, members = brute
    monkeypatch.setattr("dovetail.network.outcomes.outcome", _Slow(kept, math.inf))
    monkeypatch.setattr("dovetail.family.explore.PATIENCE", 0.0)
    with Store.open(tmp_path / "store") as store:
        found = explore(family, network, read_axes(axes), workers=1, store=store)
        again = explore(family, network, read_axes(axes), workers=1, store=store)
    assert not found.proven
    assert 1 < found.gap < 1.5
    front = Front(found.axes)
    for point in found.points:
        front.add(point)
    for choice, (area, points) in members.items():
        true = [Point(choice, area, energy, cycles) for energy, cycles in points]
        assert front.gap(np.array([[point.value(axis) for axis in found.axes] for point in true])) <= found.gap
    assert again.searches == 0  # what was not proven is kept, too
    assert again.points == found.points
    claim = front_claim(parse_document(certificate_text(found), file="front.json", lines=True))
    verdicts = {check.verdict for check in verify_front(claim, samples=1)}
    assert verdicts <= {Verdict.HOLDS, Verdict.NOT_PROVEN}
    assert Verdict.NOT_PROVEN in verdicts


def test_time_that_is_up_ends_it_with_what_there_is(brute) -> None:
    family, network, _ = brute
    found = explore(family, network, read_axes("area,edp"), workers=1, time_limit=0.01)
    assert not found.proven
    assert found.mapped + found.bounded <= found.designs
    assert found.searches < 4


def test_every_point_has_its_design_and_mappings(kept: Store, tmp_path: Path) -> None:
    family, network = load_family("eyeriss_like", {"shared_glb.depth": "1024,4096"}), _network()
    found = explore(family, network, store=kept, workers=1)
    files = save_front(found, tmp_path)
    for number, point in enumerate(found.points, 1):
        architecture = load_architecture(files[point])
        energies = estimate(architecture)
        energy = cycles = 0.0
        for each in found.mappings(point):
            cost = evaluate(each.mapping, each.layer.problem, architecture, energies)
            energy, cycles = energy + each.runs * cost.energy_pJ, cycles + each.runs * cost.cycles
        assert energy == pytest.approx(point.energy_pJ, rel=1e-12)
        assert cycles == point.cycles
        for file in (tmp_path / "mappings" / f"{number:04}").iterdir():
            name = file.stem.partition("-")[0]
            problem = network.layer(name).problem
            evaluate(parse_mapping(file.read_text(), architecture, problem), problem, architecture, energies)


@given(st.data())
@settings(max_examples=12, deadline=None)
def test_a_floor_costs_no_more_than_any_member(data: st.DataObject) -> None:
    vary = {
        "shared_glb.depth": "512:8192:x2",
        "shared_glb.read_bandwidth": "4,16",
        "psum_spad.depth": "4,8,16",
        "ifmap_spad.depth": "6,12",
        "PE.meshY": "4,6",
    }
    family = load_family("eyeriss_like", vary)
    members = Members(family)
    box = []
    for size in family.shape:
        low = data.draw(st.integers(0, size - 1))
        box.append((low, data.draw(st.integers(low + 1, size))))
    floor = Floors(members).of(tuple(box))
    if isinstance(floor, Apart):  # what neighbours pass on depends on the array
        assert box[[each.name for each in family.parameters].index("PE.meshY")] == (0, 2)
        return
    assert isinstance(floor, Floor)
    choice = tuple(data.draw(st.integers(low, high - 1)) for low, high in box)
    problem = convolution(name="small", C=4, M=8, R=3, S=3, P=6, Q=6)
    objective = data.draw(st.sampled_from(list(Objective)))
    least = search(problem, floor.architecture, floor.energies, objective).certificate
    member = search(problem, *members.design(choice), objective).certificate
    assert least.exact
    assert member.exact
    assert least.value <= member.value * (1 + 1e-12)


@pytest.mark.parametrize("links", [True, False])
def test_arrays_are_ranked_where_nothing_is_passed_on(tmp_path: Path, links: bool) -> None:
    text = design_file("eyeriss_like").read_text()
    if not links:
        text = text.replace("split: 999", "split: 999\n        no_link_transfer: ['*']")
        text = text.replace("split: 0", "split: 0\n        no_link_transfer: ['*']")
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    family = load_family(file, {"PE.meshY": "4,6", "PE_column.meshX": "4,8"})
    members = Members(family)
    floor = Floors(members).of(((0, 2), (0, 2)))
    assert isinstance(floor, Apart) is links
    if isinstance(floor, Floor):
        problem = convolution(name="small", C=4, M=8, R=3, S=3, P=6, Q=6)
        least = search(problem, floor.architecture, floor.energies).certificate
        for choice in itertools.product(range(2), range(2)):
            assert least.value <= search(problem, *members.design(choice)).certificate.value


def test_a_family_written_as_yaml_reads_back() -> None:
    vary = {"PE.meshY": "4,6", "weights_spad.depth": "24,96", "shared_glb.depth": "256:1024:x2"}
    family = load_family("eyeriss_like", vary, budgets=["area <= 4 mm2"])
    again = family_of(parse_document(family.text(), lines=True), family.name)
    assert (again.key, again.shape) == (family.key, family.shape)
    assert [each.name for each in again.parameters] == ["shared_glb.depth", "PE.meshY", "weights_spad.depth"]
    assert again.architecture((2, 1, 0)) == family.architecture((2, 1, 0))


@pytest.mark.parametrize("name", bundled_designs())
def test_a_document_written_as_yaml_reads_back(name: str) -> None:
    document = read_design([design_file(name)])
    assert read_architecture(parse_document(document_text(document)), "x") == read_architecture(document, "x")


def test_ranges_and_choices_stand_in_files(tmp_path: Path) -> None:
    text = design_file("eyeriss_like").read_text()
    text = text.replace("depth: 16384", "depth: !range [1024, 4096, x2]").replace("meshY: 12", "meshY: !choice [4, 6]")
    file = tmp_path / "mine.yaml"
    file.write_text(text + "family:\n  budgets: [area <= 4 mm2]\n  where: [shared_glb_depth > PE_meshY * 256]\n")
    family = load_family(file)
    assert family.shape == (3, 2)
    assert [(each.name, each.labels) for each in family.parameters] == [
        ("shared_glb.depth", (1024, 2048, 4096)),
        ("PE.meshY", (4, 6)),
    ]
    members = Members(family)
    valid, area = members.laid_out()
    assert valid.tolist() == [[False, False], [True, True], [True, True]]
    assert members.skipped == {"not shared_glb_depth > PE_meshY * 256": 2}
    for choice in ((1, 0), (2, 1)):
        architecture, energies = members.design(choice)
        total = sum(level.instances * energies[level.name].area_um2 for level in architecture.levels)
        assert area[choice] == pytest.approx(total, rel=1e-12)


def test_variables_and_whole_nodes_vary(tmp_path: Path, kept: Store) -> None:
    text = design_file("eyeriss_like").read_text()
    text = text.replace("  global_cycle_seconds: 1e-9", "  global_cycle_seconds: 1e-9\n  kb: !choice [1, 4]")
    text = text.replace("depth: 16384", "depth: kb * 128")
    constraints = "dataspace: {keep: [Inputs, Outputs], bypass: [Weights]}"
    assert constraints in text
    text = text.replace(constraints, f"dataspace: !choice [{constraints[11:]}, {{keep: [Inputs, Outputs, Weights]}}]")
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    family = load_family(file)
    assert [each.name for each in family.parameters] == ["kb", "shared_glb.constraints.dataspace"] or family.shape == (
        2,
        2,
    )
    found = explore(family, _network(), read_axes("area,edp"), store=kept, workers=1)
    assert found.proven
    expected = Front(found.axes)
    for choice, (area, points) in _brute(family, _network(), kept).items():
        for energy, cycles in points:
            expected.add(Point(choice, area, energy, cycles))
    values = [(point.area_um2, point.edp_J_cycle) for point in found.points]
    assert np.allclose(values, [(p.area_um2, p.edp_J_cycle) for p in expected.sorted()], rtol=1e-12)


def test_what_is_no_design_is_left_out_with_its_reason(kept: Store) -> None:
    family = load_family("eyeriss_like", {"shared_glb.depth": "1024,4096", "weights_spad.width": "4,16"})
    found = explore(family, _network(), read_axes("area,edp"), store=kept, workers=1)
    assert (found.designs, sum(found.skipped.values())) == (2, 2)
    assert found.proven


@pytest.mark.parametrize("vary", [{"PE.meshX": "1:5", "PE.meshY": "1:5"}, {"shared_glb.depth": "1024:9216:1024"}])
def test_members_are_looked_at_until_time_is_up(vary: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read by then is a design with the area that it has; nothing is read later, and floors do without."""
    family = load_family("eyeriss_like", vary)
    whole, areas = Members(family).laid_out()
    monkeypatch.setattr("dovetail.family.members.time", SimpleNamespace(monotonic=itertools.count().__next__))
    members = Members(family)
    valid, area = members.laid_out(until=5)
    read, sites = len(members.frames), len(members.sites)
    assert 1 <= valid.sum() <= 7
    assert members.unread == family.size - valid.sum()
    assert np.array_equal(area[valid], areas[valid])
    assert whole[valid].all()
    assert isinstance(Floors(members).of(tuple((0, size) for size in family.shape)), Floor)
    assert (len(members.frames), len(members.sites)) == (read, sites)


def test_conditions_are_asked_until_time_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(design_file("eyeriss_like").read_text() + "family: {where: [shared_glb_depth > 1500]}\n")
    members = Members(load_family(file, {"shared_glb.depth": "1000:1099:1"}))

    def clock() -> float:  # it is up once all members were read
        return 9.0 if sum(name == "shared_glb" for name, _ in members.sites) == 100 else 0.0

    monkeypatch.setattr("dovetail.family.members.time", SimpleNamespace(monotonic=clock))
    with pytest.raises(InputError, match="none of the 64 members that were looked at, of 100, is a design"):
        members.laid_out(until=5)


def test_a_front_of_members_looked_at_in_time_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    family = load_family("eyeriss_like", {"PE.meshX": "1:5", "PE.meshY": "1:5"})
    monkeypatch.setattr("dovetail.family.members.time", SimpleNamespace(monotonic=lambda: math.inf))
    found = explore(family, _network(), read_axes("area,edp"), workers=1, time_limit=600)
    assert (found.designs, found.unread, found.proven) == (1, 24, False)
    assert math.isinf(found.gap)
    assert len(found.points) == 1
    claim = front_claim(parse_document(certificate_text(found), file="front.json", lines=True))
    verdicts = {check.what: check.verdict for check in verify_front(claim, samples=0, time_limit=1.0)}
    assert verdicts["every design"] is Verdict.NOT_PROVEN
    assert Verdict.REJECTED not in verdicts.values()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--time-limit", "0.001"], "was mapped in the time that there was"),
        (["--bits", "sums=60"], "runs every layer"),
        (["--budget", "energy <= 1 pJ"], "keeps to the budgets"),
        (["--budget", "area <= 1e-9 mm2"], "keeps to the budgets"),
    ],
)
def test_why_a_front_is_empty_is_said(
    tmp_path: Path, more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "two.csv").write_text("name,C,M,P\none,2,2,1\ntwo,2,4,1\n")
    (tmp_path / "narrow.yaml").write_text(_NARROW)
    words = ["explore", str(tmp_path / "two.csv"), "--on", str(tmp_path / "narrow.yaml"), "--axes", "area,edp"]
    assert main([*words, "--workers", "1", *more]) == 0
    printed = capsys.readouterr().out
    assert f"No design of narrow {said}." in printed
    counts = re.search(r"of (\d+) designs (\d+) were mapped and ([1-9]\d*) break", printed)
    assert counts is not None or "area <= 1e-9 mm2" not in more
    assert counts is None or int(counts[1]) == int(counts[2]) + int(counts[3])


_NARROW = """
variables: {version: 0.4, technology: "45nm", global_cycle_seconds: 1e-9}
architecture:
  version: 0.4
  nodes:
  - !Component {name: DRAM, class: DRAM, attributes: {width: 64, datawidth: 8}}
  - !Component {name: buffer, class: SRAM, attributes: {width: !choice [16, 32], datawidth: 8, depth: 200}}
  - !Component {name: mac, class: intmac, attributes: {datawidth: 8}}
"""


def test_a_member_too_narrow_for_a_layer_is_left_out(tmp_path: Path, kept: Store) -> None:
    """Lines of 16 bits hold no sums of 24: only the other member is explored, and the first ends nothing."""
    file = tmp_path / "narrow.yaml"
    file.write_text(_NARROW)
    network = _network().with_bits([parse_layer_bits("sums=24")])
    found = explore(load_family(file), network, read_axes("area,edp"), store=kept, workers=1)
    assert (found.designs, found.mapped, found.proven) == (2, 1, True)
    assert [each.reason for each in found.unmappable] == ["partial sums of 24 bits are wider than its line of 16 bits"]


def test_a_choice_with_a_name_that_no_layer_has_is_refused_before_anything_is_mapped(tmp_path: Path) -> None:
    text = design_file("eyeriss_like").read_text()
    constraints = "dataspace: {keep: [Inputs, Outputs], bypass: [Weights]}"
    file = tmp_path / "mine.yaml"
    file.write_text(text.replace(constraints, f"dataspace: !choice [{constraints[11:]}, {{keep: [Imputs]}}]"))
    told: list[object] = []
    with pytest.raises(InputError, match=r"'Imputs', did you mean 'Inputs'") as caught:
        explore(load_family(file), _network(), workers=1, progress=told.append)
    assert caught.value.line
    assert told == []


_WRONG = {
    "shared_glb.depth=4096:1024": "empty",
    "shared_glb.depth=1:2:0": "never ends",
    "shared_glb.depth=0:64:x2": "never ends",
    "shared_glb.depth=1:1e9": "at most",
    "shared_glb.depth=8,8": "twice",
    "shared_glb.depth=8;rm": "neither a number",
    "shared_glb.dept=8,16": "did you mean 'depth'",
    "shared_gbl.depth=8,16": "did you mean 'shared_glb'",
    "depth=8,16": "no such variable",
    "shared_glb.depth=1:100000,200001:290000": "at most",
}


@pytest.mark.parametrize(("text", "message"), _WRONG.items())
def test_bad_values_get_one_message(text: str, message: str) -> None:
    name, _, values = text.partition("=")
    with pytest.raises(InputError, match=message) as caught:
        load_family("eyeriss_like", {name: values})
    assert "\n" not in str(caught.value)


def test_what_is_chosen_from_has_a_bound_and_is_compared_at_once(tmp_path: Path) -> None:
    """Every value with every other one takes minutes where there are as many as a document may have."""
    file, text = tmp_path / "mine.yaml", design_file("eyeriss_like").read_text()
    for count, more, message in (
        (10_001, "", "10,001 values; at most 10,000"), (9_999, ", 7", "a value stands twice"),
        (2, ", [1], {a: 1}, [1.0]", "a value stands twice"), (2, ", [1], {a: 1}, '[1]', 1.0", "a value stands twice"),
    ):  # fmt: skip
        values = ", ".join(map(str, range(count))) + more
        file.write_text(text.replace("depth: 16384", f"depth: !choice [{values}]"))
        with pytest.raises(InputError, match=message):
            load_family(file)


def test_far_too_many_designs_are_refused_before_anything_is_read() -> None:
    vary = {f"{node}.depth": "1:200" for node in ("shared_glb", "ifmap_spad", "weights_spad", "psum_spad")}
    with pytest.raises(InputError, match=r"1\.6e\+09 designs; at most"):
        load_family("eyeriss_like", vary)


@pytest.mark.parametrize("text", ["area", "area,area", "area,energy,cycles,edp", "area,speed"])
def test_bad_axes_get_one_message(text: str) -> None:
    with pytest.raises(InputError, match=r"axes|axis"):
        read_axes(text)


@pytest.mark.parametrize("text", ["area < 4 mm2", "area <= 4 mm3", "size <= 4", "area <= 0 mm2", "area <= 1e999 mm2"])
def test_bad_budgets_get_one_message(text: str) -> None:
    with pytest.raises(InputError):
        read_budget(text)


def test_parameters_that_reach_further_than_they_say_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    family = load_family("eyeriss_like", {"shared_glb.depth": "1024,4096"})
    members = Members(family)
    members.laid_out()
    key = next(key for key in members.sites if key[0] == "mac")
    site = members.sites[key]
    assert not isinstance(site, InputError)
    members.sites[key] = replace(site, level=replace(site.level, mesh_x=7))
    with pytest.raises(InternalError):
        members.design((1,))


def test_networks_run_together() -> None:
    twice = together([_network(), _network()], [1, 3])
    assert [layer.repeats for layer in twice.layers] == [2, 1, 6, 3]
    assert [layer.repeats for layer in twice.distinct()] == [8, 4]
    with pytest.raises(InputError, match="weights"):
        together([_network()], [1, 2])


def test_an_interrupt_returns_what_there_is_and_the_store_goes_on(tmp_path: Path) -> None:
    family = load_family("eyeriss_like", _VARY)
    with Store.open(tmp_path / "store") as store:
        rounds = 0

        def strike(_state: object) -> None:
            nonlocal rounds
            rounds += 1
            if rounds == 2:
                raise KeyboardInterrupt

        first = explore(family, _network(), read_axes("area,edp"), store=store, workers=1, progress=strike)
        assert first.interrupted
        assert not first.proven
        assert first.points
        whole = explore(family, _network(), read_axes("area,edp"), store=store, workers=1)
        again = explore(family, _network(), read_axes("area,edp"), store=store, workers=1)
    assert whole.proven
    assert again.searches == 0
    assert again.points == whole.points


def test_the_command_prints_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = tmp_path / "net.yaml"
    network.write_text(write_yaml(_network()))
    options = ["--on", "eyeriss_like", "--vary", "shared_glb.depth=1024,4096", "--vary", "PE.meshY=4,6"]
    outputs = ["--save-front", str(tmp_path / "front"), "--csv", str(tmp_path / "f.csv")]
    assert main(["explore", str(network), *options, *outputs, "--workers", "1", "--json"]) == 0
    done = capsys.readouterr()
    found = json.loads(done.out)
    assert found["designs"] == 4
    assert found["proven"] is True
    assert found["mapped"] + found["bounded"] == 4
    for point in found["front"]:
        assert {"parameters", "area_um2", "energy_pJ", "cycles", "edp_J_cycle", "design", "file"} <= set(point)
        assert load_architecture(point["file"]).levels
    rows = list(csv.DictReader((tmp_path / "f.csv").read_text().splitlines()))
    assert [float(row["area_um2"]) for row in rows] == [point["area_um2"] for point in found["front"]]
    assert done.err == "eyeriss_like: 4 designs\n"
    assert main(["explore", str(network), *options, "--workers", "1"]) == 0
    shown = capsys.readouterr().out
    assert "proven: of 4 designs" in shown
    assert max(map(len, shown.splitlines())) <= 120


@pytest.fixture(scope="module")
def certificate(brute, kept: Store) -> str:
    family, network, _ = brute
    return certificate_text(explore(family, network, read_axes("area,energy,cycles"), store=kept, workers=1))


def _verdicts(text: str, samples: int | None = 2) -> set[Verdict]:
    claim = front_claim(parse_document(text, file="front.json", lines=True))
    return {check.verdict for check in verify_front(claim, samples=samples)}


def test_a_certificate_holds(certificate: str) -> None:
    assert _verdicts(certificate) == {Verdict.HOLDS}


@pytest.mark.parametrize("what", ["energy", "point", "box", "corner", "mapped"])
def test_a_certificate_that_was_changed_does_not_hold(certificate: str, what: str) -> None:
    fields = json.loads(certificate)
    del fields["key"]
    if what == "energy":
        for point in fields["points"]:
            point["energy_pJ"] *= 0.99
    elif what == "point":
        best = min(fields["points"], key=lambda point: point["energy_pJ"])
        fields["points"] = [point for point in fields["points"] if point["member"] != best["member"]]
    elif what == "box":
        fields["discarded"] = fields["discarded"][1:]
    elif what == "corner":
        fields["discarded"][0]["corners"] = "1.0 1.0 1.0"
    else:
        boxes = [each["box"] for each in fields["discarded"]]
        alone = [at for at in fields["mapped"] if not any(_holds(box, at) for box in boxes)]
        fields["mapped"].remove(alone[0])
    changed = {**fields, "key": content_key(fields)}
    assert Verdict.REJECTED in _verdicts(json.dumps(changed), None if what == "point" else 4)


def _holds(box: str, member: str) -> bool:
    ends = [tuple(map(int, word.split(":"))) for word in box.split()]
    return all(low <= at < high for at, (low, high) in zip(map(int, member.split()), ends, strict=True))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("axes", "area"),
        ("mapped", ["0 0"]),
        ("mapped", ["0 9 0"]),
        ("discarded", [{"box": "0:1 0:1", "corners": "1 1 1"}]),
        ("discarded", [{"box": "0:1 0:1 0:1", "corners": "1 1"}]),
        ("points", [{"member": "0 0 0", "area_um2": -1, "energy_pJ": 1, "cycles": 1}]),
        ("family", "architecture: 3"),
        ("layers", [{"name": "x", "repeats": 0, "problem": "problem: {}"}]),
        ("gap", 0.5),
    ],
)
def test_what_is_no_certificate_gets_one_message(certificate: str, key: str, value: object) -> None:
    fields = {**json.loads(certificate), key: value}
    with pytest.raises(InputError) as caught:
        front_claim(parse_document(json.dumps(fields), file="front.json", lines=True))
    assert "front.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def _drawn(family: Family) -> Exploration:
    """A front that no search found, for its pictures: two designs, one of them with two points."""
    points = (Point((0, 0), 1e6, 3e9, 100), Point((0, 0), 1e6, 2e9, 200), Point((1, 0), 2e6, 1e9, 150))
    return Exploration(
        family=family,
        network=Network("n</script>", ()),
        axes=(Axis.AREA, Axis.ENERGY, Axis.CYCLES),
        designs=4,
        mapped=2,
        bounded=2,
        unmappable=(),
        skipped={},
        mapped_choices=(),
        points=points,
        gap=1.0,
        proven=True,
        discarded=(),
        layers=(),
        taken={},
    )


def test_a_page_has_the_front_and_leaves_out_what_is_the_same():
    family = load_family(["eyeriss_like"], {"shared_glb.depth": "1024,4096", "PE.meshY": "12,14"})
    found = _drawn(family)
    section = family_section(found)
    assert section["axes"] == ["area_mm2", "energy_uJ"]
    assert section["parameters"] == [{"name": "shared_glb.depth", "labels": list(family.parameters[0].labels)}]
    assert [(each["choice"], each["energy_uJ"], each["cycles"]) for each in section["points"]] == [
        ([0], 3000.0, 100),
        ([0], 2000.0, 200),
        ([1], 1000.0, 150),
    ]
    page = family_page(found)
    assert "All points have PE.meshY = 12." in page
    assert '"area, mm2","energy, uJ","cycles","EDP, J x cycle"]' in page
    assert "n</script>" not in page
    if importlib.util.find_spec("pandas") is not None:
        assert found.to_frame()["cycles"].tolist() == [100, 200, 150]
    with pytest.raises(InputError, match="nothing to draw"):
        family_page(replace(found, points=()))


@given(st.data())
@settings(max_examples=12, deadline=None)
def test_what_is_known_of_one_design_bounds_others(kept: Store, data: st.DataObject) -> None:
    vary = {"shared_glb.depth": "256:4096:x4", "shared_glb.read_bandwidth": "2,16", "weights_spad.depth": "24,96"}
    family, layers = load_family("eyeriss_like", vary), _network().distinct()
    members = Members(family)
    boxes = Boxes(members, layers, read_axes("area,energy,cycles"), None)
    costs = BoxCosts(layers, kept, InlineExecutor())

    def drawn() -> tuple[tuple[int, int], ...]:
        lows = [data.draw(st.integers(0, size - 1)) for size in family.shape]
        return tuple((low, data.draw(st.integers(low + 1, size))) for low, size in zip(lows, family.shape, strict=True))

    boxes.begin([])
    asked = [drawn() for _ in range(2)]
    sought = drawn()
    for box in [*asked, sought]:
        floor = boxes.has_floor(box)[0].floor
        seen = costs.settle([Request(floor.architecture, floor.energies, Objective.EDP, front=True)])[0]
        assert isinstance(seen, tuple)
        if box is sought:
            values = [[measure.bound(each) for measure in measures_for(None, 1.0)] for each in seen]
            likely = boxes.likely(sought)
            assert (boxes.least(sought) <= np.array(values) * (1 + 1e-12)).all()
            assert likely is None or (likely >= np.array(values) * (1 - 1e-12)).all()
        boxes.learn(box, range(len(layers)), seen)
    assert boxes.likely(sought) == pytest.approx(boxes.least(sought), rel=1e-12)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_corners_lie_below_every_choice(data: st.DataObject) -> None:
    number = st.floats(1, 1e6)
    fronts = data.draw(st.lists(st.lists(st.tuples(number, number), min_size=1, max_size=4), min_size=1, max_size=3))
    repeats = np.array([float(data.draw(st.integers(1, 3))) for _ in fronts])
    measures = measures_for(None, data.draw(number))
    points = [np.array(front) for front in fronts]
    values = np.array([[each.of(*front.T).min() for each in measures] for front in points])
    below = corners(values, repeats, measures, read_axes("area,energy,cycles"), 5.0)
    for chosen in itertools.product(*points):
        total = repeats @ np.array(chosen)
        there = np.array([5.0, total[0], math.ceil(total[1])])
        assert (below <= there).all(axis=1).any()


needs_optuna = pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="the extra optuna is absent")


@needs_optuna
@pytest.mark.parametrize("method", list(Method))
def test_a_sampler_finds_nothing_that_the_proven_front_lacks(brute, kept: Store, method: Method) -> None:
    family, network, members = brute
    axes = read_axes("area,energy,cycles")
    proven = Front(axes)
    for choice, (area, points) in members.items():
        for energy, cycles in points:
            proven.add(Point(choice, area, energy, cycles))
    few = sample(family, network, axes, method, evaluations=5, seed=3, store=kept, workers=1)
    again = sample(family, network, axes, method, evaluations=5, seed=3, store=kept, workers=1)
    assert (few.mapped, few.points, few.proven, few.method) == (5, again.points, False, method)
    assert few.mapped_choices == again.mapped_choices and again.searches == 0  # it goes on where it was ended
    assert few.open == few.designs - 5
    corners = np.array([[point.value(axis) for axis in axes] for point in few.points])
    assert all(proven.gap(corner[None]) <= 1 + 1e-12 for corner in corners)


@needs_optuna
def test_a_sampler_keeps_to_budgets_and_leaves_out_what_is_no_design(kept: Store) -> None:
    vary = {"shared_glb.depth": "64,256,1024", "PE.meshY": "4,6"}
    family = load_family("eyeriss_like", vary, budgets=["area <= 1.5 mm2"])
    family = replace(family, conditions=(parse_document("c: PE_meshY * 32 <= shared_glb_depth").mapping()["c"],))
    found = sample(family, _network(), read_axes("area,energy"), Method.TPE, evaluations=50, store=kept, workers=1)
    assert sum(found.skipped.values()) == 2 and found.designs == 4
    assert found.points and all(point.area_um2 <= 1.5e6 for point in found.points)
    assert set(found.mapped_choices) <= {(1, 0), (1, 1), (2, 0), (2, 1)}


def test_a_sampler_is_refused_in_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "n.csv").write_text("name,C,M,P\nfc,8,4,4\n")
    words = ["explore", str(tmp_path / "n.csv"), "--on", "eyeriss_like", "--vary", "PE.meshY=4,6", "--workers", "1"]
    monkeypatch.setitem(sys.modules, "optuna", None)
    for more, said in (
        (["--method", "tpe"], "needs the extra 'optuna'"),
        (["--method", "tpe", "--certificate", str(tmp_path / "c.json")], "proves nothing: there is no certificate"),
        (["--evaluations", "5"], "--evaluations is for samplers"),
    ):
        assert main([*words, *more]) == 2
        assert said in capsys.readouterr().err
    with pytest.raises(InputError, match="'nsga' is no method, did you mean 'nsga2'"):
        read_method("nsga")


@needs_optuna
def test_the_command_says_that_a_sampler_proves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "n.csv").write_text("name,C,M,P\nfc,8,4,4\n")
    words = ["explore", str(tmp_path / "n.csv"), "--on", "eyeriss_like", "--vary", "PE.meshY=4,6", "--workers", "1"]
    assert main([*words, "--method", "nsga2", "--evaluations", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert check(found, closed=True) == "exploration"
    assert (found["method"], found["mapped"], found["proven"], found["gap"]) == ("nsga2", 1, False, None)
    assert "nothing is known of the other 1" in " ".join(found["notes"])
