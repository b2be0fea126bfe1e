"""Mutation testing: changes the sources one place at a time and says which changes no test notices.

The tests that cover a module are collected once. Then every mutant, one small change of one function (see
`mutations`), has a forked process, where the function's code is swapped and the tests run until one fails; no file is
changed. What would be compiled runs as plain Python. Needs a system that forks (Linux, macOS). Samples are even over
functions, and the same for the same seed::

    python tools/mutate.py model --most 20          # 20 mutants of every module of a group
    python tools/mutate.py model/sharing.py --only words --seed 2

A survivor is a hole in the tests, or no fault at all; ``CONTRIBUTING.md`` says how to go about it.
"""

from __future__ import annotations

import argparse
import functools
import gc
import importlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from mutations import Mutant, mutants_of, sampled

Swap = tuple[FunctionType, CodeType]

HERE = Path(__file__).resolve().parent.parent
#: Memory that a mutant may ask for, and CPU-seconds beyond a few times what the tests take without any.
MOST_BYTES, PATIENCE = 12 << 30, 5
#: Functions whose numbers run over on purpose, which they do only where compiled; and their types.
WRAPPING = {"hash_of": "int64(int64[:], float64[:,:], int64)"}


@dataclass(frozen=True)
class Group:
    """Modules, and the tests that cover them.

    Attributes:
        modules: below ``src/dovetail``.
        tests: arguments of pytest: first the tests that are quick to notice something. None may start a process, as
            that would see the sources as they are.
        compiled: whether anything is compiled; then a module is interpreted while its compiled functions change.
        large: files of tests that take too long where the module is interpreted.
    """

    modules: tuple[str, ...]
    tests: tuple[str, ...]
    compiled: bool = True
    large: tuple[str, ...] = ()


_MODEL = (
    "tests/test_model_rounding.py", "tests/test_model_walk.py", "tests/test_imperfect.py", "tests/test_parity.py",
    "tests/test_energy_attributes.py", "tests/test_model_laws.py", "tests/test_model_limits.py", "-k",
    "not search and not exceeds_its_kernel",  # they take long where nothing is compiled
)  # fmt: skip
_MAPPING = (
    "tests/test_mapping_check.py", "tests/test_mapping_constraints.py", "tests/test_mapping_directives.py",
    "tests/test_mapping_files.py", "tests/test_mapping_text.py", "tests/test_hardware_names.py",
    "tests/test_cli_evaluate.py",
)  # fmt: skip
GROUPS = {
    "model": Group(
        ("model/charges.py", "model/kernel.py", "model/sharing.py", "model/links.py", "model/apart.py",
         "model/encode.py", "model/arrays.py", "model/evaluate.py", "model/cost.py", "model/residual.py",
         "model/passes.py", "model/witness/boxes.py", "model/witness/nest.py", "model/witness/traffic.py",
         "model/witness/costs.py"),
        _MODEL, compiled=False,
    ),
    "batch": Group(("model/batch.py", "model/residual_batch.py"), ("tests/test_batch.py", "tests/test_imperfect.py")),
    "mapping": Group(
        ("mapping/check.py", "mapping/constraints.py", "mapping/directives.py", "mapping/files.py",
         "mapping/mapping.py", "mapping/native_yaml.py", "mapping/notes.py", "mapping/printed.py",
         "mapping/text.py", "mapping/timeloop_yaml.py"),
        _MAPPING,
    ),
    "widths": Group(
        ("mapping/widths.py", "model/witness/widths.py"), ("tests/test_widths_model.py", "tests/test_widths_input.py")
    ),
    "zeros": Group(
        tuple(
            f"model/sparse/{name}.py"
            for name in ("accesses", "computing", "cost", "count", "fibres", "leaving", "lines", "metadata", "nest",
                         "occupancy", "prices", "scene", "tiles")
        ),
        ("tests/test_sparse_counts.py", "tests/test_sparse_input.py", "tests/test_sparse_search.py"),
    ),
    "sparse": Group(
        tuple(f"mapper/sparse/{name}.py" for name in ("cells", "every", "floor", "idle", "search", "shares")),
        ("tests/test_sparse_search.py",),
    ),
    "binding": Group(
        ("hardware/binding.py",),
        ("tests/test_hardware_constraints.py", "tests/test_mapping_constraints.py"),
    ),
    "bounds": Group(
        tuple(
            f"mapper/exact/{name}.py"
            for name in ("sources", "tables", "physical", "completion", "entering", "through_loops",
                         "lattice", "bounds", "traffic", "chains", "prepare", "demands", "vectors", "ways", "pricing",
                         "fanouts", "reuse")
        ),
        ("tests/test_mapper_tables.py", "tests/test_searches.py", "tests/test_mapper_bounds.py",
         "tests/test_mapper_exact.py"),
        large=("tests/test_searches.py", "tests/test_mapper_bounds.py::test_no_bound_exceeds_the_cost["),
    ),
    "returns": Group(
        ("mapper/exact/returns.py",),
        ("tests/test_mapper_found.py", "-k", "put_a_window_back or too_many_to_list"), compiled=False,
    ),
    "reach": Group(("mapper/exact/reach.py",), ("tests/test_mapper_reasons.py", "tests/test_mapper_infeasible.py")),
    "limits": Group(
        ("mapper/limits.py",),
        ("tests/test_mapper_limits.py", "tests/test_sample.py", "tests/test_mapper_improve.py", "-k", "not hash_seed"),
    ),
}  # fmt: skip


def main() -> int:
    """Run what the command line asks for; 0 unless the tests fail without any change."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    modules = [module for group in GROUPS.values() for module in group.modules]
    parser.add_argument("what", nargs="*", default=list(GROUPS), help=f"{', '.join(GROUPS)}, or {', '.join(modules)}")
    parser.add_argument("--most", type=int, default=20, help="mutants of a module (20)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="mutants whose line, function or change this expression finds")
    parser.add_argument("--list", action="store_true", help="list the mutants and run nothing")
    given = parser.parse_args()
    named = {m for what in given.what for m in (GROUPS[what].modules if what in GROUPS else (what,))}
    if unknown := sorted(named - set(modules)):
        parser.error(f"unknown: {', '.join(unknown)}")
    chosen = [(group, [m for m in group.modules if m in named]) for group in GROUPS.values()]
    chosen = [(group, some) for group, some in chosen if some]
    if len(chosen) > 1 and not given.list:  # a process each: what is compiled for one is not for another
        options = [f"--most={given.most}", f"--seed={given.seed}", f"--only={given.only}"]
        runs = (subprocess.run([sys.executable, __file__, *some, *options], check=False) for _, some in chosen)
        return max(run.returncode for run in runs)
    for group, some in chosen:
        work = [_Module.of(module, given.only, given.most, given.seed) for module in some]
        if not given.list:
            return _run(work, group)
        print(*(f"{one.name}:{mutant.told(one.source)}" for one in work for mutant in one.mutants), sep="\n")
    return 0


@dataclass(frozen=True)
class _Module:
    """A module, and the mutants to try."""

    name: str
    source: str
    mutants: list[Mutant]

    @classmethod
    def of(cls, name: str, only: str, most: int, seed: int) -> _Module:
        source = (HERE / "src" / "dovetail" / name).read_text()
        named = [mutant for mutant in mutants_of(source) if re.search(only, mutant.told(source))]
        return cls(name, source, sampled(named, most, seed))

    @functools.cached_property
    def loaded(self) -> ModuleType:
        import numba

        module = importlib.import_module(f"dovetail.{self.name.removesuffix('.py').replace('/', '.')}")
        for neighbour in _package(module):
            for name, signature in WRAPPING.items():
                if isinstance(vars(neighbour).get(name), FunctionType):
                    setattr(neighbour, name, numba.njit(signature)(vars(neighbour)[name]))
        return module

    def code_of(self, mutant: Mutant) -> Swap | None:
        """Return a function and the code that a mutant gives it; None where nothing changes, or too much."""
        try:
            holder = compile(mutant.applied(self.source), str(self.loaded.__file__), "exec", dont_inherit=True)
        except SyntaxError:
            return None
        function: Any = self.loaded
        for part in mutant.function.split("."):
            if isinstance(function, FunctionType):
                break
            holder = next(c for c in holder.co_consts if isinstance(c, CodeType) and c.co_name == part)
            function = _plain(function.__dict__[part])
        if not isinstance(function, FunctionType):
            return None
        changed = holder != function.__code__ and len(holder.co_freevars) == len(function.__code__.co_freevars)
        return (function, holder) if changed else None

    def interpret(self) -> None:
        """Let the calls of the module's package run as plain Python; other packages stay compiled."""
        for neighbour in _package(self.loaded):
            for name, value in list(vars(neighbour).items()):
                if name not in WRAPPING:
                    setattr(neighbour, name, getattr(value, "py_func", value))


def _package(module: ModuleType) -> list[ModuleType]:
    """Return the modules of a module's package that are loaded."""
    return [one for name, one in sys.modules.items() if name.startswith(f"{module.__package__}.")]


def _run(work: list[_Module], group: Group) -> int:
    """Collect the tests of a group, and try the mutants where pytest would run them."""
    os.environ["NUMBA_CACHE_DIR"] = str(HERE / ".pytest_cache")
    if not group.compiled:
        os.environ["NUMBA_DISABLE_JIT"] = "1"
    import pytest
    from hypothesis import Phase, settings

    # Any example will do, there is no need to look for the smallest. What the tests load builds on this.
    settings.register_profile("mutants", phases=(Phase.explicit, Phase.generate), report_multiple_bugs=False)
    settings.load_profile("mutants")
    os.chdir(HERE)
    sys.path.insert(0, str(HERE / "src"))
    trials = _Trials(work, group)
    # What is interpreted warns where numbers run over, which compiled code does on purpose in hashes.
    quiet = ("-Wignore::pytest.PytestAssertRewriteWarning", "-Wignore::RuntimeWarning")
    pytest.main(["-s", "-q", "-pno:cacheprovider", *quiet, *group.tests], plugins=[trials])
    return trials.code


class _Trials:
    """A plugin of pytest that runs the tests it has collected once for every mutant."""

    def __init__(self, work: list[_Module], group: Group) -> None:
        self._work, self._group = work, group
        self._seconds = dict[bool, list[float]]()
        self.code = 1

    def pytest_runtestloop(self, session: Any) -> bool:
        """Try the sources as they are and then all mutants, and print what becomes of them."""
        gc.freeze()  # what is there need not be copied by every process that looks for garbage
        quick = [item for item in session.items if not item.nodeid.startswith(self._group.large)]
        total = Counter[str]()
        for one in self._work:
            counts = Counter[str]()
            for interpreted in (False, True):
                swaps = [
                    (m, swap)
                    for m in one.mutants
                    if (m.compiled and self._group.compiled) is interpreted and (swap := one.code_of(m))
                ]
                items = quick if interpreted else session.items
                if swaps and not self._as_it_is(one, interpreted, items):
                    return True
                for mutant, swap in swaps:
                    outcome, seconds = _outcome(one, interpreted, items, swap, self._seconds[interpreted])
                    counts[outcome.partition(" ")[0]] += 1
                    print(
                        f"{sum(seconds):5.1f} s  {one.name}:{mutant.told(one.source)}\n         {outcome}", flush=True
                    )
            print(f"{one.name}: {_told(counts)}", flush=True)
            total += counts
        print(f"together: {_told(total)}")
        self.code = 0
        return True

    def _as_it_is(self, module: _Module, interpreted: bool, items: list[Any]) -> bool:
        """Return whether the tests pass without a change; keeps how long each takes.

        Where other modules are compiled, each that is interpreted takes its own time.
        """
        if interpreted not in self._seconds or (interpreted and self._group.compiled):
            outcome, self._seconds[interpreted] = _outcome(module, interpreted, items, None, None)
            how = f"{module.name} {'interpreted' if interpreted else ''}"
            print(f"\n{how}: {outcome} as it is, {sum(self._seconds[interpreted]):.1f} CPU-seconds", flush=True)
            return outcome == "survived"
        return True


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def _outcome(
    module: _Module, interpreted: bool, items: list[Any], swap: Swap | None, before: list[float] | None
) -> tuple[str, list[float]]:
    """Run tests in a process of their own; return what became of them, and the CPU-seconds of each.

    Args:
        module: the module.
        interpreted: whether it is to run as plain Python.
        items: the tests.
        swap: a function, and the code that it gets.
        before: what each took without.
    """
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiver)
        if interpreted:
            module.interpret()
        _test(items, swap, before, sender)
    os.close(sender)
    with open(receiver, encoding="utf-8") as said:  # noqa: PTH123 - a pipe
        answer = said.read()
    _, status, usage = os.wait4(child, 0)
    if os.WIFSIGNALED(status):
        how = "endless" if os.WTERMSIG(status) == signal.SIGXCPU else "crashed"
        return how, [usage.ru_utime + usage.ru_stime]
    failed, seconds = json.loads(answer)
    return (f"killed by {failed}" if failed else "survived"), seconds


def _plain(value: Any) -> Any:
    """Return the function behind whatever a decorator made of it."""
    for name in ("fget", "func", "__wrapped__", "__func__"):
        value = getattr(value, name, value)
    return value


def _test(items: list[Any], swap: Swap | None, before: list[float] | None, sender: int) -> None:
    """Run tests until one fails, write its name and the seconds of all to a pipe, and end the process."""
    failed, seconds = "an error outside of tests", []
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        if swap is not None:
            function, code = swap
            function.__code__ = code
        for place, item in enumerate(items):
            began = time.process_time()
            if before is not None:
                most = int(began + PATIENCE + 2 * before[place]) + 1
                resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=(*items[place + 1 :], None)[0])
            seconds.append(time.process_time() - began)
            if item.session.testsfailed:
                failed = item.nodeid
                break
        else:
            failed = ""
    finally:
        os.write(sender, json.dumps([failed, seconds]).encode())
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
