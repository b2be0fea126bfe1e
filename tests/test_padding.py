"""Padding: never worse than the layer as it is, proven over the sizes tried, and every command says what is wasted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dovetail
from dovetail.cli.main import main
from dovetail.components.estimate import estimate
from dovetail.errors import InputError, NoMappingError
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.objective import Objective
from dovetail.mapper.padded import search_padded
from dovetail.mapper.search import search
from dovetail.workload.problem import Problem, convolution
from dovetail.workload.problem_yaml import write_problem

ODD = convolution(C=1, M=17, P=1, Q=4, R=1, S=1)
DESIGN = load_architecture("eyeriss_like")
ENERGIES = estimate(DESIGN)


@given(st.tuples(st.sampled_from([1, 7]), st.integers(1, 19), st.integers(1, 19)), st.sampled_from(list(Objective)))
@settings(max_examples=6)
def test_no_other_size_that_is_no_larger_is_better(sizes: tuple[int, int, int], objective: Objective) -> None:
    channels, filters, columns = sizes
    problem = convolution(C=channels, M=filters, P=1, Q=columns, R=1, S=1)
    found = search_padded(problem, DESIGN, ENERGIES, objective)
    assert found.certificate.exact
    assert found.certificate.value <= search(problem, DESIGN, ENERGIES, objective).certificate.value
    padded = problem if found.reading is None else found.reading.problem
    assert all(after >= before for before, after in zip(problem.bounds, padded.bounds, strict=True))
    assert found.cost == search(padded, DESIGN, ENERGIES, objective).cost
    if found.reading is None:
        return
    place = next(d for d, bound in enumerate(problem.bounds) if padded.bounds[d] > bound)
    for size in range(problem.bounds[place], padded.bounds[place]):
        bounds = (*padded.bounds[:place], size, *padded.bounds[place + 1 :])
        other = search(replace(problem, bounds=bounds), DESIGN, ENERGIES, objective)
        assert found.certificate.value <= other.certificate.value * (1 + 1e-9)


def test_what_is_wasted_is_counted() -> None:
    """17 filters do not share 14 columns of units; 18 do."""
    found = dovetail.map(ODD, "eyeriss_like", objective="latency", pad=True)
    assert found.cycles < dovetail.map(ODD, "eyeriss_like", objective="latency").cycles
    (note,) = (note for note in found.notes if "convolution on eyeriss_like: padded, " in note)
    macs = found.problem.macs - ODD.macs
    assert f"{macs:,} of {found.problem.macs:,} multiply-accumulates" in note
    words = [sum(problem.words(tensor) for tensor in problem.shape.tensors) for problem in (ODD, found.problem)]
    assert f"{words[1] - words[0]:,} of {words[1]:,} words" in note
    assert any("1 of 1 layers are padded" in note for note in found.notes)
    assert found.layer.padded_from == ODD.bounds


def test_the_front_is_over_all_sizes() -> None:
    found = search_padded(ODD, DESIGN, ENERGIES, front=True)
    points = [(point.energy_pJ, point.cycles) for point in found.front]
    assert points == sorted(points) and len({cycles for _, cycles in points}) == len(points)
    own = search(ODD, DESIGN, ENERGIES, front=True)
    for point in own.front:
        assert any(energy <= point.energy_pJ and cycles <= point.cycles for energy, cycles in points)
    assert any(point.reading is not None for point in found.front)


def test_a_factor_that_must_divide_has_a_mapping_once_padded(tmp_path: Path) -> None:
    file = tmp_path / "fixed.yaml"
    file.write_text(
        """
architecture:
  version: 0.4
  nodes:
  - !Component {name: DRAM, class: DRAM, attributes: {width: 64, datawidth: 16}}
  - !Container {name: pe, spatial: {meshX: 14}, constraints: {spatial: {factors: [M=14]}}}
  - !Component {name: rf, class: regfile, attributes: {width: 16, depth: 64, datawidth: 16, technology: "45nm"}}
  - !Component {name: mac, class: intmac, attributes: {technology: "45nm"}}
"""
    )
    design, problem = load_architecture(file), convolution(C=2, M=27, P=3, Q=3, R=1, S=1)
    energies = estimate(design)
    with pytest.raises(NoMappingError):
        search(problem, design, energies)
    found = search_padded(problem, design, energies)
    assert found.reading is not None and found.reading.problem.bound("M") == 28


@pytest.fixture
def layer(tmp_path: Path) -> str:
    file = tmp_path / "odd.yaml"
    file.write_text(write_problem(ODD))
    return str(file)


COMMANDS = [
    ["map", "--front"],
    ["compare"],
    ["optimum"],
    ["report", "--no-advice"],
    ["sweep-layer", "--dim", "Q", "--values", "13"],
    ["explain"],
]


@pytest.mark.parametrize("option", ["--pad", "--imperfect"])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_every_command_that_maps_takes_it(
    command: list[str], option: str, layer: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dovetail.mapper.explain.relaxations", lambda *_: ())  # one search is enough
    name, *more = command
    arguments = [name, layer, "--on", "eyeriss_like", "--objective", "latency", "--json", *more]
    workers = ["--workers", "1"] if name in ("optimum", "report", "sweep-layer") else []
    cycles = []
    for asked in ([], [option]):
        assert main([*arguments, *workers, *asked]) == 0
        out = capsys.readouterr()
        cycles.append(_least_cycles(json.loads(out.out)))
    assert cycles[1] < cycles[0]
    if option == "--pad":
        assert "multiply-accumulates" in out.err and "padd" in out.err


def _least_cycles(document: dict) -> int:
    found = [value for value in _values(document, "cycles") if isinstance(value, int)]
    return min(found)


def _values(document: object, key: str):
    if isinstance(document, dict):
        for name, value in document.items():
            if name == key:
                yield value
            elif name != "levels":
                yield from _values(value, key)
    elif isinstance(document, list):
        for value in document:
            yield from _values(value, key)


@pytest.mark.parametrize(
    "more", [["--imperfect", "--pad"], ["--pad", "--samples", "9"], ["--imperfect", "--samples", "9"]]
)
def test_one_search_at_a_time(more: list[str], layer: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("map", "compare"):
        assert main([command, layer, "--on", "eyeriss_like", *more]) == 2
        assert "at a time" in capsys.readouterr().err


def test_no_certificate_of_what_verify_does_not_know(layer: str, capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    for option in ("--imperfect", "--pad"):
        arguments = ["map", layer, "--on", "eyeriss_like", option, "--certificate", str(tmp_path / "c.json")]
        assert main(arguments) == 2
        assert "--certificate" in capsys.readouterr().err


def test_python_takes_both() -> None:
    plain = dovetail.compare(ODD, "eyeriss_like", objective="latency", workers=1)
    for odd in ({"imperfect": True}, {"pad": True}):
        better = dovetail.compare(ODD, "eyeriss_like", objective="latency", workers=1, **odd)
        assert better.costs[0].cycles < plain.costs[0].cycles
    with pytest.raises(InputError, match="at a time"):
        dovetail.map(ODD, "eyeriss_like", imperfect=True, pad=True)


def test_zeros_are_not_padded() -> None:
    sparse: Problem = replace(ODD, densities=())
    assert search_padded(sparse, DESIGN, ENERGIES, Objective.LATENCY).certificate.exact
