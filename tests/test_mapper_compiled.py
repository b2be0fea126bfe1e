"""The search's compiled code: all of it is made ahead, by processes side by side, and nothing else is ever compiled."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from dovetail.cli.notes import compiling_notes
from dovetail.model import compile as compile_module

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
