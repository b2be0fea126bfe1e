"""Keys of what a computation depends on: a result is never found again after its code or data changed."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dovetail
from dovetail.sources import reached_modules, sources_key

PACKAGE = Path(dovetail.__file__).parent
SEARCH = "dovetail.mapper.exact.search"
#: Prints the keys of a stored layer and of compiled code, in a process that imports another copy of the package.
KEYS = """
import sys
from dovetail.network.jobs import engine_version
from dovetail.mapper.exact.through_loops import loop
from dovetail.mapper.exact.fanouts import count_fanout
from dovetail.model.compile import made_of
print(engine_version(), made_of(loop.py_func), made_of(count_fanout.py_func))
"""


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the whole package that may be edited."""
    folder = tmp_path / "dovetail"
    shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def keys_of(package: Path) -> list[str]:
    """Return the keys that the program itself uses."""
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    answer = subprocess.run([sys.executable, "-c", KEYS], capture_output=True, text=True, env=environment, check=True)
    return answer.stdout.split()


def test_an_edit_of_what_a_layer_costs_changes_the_key_of_stored_results(copied: Path) -> None:
    before = keys_of(copied)
    assert before == keys_of(PACKAGE), "a copy of the program computes the same"
    edit(copied / "hardware" / "architecture.py", "return max(1, self.width", "return 2 * max(1, self.width")
    after = keys_of(copied)
    assert after[0] != before[0]
    assert after[1:] == before[1:], "no compiled code is made of that file"


def test_compiled_code_is_known_by_the_functions_and_constants_that_it_is_made_of(copied: Path) -> None:
    _, loop, fanout = keys_of(PACKAGE)
    edit(copied / "mapper" / "exact" / "infeasible.py", '"""', '"""Changed. ')
    assert keys_of(copied)[1:] == [loop, fanout]
    edit(copied / "model" / "links.py", "gap < found // 3", "gap < found // 2")
    assert keys_of(copied)[1] == loop
    assert keys_of(copied)[2] != fanout


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("mapper/exact/infeasible.py", True),
        ("mapping/constraints.py", True),
        ("workload/problem.py", True),
        ("components/energy_table.py", True),
        ("network/records.py", True),
        ("mapper/reasons.py", True),
        ("mapper/local/sample.py", True),
        ("errors.py", True),
        ("cli/map.py", False),
        ("report/page.py", False),
        ("accuracy/training.py", False),
    ],
)
def test_every_module_that_results_can_reach_counts_and_no_other(copied: Path, file: str, changes: bool) -> None:
    entry = "dovetail.network.jobs"
    before = sources_key(entry, package=copied)
    edit(copied / file, '"""', '"""Changed. ')
    assert (sources_key(entry, package=copied) != before) == changes


def test_lazy_imports_names_in_strings_data_and_new_files_count(copied: Path) -> None:
    (copied / "mapper" / "lazy.py").write_text("VALUE = 1\n")
    (copied / "mapper" / "named.py").write_text("def f():\n    from dovetail.mapper import (\n        lazy,\n    )\n")
    keys = [sources_key(SEARCH, package=copied)]
    called = "compile_all(progress, [(problem, architecture)])"
    edit(copied / "mapper" / "exact" / "search.py", called, 'import_module("dovetail.mapper.named")')
    keys.append(sources_key(SEARCH, package=copied))
    edit(copied / "mapper" / "lazy.py", "1", "2")
    keys.append(sources_key(SEARCH, package=copied))
    (copied / "mapper" / "data").mkdir()
    (copied / "mapper" / "data" / "table.csv").write_text("1\n")
    keys.append(sources_key(SEARCH, package=copied))
    edit(copied / "mapper" / "data" / "table.csv", "1", "2")
    keys.append(sources_key(SEARCH, package=copied))
    edit(copied / "mapper" / "lazy.py", "2", "3")
    keys.append(sources_key(SEARCH, package=copied))
    assert len(set(keys)) == len(keys)


def test_no_import_anywhere_in_the_package_is_overlooked() -> None:
    """The search by pattern finds all that the syntax tree has, for every module."""
    for file in PACKAGE.rglob("*.py"):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        reached = reached_modules(name)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                if node.level and file == PACKAGE / "__init__.py":
                    continue  # what stands behind the package's door, which no module rests on
                assert node.level == 0, "imports are written in full"
                wanted = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                wanted = [alias.name for alias in node.names]
            else:
                continue
            for module in wanted:
                path = PACKAGE.parent.joinpath(*module.split("."))
                if module.startswith("dovetail") and (path.with_suffix(".py").exists() or path.is_dir()):
                    assert module in reached, (name, module)


def test_compiled_code_is_kept_by_what_it_is_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dovetail.mapper.exact.through_loops import loop
    from dovetail.model import compile as compiling

    monkeypatch.setattr(compiling, "_unkept", set())  # what is said of folders here is not said in other tests
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "chosen"))
    folder = compiling._folder(loop.py_func)
    assert folder is not None
    assert folder.parent == tmp_path / "chosen" / "compiled"
    monkeypatch.setitem(loop.py_func.__globals__, "inf", 1e300)  # a constant that its code names
    assert compiling._folder(loop.py_func) != folder
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    assert compiling._folder(loop.py_func) is None  # the tests' DOVETAIL_CACHE is off
    (tmp_path / "file").touch()
    monkeypatch.setenv("DOVETAIL_CACHE", str(tmp_path / "file"))  # a file: nothing can be made in it
    assert compiling._folder(loop.py_func) is None


def test_compiled_code_is_not_taken_for_that_of_other_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba alone takes named tuples of one name for one type, whatever their fields."""
    from typing import NamedTuple

    import numba
    from numba.core.registry import cpu_target

    from dovetail.mapper.exact.through_loops import loop

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))

    def key(*fields: str) -> object:
        handed = NamedTuple("Handed", [(field, int) for field in fields])
        files = type(loop._cache)(loop.py_func)._files
        assert files is not None
        codegen = cpu_target.target_context.codegen()
        return str(files._index_key((numba.typeof(handed(1, 2)),), codegen)[-1])

    assert key("a", "b") == key("a", "b") != key("b", "a")
