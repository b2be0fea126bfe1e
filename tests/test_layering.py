"""Data flows one way between packages, and the core runs on the core install alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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


def test_packages_import_only_from_below():
    """The contracts in pyproject.toml, the same that ``make check`` holds the code to."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "5 kept, 0 broken" in answer.stdout


def test_an_import_from_above_is_found(tmp_path):
    """The same contracts, on a package of as many modules in which the mapping asks the model."""
    package = tmp_path / "dovetail"
    source = ROOT / "src" / "dovetail"
    for file in source.rglob("*.py"):
        copy = package / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.touch()
    (package / "mapping" / "__init__.py").write_text("from dovetail import model\n")
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert answer.returncode == 1
    assert "dovetail.mapping is not allowed to import dovetail.model" in answer.stdout


def test_only_accuracy_shrinking_and_the_importers_need_more_than_the_core_install():
    answer = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert answer.stderr == ""
    importers = ("dovetail.workload.torch", "dovetail.workload.onnx")
    needy = [name for name in answer.stdout.split() if not name.startswith(importers)]
    assert {name.split(".")[1] for name in needy} <= {"accuracy", "shrink"}
