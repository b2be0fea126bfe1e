"""One way to do each thing: what is written in one place is written nowhere else."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = [path for folder in ("src", "tools", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]
#: Methods that put content into a file, a name in its place, or make a file to write into.
WRITES = {"write_text", "write_bytes", "mkstemp", "NamedTemporaryFile", "replace", "rename", "copyfile", "move"}


def _writes(tree):
    """Yield the lines on which something is called that writes a file in a way of its own."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute | ast.Name):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        if called == "open" and any(
            isinstance(each, ast.Constant) and isinstance(each.value, str) and set(each.value) & set("wax+")
            for each in (*node.args[:2], *(one.value for one in node.keywords if one.arg == "mode"))
        ):
            yield node.lineno
        elif called in WRITES and owner is not None:
            module = owner.id if isinstance(owner, ast.Name) else ""
            if called in ("write_text", "write_bytes", "mkstemp", "NamedTemporaryFile") or module in ("os", "shutil"):
                yield node.lineno


def test_files_are_written_in_one_place():
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in SOURCES
        for line in _writes(ast.parse(path.read_text()))
        if path.name != "files.py"
    }
    assert found == set()


def test_writing_otherwise_would_be_found():
    for text in (
        "Path('x').write_text('')", "path.open('w')", "open('x', mode='ab')", "os.replace(a, b)",
        "tempfile.mkstemp()", "shutil.move(a, b)",
    ):  # fmt: skip
        assert list(_writes(ast.parse(text))) == [1], text
    for text in ("write_text(path, '')", "path.open('rb')", "open(path)", "text.replace('a', 'b')"):
        assert list(_writes(ast.parse(text))) == [], text
