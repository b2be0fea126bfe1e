"""Operations and bytes of one block, product by product, beside the golden files of another estimator (GenZ)."""

import pytest

from dovetail.workload.language.layers import Asked, network_of, step_of
from dovetail.workload.language.reader import read_bundled_model

#: github.com/abhibambhaniya/GenZ-LLM-Analyzer, commit 091bdd0a, tests/golden: per row of a file what it is here, its
#: millions of floating-point operations, and MB (2^20 bytes, 16 bits a word) of its input, weights and output. Rows of
#: 1,024 positions of the prompt and of the 32 that are written behind it are added up. `llama2_7b_*_on_TPU.csv`,
#: `mixtral_8x7b_*_on_GH200.csv`; batch 1.
QKV, UP = ("attention.q", "attention.k", "attention.v"), ("mlp.gate", "mlp.up")
EXPERTS, DOWN = ("expert.gate", "expert.up"), ("expert.down",)
GOLDEN = {
    ("llama2-7b", "prefill"): (
        (QKV, 103079.215104, 8.0, 96.0, 24.0),
        (("attention.scores",), 8589.934592, 8.0, 8.0, 64.0),
        (("attention.values",), 8589.934592, 64.0, 8.0, 8.0),
        (("attention.out",), 34359.738368, 8.0, 32.0, 8.0),
        (UP, 184683.593728, 8.0, 172.0, 43.0),
        (("mlp.down",), 92341.796864, 21.5, 86.0, 8.0),
    ),
    ("llama2-7b", "decode"): (
        (QKV, 100.663296, 0.0078125, 96.0, 0.0234375),
        (("attention.scores",), 8.388608 + 0.262144, 2 * 0.0078125, 8.25, 0.0625 + 0.001953125),
        (("attention.values",), 8.388608 + 0.262144, 0.0625 + 0.001953125, 8.25, 2 * 0.0078125),
        (("attention.out",), 33.554432, 0.0078125, 32.0, 0.0078125),
        (UP, 180.355072, 0.0078125, 172.0, 0.0419921875),
        (("mlp.down",), 90.177536, 0.02099609375, 86.0, 0.0078125),
    ),
    ("mixtral-8x7b", "prefill"): (
        (QKV, 51539.607552, 8.0, 48.0, 12.0),
        (("attention.scores",), 8589.934592, 8.0, 2.0, 64.0),
        (("attention.values",), 8589.934592, 64.0, 2.0, 8.0),
        (("attention.out",), 34359.738368, 8.0, 32.0, 8.0),
        (("router",), 67.108864, 8.0, 0.0625, 0.015625),
        (EXPERTS, 481036.337152, 2.0, 1792.0, 112.0),
        (DOWN, 240518.168576, 56.0, 896.0, 2.0),
    ),
    ("mixtral-8x7b", "decode"): (
        (QKV, 50.331648, 0.0078125, 48.0, 0.01171875),
        (("attention.scores",), 8.388608 + 0.262144, 2 * 0.0078125, 2.0625, 0.0625 + 0.001953125),
        (("attention.values",), 8.388608 + 0.262144, 0.0625 + 0.001953125, 2.0625, 2 * 0.0078125),
        (("attention.out",), 33.554432, 0.0078125, 32.0, 0.0078125),
        (("router",), 0.065536, 0.0078125, 0.0625, 1.52587890625e-05),
        (EXPERTS, 469.762048, 0.0078125, 448.0, 0.109375),
        (DOWN, 234.881024, 0.0546875, 224.0, 0.0078125),
    ),
}
BLOCKS = 32
ASKED = {"prefill": Asked("prefill", tokens=1024), "decode": Asked("decode", context=1024 + 32)}


@pytest.mark.parametrize(("name", "phase"), GOLDEN)
def test_operations_and_bytes_are_those_of_genz_but_for_what_it_reads_once(name, phase):
    """All operations and weights are equal. Inputs and outputs differ in three ways, each by a whole factor.

    There q, k and v, and gate and up, are one product, which reads its rows once; the experts that are awake are one
    product as wide as all of them, which reads rows once and puts out their sum; and a decode step's queries are read
    once for the prompt's positions and once for those behind it, whose two sums are both put out.
    """
    model = read_bundled_model(name)
    network = network_of(model, step_of(model, ASKED[phase]))
    awake = 1
    for names, operations, inputs, weights, outputs in GOLDEN[name, phase]:
        layers = [layer for layer in network.layers if layer.name in names]
        assert len(layers) == len(names)
        if names[0].startswith("expert"):
            awake = layers[0].repeats // BLOCKS
            assert awake == (8 if phase == "prefill" else 2)
        assert 2 * sum(layer.macs for layer in layers) == pytest.approx(BLOCKS * operations * 1e6, rel=1e-12)
        megabytes = [sum(_words(layer, tensor) for layer in layers) / BLOCKS * 2 / 2**20 for tensor in _TENSORS]
        together = len(names) * (awake if names == EXPERTS else 1)
        pieces = 2 if phase == "decode" else 1
        assert megabytes[0] == inputs * together / (pieces if names == ("attention.scores",) else 1)
        assert megabytes[1] == weights
        summed = awake if names == DOWN else 1 / pieces if names == ("attention.values",) else 1
        assert megabytes[2] == outputs * summed


_TENSORS = ("Inputs", "Weights", "Outputs")


def _words(layer, name):
    tensor = next(each for each in layer.problem.shape.tensors if each.name == name)
    return layer.repeats * layer.problem.words(tensor)
