"""No terminal is too narrow for a number: what does not fit is left out and named, and nothing is cut."""

import contextlib
import io
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.api.given import kind_of
from dovetail.cli.main import main
from dovetail.cli.tables import print_table
from dovetail.columns import fit
from dovetail.table import Column, Table
from dovetail.units import counted, joules_alike

TABLE = """name,C,M,P,Q,R,S,G
features.0.conv.depthwise,1,1,14,14,3,3,16
features.0.conv.pointwise,16,24,14,14,1,1,
features.1.conv.pointwise,16,24,14,14,1,1,
classifier,128,1000,,,,,
"""
#: What is searched exactly, several times, is smaller.
SMALL = "name,C,M,repeats\na.layer.with.a.long.name,12,16,1000000\n"
NUMBER = re.compile(r"\d[\d,.]*(?:e[+-]\d+)?")

words = st.text("ab ./_-1234567890", min_size=1, max_size=30).map(str.strip)
numbers = st.integers(0, 10**13).map(lambda number: f"{number:,}")


@st.composite
def tables(draw):
    text_columns, number_columns = draw(st.integers(0, 3)), draw(st.integers(1, 6))
    heads = draw(st.lists(st.sampled_from("abcdefghij"), min_size=9, max_size=9, unique=True))
    heads = [f"{head}|x cycle" if draw(st.booleans()) else head for head in heads[: text_columns + number_columns]]
    row = st.tuples(*[words] * text_columns, *[numbers] * number_columns)
    rows = draw(st.lists(row, min_size=1, max_size=4))
    optional = draw(st.lists(st.sampled_from(heads[1:] or heads[:0]), unique=True)) if heads[1:] else []
    return heads, rows, text_columns, optional


@settings(max_examples=150, deadline=None)
@given(tables(), st.integers(1, 300))
def test_numbers_stand_whole_or_their_column_is_named(table, width):
    heads, rows, text_columns, optional = table
    optional = [heads.index(head) for head in optional]
    shown = fit(heads, rows, width, words=range(text_columns), optional=optional)
    for place, size in zip(shown.kept, shown.widths, strict=True):
        if place >= text_columns:
            assert size >= max(len(row[place]) for row in rows)
        for row in rows:
            assert all(len(word) <= size for word in row[place].split() if word.replace(",", "").isdigit())
    assert shown.left_out == tuple(h.replace("|", " ") for i, h in enumerate(heads) if i not in shown.kept)
    assert bool(shown.note(width, "--wide")) == bool(shown.left_out)
    assert shown.kept and (text_columns == len(heads) or any(place >= text_columns for place in shown.kept))
    wider = fit(heads, rows, width + 1, words=range(text_columns), optional=optional)
    assert set(shown.kept) <= set(wider.kept)
    everything = fit(heads, rows, None, words=range(text_columns), optional=optional)
    assert everything.left_out == ()
    if shown.left_out:
        assert sum(everything.widths) + 2 * (len(heads) - 1) > width


@settings(max_examples=50, deadline=None)
@given(tables(), st.integers(1, 120))
def test_a_printed_table_has_every_character_of_what_it_shows(table, width):
    heads, rows, text_columns, optional = table
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        with contextlib.redirect_stdout(io.StringIO()) as out:
            columns = tuple(
                Column(head, words=place < text_columns, spare=optional.index(head) + 1 if head in optional else 0)
                for place, head in enumerate(heads)
            )
            print_table("t", Table(columns, tuple(rows)))
    body = out.getvalue().partition("─")[2]
    body = re.split(r"\d+\s+columns?\s+more\s+with\s+--wide", body)[0]
    places = [heads.index(head) for head in optional]
    shown = fit(heads, rows, width, words=range(text_columns), optional=places)
    wanted = "".join(row[place] for row in rows for place in shown.kept)
    assert sorted(re.sub(r"[\s─]", "", body)) == sorted(re.sub(r"\s", "", wanted))


COMMANDS = {
    "layers": ["layers", "t.csv"],
    "layers all": ["layers", "t.csv", "--all"],
    "compare": ["compare", "s.csv", "--on", "eyeriss_like"],
    "map": ["map", "s.csv", "--on", "eyeriss_like", "--front"],
    "explain": ["explain", "s.csv", "--on", "eyeriss_like"],
    "sweep": ["sweep-layer", "s.csv:1", "--on", "eyeriss_like", "--dim", "M", "--values", "8,16", "--workers", "1"],
    "optimum": ["optimum", "s.csv", "--on", "eyeriss_like", "--workers", "1"],
    "report": ["report", "s.csv", "--on", "eyeriss_like", "--workers", "1"],
    "evaluate": ["evaluate", "t.csv:1", "--on", "eyeriss_like", "--mapping", "m.yaml"],
}


def _tables(text):
    """Return the lines of tables: what stands between a rule and the next empty line, margins off."""
    lines, inside = [], False
    text = re.sub(r"\d+\s+columns?\s+more\s+with", "left out", text)
    for line in text.splitlines():
        if line.strip() and set(line.strip()) <= set("─-"):
            inside = True
        elif not line.strip() or line.startswith("left out"):
            inside = False
        elif inside:
            lines.append(line)
    return "\n".join(lines)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("widths")
    (folder / "t.csv").write_text(TABLE)
    (folder / "s.csv").write_text(SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["map", "t.csv:1", "--on", "eyeriss_like", "--samples", "20", "--save", "m.yaml"]) == 0
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_cut_no_digit(command, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)

    def printed(width):
        monkeypatch.setenv("COLUMNS", str(width))
        assert main(COMMANDS[command]) == 0
        return capsys.readouterr().out

    wide = printed(300)
    assert "more with --wide" not in wide
    known = set(NUMBER.findall(_tables(wide)))
    assert known
    for width in (1, 20, 40, 60, 80):
        narrow = printed(width)
        found = set(NUMBER.findall(_tables(narrow))) - {each for each in known if len(each) == 1}
        strange = {each for each in found - known if not _of_a_name(each)}
        assert width < 80 or max(len(line) for line in narrow.splitlines() if " += " not in line) <= 80
        assert not strange, (width, strange)
        assert ("more with --wide: " in re.sub(r"\s+", " ", narrow)) or found >= known - set("0123456789")


def _of_a_name(number):
    """Say whether it is a piece of a folded name, which may break anywhere (``features.0.conv``)."""
    return number.rstrip(".") in {"0", "1"}


def test_one_numbering_everywhere(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)

    def answer(*arguments):
        assert main([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    rows = {layer["layer"]: layer["row"] for layer in answer("layers", "t.csv")["layers"]}
    assert list(rows.values()) == [1, 2, 2, 3]
    assert main(["layers", "t.csv", "--all"]) == 0
    listed = [line.split()[:2] for line in capsys.readouterr().out.splitlines()[2:6]]
    assert listed == [[str(row), name] for name, row in rows.items()]
    compared = answer("compare", "t.csv", "--on", "eyeriss_like", "--samples", "5")
    assert {layer["layer"]: layer["row"] for layer in compared["results"][0]["layers"]} == rows
    for command in (["map", "--samples", "5"], ["explain", "--time-limit", "0.1"]):
        by_row = answer(command[0], "t.csv:3", "--on", "eyeriss_like", *command[1:])
        assert by_row["layer"] == "classifier"
    assert answer("evaluate", "t.csv:1", "--on", "eyeriss_like", "--mapping", "m.yaml")["layer"].endswith("depthwise")
    swept = answer("sweep-layer", "t.csv:3", "--on", "eyeriss_like", "--dim", "M", "--values", "8")
    assert swept["layer"] == "classifier"
    assert main(["map", "t.csv:4", "--on", "eyeriss_like"]) == 2
    assert "rows 1 to 3, not 4" in capsys.readouterr().err


def test_at_80_columns_what_binds_each_layer_and_how_often_it_runs_is_seen(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    arguments = ["compare", "t.csv", "--on", "eyeriss_like", "--samples", "5"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[: lines.index("")])) <= 80
    head = next(line for line in lines if line.startswith("row"))
    assert {"runs", "bound", "cycles"} <= set(head.split())
    assert next(line for line in lines if "more with --wide" in line).startswith("1 column more with --wide: dearest")
    assert main([*arguments, "--wide"]) == 0
    monkeypatch.setattr("dovetail.cli.tables._Shown.wide", False)
    wide = capsys.readouterr().out
    assert "more with --wide" not in wide and "dearest level" in wide


def test_sums_can_be_checked_by_eye(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(["compare", "t.csv", "--on", "eyeriss_like", "--samples", "5"]) == 0
    table = capsys.readouterr().out.partition("costs nothing")[0].splitlines()
    rules = [place for place, line in enumerate(table) if set(line.strip()) == {"─"}][:2]
    head = next(line for line in table if line.startswith("row"))
    rows = table[rules[0] + 1 : rules[1]]
    end = {name: head.index(name) + len(name) for name in ("runs", "cycles")} | {"energy": head.index("uJ") + 2}

    def cell(line, name):
        return float(line[: end[name]].split()[-1].replace(",", ""))

    sums = table[rules[1] + 1]
    assert len(rows) == 3
    for name, tolerance in (("runs", 0), ("cycles", 0), ("energy", 0.001)):
        assert abs(sum(cell(line, name) for line in rows) - cell(sums, name)) <= tolerance * len(rows), name


@given(st.lists(st.floats(1e-3, 1e15), min_size=1, max_size=9))
def test_energies_alike_add_up_in_what_is_shown(energies):
    unit, show = joules_alike(energies)
    step = 1000.0 ** ["p", "n", "u", "m", "", "k", "M"].index(unit.removesuffix("J"))
    digit = 10.0 ** -len(show(max(energies)).partition(".")[2])
    for energy in energies:
        text = show(energy)
        value = 0.0 if text.startswith("<") else float(text.replace(",", ""))
        assert abs(value - energy / step) <= digit
    assert len(re.sub(r"[,.]|^0", "", show(max(energies)))) >= 5 or max(energies) < 1


@pytest.mark.parametrize(
    "command", [["designs"], ["designs", "sparse_tensor_core"], ["--help"], ["components", "--on", "eyeriss_like"]]
)
def test_no_line_is_wider_than_the_terminal(command, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    with contextlib.suppress(SystemExit):
        main(command)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_counts_of_one_and_kinds_have_their_own_words():
    assert counted(1, "layer") == "1 layer" and counted(1200, "layer") == "1,200 layers"
    assert [kind_of(each) for each in (3, [], None)] == ["an int", "a list", "None"]
