"""Finding and choosing estimators, the optional ones, and what is said when nobody serves."""

import importlib.metadata
import os
import shutil
import stat
import sys
from pathlib import Path

import pytest

from dovetail.components import estimator as registry
from dovetail.components.cacti import CactiLive
from dovetail.components.compound import bundled_classes
from dovetail.components.estimate import estimate, explain
from dovetail.components.estimator import Declined, Query, Quote, ask, estimators
from dovetail.components.hwcomponents import HwComponents
from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture, Compute, Storage

SRAM = {"technology": "45nm", "width": 64, "depth": 1024}


def design(component="smartbuffer_SRAM", **attributes):
    storage = Storage(name="buffer", component=component, attributes={**SRAM, **attributes}, width=16, datawidth=8)
    return Architecture("one", (storage, Compute(name="mac", component="intmac", attributes={"technology": 45})))


@pytest.fixture
def fresh():
    """Let a test change what is installed."""
    estimators.cache_clear()
    yield
    estimators.cache_clear()


def test_estimators_are_ordered_by_stated_accuracy_and_state_what_they_must():
    found = estimators()
    assert [each.accuracy for each in found] == sorted((each.accuracy for each in found), reverse=True)
    for each in found:
        assert each.classes and each.valid and each.source and each.name


def test_no_bundled_class_hides_a_primitive():
    primitives = {name.lower() for each in estimators() for name in each.classes}
    assert {"regfile", "intmac", "sram"} <= primitives
    assert not primitives & {name.lower() for name in bundled_classes()}


class Mine:
    name, classes, valid, accuracy, source = "mine", ("SRAM",), "45 nm", 99, "our own measurement"

    def energy(self, query):
        if query.action == "write":
            raise Declined("writes were not measured")
        return Quote(1.0)

    def area(self, query):
        return Quote(2.0, ("measured",), extrapolated=True)


class Liar(Mine):
    name, accuracy = "liar", 100

    def energy(self, query):
        return Quote(float("nan"))


def installed(monkeypatch, **found):
    points = [importlib.metadata.EntryPoint(name, value, registry.GROUP) for name, value in found.items()]
    real = list(importlib.metadata.entry_points(group=registry.GROUP))
    monkeypatch.setattr(registry, "entry_points", lambda group: [*real, *points])


def test_a_package_brings_its_own_estimator(fresh, monkeypatch):
    installed(monkeypatch, mine=f"{__name__}:Mine", liar=f"{__name__}:Liar")
    buffer = explain(design())[0]
    assert buffer.actions["read"].parts[0].estimator == "mine"
    assert buffer.actions["write"].parts[0].estimator != "mine"  # it declined
    assert buffer.extrapolated and buffer.area.extrapolated
    assert "mine" in estimate(design())["buffer"].source


def test_an_estimator_that_cannot_be_loaded_is_named(fresh, monkeypatch):
    installed(monkeypatch, broken="no_such_module:Estimator")
    with pytest.raises(InputError, match=r"the estimator 'broken' .* cannot be loaded"):
        estimators()


def test_an_estimator_must_state_its_source(fresh, monkeypatch):
    installed(monkeypatch, anything="builtins:object")
    with pytest.raises(InputError, match=r"'anything' .* does not state its name"):
        estimators()


def test_a_notebook_shows_energies_with_their_sources():
    energies = estimate(design())
    (row,) = (row for row in energies.table().rows if row[0] == "buffer")
    assert energies["buffer"].energy("read") in row
    assert energies["buffer"].source in row
    assert "read pJ" in energies._repr_html_()


def test_the_user_forces_one_for_a_design_or_for_a_component():
    assert "cacti_monotone" in explain(design(), ["cacti_monotone"])[0].estimators
    assert "cacti_monotone" in explain(design("SRAM", estimator="cacti_monotone"))[0].estimators
    forced = estimate(design("aladdin_register"), ["aladdin_40nm"])["buffer"].energy("read")
    plain = estimate(design("aladdin_register"))["buffer"].energy("read")
    assert forced == pytest.approx(plain * 1.1508, rel=1e-3)  # 40 nm scaled to 45 nm


@pytest.mark.parametrize(
    ("component", "attributes", "forced", "message"),
    [
        ("SRAN", {}, (), "of class SRAN, did you mean 'SRAM'?; asked: hwcomponents: "),
        ("SRAM", {"technology": "3nm"}, (), "cacti_runs: 3 nm is outside of 7 to 180 nm"),
        ("SRAM", {"depth": 0}, (), "buffer.depth: must be above 0, found 0"),
        ("SRAM", {"depth": None}, (), "a component of class SRAM must specify 'depth'"),
        ("SRAM", {"technology": None}, (), "must specify 'technology', such as \"45nm\""),
        ("SRAM", {"technology": "SET ME"}, (), "must specify 'technology'"),
        ("SRAM", {"technology": "old"}, (), "'old' is not a node"),
        ("SRAM", {"width": "wide"}, (), "buffer.width: must be a number, found 'wide'"),
        ("smartbuffer_RF", {"technology": 300}, (), "technology 300 nm is outside of 7 to 130 nm"),
        ("smartbuffer_RF", {"technology": 45, "voltage": 3.3}, (), "voltage 3.3 V is outside of 0.6 to 1.3 V"),
        ("smartbuffer_SRAM", {"depth": 0}, (), "must be above 0"),
        ("DRAM", {"type": "LPDDR9"}, (), "there is no DRAM type 'LPDDR9', did you mean 'LPDDR"),
        ("wire", {}, (), "must specify 'length'"),
        ("SRAM", {"estimator": "cacti_rums"}, (), "there is no estimator 'cacti_rums', did you mean 'cacti_runs'?"),
        ("SRAM", {"estimator": "aladdin"}, (), "of class SRAM; asked: aladdin: serve other classes"),
        ("SRAM", {}, ("aladin",), "there is no estimator 'aladin', did you mean 'aladdin'?"),
        ("SRAM", {}, ("dram_table",), "the estimator 'dram_table' serves no component of one"),
    ],
)
def test_what_nobody_can_estimate_is_said_in_one_message(component, attributes, forced, message):
    with pytest.raises(InputError) as caught:
        explain(design(component, **attributes), forced)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nobody_lists_everyone_who_was_asked_and_why_each_declined(monkeypatch):
    monkeypatch.setenv("DOVETAIL_CACTI", "/nonexistent/cacti")
    with pytest.raises(InputError) as caught:
        ask(Query("SRAM", {**SRAM, "technology": 400}, "read"))
    for name in ("cacti_runs", "cacti_monotone", "cacti_live", "hwcomponents"):
        assert f"{name}: " in str(caught.value)


def test_hwcomponents_declines_where_it_is_absent_and_answers_where_it_is_present():
    query = Query("aladdin_adder", {"technology": "45nm", "width": 32})
    try:
        import hwcomponents  # noqa: F401
    except ImportError:
        with pytest.raises(Declined, match="not installed"):
            HwComponents().area(query)
    else:
        assert 100 < HwComponents().area(query).value < 1000


CACTI = """#!{python}
import pathlib, sys
given = sys.argv[sys.argv.index("-infile") + 1]
assert pathlib.Path("tech_params").is_dir()
text = pathlib.Path(given).read_text()
size = int(text.split("-size (bytes) ")[1].split()[0])
banks = int(text.split("-UCA bank ")[1].split()[0])
pathlib.Path("count").open("a").write("x")
if size > 1 << 20:
    sys.exit(1)
pathlib.Path(given + ".out").write_text(
    "Tech node (nm), Dynamic read energy (nJ), Dynamic write energy (nJ), Standby leakage per bank(mW), Area (mm2)\\n"
    f"45, {{size * 1e-6}}, {{size * 2e-6}}, {{size / banks * 1e-6}}, {{size * 1e-6}}\\n"
)
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A program that is called as CACTI is and answers as it does, in proportion to the size."""
    folder = tmp_path / "bin"
    (folder / "tech_params").mkdir(parents=True)
    (folder / "cacti").write_text(CACTI.format(python=sys.executable))
    (folder / "cacti").chmod(stat.S_IRWXU)
    monkeypatch.setenv("DOVETAIL_CACTI", str(folder / "cacti"))
    monkeypatch.setenv("DOVETAIL_CACHE", str(tmp_path / "cache"))
    return folder


def test_a_cacti_on_this_machine_is_called_once_per_memory_and_wins(program, tmp_path):
    answer = ask(Query("SRAM", SRAM, "read"))
    assert (answer.estimator.name, answer.quote.value) == ("cacti_live", pytest.approx(1024 * 8 * 1e-3))
    assert ask(Query("SRAM", SRAM, "write")).quote.value == pytest.approx(1024 * 8 * 2e-3)
    assert ask(Query("SRAM", {**SRAM, "n_banks": 2}, "leak")).quote.value == pytest.approx(1024 * 8 * 1e-6)
    assert ask(Query("SRAM", SRAM)).quote.value == pytest.approx(1024 * 8)
    assert (program / "count").read_text() == "xx"  # one run per memory; the store has the rest
    small = ask(Query("SRAM", {**SRAM, "width": 16, "depth": 32}, "")).quote
    assert small.extrapolated and small.value == pytest.approx(64 * 4 / 4)
    assert {path.name for path in tmp_path.iterdir()} == {"bin", "cache"}
    assert not list((tmp_path / "cache").glob("cacti-*"))


def test_where_cacti_finds_nothing_the_next_estimator_is_asked(program):
    assert ask(Query("SRAM", {**SRAM, "depth": 1 << 20}, "read")).estimator.name == "cacti_runs"
    assert ask(Query("SRAM", {**SRAM, "technology": 28}, "read")).estimator.name == "cacti_runs"


@pytest.mark.skipif(not (os.environ.get("DOVETAIL_CACTI") or shutil.which("cacti")), reason="needs a CACTI binary")
def test_a_real_cacti_gives_what_was_recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("DOVETAIL_CACHE", str(tmp_path / "cache"))
    text = (Path(__file__).parent / "data" / "cacti7_random_sizes.csv").read_text()
    recorded = [line.split(",") for line in text.splitlines()][1:4]
    for node, block, rows, *values in recorded:
        attributes = {"technology": int(node), "width": 8 * int(block), "depth": int(rows)}
        for action, value in zip(("read", "write", "leak", ""), values, strict=True):
            query = Query("SRAM", attributes, action)
            found = CactiLive().energy(query) if action else CactiLive().area(query)
            assert found.value == pytest.approx(float(value), rel=1e-4)
