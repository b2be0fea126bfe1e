"""The programs of docs/parallel.md run, but for those that need a cluster or MPI; what they name is there."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = (Path(__file__).parent.parent / "docs" / "parallel.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_program_with_a_job_runs(capsys):
    exec(compile(PROGRAMS[0], "docs/parallel.md", "exec"), {})
    key, cycles = capsys.readouterr().out.split()
    assert re.fullmatch("[0-9a-f]{64}", key)
    assert int(cycles) > 0


def test_the_programs_are_python():
    assert len(PROGRAMS) == 5
    for program in PROGRAMS:
        compile(program, "docs/parallel.md", "exec")
