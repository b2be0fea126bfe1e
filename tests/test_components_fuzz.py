"""A short run of the components' fuzz target, so that it cannot rot."""

from fuzz_components import SEEDS, attempt


def test_only_input_errors_escape():
    assert [wrong for number in range(300) if (wrong := attempt(number))] == []


def test_the_unmutated_seeds_are_read():
    for reader, text in SEEDS.items():
        reader(text)
