"""A short run of the fuzz target, so that it cannot rot."""

from __future__ import annotations

from fuzz_readers import SEEDS, attempt


def test_only_input_errors_escape() -> None:
    assert [wrong for number in range(300) if (wrong := attempt(number))] == []


def test_the_unmutated_seeds_are_read() -> None:
    for reader, texts in SEEDS.items():
        for text in texts:
            reader(text)
