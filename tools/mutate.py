"""Mutation testing: changes the sources one place at a time and says which changes no test notices.

The tests that cover a module are collected once. Then every mutant, one small change of one function (see
`mutations`), has a forked process, where the function's code is swapped and the tests run until one fails; no file is
changed. What would be compiled runs as plain Python. Needs a system that forks (Linux, macOS). Samples are even over
functions, and the same for the same seed::

    python tools/mutate.py model --most 20          # 20 mutants of every module of a group
    python tools/mutate.py model/kernel.py --only spread --seed 2

A survivor is a hole in the tests, or no fault at all; ``CONTRIBUTING.md`` says how to go about it.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import re
import resource
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from mutations import Mutant, mutants_of, sampled

HERE = Path(__file__).resolve().parent.parent
#: Memory that a mutant may ask for, and CPU-seconds beyond a few times what the tests take without any.
MOST_BYTES, PATIENCE = 12 << 30, 5


@dataclass(frozen=True)
class Group:
    """Modules, and the tests that cover them.

    Attributes:
        modules: below ``src/dovetail``.
        tests: arguments of pytest: first the tests that are quick to notice something. None may start a process, as
            that would see the sources as they are.
        compiled: whether other modules than the mutated one are compiled; otherwise nothing is.
    """

    modules: tuple[str, ...]
    tests: tuple[str, ...]
    compiled: bool = True


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
_SEARCH = ("tests/test_mapper_exact.py", "tests/test_mapper_bounds.py")
GROUPS = {
    "model": Group(
        ("model/kernel.py", "model/links.py", "model/apart.py", "model/encode.py", "model/arrays.py",
         "model/evaluate.py", "model/cost.py", "model/residual.py", "model/passes.py", "model/witness.py"),
        _MODEL, compiled=False,
    ),
    "batch": Group(("model/batch.py", "model/residual_batch.py"), ("tests/test_batch.py", "tests/test_imperfect.py")),
    "mapping": Group(
        ("mapping/check.py", "mapping/constraints.py", "mapping/directives.py", "mapping/files.py",
         "mapping/mapping.py", "mapping/native_yaml.py", "mapping/notes.py", "mapping/text.py",
         "mapping/timeloop_yaml.py"),
        _MAPPING,
    ),
    "binding": Group(
        ("hardware/binding.py",),
        ("tests/test_hardware_constraints.py", "tests/test_hardware_names.py", "tests/test_mapping_constraints.py"),
    ),
    "bounds": Group(
        ("mapper/completion.py", "mapper/sources.py", "mapper/returns.py", "mapper/tables.py", "mapper/prepare.py",
         "mapper/expand.py"),
        _SEARCH,
    ),
    "reach": Group(("mapper/reach.py",), ("tests/test_mapper_reasons.py", "tests/test_mapper_infeasible.py")),
    "limits": Group(("mapper/limits.py",), ("tests/test_sample.py", "tests/test_mapper_improve.py", "-k", "not hash_seed")),
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
    chosen = [m for what in given.what for m in (GROUPS[what].modules if what in GROUPS else (what,))]
    if unknown := sorted(set(chosen) - set(modules)):
        parser.error(f"unknown: {', '.join(unknown)}")
    if len(chosen) > 1:  # a process each: what is compiled in one is not in another
        options = [f"--most={given.most}", f"--seed={given.seed}", f"--only={given.only}"]
        options += ["--list"] if given.list else []
        return max(subprocess.run([sys.executable, __file__, one, *options]).returncode for one in chosen)
    (module,) = chosen
    source = (HERE / "src" / "dovetail" / module).read_text()
    named = [mutant for mutant in mutants_of(source) if re.search(given.only, mutant.told(source))]
    mutants = sampled(named, given.most, given.seed)
    if given.list:
        print(*(f"{module}:{mutant.told(source)}" for mutant in mutants), sep="\n")
        return 0
    return _run(module, source, mutants, next(group for group in GROUPS.values() if module in group.modules))


def _run(module: str, source: str, mutants: list[Mutant], group: Group) -> int:
    """Collect the tests of a group, and try the mutants where pytest would run them."""
    os.environ["NUMBA_CACHE_DIR"] = str(HERE / ".pytest_cache")
    if not group.compiled:
        os.environ["NUMBA_DISABLE_JIT"] = "1"
    import pytest  # noqa: PLC0415 - once the environment says what is compiled
    from hypothesis import Phase, settings  # noqa: PLC0415

    # Any example will do, there is no need to look for the smallest. What the tests load builds on this.
    settings.register_profile("mutants", phases=(Phase.explicit, Phase.generate), report_multiple_bugs=False)
    settings.load_profile("mutants")
    os.chdir(HERE)
    sys.path.insert(0, str(HERE / "src"))
    loaded = importlib.import_module(f"dovetail.{module.removesuffix('.py').replace('/', '.')}")
    for name, value in list(vars(loaded).items()):
        setattr(loaded, name, getattr(value, "py_func", value))  # other modules stay compiled
    trials = _Trials(loaded, module, source, mutants)
    quiet = ("-s", "-q", "-pno:cacheprovider", "-Wignore::pytest.PytestAssertRewriteWarning")
    pytest.main([*quiet, *group.tests], plugins=[trials])
    return trials.code


class _Trials:
    """A plugin of pytest that runs the tests it has collected once for every mutant."""

    def __init__(self, module: Any, name: str, source: str, mutants: list[Mutant]) -> None:
        self._module, self._name, self._source, self._mutants = module, name, source, mutants
        self.code = 1

    def pytest_runtestloop(self, session: Any) -> bool:
        """Try all mutants, after the sources as they are, and print what becomes of them."""
        gc.freeze()  # what is there need not be copied by every process that looks for garbage
        outcome, whole = self._outcome(session, None, None)
        if outcome != "survived":
            print(f"\n{self._name}: the tests fail as they are: {outcome}")
            return True
        print(f"\n{self._name}: the tests take {whole:.1f} CPU-seconds", flush=True)
        counts = Counter[str]()
        for mutant, swap in self._swaps():
            outcome, seconds = self._outcome(session, swap, PATIENCE + 3 * whole)
            counts[outcome.partition(" ")[0]] += 1
            print(f"{seconds:5.1f} s  {self._name}:{mutant.told(self._source)}\n         {outcome}", flush=True)
        print(f"{self._name}: {', '.join(f'{count} {name}' for name, count in counts.items())}", flush=True)
        self.code = 0
        return True

    def _swaps(self) -> Iterator[tuple[Mutant, tuple[FunctionType, CodeType]]]:
        """Yield every mutant that changes what its function does when called, and the code that the function gets."""
        for mutant in self._mutants:
            try:
                changed = compile(mutant.applied(self._source), self._module.__file__, "exec", dont_inherit=True)
            except SyntaxError:
                continue
            holder, function, parts = changed, self._module, mutant.function.split(".")
            while parts and not isinstance(function, FunctionType):
                part = parts.pop(0)
                holder = next(c for c in holder.co_consts if isinstance(c, CodeType) and c.co_name == part)
                function = _plain(function.__dict__[part])
            if holder != function.__code__ and len(holder.co_freevars) == len(function.__code__.co_freevars):
                yield mutant, (function, holder)

    def _outcome(
        self, session: Any, swap: tuple[FunctionType, CodeType] | None, limit: float | None
    ) -> tuple[str, float]:
        """Run the tests in a process of their own; return what became of them and the CPU-seconds taken."""
        receiver, sender = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(receiver)
            _test(session, swap, limit, sender)
        os.close(sender)
        with open(receiver, encoding="utf-8") as said:  # noqa: PTH123 - a pipe
            failed = said.read()
        _, status, usage = os.wait4(child, 0)
        seconds = usage.ru_utime + usage.ru_stime
        if os.WIFSIGNALED(status):
            return ("endless" if os.WTERMSIG(status) == signal.SIGXCPU else "crashed"), seconds
        return (f"killed by {failed}" if failed else "survived"), seconds


def _plain(value: Any) -> Any:
    """Return the function behind whatever a decorator made of it."""
    for name in ("fget", "func", "__wrapped__", "__func__"):
        value = getattr(value, name, value)
    return value


def _test(session: Any, swap: tuple[FunctionType, CodeType] | None, limit: float | None, sender: int) -> None:
    """Run the tests until one fails, write its name to a pipe, and end the process."""
    failed = "an error outside of tests"
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit) + 5))
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        if swap is not None:
            function, function.__code__ = swap  # type: ignore[misc]
        for item, following in zip(session.items, [*session.items[1:], None], strict=True):
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                failed = item.nodeid
                break
        else:
            failed = ""
    finally:
        os.write(sender, failed.encode())
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
