"""Mutants, which ask whether the tests would notice a fault, are faults: programs that do something else."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parent.parent / "tools"
sys.path.insert(0, str(TOOLS))
from mutations import mutants_of, sampled  # noqa: E402

SOURCE = '''
"""The text of a module 1 < 2."""

LIMIT = 3


@part(inline=True)
def held(words: int, most: int = 7) -> int:
    """Return 1 + 1."""
    if words < most and not words % 2:
        raise ValueError("more than 1")
    return max(-(-words // 4), math.ceil(words / most), 5)


class Box:
    size: int = 4

    def fill(self, rows: list[int]) -> None:
        for row in rows:
            self.size += row  # é
'''


def changed(source: str) -> set[str]:
    """Return the lines that mutants of a source have and it has not."""
    return {
        line.strip()
        for mutant in mutants_of(source)
        for line in set(mutant.applied(source).splitlines()) - set(source.splitlines())
    }


@pytest.mark.parametrize(
    "line",
    [
        "if (words <= most) and not words % 2:",
        "if (words < most or not words % 2):",
        "if words < most and (words % 2):",
        "return max((-words // 4), math.ceil(words / most), 5)",
        "return max(-(-words // 4), (words // most), 5)",
        "return (max(-(-words // 4), math.ceil(words / most)))",
        "return (min(-(-words // 4), math.ceil(words / most), 5))",
        "return max(-(-words // 4), math.ceil(words / most), (6))",
        "for row in list(rows)[1:]:",
        "pass  # é",
    ],
)
def test_a_change_is_made_where_it_stands(line: str) -> None:
    assert line in changed(SOURCE)


@pytest.mark.parametrize("path", ["mutations.py", "mutate.py"])
def test_every_mutant_is_another_program_at_one_place_of_one_function(path: str) -> None:
    source = (TOOLS / path).read_text()
    mutants = mutants_of(source)
    assert len(mutants) > 100
    program = ast.dump(ast.parse(source))
    for mutant in mutants:
        assert ast.dump(ast.parse(mutant.applied(source))) != program, mutant.told(source)


def test_text_types_and_defaults_stay_as_they_are() -> None:
    assert {mutant.function for mutant in mutants_of(SOURCE)} == {"held", "Box.fill"}
    assert {mutant.function for mutant in mutants_of(SOURCE) if mutant.compiled} == {"held"}
    kept = ('"""The text of a module 1 < 2."""', "LIMIT = 3", '"""Return 1 + 1."""', "most: int = 7", "size: int = 4")
    for mutant in mutants_of(SOURCE):
        assert all(text in mutant.applied(SOURCE) for text in kept)
        assert 'ValueError("more than 1")' in mutant.applied(SOURCE) or mutant.new == "pass"


def test_samples_are_even_over_functions_and_repeat_themselves() -> None:
    mutants = mutants_of(SOURCE)
    for most in range(1, len(mutants) + 3):
        chosen = sampled(mutants, most, seed=1)
        assert chosen == sampled(mutants, most, seed=1)
        assert len(set(chosen)) == len(chosen) == min(most, len(mutants))
        counts = [sum(mutant.function == name for mutant in chosen) for name in ("held", "Box.fill")]
        few = sum(mutant.function == "Box.fill" for mutant in mutants)
        assert counts[1] == min(few, most // 2) or counts[1] == min(few, (most + 1) // 2)
