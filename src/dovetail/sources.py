"""Which of this program's files a computation depends on, and one key of their content: nobody keeps a list.

What a module can reach is what it imports, what those modules import, and so on, wherever in a file the import stands
(inside a function, too) and also where a module is only named in a string, for `importlib`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import numpy

_PACKAGE = Path(__file__).parent
#: ``from dovetail.x import a, b``, in brackets or not; ``import dovetail.x``, and ``"dovetail.x"`` as a whole string.
#: What stands before the name is looked at last: text is searched several times faster for a plain word.
_FROM = re.compile(rb"dovetail(?<=from dovetail)([\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n]*)")
_IMPORT = re.compile(rb"dovetail(?<=import dovetail)((?:\.\w+)+)")
_STRING = re.compile(rb"""dovetail(?<=["']dovetail)((?:\.\w+)+)["']""")
_WORD = re.compile(rb"\w+")


def sources_key(*modules: str, package: Path = _PACKAGE) -> str:
    """Return the key of all code and data that some modules can reach, and of the libraries that compute for them.

    Data are all other files in the folders of the packages reached, and in folders below that hold no code.

    Args:
        modules: their names, as ``dovetail.mapper.exact.search``.
        package: the folder of the package ``dovetail``.
    """
    code, data = _files(package)
    reached = _reached(modules, code)
    packages = {code[name].rpartition(os.sep)[0] for name in reached}
    return digest_of([code[name] for name in reached] + [path for path, home in data if home in packages], package)


def reached_modules(*modules: str, package: Path = _PACKAGE) -> frozenset[str]:
    """Return the names of the modules that some modules can reach: themselves and all packages around them, too."""
    return frozenset(_reached(modules, _files(package)[0]))


def digest_of(paths: Iterable[str], package: Path = _PACKAGE) -> str:
    """Return the key of some files' places and content, and of the libraries' versions."""
    digest = hashlib.sha256(f"numba {version('numba')}, numpy {numpy.__version__}".encode())
    skipped = len(str(package)) + 1
    for path in sorted(paths):
        content = _content(path)
        digest.update(f"\0{path[skipped:]}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _files(package: Path) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return the path of every module by its name, and of every other file with the folder of the package it is in."""
    code: dict[str, str] = {}
    data: list[tuple[str, str]] = []
    home = {"": ""}
    skipped = len(str(package.parent)) + 1
    for folder, below, names in os.walk(package):
        below[:] = [name for name in below if name != "__pycache__"]
        home[folder] = folder if "__init__.py" in names else home[os.path.dirname(folder)]  # noqa: PTH120 - as above
        dotted = folder[skipped:].replace(os.sep, ".")
        for name in names:
            path = f"{folder}{os.sep}{name}"
            if name == "__init__.py":
                code[dotted] = path
            elif name.endswith(".py"):
                code[f"{dotted}.{name[:-3]}"] = path
            else:
                data.append((path, home[folder]))
    return code, data


def _reached(modules: Iterable[str], code: dict[str, str]) -> dict[str, None]:
    waiting, reached = list(modules), dict[str, None]()
    while waiting:
        name = waiting.pop()
        while name:  # importing a module runs the packages that it lies in
            if name in code and name not in reached:
                reached[name] = None
                waiting += _imports(_content(code[name]))
            name = name.rpartition(".")[0]
    return reached


def _imports(source: bytes) -> list[str]:
    """Return what a module imports or names: modules, and names that may be modules."""
    found = [f"dovetail{module.decode()}" for pattern in (_IMPORT, _STRING) for module in pattern.findall(source)]
    for module, names in _FROM.findall(source):
        found += [f"dovetail{module.decode()}.{word.decode()}" for word in _WORD.findall(names)]
    return found


def _content(path: str) -> bytes:
    with open(path, "rb") as stream:  # noqa: PTH123 - a hundred files for every command: plain strings are faster
        return stream.read()
