"""Settings for every test.

Hypothesis repeats itself exactly and keeps no clock, as test machines are shared (`make drawn` draws anew); results
come from no store, so that no test passes on what an earlier version of the code has computed. Compiled code is kept,
as its folder is named by the content of all its sources. Commands and calls that are not told how many processes to
use have one CPU: test processes are the parallelism, and each new one would load all compiled code again.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from dovetail import executors

os.environ["DOVETAIL_CACHE"] = "off"
os.environ.pop("COLUMNS", None)  # test processes are given a width; what is piped has none
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).parent.parent / ".pytest_cache"))

#: What most tests run of what is compiled, each in a process of its own; next to nothing where it is kept already.
COMPILES = (
    "from dovetail.mapper.exact.compiled import compile_all; compile_all()",
    "from dovetail.hardware.reader import load_architecture; from dovetail.mapper.local.improve import improve; "
    "from dovetail.components.estimate import estimate; from dovetail.workload.problem import convolution; "
    "design = load_architecture('eyeriss_like'); improve(convolution(C=4, M=4, P=2, Q=2), design, estimate(design))",
)

settings.register_profile(
    "suite", deadline=None, derandomize=True, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("anew", settings.get_profile("suite"), derandomize=False, database=None, print_blob=True)
settings.load_profile(os.environ.get("DOVETAIL_DRAWS", "suite"))


def pytest_sessionstart(session):
    """Have what most tests run compiled once, before there are test processes that would each compile it."""
    if session.config.getoption("numprocesses", None) and not hasattr(session.config, "workerinput"):
        started = [subprocess.Popen([sys.executable, "-c", code]) for code in COMPILES]
        for process in started:
            process.wait()


@pytest.fixture(scope="session", autouse=True)
def _one_cpu():
    """What is not told otherwise works in its own process; tests of worker processes ask for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executors, "available_cpus", lambda: 1)
        yield
