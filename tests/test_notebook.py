"""The notebook of the docs runs from top to bottom, and it, its page and its pictures show what comes of that."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import notebook  # noqa: E402

PATH = ROOT / "docs" / "notebook.ipynb"


def test_the_notebook_its_page_and_its_pictures_are_what_running_it_gives(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOVETAIL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0})
    made = notebook.written(PATH, notebook.executed(json.loads(PATH.read_text(encoding="utf-8"))))
    assert len([path for path in made if path.suffix == ".svg"]) == 3
    for path, text in made.items():
        assert path.read_text(encoding="utf-8") == text, path


def test_what_a_cell_prints_and_what_its_last_line_is_worth_are_its_outputs():
    cells = [
        {"cell_type": "code", "source": ["x = 2\n", "print(x)\n", "x + 1"]},
        {"cell_type": "code", "source": "x = 5"},
    ]
    first, second = notebook.executed({"cells": cells})["cells"]
    assert [output.get("text", output.get("data")) for output in first["outputs"]] == ["2\n", {"text/plain": "3"}]
    assert (second["outputs"], second["execution_count"]) == ([], 2)
