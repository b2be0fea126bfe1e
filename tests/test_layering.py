"""Data flows one way between packages, and the core runs on the core install alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: Imports every module with the extras hidden; prints those that cannot do without them.
PROGRAM = """
import importlib, pkgutil, sys

EXTRAS = {"torch", "torchvision", "torch_pruning", "onnx", "onnxscript", "timm", "sklearn", "scipy", "PIL",
          "tensorboard", "pytest", "hypothesis"}

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"hidden: {name}", name=name)

sys.meta_path.insert(0, Hidden())
import dovetail
for module in pkgutil.walk_packages(dovetail.__path__, "dovetail."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        if not str(error).startswith("hidden: "):
            raise
        print(module.name)
"""


def lint(folder, **environment):
    program = Path(sys.executable).with_name("lint-imports")
    if not program.exists():
        pytest.skip("import-linter is not installed")
    command = [str(program), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, **environment})


def test_modules_import_only_from_below_and_in_no_circle():
    """The contracts in pyproject.toml, the same that ``make check`` holds the code to."""
    answer = lint(ROOT)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "10 kept, 0 broken" in answer.stdout


def skeleton(folder):
    """Make a package of as many modules as ours, all empty, with the same contracts."""
    source = ROOT / "src" / "dovetail"
    for file in source.rglob("*.py"):
        copy = folder / "dovetail" / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.touch()
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize(
    ("module", "text", "said"),
    [
        (
            "mapping/__init__.py",
            "from dovetail import model",
            "dovetail.mapping is not allowed to import dovetail.model",
        ),
        (
            "workload/network.py",
            "def load():\n    from dovetail.workload.loading import load_network",
            "dovetail.workload.network is not allowed to import dovetail.workload.loading",
        ),
        (
            "hardware/values.py",
            "from dovetail.hardware import sections",
            "dovetail.hardware.values is not allowed to import dovetail.hardware.sections",
        ),
        ("document.py", "def read():\n    from dovetail import template", "dovetail.document is not allowed to import"),
        ("hardware/other.py", "", "dovetail.hardware.other"),
    ],
)
def test_an_import_from_above_is_found(tmp_path, module, text, said):
    """The same contracts, on a package in which one module asks one that stands above it, or stands nowhere."""
    skeleton(tmp_path)
    (tmp_path / "dovetail" / module).write_text(text)
    answer = lint(tmp_path, PYTHONPATH=str(tmp_path))
    assert answer.returncode == 1
    assert said in " ".join(answer.stdout.split())


def test_a_circle_is_found_where_no_layer_forbids_it_also_inside_functions(tmp_path):
    skeleton(tmp_path)
    assert lint(tmp_path, PYTHONPATH=str(tmp_path)).returncode == 0
    for name, text in (("one", "from dovetail.study import two"), ("two", "def f():\n    import dovetail.study.one")):
        (tmp_path / "dovetail" / "study" / f"{name}.py").write_text(text)
    answer = lint(tmp_path, PYTHONPATH=str(tmp_path))
    assert answer.returncode == 1
    assert "Nothing imports in a circle, inside functions neither BROKEN" in answer.stdout


def test_only_accuracy_shrinking_bits_and_the_importers_need_more_than_the_core_install():
    answer = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert answer.stderr == ""
    importers = ("dovetail.workload.torch", "dovetail.workload.onnx")
    needy = [name for name in answer.stdout.split() if not name.startswith(importers)]
    assert {name.split(".")[1] for name in needy} <= {"accuracy", "bits", "codesign", "shrink"}
