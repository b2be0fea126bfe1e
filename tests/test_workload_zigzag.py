"""ZigZag's workloads: their layers are the field's, window for window, and what is wrong in them is said."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.errors import InputError
from dovetail.workload.loading import load_network
from dovetail.workload.problem import Problem, convolution
from dovetail.workload.widths import Width

LAYERS = """\
- id: 0 # in ZigZag's form, a stem with stride 2
  name: stem
  operator_type: Conv
  equation: O[b][k][oy][ox]+=W[k][c][fy][fx]*I[b][c][iy][ix]
  dimension_relations: [ix=2*ox+1*fx, iy=2*oy+3*fy]
  loop_dims: [B, K, C, OY, OX, FY, FX]
  loop_sizes: [4, 64, 3, 112, 110, 7, 5]
  operand_precision: {W: 8, I: 4, O: 16, O_final: 4}
  operand_source: {I: 0, W: 0}
- id: 1
  operator_type: Pooling
  equation: O[b][g][oy][ox]+=W[fx][fy]*I[b][g][iy][ix]
  dimension_relations: [ix=2*ox+1*fx, iy=2*oy+1*fy]
  loop_dims: [B, G, OY, OX, FX, FY]
  loop_sizes: [1, 64, 56, 56, 3, 3]
- id: 2
  operator_type: Gemm
  equation: O[d0][d1]+=I[d0][d2]*W[d2][d1]
  dimension_relations: []
  loop_dims: [D0, D1, D2]
  loop_sizes: [128, 64, 32]
"""


def write(folder: Path, text: str = LAYERS) -> str:
    (folder / "workload.yaml").write_text(text)
    return str(folder / "workload.yaml")


def extents(problem: Problem) -> dict[str, list[tuple[dict[str, int], ...]]]:
    """Return, by tensor, its axes as steps by dimension: equal whatever coefficients are called."""
    return {
        tensor.name: sorted(
            tuple(sorted((term.dimension, problem.coefficient(term)) for term in axis)) for axis in tensor.projection
        )
        for tensor in problem.shape.tensors
    }


def test_a_convolution_is_that_of_the_field(tmp_path: Path) -> None:
    network = load_network(write(tmp_path))
    assert [layer.name for layer in network.layers] == ["stem", "layer2"]
    assert [operation.name for operation in network.unmapped] == ["Pooling layer1"]
    stem = network.layers[0].problem
    twin = convolution(C=3, M=64, P=112, Q=110, R=7, S=5, N=4, stride=(2, 2), dilation=(3, 1))
    assert {d: stem.bound(d) for d in "NMCPQRS"} == {d: twin.bound(d) for d in "NMCPQRS"}
    without_groups = {
        name: sorted(axis for axis in axes if axis != (("G", 1),)) for name, axes in extents(twin).items()
    }
    assert extents(stem) == without_groups
    assert stem.macs == twin.macs
    assert stem.widths == (Width(8), Width(4), Width(4))
    assert stem.sum_bits == 16
    assert load_network(write(tmp_path), batch=2).layers[0].problem.bound("N") == 2


def test_a_product_keeps_its_letters_and_goes_by_the_designs_words(tmp_path: Path) -> None:
    product = load_network(write(tmp_path)).layers[1].problem
    assert dict(zip(product.shape.dimensions, product.bounds, strict=True)) == {"D0": 128, "D1": 64, "D2": 32}
    assert product.widths == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("O[b][k][oy][ox]+=W", "O[b][k][oy][ox]+=V", "workload.yaml:4: [0].equation: is not of the form"),
        ("iy=2*oy+3*fy", "iy=2*oy", "workload.yaml:5: [0].dimension_relations[1]: is not of the form ix=2*ox+1*fx"),
        ("iy=2*oy+3*fy", "iy=2*oz+3*fy", "'oz' is none of the loops B, K, C, OY, OX, FY, FX"),
        ("[iy][ix]\n", "[iz][ix]\n", "'iz' is neither a loop nor said in dimension_relations"),
        ("[4, 64, 3,", "[4, 64, 0,", "must be at least 1, found 0"),
        ("[4, 64, 3,", "[4, 64,", "must be a size for each of B, K, C"),
        ("O: 16,", "O: -1,", "a width is a whole number of bits"),
        ("  name: stem", "  nme: stem", "unknown key 'nme', did you mean 'name'?"),
        ("W[k][c][fy][fx]", "W[k][c][fy]", ""),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in LAYERS
    text = LAYERS.replace(old, new, 1)
    if not message:  # a kernel without columns is still read by the window of the inputs
        assert load_network(write(tmp_path, text)).layers
        return
    with pytest.raises(InputError) as caught:
        load_network(write(tmp_path, text))
    assert message in str(caught.value)


@given(st.integers(0, len(LAYERS)), st.text(max_size=4) | st.sampled_from(["[", "]", ": ", "- ", "~", "{}"]))
def test_damaged_workloads_end_in_a_network_or_one_message(tmp_path_factory, at: int, text: str) -> None:
    folder = tmp_path_factory.mktemp("workload")
    (folder / "workload.yaml").write_text(LAYERS[:at] + text + LAYERS[at:], encoding="utf-8")
    with contextlib.suppress(InputError):
        load_network(str(folder / "workload.yaml"))
