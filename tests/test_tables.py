"""One table for every rendering: terminal, plain text, HTML, CSV, JSON; and what numbers are called everywhere."""

import contextlib
import csv
import html
import io
import json
import math
import re
from argparse import ArgumentParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.cli.arguments import add_objective
from dovetail.cli.tables import print_json, print_table
from dovetail.json_text import json_text
from dovetail.mapper.exact.goal import objective_value
from dovetail.mapper.objective import Objective
from dovetail.table import Column, Table, headed
from dovetail.units import EDP_UNIT, edp_J_cycle, joules

COLUMNS = (
    Column("layer", words=True),
    Column("energy", key="energy_pJ", show=joules),
    Column("EDP", EDP_UNIT, key="edp_J_cycle"),
    Column("why", words=False, spare=1),
)
cells = st.tuples(
    st.text("abc <&>=", min_size=1, max_size=12).map(str.strip).filter(bool),
    st.floats(1, 1e20),
    st.none() | st.floats(1e-9, 1e9),
    st.sampled_from(["computing", "DRAM"]),
)


def printed(table, title="t"):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        print_table(title, table)
    return out.getvalue()


@settings(max_examples=60, deadline=None)
@given(st.lists(cells, min_size=1, max_size=4))
def test_one_list_of_columns_serves_every_rendering(rows):
    table = Table(COLUMNS, tuple(rows))
    records = table.records()
    assert [tuple(record.values()) for record in records] == rows
    header, *body = csv.reader(io.StringIO(table.csv()))
    assert header == list(records[0]) == ["layer", "energy_pJ", "edp_J_cycle", "why"]
    assert [float(row[1]) for row in body] == [row[1] for row in rows]
    pages = [html.unescape(cell) for cell in re.findall("<td[^>]*>(.*?)</td>", table.html())]
    assert pages == [cell for row in table.shown() for cell in row]
    for row in table.shown():
        for text in (table.text(), printed(table)):
            assert all(re.sub(r"\s", "", cell) in re.sub(r"\s", "", text) for cell in row)
    above, below = table.text().splitlines()[:2]
    assert (above.split(), below.split()) == (["EDP"], ["layer", "energy", "J", "x", "cycle", "why"])


@pytest.mark.parametrize("width", [None, 30, 60])
def test_totals_stand_last_and_are_no_row(width):
    table = Table(headed("level", "energy pJ"), (("DRAM", 2.0), ("a buffer with a long name", 1.0)), ("all", 3.0))
    lines = table.text(width).splitlines()
    assert lines[-1].split() == ["all", "3"]
    assert set(lines[1]) == set(lines[-2]) == {"─"}
    assert "all" not in table.csv()
    assert "<tfoot><tr>" in table.html("caption & more") and "caption &amp; more" in table.html("caption & more")


def test_no_number_stays_infinite_in_json(capsys):
    value = {"a": [math.inf, 1 / 3], 2: (math.nan, None), "set": {3, 1}}
    print_json("cache", value)
    head, found = {"schema", "schema_version", "dovetail_version"}, json.loads(capsys.readouterr().out)
    assert {key: item for key, item in found.items() if key not in head} == {
        "a": [None, 1 / 3],
        "2": [None, None],
        "set": [1, 3],
    }
    assert json_text(value, indent=None, digits=3) == '{"a":[null,0.333],"2":[null,null],"set":[1,3]}'


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(Objective), st.integers(1, 2**40), st.integers(1, 2**40), st.integers(2, 5))
def test_one_objective_in_every_form(objective, energy, cycles, more):
    """Words, formula, power, unit: what the compiled search counts, what whole numbers give exactly, what JSON says."""
    value, second = objective_value(objective.code, float(energy), float(cycles))
    assert value == pytest.approx(objective.value_of(energy, cycles), rel=1e-12)
    assert second == (cycles if objective is Objective.ENERGY else energy)
    exact = objective.formula(energy, cycles)
    assert objective.formula(more * energy, more * cycles) == more**objective.degree * exact
    assert float(exact) == pytest.approx(objective.value_of(energy, cycles), rel=1e-12)
    if objective is Objective.EDP:
        assert objective.in_unit(objective.value_of(energy, cycles)) == pytest.approx(edp_J_cycle(energy, cycles))
        assert objective.unit == EDP_UNIT


def test_the_commands_offer_the_objectives_in_their_order():
    parser = ArgumentParser()
    add_objective(parser)
    assert "edp|energy|latency|ed2p" in parser.format_help()
    assert [parser.parse_args(["--objective", word]).objective for word in Objective] == list(Objective)
