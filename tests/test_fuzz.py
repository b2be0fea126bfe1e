"""A small share of what `make fuzz` attempts, the same in every run."""

import pytest

from fuzz import case_of, outcome
from fuzz_cases import TARGETS

#: Words for every option of every command take their time; the others are quick.
QUICK = sorted(set(TARGETS) - {"arguments"})


@pytest.mark.parametrize("target", QUICK)
def test_every_reader_ends_in_success_or_one_message(target):
    for number in range(25):
        _, case = case_of(number, target)
        found = outcome(case)
        assert found.kind != "finding", f"{target} {number}: {found.text}"
