"""The wheel and the sdist are complete, what a wheel holds runs without the sources, and versions agree."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import dovetail
from dovetail.cli.main import main

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import check_dist  # noqa: E402


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the sdist of a copy of the sources, made with what is installed here."""
    pytest.importorskip("build", reason="the package build is not installed")
    pytest.importorskip("setuptools")
    copy = tmp_path_factory.mktemp("tree") / "dovetail"
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
    copy.mkdir()
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, copy)
    for folder in ("src", "docs", "tests"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=unwanted)
    out = copy.parent / "dist"
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(copy)]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


def test_the_wheel_and_the_sdist_lack_nothing(built):
    wheel, sdist = built
    assert check_dist.missing_in_wheel(wheel) == []
    assert check_dist.missing_in_sdist(sdist) == []
    with tarfile.open(sdist) as archive:
        assert not [name for name in archive.getnames() if name.endswith((".pyc", ".pyo"))]


def test_a_file_that_is_missing_is_named(built, tmp_path):
    wheel, _ = built
    less = tmp_path / wheel.name
    with zipfile.ZipFile(wheel) as whole, zipfile.ZipFile(less, "w") as part:
        for name in whole.namelist():
            if name != "dovetail/hardware/designs/eyeriss_like.yaml":
                part.writestr(name, whole.read(name))
    assert check_dist.missing_in_wheel(less) == [f"dovetail/hardware/designs/eyeriss_like.yaml in {wheel.name}"]


def test_what_a_wheel_holds_answers_as_the_sources_do(built, tmp_path, capsys):
    """From another folder, with the wheel's content on the path before the sources."""
    wheel, _ = built
    installed = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    entry = (installed / f"dovetail_codesign-{dovetail.__version__}.dist-info" / "entry_points.txt").read_text()
    module, function = re.search(r"dovetail = (\S+):(\S+)", entry).groups()
    program = f"import sys, {module} as m; assert m.__file__.startswith({str(installed)!r}); sys.exit(m.{function}())"
    layer = tmp_path / "layer.csv"
    layer.write_text("name,C,M,P,Q\nsmall,4,8,2,2\n")
    designs = ("eyeriss_like", "simple_weight_stationary")  # of the second a note names the file
    words = ["compare", str(layer), "--on", *designs, "--samples", "10", "--totals"]
    run = subprocess.run(
        [sys.executable, "-P", "-c", program, *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed), "NUMBA_DISABLE_JIT": "1"},  # what is kept is another folder's
    )
    assert run.returncode == 0, run.stderr
    assert main(words) == 0
    ours = capsys.readouterr()
    assert (run.stdout, run.stderr.replace(str(installed), str(ROOT / "src"))) == (ours.out, ours.err)
    assert all(design in ours.out for design in designs)


def test_one_version_is_said_everywhere():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (\S+)$", citation, re.MULTILINE)[1] == dovetail.__version__
    assert "version" in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dynamic"]
