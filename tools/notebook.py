"""Runs a notebook from top to bottom, writes its outputs into it, and makes a page of the docs with pictures from it.

::

    python tools/notebook.py docs/notebook.ipynb

Cells run in one plain interpreter: what a cell prints and what its last line is worth are its outputs, as text, HTML or
SVG, whichever the value shows itself as. The same in, the same out; a test holds file and page to it.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

from dovetail.files import write_text

#: How a value may show itself, the first that it has.
_FORMS = (("image/svg+xml", "_repr_svg_"), ("text/html", "_repr_html_"))


def main() -> int:
    """Run a notebook and write what comes of it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebook", type=Path)
    path = parser.parse_args().notebook
    for target, text in written(path, executed(json.loads(path.read_text(encoding="utf-8")))).items():
        write_text(target, text)
        print(target)
    return 0


def executed(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return a notebook with the outputs of its code, run in order in the working folder."""
    made = copy.deepcopy(notebook)
    names: dict[str, Any] = {"__name__": "__main__"}
    count = 0
    for cell in made["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            cell["execution_count"] = count
            cell["outputs"] = _outputs(_text(cell["source"]), names, count)
    return made


def written(path: Path, notebook: dict[str, Any]) -> dict[Path, str]:
    """Return the files that come of an executed notebook: itself, its page, the page's pictures."""
    files = {path: json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"}
    parts = [f"<!-- made from {path.name} by tools/notebook.py -->\n"]
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            parts.append(_text(cell["source"]) + "\n")
            continue
        parts.append(f"```python\n{_text(cell['source'])}\n```\n")
        for output in cell["outputs"]:
            if "text" in output:
                parts.append(f"```text\n{_text(output['text']).rstrip()}\n```\n")
            elif "image/svg+xml" in output["data"]:
                picture = Path("img") / f"{path.stem}-{len(files)}.svg"
                files[path.parent / picture] = _text(output["data"]["image/svg+xml"])
                parts.append(f"![{_text(output['data']['text/plain'])[1:-1]}]({picture.as_posix()})\n")
            elif "text/html" in output["data"]:
                parts.append(re.sub(r"\n\s*\n", "\n", _text(output["data"]["text/html"])) + "\n")
            else:
                parts.append(f"```text\n{_text(output['data']['text/plain'])}\n```\n")
    files[path.with_suffix(".md")] = "\n".join(parts)
    return files


def _outputs(source: str, names: dict[str, Any], count: int) -> list[dict[str, Any]]:
    tree = ast.parse(source)
    ending = tree.body[-1] if tree.body else None
    last = ending if isinstance(ending, ast.Expr) else None
    if last is not None:
        tree.body.pop()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, f"cell {count}", "exec"), names)
        value = None if last is None else eval(compile(ast.Expression(last.value), f"cell {count}", "eval"), names)
    found: list[dict[str, Any]] = []
    if printed.getvalue():
        found.append({"output_type": "stream", "name": "stdout", "text": printed.getvalue()})
    if value is not None:
        shown = next(((form, getattr(value, name)()) for form, name in _FORMS if hasattr(value, name)), None)
        data = {"text/plain": repr(value), **dict([shown] if shown else [])}
        found.append({"output_type": "execute_result", "execution_count": count, "metadata": {}, "data": data})
    return found


def _text(value: str | list[str]) -> str:
    """Return text that a notebook may hold as a list of lines."""
    return value if isinstance(value, str) else "".join(value)


if __name__ == "__main__":
    sys.exit(main())
