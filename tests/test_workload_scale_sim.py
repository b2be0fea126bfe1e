"""SCALE-Sim's tables of layers: the sizes they stand for, and what is wrong in them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.errors import InputError
from dovetail.workload.loading import load_network
from dovetail.workload.network import Network
from dovetail.workload.scale_sim import is_scale_sim, read_scale_sim

HEADER = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,"
TABLE = f"""\
{HEADER}
Conv1, 224, 226, 7, 5, 3, 64, 2,
Conv1, 14, 14, 3, 3, 64, 128, 1, # again
"""


def read(text: str) -> Network:
    return read_scale_sim(text, file=Path("net.csv"), name="net")


def test_convolutions_have_the_outputs_that_scale_sim_counts() -> None:
    first, second = read(TABLE).layers
    sizes = dict(zip(first.problem.shape.dimensions, first.problem.bounds, strict=True))
    # rows: (224 - 7 + 2) / 2 = 109.5, rounded up; columns: (226 - 5 + 2) / 2 = 111.5
    assert {name: sizes[name] for name in "CMPQRSN"} == {"C": 3, "M": 64, "P": 110, "Q": 112, "R": 7, "S": 5, "N": 1}
    assert second.macs == 64 * 128 * 9 * 12 * 12
    assert (first.name, second.name) == ("Conv1", "Conv1:2")
    assert read(TABLE).with_batch(4).macs == 4 * (read(TABLE).macs or 0)


def test_products_and_other_spellings(tmp_path: Path) -> None:
    (layer,) = read("Layer,M,N,K,\nL0,196,192,384,\n").layers
    assert layer.macs == 196 * 192 * 384
    assert {tensor.name: layer.problem.extent(tensor) for tensor in layer.problem.shape.tensors}
    other = TABLE.replace("IFMAP Height, IFMAP Width", "IFMAP Width, IFMAP Width").replace("Layer name", "Layer")
    assert read(other).layers == read(TABLE).layers
    assert read(TABLE.replace(", ", "\t").replace(",\n", "\n")).layers == read(TABLE).layers
    plural = "\ufeff" + TABLE.lower().replace("num filter", "num filters").replace("strides,", "strides, batch size")
    (tmp_path / "net.csv").write_text(plural.replace("2,\n", "2,1\n"), encoding="utf-8")
    network = load_network(str(tmp_path / "net.csv"))
    assert network.macs == read(TABLE).macs
    assert network.notes == (f"{tmp_path / 'net.csv'}:1: passed over: batch size",)
    assert not is_scale_sim("name,C,M\n")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("224", "0", "net.csv:2: ifmap height: must be a whole number above 0, found '0'"),
        ("224", "x", "net.csv:2: ifmap height: must be a whole number above 0, found 'x'"),
        ("224", "3", "net.csv:2: the filter is larger than the input: height 7"),
        ("Strides", "Strods", "without strides"),
        ("128, 1,", "128,", "net.csv:3: strides: must be a whole number above 0"),
        (TABLE, f"{HEADER}\n", "net.csv: the table has no layers"),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(old: str, new: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(TABLE.replace(old, new))
    assert message in str(caught.value)


@given(st.integers(0, len(TABLE)), st.text(max_size=6))
def test_damaged_tables_end_in_a_network_or_an_error_on_purpose(at: int, text: str) -> None:
    damaged = TABLE[:at] + text + TABLE[at + 2 :]
    if is_scale_sim(damaged):
        with contextlib.suppress(InputError):
            read(damaged)


HEADED = f"{HEADER}\n\nRecommendation,\nfirst, 8, 8, 3, 3, 4, 16, 1,\nlstm, 1, B, 1, 1, H, H, 1,\n"


def test_headings_are_passed_over_and_letters_take_values(tmp_path: Path) -> None:
    """As in SCALE-Sim's own tables: MLPerf's have headings, those of LSTMs letters for sizes."""
    file = tmp_path / "lstm.csv"
    file.write_text(HEADED)
    with pytest.raises(InputError, match=r"lstm.csv:5: ifmap width: .* found 'B'; --set B=VALUE gives it one"):
        load_network(str(file))
    network = load_network(str(file), variables={"B": 4, "H": 32})
    assert [layer.name for layer in network.layers] == ["first", "lstm"]
    assert network.layers[1].problem.bound("Q") == 4
    assert network.notes == (f"{file}:3: a heading, passed over: Recommendation",)


def test_a_layout_is_none_of_layers(tmp_path: Path) -> None:
    (tmp_path / "layout.csv").write_text("Layer name, IFMAP Height Intraline Factor, X,\nL0, 128, 8,\n")
    with pytest.raises(
        InputError, match="how values lie in SCALE-Sim's memories, which is not counted: give a topology"
    ):
        load_network(str(tmp_path / "layout.csv"))
