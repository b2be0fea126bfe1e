"""The search's compiled code: all of it is made ahead, by processes side by side, and nothing else is ever compiled."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import assume, given, settings

from dovetail.cli.notes import compiling_notes
from dovetail.components.estimate import estimate
from dovetail.errors import NoMappingError
from dovetail.hardware.architecture import Architecture
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.exact import compiled as ahead
from dovetail.mapper.exact.fanouts import count_fanout
from dovetail.mapper.exact.space import Space, build_space, may_need_counting
from dovetail.model import compile as compile_module
from dovetail.workload.problem import Problem, convolution
from mapper_strategies import Setup, setups

COMPILED_AHEAD = """
    import sys
    from numba.core.dispatcher import Dispatcher
    from dovetail.components.estimate import estimate
    from dovetail.hardware.reader import load_architecture
    from dovetail.mapper.exact import compiled
    from dovetail.mapper.exact.search import search
    from dovetail.workload.problem import convolution

    said = []
    problem = convolution(C=4, M=6, P=6, Q=6, R=3, S=3, name="conv")
    for design in ("eyeriss_like", "simple_weight_stationary", "simba_like"):
        architecture = load_architecture(design)
        found = search(problem, architecture, estimate(architecture), progress=said.append)
        assert found.certificate.exact
    for name, function in compiled._FUNCTIONS.items():
        assert len(function.signatures) == 1, (name, function.signatures)
        assert not function.stats.cache_misses, name
    for module in [m for n, m in sys.modules.items() if n.startswith("dovetail.mapper")]:
        for name, function in vars(module).items():
            if isinstance(function, Dispatcher) and function.signatures:
                assert name in compiled._FUNCTIONS, name
    print(*said, sep="\\n")
"""


def test_a_search_runs_on_code_compiled_ahead_and_only_once(tmp_path: Path) -> None:
    """In a process that finds nothing compiled, and in the next one, which finds everything."""
    said = [run(tmp_path), run(tmp_path)]
    assert "compiling the search" in said[0]
    assert "compiling" not in said[1]


def run(folder: Path) -> str:
    """Search in a new process that keeps compiled code in a folder; return what it prints."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
    command = [sys.executable, "-c", textwrap.dedent(COMPILED_AHEAD)]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.mark.parametrize(
    ("folder", "said"), [("/proc/nowhere", "cannot be written"), (None, "no folder for compiled code")]
)
def test_a_note_says_where_compiled_code_is_not_kept(monkeypatch, folder, said):
    monkeypatch.setattr(compile_module, "_unkept", set())
    if folder is None:
        monkeypatch.delenv("NUMBA_CACHE_DIR")
        monkeypatch.setenv("DOVETAIL_CACHE", "off")
    else:
        monkeypatch.setenv("NUMBA_CACHE_DIR", folder)
    assert compiling_notes() == []
    assert not compile_module.keeps_code(compile_module.jit(lambda number: number))
    (note,) = compiling_notes()
    assert said in note
    assert "every process compiles anew" in note


def layers_of(bounds: dict[str, int], design: str) -> list[tuple[Problem, Architecture]]:
    return [(convolution(**bounds, name="conv"), load_architecture(design))]


@pytest.mark.parametrize(
    ("design", "kernel", "needed"), [("eyeriss_like", 3, True), ("eyeriss_like", 1, False), ("simba_like", 3, False)]
)
def test_what_counts_fanouts_is_compiled_for_layers_that_need_it_only(monkeypatch, design, kernel, needed):
    """It takes a quarter of the first search's time."""
    compiled: list[str] = []

    class Workers(ThreadPoolExecutor):
        def map(self, _, names):
            compiled.extend(names)
            return iter(())

    counting, names = count_fanout.__name__, list(ahead._FUNCTIONS)
    monkeypatch.setattr(ahead, "_untried", lambda: names)
    monkeypatch.setattr(ahead, "WorkerExecutor", Workers)
    monkeypatch.setattr(ahead, "available_cpus", lambda: 2)
    layers = layers_of({"C": 4, "M": 4, "P": 4, "Q": 4, "R": kernel, "S": kernel}, design)
    ahead.compile_all(layers=layers)
    assert set(compiled) == set(ahead._FUNCTIONS) - ({counting} if not needed else set())
    assert names == ([] if needed else [counting])  # left for a layer that needs it, or for its first call
    ahead.compile_all(layers=layers)
    assert names == ([] if needed else [counting])
    ahead.compile_all()
    assert not names


def is_counted(space: Space) -> bool:
    return any(bool(rows.any()) for rows in space.by_model)


@given(setups())
@settings(max_examples=60, deadline=None)
def test_that_the_model_counts_is_known_before_a_mapspace_is_laid_out(setup: Setup) -> None:
    problem, architecture, energies = setup
    try:
        space = build_space(problem, architecture, energies)
    except NoMappingError:
        assume(False)
    assert may_need_counting(problem, architecture) or not is_counted(space)


@pytest.mark.parametrize("design", ["eyeriss_like", "simba_like", "simple_output_stationary", "tpu_like"])
@pytest.mark.parametrize("bounds", [{"C": 4, "M": 4, "P": 6, "Q": 6, "R": 3, "S": 3}, {"C": 4, "M": 4, "P": 6, "Q": 6}])
def test_of_bundled_designs_it_is_known_exactly(design, bounds):
    ((problem, architecture),) = layers_of(bounds, design)
    space = build_space(problem, architecture, estimate(architecture))
    assert may_need_counting(problem, architecture) == is_counted(space)
