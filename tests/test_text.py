"""Text from outside where it is shown: nothing in it acts on a terminal, and no cell of a table computes."""

import csv
import io
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dovetail.cli.main import main
from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture, Compute, Storage
from dovetail.text import csv_cell, csv_text, file_name, file_names, first_line, printable, shown
from dovetail.workload.layer_table import read_csv, write_csv
from dovetail.workload.network import FreeOperation, Layer, Network, UnmappedOperation
from dovetail.workload.problem import convolution

#: An escape sequence, a bell, a line feed, a sign that turns the direction, a link, a zero-width space.
NASTY = "a\x1b[31mb\x07c\nd\u202ee\x1b]8;;http://evil\x1b\\f\u200bg"

names = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


@pytest.mark.parametrize(
    ("said", "shown_of_it"), [("", ""), ("\n \n", ""), ("one", "one"), ("\n  two  \nthree", "two  "), ("a\r\nb", "a")]
)
def test_the_first_line_of_what_an_exception_says_is_empty_where_it_says_nothing(said, shown_of_it):
    """Some say nothing at all: messages that took the first of their lines failed on these."""
    assert first_line(ValueError(said)) == shown_of_it


@given(names)
def test_nothing_that_acts_is_left(text):
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)
    assert len(printable(text)) == len(text)


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=20), st.integers(1, 3_000))
def test_no_text_is_longer_than_anybody_reads_and_different_ones_stay_so(text, times):
    long = text * times
    found = shown(long)
    assert len(found) < 4_000
    assert shown(found) == found
    assert (found == shown(long + "x")) == (long == long + "x")
    if len(long) <= 400:
        assert found == printable(long)


def test_long_names_do_not_reach_messages_notes_and_tables(tmp_path, capsys):
    long = "n" * 50_000
    (tmp_path / "p.yaml").write_text(
        "problem: {shape: {dimensions: [C], data_spaces: [{name: W, projection: [C]}, "
        f"{{name: O, projection: [C], read_write: true}}]}}, instance: {{C: 4, name: {long}}}}}"
    )
    (tmp_path / "t.csv").write_text(f"name,C,M,P,Q\n{long[:9000]},4,4,2,2\n")
    (tmp_path / "d.yaml").write_text(
        f"problem: {{shape: {{dimensions: [{long}], data_spaces: [{{name: W, projection: [{long}], "
        f"read_write: true}}]}}, instance: {{{long}: 4}}}}"
    )
    for words in (
        ["map", f"{tmp_path}/p.yaml", "--on", "eyeriss_like", "--samples", "2"],
        ["map", f"{tmp_path}/d.yaml", "--on", "eyeriss_like", "--samples", "2"],
        ["map", f"{tmp_path}/t.csv:{long}", "--on", "eyeriss_like"],
        ["layers", f"{tmp_path}/t.csv"],
        ["layers", long],
        ["layers", f"{tmp_path}/t.csv", "--rename", f"C={long}"],
    ):
        assert main(words) in (0, 2)
        assert max(map(len, "".join(capsys.readouterr()).splitlines())) < 1_500


def test_every_name_is_cleaned_at_the_door():
    layer = Layer(NASTY, convolution(C=1, M=1, P=1, Q=1, name=NASTY), kind=NASTY, modules=(NASTY,))
    network = Network(
        NASTY, (layer,), (FreeOperation(NASTY),), (UnmappedOperation(NASTY, 1, modules=(NASTY,)),),
        edges=(("input", NASTY), (NASTY, "output")), source=NASTY,
    )  # fmt: skip
    design = Architecture(
        NASTY, (Storage(name=NASTY, component=NASTY, width=8, datawidth=8), Compute(name="mac", component="mac"))
    )
    assert f"{network}{design}".isprintable()
    assert network.edges == (("input", layer.name), (layer.name, "output"))
    assert str(InputError("wrong", file=NASTY, key=NASTY)).isprintable()


@given(st.lists(st.one_of(names, st.integers(), st.floats(allow_nan=False)), min_size=1, max_size=5))
@example(["\r0"])
def test_cells_compute_nothing_and_come_back(cells):
    (row,) = csv.reader(io.StringIO(csv_text([cells])))
    for cell, found in zip(cells, row, strict=True):
        if isinstance(cell, str):
            assert not found.startswith(("=", "+", "-", "@"))
            assert csv_cell(found) == cell or "\r" in cell
        else:
            assert type(cell)(found) == cell


@pytest.mark.parametrize("name", ["=1+1", "+a", "-a", "@SUM(A1)", "'=a", "'", "''+x", "plain"])
def test_layer_tables_come_back(name):
    network = Network("n", (Layer(name, convolution(C=2, M=2, P=1, Q=1, name=name), kind="linear", modules=(name,)),))
    text = write_csv(network)
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in csv.reader(io.StringIO(text)) for cell in row)
    assert read_csv(text, file="n.csv", name="n").layers == network.layers


@pytest.mark.parametrize("tail", [("layers", "{}"), ("compare", "{}", "--on", "eyeriss_like", "--samples", "50")])
def test_a_hostile_table_prints_nothing_that_acts(tmp_path, capsys, tail):
    path = tmp_path / "evil.csv"
    path.write_text(f"# network: {NASTY.replace(chr(10), ' ')}\nname,C,M,P,Q\n{NASTY.replace(chr(10), ' ')},4,4,2,2\n")
    out = tmp_path / "out.csv"
    assert main([word.format(path) for word in tail] + ["--csv", str(out)]) == 0
    printed = "".join(capsys.readouterr()) + out.read_text()
    assert printed.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("# batch: 0\nname,C\na,1\n", "evil.csv:1: batch: '0' is no whole number"),
        ("# batch: ²\nname,C\na,1\n", "evil.csv:1: batch: '²' is no whole number"),
        ("# batch: " + "9" * 1000 + "\nname,C\na,1\n", "evil.csv:1: batch: "),
        ("name,C\n" + "a" * 200_000 + ",1\n", "evil.csv:2: is no row of cells"),
        ("name,C\na,²\n", "evil.csv:2: C: '²' is no whole number"),
    ],
)
def test_tables_that_lie_are_one_message(tmp_path, capsys, content, said):
    path = tmp_path / "evil.csv"
    path.write_text(content)
    assert main(["layers", str(path), "--batch", "2"]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("spec", ["resnet18@²", "resnet18@" + "9" * 5000, "resnet18:" + "9" * 5000])
def test_numbers_that_are_none_are_one_message(capsys, spec):
    assert main(["map", spec, "--on", "eyeriss_like"] if ":" in spec else ["layers", spec]) == 2
    assert capsys.readouterr().err.startswith("dovetail: error: ")


@given(st.text())
def test_a_file_name_is_one_plain_word(text):
    name = file_name(text)
    assert re.fullmatch(r"[\w.-]+", name)
    assert name.strip("._") == name
    assert file_name(name) == name


@given(st.lists(st.sampled_from(["a", "A", "a-2", "a/b", "a_b", "a:b", "b"]), max_size=8))
def test_texts_are_files_of_their_own(texts):
    found = file_names(texts)
    assert len({name.casefold() for name in found}) == len(texts)
    assert all(name.startswith(file_name(text)) for name, text in zip(found, texts, strict=True))
    assert file_names(["x", "y"]) == ["x", "y"]
