"""Every snippet of README and docs runs as it stands there; see `doc_snippets` for what a page says above one."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
from pathlib import Path

import pytest
import yaml

import dovetail
from doc_snippets import LANGUAGES, MARKS, Block, blocks_of, is_shown, spans_of, words_of
from dovetail.cli.main import COMMANDS, main, parser_of

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES.remove(ROOT / "docs" / "notebook.md")  # made from the notebook: tests/test_notebook.py
BESIDE = ("CONTRIBUTING.md", "ARCHITECTURE.md", "SECURITY.md")
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
#: Commands that set up a clone or an environment, as `tests/test_packaging.py` and people do.
SETTING_UP = {"git", "cd", "make", "pip", "python3", "source"}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One store for all pages, so that no layer is mapped twice."""
    return tmp_path_factory.mktemp("docs") / "cache"


@pytest.fixture
def folder(store, tmp_path, monkeypatch):
    """An empty folder to be in; layers are mapped in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("DOVETAIL_CACHE", str(store))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0})
    for limit in ("compare.SECONDS", "advise.SECONDS", "advise.BUDGET"):
        monkeypatch.setattr(f"dovetail.cli.{limit}", 1e4)  # test machines are shared: what is shown has no clock
    monkeypatch.setitem(dovetail.compare.__kwdefaults__, "time_limit", None)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_what_a_page_shows_is_what_happens(page, folder):
    names: dict[str, object] = {"__name__": "__main__"}
    printed = ""
    for block in blocks_of(page):
        assert block.language in LANGUAGES, f"{block.where}: say what it is, one of {', '.join(sorted(LANGUAGES))}"
        assert set(block.marks) <= MARKS, f"{block.where}: {block.marks}"
        for extra in block.marks.get("needs", "").split():
            if importlib.util.find_spec(extra) is None:
                pytest.skip(f"{block.where} needs {extra}")
        if "file" in block.marks:
            (folder / block.marks["file"]).write_text(block.text, encoding="utf-8")
        elif "printed" in block.marks:
            assert is_shown(printed, block.text.splitlines()), f"{block.where} is not what is printed:\n{printed}"
        else:
            printed = _run(block, names)


def _run(block: Block, names: dict[str, object]) -> str:
    """Run a block, or check as much of it as can be without; returns what a program prints."""
    runs = "not run" not in block.marks
    if block.language == "console":
        for command, shown in block.commands():
            _run_command(block, command, shown, runs)
    elif block.language == "python":
        program = compile(block.text, block.where, "exec")
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            if runs:
                exec(program, names)
        return out.getvalue()
    elif block.language == "yaml":
        list(yaml.compose_all(block.text, Loader=yaml.SafeLoader))
    return ""


def _run_command(block: Block, command: str, shown: list[str], runs: bool) -> None:
    words, target = words_of(command)
    if words[0] in SETTING_UP:
        known = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert words[0] != "make" or all(re.search(f"^{name}:", known, re.MULTILINE) for name in words[1:2])
        return
    assert words[0] == "dovetail", f"{block.where}: {command}"
    if not runs:
        parse(words[1:])
        return
    out, told = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(told):
        code = main(words[1:])
    assert code == 0, f"{block.where}: {command}\n{told.getvalue()}"
    if target is not None:
        Path(target).write_text(out.getvalue(), encoding="utf-8")
    elif shown:
        text = told.getvalue() + out.getvalue() if shown[0].startswith("dovetail: note") else out.getvalue()
        assert is_shown(text, shown), f"{block.where}: `{command}` prints\n{text}"


def parse(words: list[str]) -> None:
    """Check that the command line takes these words."""
    wanted = next((word for word in words if not word.startswith("-")), None)
    parser_of(wanted).parse_args(words)


def _help(command: str) -> str:
    """Return a command's help on one line."""
    (commands,) = (each.choices for each in parser_of(command)._actions if isinstance(each.choices, dict))
    return f"{' '.join(commands[command].format_help().split())} "


@pytest.mark.parametrize("page", [*PAGES, *(ROOT / name for name in BESIDE)], ids=[*NAMES, *BESIDE])
def test_commands_in_running_text_are_ones_that_exist(page, capsys):
    for line, command in spans_of(page):
        words, _ = words_of(command)
        if words[1] == "help":
            assert set(words[2:]) <= {*COMMANDS, "COMMAND", "X"}
        elif len(words) == 3 and words[2].startswith("--"):  # speaks of an option
            assert f"{words[2]} " in _help(words[1]), f"{page.name}:{line}: {command}"
        elif words[1].islower() and len(words) > 2:
            try:
                parse(words[1:])
            except SystemExit as end:
                assert end.code == 0, f"{page.name}:{line}: {command}\n{capsys.readouterr().err}"
        else:
            assert words[1] in {*COMMANDS, "COMMAND", "--help", "--version"}, f"{page.name}:{line}: {command}"


def test_every_page_is_in_the_index_and_in_the_menu():
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in sorted((ROOT / "docs").rglob("*.md")):
        name = page.relative_to(ROOT / "docs").as_posix()
        assert f": {name}\n" in menu, name
        assert name == "index.md" or f"({name})" in index or name.startswith("how-to/"), name


def test_a_page_that_shows_something_else_fails(tmp_path, folder):
    page = tmp_path / "page.md"
    page.write_text("# P\n\n```console\n$ dovetail designs\neyeriss_like\nno_such_design\n```\n")
    with pytest.raises(AssertionError, match=r"page.md:3: `dovetail designs` prints"):
        test_what_a_page_shows_is_what_happens(page, folder)
    page.write_text("```python\nassert 1 == 2\n```\n")
    with pytest.raises(AssertionError):
        test_what_a_page_shows_is_what_happens(page, folder)
    page.write_text("<!-- not run: long -->\n```console\n$ dovetail map x --no-such-option\n```\n")
    with pytest.raises(SystemExit):
        test_what_a_page_shows_is_what_happens(page, folder)


@pytest.mark.parametrize(
    ("printed", "shown", "same"),
    [
        ("a\nb\n", ["a", "b"], True),
        ("a  \nb\nc\n", ["a", "...", "c"], True),
        ("a\nc\n", ["a", "...", "c"], True),
        ("a\nb\n", ["a", "..."], True),
        ("a\nb\n", ["a"], False),
        ("a\nb\n", ["...", "x"], False),
        ("a.b\n", ["a+b"], False),
        ("a b c\nd\n", ["a b ...", "d"], True),
        ("a b c\nd\n", ["a b ..."], False),
    ],
)
def test_dots_stand_for_any_lines(printed, shown, same):
    assert is_shown(printed, shown) is same
