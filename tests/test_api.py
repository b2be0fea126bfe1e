"""The front door: what ``import dovetail`` gives, how results look, add up, compare, and come back from JSON."""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

import dovetail
from dovetail.api.schema import check
from dovetail.errors import InputError, MissingExtraError
from dovetail.workload.densities import Hypergeometric

SMALL = dovetail.convolution(C=4, M=8, P=6, Q=6, R=3, S=3, name="small")
OTHER = dovetail.convolution(C=8, M=8, P=6, Q=6, name="other")

#: Every name that users may rely on; a change here is a change for them.
PUBLIC = """
Advice Allowance Best Bound CapacityError Comparison Design DovetailError Evaluated Exploration Explanation Figure
InputError InternalError Layer Mapping MappingError MissingExtraError Network NetworkCost NoMappingError Objective
Problem Totals WriteError __version__ advise bound compare convolution design designs evaluate explain explore layers
linear load map matrix_product networks
"""


@pytest.fixture(scope="module")
def best():
    return dovetail.map(SMALL, on="eyeriss_like")


@pytest.fixture(scope="module")
def compared():
    halved = dovetail.design("eyeriss_like", shared_glb={"depth": 8192})
    return dovetail.compare([SMALL, OTHER], on=["eyeriss_like", halved], workers=1)


def test_the_public_names_are_these():
    assert sorted(dovetail.__all__) == sorted(PUBLIC.split())
    assert set(PUBLIC.split()) <= set(dir(dovetail))
    for name in dovetail.__all__:
        assert getattr(dovetail, name).__doc__ or name == "__version__"


def test_what_checkers_see_is_what_there_is():
    tree = ast.parse(Path(dovetail.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.asname: f"{node.module}.{alias.name}" for node in block.body for alias in node.names}
    assert set(seen) | {"__version__"} == set(dovetail.__all__)
    for name, place in seen.items():
        module, _, own = place.rpartition(".")
        assert getattr(importlib.import_module(f"dovetail.{module}"), own) is getattr(dovetail, name)


def test_no_name_is_that_of_a_package_which_would_take_its_place():
    folder = Path(dovetail.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} | {path.name for path in folder.iterdir() if path.is_dir()}
    assert not modules & set(dovetail.__all__)


def test_importing_loads_nothing_and_takes_no_time():
    program = (
        "import sys, time\nfrom typing import TYPE_CHECKING\nimport importlib\n"
        "before, start = set(sys.modules), time.process_time()\nimport dovetail\n"
        "print(time.process_time() - start, *sorted(set(sys.modules) - before))"
    )
    answers = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
        for _ in range(3)
    ]
    assert [name for name in answers[0][1:] if name != "__future__"] == ["dovetail", "dovetail.version"]
    assert min(float(answer[0]) for answer in answers) < 0.05


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'mapp', did you mean 'map'"):
        dovetail.mapp  # noqa: B018


@pytest.mark.parametrize("name", ["advising", "calls", "designs", "explanations", "networks", "results", "loading"])
def test_the_examples_of_docstrings_run(name, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("DOVETAIL_CACHE", str(tmp_path_factory.getbasetemp() / "examples"))  # one store for all
    found = doctest.testmod(importlib.import_module(f"dovetail.api.{name}"))
    assert found.failed == 0
    assert found.attempted > 0


def test_every_public_function_and_result_has_an_example():
    for name in ("advise", "map", "compare", "evaluate", "explain", "design", "designs", "layers", "networks", "load"):
        assert ">>> " in getattr(dovetail, name).__doc__, name
    for name in ("Best", "Comparison", "Design"):
        assert ">>> " in getattr(dovetail, name).__doc__, name


def test_results_are_short_values(best, compared):
    for value in (best, best.result, best.cost, best.certificate, best.layer, compared, compared[0], best.totals):
        assert "\n" not in repr(value)
        assert len(repr(value)) < 160, repr(value)
    assert "all layers" in str(compared[0]) and compared[0].layers[0].name in str(compared[0])
    for value in (best, compared, best.design):
        assert value._repr_html_().startswith(("<p>", "<table>"))
        with pytest.raises(FrozenInstanceError):
            value.notes = ()
    assert str(best).splitlines()[-1].strip().startswith("Outputs[n][m][p][q] +=")
    assert str(compared).count("\n") == 5


@pytest.fixture(scope="module")
def answers(best, compared):
    """Return an answer of every kind."""
    vary = {"shared_glb.depth": "8192,16384"}
    return [
        best,
        compared,
        best.design,
        dovetail.evaluate(SMALL, best.design, best.mapping),
        dovetail.explain(SMALL, on="eyeriss_like"),
        dovetail.explain(dovetail.convolution(C=4, M=7, P=5, Q=1, name="odd"), on="eyeriss_like", pad=True),
        dovetail.bound(SMALL),
        dovetail.explore(SMALL, on="eyeriss_like", vary=vary, workers=1),
    ]


def test_every_answer_is_short_shows_itself_and_is_plain_data(answers):
    for value in answers:
        assert "\n" not in repr(value) and len(repr(value)) < 160, repr(value)
        assert "\n" in str(value)
        assert "<table>" in value._repr_html_()
        document = value.to_dict()
        assert check(document) == document["schema"].removeprefix("dovetail.")
        kept = dict if isinstance(value, dovetail.Bound | dovetail.Exploration) else type(value)
        assert type(dovetail.load(document)) is kept
        if importlib.util.find_spec("pandas") is not None:
            assert len(value.to_frame()) > 0


def test_every_answer_prints_as_wide_as_the_terminal_and_saves_itself(answers, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "80")
    for value in answers:
        nest = isinstance(value, dovetail.Evaluated)  # whose loops stand as they are
        assert max(map(len, str(value).splitlines())) <= (100 if nest else 80), str(value)
        if hasattr(value, "save"):
            value.save(tmp_path / "answer.json")
            assert check(json.loads((tmp_path / "answer.json").read_text())) == check(value.to_dict())
    assert "edp gain" in str(answers[4])
    assert "columns more with .to_frame(): " in re.sub(r"\s+", " ", str(answers[1].layers()))


def test_explanations_come_back_with_every_result_and_its_padding(answers):
    for value in answers[4:6]:
        again = dovetail.load(value.to_dict())
        assert again.to_dict() == value.to_dict()
        assert [each.gain for each in again.lifted] == [each.gain for each in value.lifted]
        assert str(again) == str(value) and again.found.gaining() == again.lifted[: len(value.found.gaining())]
    earlier = {key: item for key, item in answers[4].to_dict().items() if key != "designs"}
    assert isinstance(dovetail.load(earlier), dict)


def test_dir_lists_the_public_names(answers):
    assert [name for name in dir(dovetail) if not name.startswith("_")] == sorted(
        set(dovetail.__all__) - {"__version__"}
    )


def test_they_add_up_and_compare(best, compared):
    for cost in compared:
        assert (cost + cost).cycles == 2 * cost.cycles
    assert sum(compared).energy_pJ == pytest.approx(sum(cost.energy_pJ for cost in compared))
    assert (best + compared[0]).cycles == best.cycles + compared[0].cycles
    assert sum([best, best, best]).edp_J_cycle == pytest.approx(9 * best.edp_J_cycle)
    worse = dovetail.map(SMALL, on=best.design, samples=1)
    assert best < worse and min(worse, best) is best and sorted([worse, best])[0] is best
    assert min(compared) is compared.best
    with pytest.raises(InputError, match="one minimises edp, the other energy"):
        assert compared[0] < dovetail.compare(SMALL, on="eyeriss_like", objective="energy")[0]
    with pytest.raises(InputError, match="one minimises edp, the other energy"):
        assert best < dovetail.map(SMALL, on="eyeriss_like", objective="energy")
    with pytest.raises(TypeError):
        best + 1


def test_a_comparison_is_a_sequence_with_names(compared):
    assert len(compared) == 4 and list(compared) == list(compared.costs)
    assert compared["small", "eyeriss_like"] is compared["eyeriss_like", "small"] is compared[0]
    assert compared[:1]["small"] is compared[0]
    assert compared[:2] + compared[2:] == compared
    assert compared.best in compared.costs
    with pytest.raises(InputError, match="2 results are called 'small': name network and design"):
        compared["small"]
    with pytest.raises(InputError, match="no result is called 'smal', did you mean 'small'"):
        compared["smal"]


def test_designs_are_changed_by_the_names_in_their_files():
    plain = dovetail.design("eyeriss_like")
    small = dovetail.design(
        "eyeriss_like", shared_glb={"depth": 8192}, PE_column={"meshX": 7}, weights_spad={"constraints": None}
    )
    assert small.level("shared_glb").words * 2 == plain.level("shared_glb").words
    assert small.energies["shared_glb"].energy("read") < plain.energies["shared_glb"].energy("read")
    assert small.level("inter_PE_column_spatial").fanout_x == 7
    assert small.level("mac").instances == 84
    assert small.level("weights_spad").constraints.temporal.factors == ()
    assert plain.changed(inter_PE_column_spatial={"meshX": 7}).level("mac").instances == 84
    both = plain.changed(shared_glb={"depth": 8192}).changed(shared_glb={"datawidth": 16}, name="wide")
    assert (both.name, both.level("shared_glb").block, both.level("shared_glb").depth) == ("wide", 4, 8192)
    assert plain.changed(shared_glb={"sizeKB": 64}).level("shared_glb").words == 65536
    assert small.name == "eyeriss_like shared_glb.depth=8192 PE_column.meshX=7 weights_spad.constraints=none"
    assert dovetail.design("eyeriss_like") == plain != small


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shared_gbl": {"depth": 1}}, "no node 'shared_gbl' to change, did you mean 'shared_glb'?"),
        ({"shared_glb": {"dept": 1}}, "shared_glb has no 'dept' to change, did you mean 'depth'?"),
        ({"shared_glb": {"depth": "big"}}, "shared_glb.attributes.depth: unknown name 'big'"),
        ({"shared_glb": {"depth": object()}}, "shared_glb.attributes.depth: must be a number, text or a list"),
        ({"shared_glb": 8192}, "write shared_glb={'depth': 8192}"),
        ({"shared_glb": {"constraints": {"temporl": {}}}}, "temporl"),
        ({"PE_column": {"meshX": 0}}, "must be at least 1"),
    ],
)
def test_changes_that_fit_nothing_are_told(changes, said):
    with pytest.raises(InputError) as caught:
        dovetail.design("eyeriss_like", **changes).energies  # noqa: B018
    assert said in str(caught.value)


def test_results_come_back_from_json(best, compared, tmp_path):
    given = dovetail.evaluate(SMALL, "eyeriss_like", best.mapping)
    network = dovetail.layers("alexnet@32")
    for value in (best, compared, given, best.design):
        check(value.to_dict(), closed=True)
        again = dovetail.load(value.to_dict())
        assert type(again) is type(value)
        assert again.to_dict() == value.to_dict()
        assert json.loads(json.dumps(value.to_dict())) == value.to_dict()
    assert dovetail.load(given.to_dict()) == given
    assert dovetail.load(best.to_dict()).mapping == best.mapping
    assert dovetail.load(best.design.to_dict()).architecture == best.design.architecture
    best.save(tmp_path / "best.json")
    assert dovetail.load(tmp_path / "best.json").cycles == best.cycles
    assert dovetail.load((tmp_path / "best.json").read_text()).cycles == best.cycles
    assert network.name == "alexnet"


def test_a_file_that_says_other_numbers_than_the_model_is_told_so(best):
    said = {**best.to_dict(), "cycles": best.cycles - 1}
    (note,) = dovetail.load(said).notes
    assert f"the file says {best.cycles - 1:,} cycles" in note and f"the model now counts {best.cycles:,}" in note


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": "other"}, "no result of Dovetail's"),
        ({"schema": "dovetail.lair"}, "unknown kind of result 'lair', did you mean 'layer'?"),
        ({"schema_version": 2}, "schema_version: version 2 is not read"),
        ({"cycles": "many"}, "cycles: must be integer, found string 'many'"),
        ({"cycles": True}, "cycles: must be integer, found boolean"),
        ({"mapping": [{"level": "DRAM"}]}, "mapping[0]: the key 'keep' is missing"),
        ({"mapping": []}, "DRAM"),
        ({"designs": []}, "'designs' has no 'eyeriss_like'"),
        ({"sizes": {"C": 0, "M": 8, "R": 3, "S": 3, "N": 1, "P": 6, "Q": 6}}, "at least 1"),
        ({"sizes": {"C": 4}}, "tensors: an axis names 'M', which has no size"),
        ({"tensors": []}, ""),
        ({"objective": "beauty"}, "must be one of edp, energy, latency, ed2p"),
        ({"coefficients": {}}, "tensors: an axis names 'Wstride', which has no size"),
    ],
)
def test_files_that_are_wrong_are_refused_with_their_key(best, change, said):
    with pytest.raises(InputError) as caught:
        dovetail.load({**best.to_dict(), **change})
    assert said in str(caught.value)


def test_a_file_that_is_no_json_is_refused(tmp_path):
    (tmp_path / "x.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"x\.json: is no JSON"):
        dovetail.load(tmp_path / "x.json")
    with pytest.raises(InputError, match="no such file"):
        dovetail.load(tmp_path / "none.json")


def test_without_pandas_a_frame_says_what_to_install(best, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MissingExtraError, match=r"a data frame needs the extra 'pandas': pip install"):
        best.to_frame()


def test_frames_hold_what_the_csv_does(best, compared, tmp_path):
    pytest.importorskip("pandas", reason="pandas is an extra")
    frame = compared.to_frame()
    assert list(frame.columns[:6]) == ["network", "design", "row", "layer", "repeats", "macs"]
    compared.to_csv(tmp_path / "t.csv")
    header = (tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header == ",".join(frame.columns)
    assert list(frame["cycles"]) == [cost.layers[0].cost.cycles for cost in compared]
    assert list(compared.to_frame(totals=True)["energy_pJ"]) == [cost.energy_pJ for cost in compared]
    assert best.to_frame()["energy_pJ"].sum() == pytest.approx(best.energy_pJ)
    assert set(best.design.to_frame()["level"]) == {level.name for level in best.design.levels}


def test_pages_and_pictures_are_written(compared, tmp_path):
    assert compared.report(tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    one = dovetail.advise(SMALL, on="eyeriss_like", total_time=1e-9)
    assert compared.report(tmp_path / "page.html", advice=one) == compared.report(tmp_path / "page.html", advice=[one])
    with pytest.raises(InputError, match=r"advice is what `dovetail.advise` returns, found a bool"):
        compared.report(tmp_path / "page.html", advice=False)
    assert compared.plot()._repr_svg_().startswith("<svg")
    for kind in ("layers", "roofline"):
        assert compared[:1].plot(kind).save(tmp_path / f"{kind}.svg").read_text(encoding="utf-8").startswith("<svg")
    with pytest.raises(InputError, match="'layers' shows one result, and there are 4"):
        compared.plot("layers")
    with pytest.raises(InputError, match="no picture is called 'rofline', did you mean 'roofline'"):
        compared.plot("rofline")


def test_what_is_no_network_and_no_design_is_told():
    for call, said in (
        (lambda: dovetail.compare(3, on="eyeriss_like"), "a network is a name, a path, a PyTorch module"),
        (lambda: dovetail.compare("alexnet", on=[]), "nothing is given to compare"),
        (lambda: dovetail.map("alexnet", on="eyeriss_like"), "write NETWORK:LAYER"),
        (lambda: dovetail.map(dovetail.layers("alexnet"), on="eyeriss_like"), "has 8 different layers"),
        (lambda: dovetail.map(3, on="eyeriss_like"), "a layer is a name, a path, a Layer, a Problem"),
        (lambda: dovetail.compare([None], on="eyeriss_like"), "found None"),
        (lambda: dovetail.load(""), "'' names no file"),
        (lambda: dovetail.map(SMALL, on="eyeris_like"), "did you mean 'eyeriss_like'"),
        (lambda: dovetail.map(SMALL, on="eyeriss_like", objective="edpp"), "unknown objective 'edpp', did you mean"),
        (lambda: dovetail.compare(SMALL, on=["eyeriss_like"] * 2), "two designs are called 'eyeriss_like'"),
        (lambda: dovetail.design(dovetail.design("eyeriss_like").architecture, x={}), "is an object"),
        (lambda: dovetail.design("eyeriss_like", art="a.yaml"), "art needs ert"),
    ):
        with pytest.raises(InputError) as caught:
            call()
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"samples": 0}, "samples is 0; it must be at least 1"),
        ({"samples": -1}, "samples is -1; it must be at least 1"),
        ({"samples": 2.5}, "samples is 2.5; it must be a whole number"),
        ({"time_limit": "5"}, "time_limit is '5'; it must be a number of seconds above 0"),
        ({"time_limit": -1}, "time_limit is -1; it must be a number of seconds above 0"),
        ({"time_limit": float("nan")}, "time_limit is nan; it must be a number of seconds above 0"),
        ({"time_limit": dovetail.Allowance("5")}, "time_limit is '5'; it must be a number of seconds above 0"),
        ({"batch": "2"}, "batch is '2'; it must be a whole number"),
        ({"batch": 2.5}, "batch is 2.5; it must be a whole number"),
    ],
)
def test_numbers_that_are_none_are_refused_as_the_commands_refuse_them(asked, said):
    with pytest.raises(InputError, match=said):
        dovetail.map(SMALL, on="eyeriss_like", **asked)


def test_every_call_that_searches_refuses_a_time_that_is_none():
    asked = {"vary": {"PE.meshX": "2,4"}, "axes": "edp"}
    for call, more in (
        (dovetail.compare, {}),
        (dovetail.explain, {}),
        (dovetail.advise, {}),
        (dovetail.explore, asked),
    ):
        with pytest.raises(InputError, match="time_limit is 0; it must be a number of seconds above 0"):
            call(SMALL, "eyeriss_like", time_limit=0, **more)
    with pytest.raises(InputError, match="total_time is -1"):
        dovetail.advise(SMALL, "eyeriss_like", total_time=-1)


def test_a_layer_has_whole_sizes_and_a_short_repr():
    with pytest.raises(InputError, match=r"linear: dimension C is 1\.5; it must be a whole number"):
        dovetail.linear(C=1.5, M=3)
    with pytest.raises(InputError, match="linear: dimension C is 'a'; it must be a whole number"):
        dovetail.linear(C="a", M=3)
    assert repr(SMALL) == "<Problem small: C4 M8 R3 S3 P6 Q6>"
    assert repr(dovetail.linear(C=1, M=1)) == "<Problem linear: every size 1>"


#: A script as people write it: no guard, two processes.
SCRIPT = """
import dovetail
layers = [dovetail.convolution(C=c, M=8, P=6, Q=6, name=f"c{c}") for c in (4, 8, 16)]
print("running")
cost = dovetail.compare(layers, on="eyeriss_like", workers=2)
print(len(cost), cost.exact)
"""


def test_a_script_needs_no_guard_for_processes(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    run = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert (run.returncode, run.stdout) == (0, "running\n3 True\n"), run.stderr


def test_modules_are_taken_as_they_are():
    torch = pytest.importorskip("torch", reason="needs the torch extra")
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(288, 4))
    x = torch.zeros(2, 3, 8, 8)
    network = dovetail.layers(net, input=x)
    assert (len(network.layers), network.batch) == (2, 2)
    assert dovetail.layers(net, input=(2, 3, 8, 8)) == network
    layer = dovetail.map(torch.nn.Conv2d(3, 8, 3), on="eyeriss_like", input=x)
    assert layer.problem.macs == network.layers[0].macs
    with pytest.raises(InputError, match="say what the module takes"):
        dovetail.layers(net)
    twice = dovetail.compare([net, net], on="eyeriss_like", input=x, samples=20, workers=1)
    assert [cost.network.name for cost in twice] == ["Sequential", "Sequential:2"]


@pytest.mark.parametrize("name", dovetail.designs())
def test_every_bundled_design_is_as_the_schema_says_and_comes_back(name):
    design = dovetail.design(name)
    assert check(design.to_dict(), closed=True) == "design"
    assert dovetail.load(design.to_dict()).architecture == design.architecture


def test_results_of_sparse_designs_are_kept_and_come_back():
    small = dovetail.convolution(C=4, M=4, P=2, Q=2, name="small")
    layer = replace(small, densities=tuple(Hypergeometric(0.5) for _ in small.shape.tensors))
    for found in (dovetail.map(layer, on="eyeriss_v2_pe"), dovetail.map(layer, on="eyeriss_sparse", time_limit=1)):
        assert check(found.to_dict(), closed=True) == "layer"  # mapped through the store, which takes JSON's own types
        assert dovetail.load(found.to_dict()).to_dict() == found.to_dict()
