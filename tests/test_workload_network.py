"""Networks: bundled tables, layer tables as files, batch, repeats, and what a wrong name is answered with."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.document import parse_document
from dovetail.errors import InputError
from dovetail.workload.layer_table import bundled_names, read_bundled, read_csv, read_yaml, write_csv, write_yaml
from dovetail.workload.loading import load_layer, load_network
from dovetail.workload.network import Layer, Network, unique_names
from dovetail.workload.problem import convolution, linear, matrix_product
from dovetail.workload.shapes import SHAPES, sized

#: Multiply-accumulates in millions as torchvision publishes them with its weights (``_ops``, GFLOPS), at 224x224.
PUBLISHED_GMACS = {
    "alexnet": 0.714,
    "vgg16": 15.47,
    "resnet18": 1.814,
    "resnet34": 3.664,
    "resnet50": 4.089,
    "resnet101": 7.801,
    "resnet152": 11.514,
    "densenet121": 2.834,
    "densenet161": 7.728,
    "densenet169": 3.36,
    "densenet201": 4.291,
    "mobilenet_v1_050": 0.049,
    "mobilenet_v2": 0.301,
    "mobilenet_v3_large": 0.217,
    "efficientnet_b0": 0.386,
}


@pytest.mark.parametrize("name", PUBLISHED_GMACS)
def test_bundled_tables_have_the_published_macs(name):
    assert round(load_network(name).macs / 1e9, 3) == PUBLISHED_GMACS[name]


def test_every_bundled_network_comes_in_both_sizes():
    assert set(bundled_names()) == {*PUBLISHED_GMACS, "alexnet_original"}
    assert {name: sizes for name, sizes in bundled_names().items() if sizes != (224, 32)} == {
        "mobilenet_v1_050": (128, 32)
    }
    for name in bundled_names():
        small = load_network(f"{name}@32")
        assert small.macs < load_network(name).macs
        assert small.layers[-1].problem.bound("M") == 10
        assert small == load_network(name, input_size=32)


def test_the_original_alexnet_has_the_published_shapes():
    rows = [
        (problem.bound("C"), problem.bound("M"), problem.bound("R"), problem.bound("P"), problem.coefficients[0])
        for problem in (layer.problem for layer in load_network("alexnet_original").layers)
    ]
    assert rows == [
        (3, 96, 11, 55, 4),
        (96, 256, 5, 27, 1),
        (256, 384, 3, 13, 1),
        (384, 384, 3, 13, 1),
        (384, 256, 3, 13, 1),
        (9216, 4096, 1, 1, 1),
        (4096, 4096, 1, 1, 1),
        (4096, 1000, 1, 1, 1),
    ]


def test_distinct_layers_keep_repeats_modules_and_macs():
    network = load_network("resnet18")
    distinct = network.distinct()
    assert (len(network.layers), len(distinct)) == (21, 12)
    assert sum(layer.macs for layer in distinct) == network.macs
    assert distinct[1].repeats == 4
    assert distinct[1].modules[:2] == ("layer1.0.conv1", "layer1.0.conv2")
    assert {free.name: free.count for free in network.free}["relu"] == 17


@given(batch=st.integers(1, 64), name=st.sampled_from(sorted(PUBLISHED_GMACS)))
def test_macs_grow_with_the_batch(batch, name):
    network = load_network(name, batch=batch)
    assert network.macs == batch * load_network(name).macs
    assert network.with_batch(1) == load_network(name)


def test_a_batch_that_leaves_no_whole_number_is_refused():
    network = Network("n", (Layer("l", linear(C=2, M=2, N=3), batch_dimension="N"),), batch=2)
    with pytest.raises(InputError, match="no whole number"):
        network.with_batch(1)


@given(st.lists(st.sampled_from("abc"), max_size=8))
def test_unique_names(names):
    unique = unique_names(names)
    assert len(set(unique)) == len(names)
    assert [name.split(":")[0] for name in unique] == names


sizes = st.integers(1, 5)
problems = st.one_of(
    st.builds(
        convolution, C=sizes, M=sizes, P=sizes, Q=sizes, R=sizes, S=sizes, G=sizes, stride=st.tuples(sizes, sizes)
    ),
    st.builds(matrix_product, C=sizes, M=sizes, P=sizes, G=sizes),
    st.builds(
        lambda shape, values: sized(
            shape, "x", **dict(zip(shape.dimensions + shape.coefficients, values, strict=False))
        ),
        st.sampled_from(sorted(SHAPES.values(), key=str)),
        st.lists(sizes, min_size=16, max_size=16),
    ),
)


@given(st.lists(st.tuples(problems, sizes, st.booleans()), min_size=1, max_size=5))
def test_a_written_table_reads_back_equal(drawn):
    layers = tuple(
        Layer(f"l{i}", replace(problem, name=f"l{i}"), repeats, "linear", ("a.b", "c"), None if fixed else "M")
        for i, (problem, repeats, fixed) in enumerate(drawn)
    )
    network = Network("drawn", layers, batch=3, source="a test")
    assert read_csv(write_csv(network), file="t.csv", name="t") == network
    assert read_yaml(parse_document(write_yaml(network)), name="t") == network


def test_bundled_tables_read_back_equal():
    network = read_bundled("densenet121", 32)
    assert read_csv(write_csv(network), file="t.csv", name="t") == network
    assert read_yaml(parse_document(write_yaml(network)), name="t") == network


def test_a_table_written_by_hand_needs_little():
    network = read_csv(
        "name,C,M,P,Q,R,S,G,Wstride\nstem,3,8,4,4,3,3,,2\ndw,1,1,4,4,3,3,8,1\n", file="t.csv", name="mine"
    )
    assert network.name == "mine"
    assert [layer.kind for layer in network.layers] == ["convolution", "depthwise convolution"]
    assert network.macs == 3 * 8 * 16 * 9 + 8 * 16 * 9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no header line"),
        ("name,HStride\na,1\n", "t.csv:1: unknown column 'HStride', did you mean 'Hstride'?"),
        ("C,M\n1,1\n", "no column 'name'"),
        ("name,C\na,1,2\n", "t.csv:2: 3 cells in a table of 2 columns"),
        ("name,C\na,0\n", "t.csv:2: C: '0' is no whole number"),
        ("name,C\na,1e3\n", "t.csv:2: C: '1e3' is no whole number"),
        ("name,C\n,1\n", "a row without a name"),
        ("name,C\na,1\na,2\n", "t.csv:3: 'a' stands on line 2 too"),
        ("name,shape\na,cnn-layr\n", "did you mean 'cnn-layer'"),
        ("name,shape,K\na,cnn-layer,4\n", "has no K"),
        ("name,batch_dimension\na,Z\n", "has no dimension 'Z'"),
    ],
)
def test_wrong_tables_are_answered_with_place_and_remedy(text, message):
    with pytest.raises(InputError) as caught:
        read_csv(text, file="t.csv", name="t")
    assert message in str(caught.value)


@given(st.text(max_size=200))
def test_no_text_makes_the_table_reader_fall_over(text):
    with contextlib.suppress(InputError):
        read_csv(text, file="t.csv", name="t")


def test_layers_by_name_and_place():
    assert load_layer("resnet18:conv1") == load_layer("resnet18:1")
    assert load_layer("resnet18:5").name == "layer2.0.downsample.0"  # row 5 of `dovetail layers resnet18`
    assert load_layer("resnet18:layer1.1.conv2").bounds == load_layer("resnet18:2").bounds  # a repetition's own name
    assert load_layer("resnet18@32:fc", batch=4).bounds == linear(C=512, M=10, N=4).bounds
    with pytest.raises(InputError, match=r"no layer 'layer1.0.conv3', did you mean 'layer1.0.conv\d'"):
        load_layer("resnet18:layer1.0.conv3")
    with pytest.raises(InputError, match="layers in rows 1 to 12, not 13"):
        load_layer("resnet18:13")
    with pytest.raises(InputError, match="write NETWORK:LAYER"):
        load_layer("resnet18")


def test_files_are_loaded_by_path(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(write_csv(load_network("alexnet")), encoding="utf-8")
    assert load_network(str(path), batch=2).macs == 2 * load_network("alexnet").macs
    assert load_layer(f"{path}:features.0").bounds == load_layer("alexnet:1").bounds
    with pytest.raises(InputError, match="no such file"):
        load_network("nowhere.csv")


def test_wrong_arguments():
    with pytest.raises(InputError, match="batch is 0"):
        load_network("resnet18", batch=0)
    with pytest.raises(InputError, match="write the input size as a number"):
        load_network("resnet18@big")


def test_a_number_is_a_row_first_and_then_a_name(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("name,C,M\n0,4,4\n2,4,8\n4,8,8\n")
    assert [load_layer(f"{path}:{which}").name for which in ("1", "2", "3", "0", "4")] == ["0", "2", "4", "0", "4"]
    with pytest.raises(InputError, match="rows 1 to 3, not 5"):
        load_layer(f"{path}:5")
