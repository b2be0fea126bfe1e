"""Checks a wheel and an sdist: complete, and what the wheel installs answers as the sources do.

::

    python -m build && python tools/check_dist.py dist

`build` makes the wheel from the sdist, so that one builds, too. The wheel is installed into a fresh environment beside
nothing else (pip fetches what it depends on, by the versions of ``constraints.txt``), the demo runs there from another
folder, and its numbers are those of the sources.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "src" / "dovetail"
#: What is run from both; every layer until it is proven, as what a clock ends differs from run to run.
DEMO = (
    *("compare", "alexnet", "resnet18@32", "--on", "eyeriss_like", "simple_weight_stationary"),
    *("--time-limit", "3600", "--json"),
)
#: What an sdist has besides the package.
BESIDE = ("LICENSE", "README.md", "CITATION.cff", "Makefile", "constraints.txt", "docs/index.md", "tests/conftest.py")


def main() -> int:
    """Check what a folder holds; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    missing = [*missing_in_wheel(wheel), *missing_in_sdist(sdist)]
    if missing:
        print("missing:", *missing, sep="\n  ", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as made:
        python = _environment(Path(made) / "environment", wheel)
        installed, ours = (_answer(each, Path(made)) for each in (python, Path(sys.executable).absolute()))
    if installed != ours:
        print("the wheel answers otherwise than the sources", file=sys.stderr)
        return 1
    print(f"{wheel.name}, {sdist.name}: complete, and the demo answers as the sources do")
    return 0


def package_files() -> set[str]:
    """Return every file of the package, by its path below ``src``."""
    found = (path for path in SOURCES.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(SOURCES.parent).as_posix() for path in found}


def missing_in_wheel(wheel: Path) -> list[str]:
    """Return the package's files that a wheel lacks, and what it has that the package has not."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    ours = package_files()
    return sorted([*(f"{name} in {wheel.name}" for name in ours - names), *(f"{name} in src" for name in names - ours)])


def missing_in_sdist(sdist: Path) -> list[str]:
    """Return the files that an sdist lacks."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {*BESIDE, *(f"src/{name}" for name in package_files())}
    return sorted(f"{name} in {sdist.name}" for name in wanted - names)


def _environment(folder: Path, wheel: Path) -> Path:
    """Make an environment with the wheel alone; returns its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, "--constraint", str(ROOT / "constraints.txt"), str(wheel.resolve())], check=True)
    return python


def _answer(python: Path, folder: Path) -> object:
    """Return what the demo says in a folder where nothing of ours lies, without results of earlier runs."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(python.parent / "dovetail"), *DEMO]
    environment["DOVETAIL_CACHE"] = "off"
    run = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder, env=environment)
    answer: dict[str, object] = json.loads(run.stdout)
    return lasting(answer)


def lasting(value: object) -> object:
    """Return a value of JSON without what differs between any two runs: times, and where the package lies."""
    if isinstance(value, str):
        return re.sub(r"\S*/(?=dovetail/hardware/designs/)", "", value)
    if isinstance(value, dict):
        return {key: lasting(item) for key, item in value.items() if "seconds" not in key}
    return [lasting(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    sys.exit(main())
