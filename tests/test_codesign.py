"""Network and hardware together: the front of loss, cost and area is that of all choices on all designs."""

import itertools
import json
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("torch_pruning")

from dovetail.accuracy.datasets import load_data  # noqa: E402
from dovetail.accuracy.evaluation import evaluate  # noqa: E402
from dovetail.api.schema import check  # noqa: E402
from dovetail.cli.main import main  # noqa: E402
from dovetail.codesign.designs import Designs  # noqa: E402
from dovetail.codesign.front import Unmappable, front, least_loss  # noqa: E402
from dovetail.errors import InputError  # noqa: E402
from dovetail.family.family import load_family  # noqa: E402
from dovetail.shrink.exact import ExactSearch, loss_of  # noqa: E402
from dovetail.shrink.knobs import network_graph  # noqa: E402
from dovetail.shrink.layers import network_shapes  # noqa: E402
from dovetail.shrink.oracle import CostOracle  # noqa: E402
from dovetail.shrink.saved import load_shrunk  # noqa: E402
from dovetail.shrink.space import LayerTable, search_space  # noqa: E402
from dovetail.shrink.target import OBJECTIVES, Target  # noqa: E402

nn = torch.nn
METRICS = ("edp", "energy", "cycles")
#: Some are too small for the widest layers, some differ in area alone.
VARIED = {"shared_glb.depth": "8,64,512", "PE.meshY": "2,4"}


def brute(designs, metric, losses, limits):
    """Return (limit, area, loss) of everything that no other beats, over all designs and choices.

    Args:
        designs: (area, space) of each.
    """
    met = []
    for area, space in designs:
        search = ExactSearch(space, metric)
        choices = np.array(list(itertools.product(*map(range, search.sizes))))
        costs = search.costs(choices)
        lost = np.sum([each[choices[:, knob]] for knob, each in enumerate(losses)], axis=0)
        for limit in limits:
            if (costs <= limit).any():
                met.append((limit, area, float(lost[costs <= limit].min())))
    rounded = sorted({(limit, area, round(loss, 9)) for limit, area, loss in met})
    return [
        one for one in rounded
        if not any(other != one and all(a <= b for a, b in zip(other, one, strict=True)) for other in rounded)
    ]  # fmt: skip


def found_of(result):
    return sorted((spot.limit, spot.area_um2, round(spot.loss, 9)) for spot in result.spots)


class Grid:
    """Designs with drawn tables; a box's floor has each layer's least of whatever its members are mapped for."""

    def __init__(self, spaces, area_um2, metric):
        self.spaces, self.area_um2, self.metric = spaces, area_um2, metric
        self.asked = []

    def apart(self, box):
        return None

    def is_exact(self, box):
        return True

    def space(self, box):
        self.asked.append(box)
        inside = [self.spaces[at] for at in itertools.product(*(range(*ends) for ends in box))]
        if any(isinstance(each, Unmappable) for each in inside) and len(inside) == 1:
            return inside[0]
        mapped = [each for each in inside if not isinstance(each, Unmappable)]
        if not mapped:
            return inside[0]
        tables = []
        for of_layer in zip(*(each.tables for each in mapped), strict=True):
            energy, cycles = (
                np.min([t.energy_pJ for t in of_layer], axis=0),
                np.min([t.cycles for t in of_layer], axis=0),
            )
            if self.metric == "edp" and len(mapped) > 1:  # the floor knows the least product alone
                cycles = np.min([t.energy_pJ * t.cycles for t in of_layer], axis=0) / energy
            tables.append(LayerTable(of_layer[0].knobs, energy, cycles, of_layer[0].macs))
        return SimpleNamespace(knobs=mapped[0].knobs, tables=tables)

    def parts(self, box, apart):
        at = max(range(len(box)), key=lambda at: box[at][1] - box[at][0])
        low, high = box[at]
        middle = (low + high) // 2
        return (*box[:at], (low, middle), *box[at + 1 :]), (*box[:at], (middle, high), *box[at + 1 :])


@st.composite
def grids(draw):
    random = np.random.RandomState(draw(st.integers(0, 2**31 - 1)))
    metric = draw(st.sampled_from(METRICS))
    shape = draw(st.sampled_from([(1,), (4,), (2, 3), (5, 2)]))
    sizes = [random.randint(1, 4) for _ in range(draw(st.integers(1, 4)))]
    scopes = [tuple(sorted(set(random.randint(0, len(sizes), 2).tolist()))) for _ in range(draw(st.integers(1, 4)))]
    knobs = [SimpleNamespace(options=range(size)) for size in sizes]
    base = [random.randint(1, 30, size=(3, *(sizes[knob] for knob in scope))).astype(float) for scope in scopes]
    spaces = {}
    for at in np.ndindex(*shape):
        scale = random.choice([1.0, 1.5, 4.0])
        tables = [
            LayerTable(s, *(b * scale + random.randint(0, 3, size=b.shape))) for s, b in zip(scopes, base, strict=True)
        ]
        spaces[at] = (
            SimpleNamespace(knobs=knobs, tables=tables) if random.random_sample() > 0.1 else Unmappable("too small")
        )
    area = np.where(random.random_sample(shape) > 0.1, random.randint(1, 6, size=shape).astype(float), math.inf)
    losses = [np.array([0.0, *np.sort(random.randint(0, 9, size - 1)).astype(float)]) / 7 for size in sizes]
    return Grid(spaces, area, metric), losses, draw(st.floats(0.05, 1.0))


@given(grids())
@settings(max_examples=40, deadline=None)
def test_the_front_is_that_of_all_choices_on_all_designs(case):
    grid, losses, share = case
    real = [at for at in np.ndindex(*grid.area_um2.shape)
            if np.isfinite(grid.area_um2[at]) and not isinstance(grid.spaces[at], Unmappable)]  # fmt: skip
    costs = [ExactSearch(grid.spaces[at], grid.metric).cost((0,) * len(losses)) for at in real] or [1.0]
    limits = {Target(grid.metric, part, True): part * share * max(costs) for part in (1.0, 0.6)}
    result = front(grid, grid.metric, losses, limits, 100_000)
    wanted = brute([(grid.area_um2[at], grid.spaces[at]) for at in real], grid.metric, losses, limits.values())
    assert found_of(result) == wanted
    assert all(result.proven.values())
    for spot in result.spots:
        space = grid.spaces[spot.member]
        assert ExactSearch(space, grid.metric).cost(spot.choice) <= spot.limit
        assert loss_of(losses, spot.choice) == spot.loss
    assert len(result.mapped) + result.bounded + sum(result.unmappable.values()) == np.isfinite(grid.area_um2).sum()


@given(grids())
@settings(max_examples=20, deadline=None)
def test_no_choice_loses_less_than_its_bound(case):
    grid, losses, share = case
    for space in (each for each in grid.spaces.values() if not isinstance(each, Unmappable)):
        search = ExactSearch(space, grid.metric)
        choices = np.array(list(itertools.product(*map(range, search.sizes))))
        costs = search.costs(choices)
        limit = float(share * costs.max())
        bound = least_loss(space, grid.metric, losses, limit)
        within = [loss_of(losses, tuple(each)) for each in choices[costs <= limit].tolist()]
        assert bound <= min(within, default=math.inf) + 1e-9


def test_designs_that_bounds_rule_out_are_not_mapped():
    """Twelve designs, each larger and dearer than the one before: the first has the whole front."""
    knobs = [SimpleNamespace(options=range(2))]
    spaces = {
        (at,): SimpleNamespace(
            knobs=knobs, tables=[LayerTable((0,), *(np.array([4.0, 2.0]) * (1 + at) for _ in "ecm"))]
        )
        for at in range(12)
    }
    grid = Grid(spaces, np.arange(1.0, 13.0), "energy")
    result = front(grid, "energy", [np.array([0.0, 1.0])], {Target("energy", 1.0, True): 5e-6}, 1000, [(0,)])
    assert [spot.member for spot in result.spots] == [(0,)]
    assert result.mapped == ((0,),)
    assert result.bounded == 11
    assert len(grid.asked) < 6


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, stride=2)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(torch.relu(self.two(torch.relu(self.one(x)))).mean(dim=(2, 3)))


@pytest.fixture(scope="module")
def shapes():
    torch.manual_seed(0)
    model = Small().eval()
    return network_shapes(model, network_graph(model, (1, 1, 4, 4), ("channels",)), (1, 1, 4, 4), "small")


def designs_of(metric, vary=VARIED, budgets=()):
    def oracle(architecture, energies):
        return CostOracle(architecture, energies, OBJECTIVES[metric], workers=1)

    return Designs(load_family("simple_weight_stationary", vary, budgets=budgets), oracle)


def test_the_front_over_real_designs_is_that_of_brute_force(shapes, metric="edp"):
    designs = designs_of(metric)
    assert designs.count == 6
    space = search_space(shapes, designs.oracle(designs.first), kept=2)
    designs.begin(space)
    random = np.random.RandomState(1)
    losses = [np.array([0.0, *np.sort(random.random_sample(len(knob.options) - 1))]) for knob in space.knobs]
    whole = ExactSearch(space, metric).cost((0,) * len(space.knobs))
    limits = {Target(metric, share, True): share * whole for share in (0.9, 0.5, 0.3)}
    result = front(designs, metric, losses, limits, 100_000, designs.seeds(shapes))
    assert all(result.proven.values())
    every = [
        (designs.area_um2[at], designs.space(tuple((place, place + 1) for place in at))) for at in np.ndindex(3, 2)
    ]
    real = [(area, each) for area, each in every if not isinstance(each, Unmappable)]
    assert len(real) > 1
    assert found_of(result) == brute(real, metric, losses, limits.values())


def test_a_family_that_cannot_be_searched_is_one_message():
    with pytest.raises(InputError, match="has 1,001 designs; network and hardware are searched together over 1,000"):
        designs_of("edp", {"shared_glb.depth": "1:1001:1"})
    with pytest.raises(InputError, match="budgets are on area"):
        designs_of("edp", budgets=["energy <= 1 uJ"])
    with pytest.raises(InputError, match="no design of the family keeps to area <= 1 um2"):
        designs_of("edp", budgets=["area <= 1 um2"])
    middle = float(np.median(designs_of("edp").area_um2))
    few = designs_of("edp", budgets=[f"area <= {middle:.1f} um2"])
    assert (few.count, few.skipped) == (3, {f"not area <= {middle:.1f} um2": 3})


def command(out, *more):
    return [
        "shrink", "five-layer-2", "--family", "simple_weight_stationary", "--data", "digits", "--epochs", "1",
        "--supernet-epochs", "1", "--candidates", "4", "--finalists", "1", "--no-reference", "--workers", "1",
        "--device", "cpu", "--out", str(out), *more,
    ]  # fmt: skip


def test_a_whole_run_writes_networks_and_designs_that_cost_what_it_reports(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DOVETAIL_CACHE", str(tmp_path / "store"))
    out = tmp_path / "out"
    vary = ("--vary", "shared_glb.depth=1024,16384", "--target", "energy=0.8x")
    assert main([*command(out, *vary, "--knobs", "resolution"), "--html", str(out / "page.html")]) == 0
    printed = capsys.readouterr().out
    result = json.loads((out / "result-family.json").read_text())
    assert check(result, closed=True) == "codesign"
    assert result["designs"] == 2
    assert result["mapped"] + result["bounded"] + sum(result["unmappable"].values()) == 2
    assert result["proven"] == {"energy=0.8x": True}
    assert result["front"]
    for point in result["front"]:
        assert point["energy_pJ"] <= 0.8 * result["original"]["energy_pJ"]
        assert point["folder"] in printed
        network, data = load_shrunk(point["folder"]), load_data("digits")
        assert evaluate(network, data.test) == point["accuracy"]["test"]["0"]
        file = point["files"].get("onnx", point["files"]["program"])
        assert main(["compare", file, "--on", point["design_file"], "--objective", "energy", "--json"]) == 0
        (cost,) = json.loads(capsys.readouterr().out)["results"]
        assert cost["energy_pJ"] == pytest.approx(point["energy_pJ"], rel=1e-12)
        assert cost["cycles"] == point["cycles"]
    assert "five-layer-2 on the family" in (out / "page.html").read_text()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("last.pt")}
    assert main([*command(out, *vary, "--knobs", "resolution"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["front"] == result["front"]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("last.pt")} == before
    vary = (*vary[:2], "--target", "energy=0.001x")
    assert main(command(tmp_path / "far", *vary, "--knobs", "resolution")) == 2
    said = capsys.readouterr().err
    assert re.search(r"no network found that costs so little; the nearest reachable is energy=0\.\d+x", said)
    assert "on simple_weight_stationary-0, of 2 designs" in said
    assert not list((tmp_path / "far").rglob("supernets"))  # said before anything of it is trained


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--target", "macs=0.5x"), "MACs are the same on every design"),
        (("--target", "edp=0.5x", "--on", "eyeriss_like"), "--on has no place beside --family"),
        (("--target", "edp=0.5x", "--objective", "edp"), "--objective has no place beside --family"),
        (("--target", "edp=0.5x", "--method", "uniform"), "--method uniform has no place beside --family"),
        (("--target", "edp=0.5x", "--pad"), "--pad has no place beside --family"),
    ],
)
def test_what_does_not_go_with_a_family_is_one_message(more, message, tmp_path, capsys):
    assert main(command(tmp_path, "--vary", "PE.meshY=4,16", *more)) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("dovetail: error") == 1


def test_a_design_is_asked_for_where_there_is_none(capsys):
    words = ["shrink", "five-layer-2", "--data", "digits", "--target", "edp=0.5x"]
    assert main(words) == 2
    assert "write --on DESIGN, or --family FAMILY" in capsys.readouterr().err
    assert main([*words, "--on", "eyeriss_like", "--vary", "PE.meshY=4"]) == 2
    assert "write --family instead of --on" in capsys.readouterr().err
