"""The printed loop nest, kept as a golden file; see CONTRIBUTING.md for how to renew it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dovetail.mapping.mapping import Loop, Mapping
from dovetail.mapping.text import loop_nest_text
from mapping_strategies import EYERISS, LAYER, NEST

GOLDEN = Path(__file__).parent / "golden"


def test_loop_nest():
    assert loop_nest_text(NEST, EYERISS, LAYER) == (GOLDEN / "loop_nest.txt").read_text()


def test_residuals_are_shown_and_single_iterations_left_out():
    glb = replace(NEST.levels[1], temporal=(Loop("C", 1), Loop("P", 7, 6)))
    text = loop_nest_text(Mapping((NEST.levels[0], glb, *NEST.levels[2:])), EYERISS, LAYER)
    assert "for P in [0:7) last [0:6)\n" in text
    assert "C in [0:1)" not in text
