"""A small share of what `make fuzz` attempts, the same in every run, and all that it ever found."""

from pathlib import Path

import pytest

from fuzz import case_of, kept_case, outcome, warm_up
from fuzz_cases import READERS, TARGETS

#: CPU-seconds after which an attempt counts as one that never ends, on a machine as slow as may be. What takes longer
#: than it should is told by `make fuzz`, which attempts in a process that has loaded and compiled everything.
HANGS = 120.0
#: Words for every option of every command take their time; the others are quick.
QUICK = sorted(set(TARGETS) - {"arguments"})
#: How often each is attempted; those less often whose attempts do much work.
ATTEMPTS, FEWER = 25, {"resumed shrinking": 4, "result": 15, "archive": 12, "bomb": 12}
#: What was found, as ``fuzz.py --keep`` wrote it; each is mended.
FOUND = sorted((Path(__file__).parent / "data" / "fuzz").glob("*.json"))
#: Commands that need PyTorch.
NEED_TORCH = {"train", "accuracy", "shrink", "shrunk", "recipe"}


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    """Compile first what would count as an attempt's time."""
    warm_up([])


@pytest.mark.parametrize("target", QUICK)
def test_every_reader_ends_in_success_or_one_message(target):
    for number in range(FEWER.get(target, ATTEMPTS)):
        _, case = case_of(number, target)
        found = outcome(case, HANGS)
        assert found.kind != "finding", f"{target} {number}: {found.text}"


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_what_was_found_stays_mended(path):
    case = kept_case(path)
    if case.arguments and case.arguments[0] in NEED_TORCH and "shrunk" not in READERS:
        pytest.skip("needs PyTorch")
    found = outcome(case, HANGS)
    assert found.kind != "finding", found.text
