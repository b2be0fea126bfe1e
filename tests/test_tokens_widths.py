"""A language model's widths: bytes of a token by hand, the cache as a tensor of its own, what fits and stays then."""

import json

import pytest

from dovetail.api.schema import check
from dovetail.cli.main import main
from dovetail.components.estimate import estimate
from dovetail.errors import InputError
from dovetail.hardware.reader import load_architecture
from dovetail.tokens.point import fits
from dovetail.tokens.resident import parse_residents, plan_of
from dovetail.tokens.study import Counting, Questions, study_tokens
from dovetail.tokens.widths import Stored, with_widths
from dovetail.workload.language.layers import Asked, network_of, step_of
from dovetail.workload.language.reader import read_model
from dovetail.workload.widths import Width, parse_layer_bits

TINY = {"model_type": "llama", "vocab_size": 128, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3}
TINY |= {"num_attention_heads": 8, "num_key_value_heads": 2, "max_position_embeddings": 4096}
#: Weights of its products, of all three blocks and the head; words of its cache that 16 positions take.
WEIGHTS, CACHE = 3 * (2 * 64 * 64 + 2 * 64 * 16 + 3 * 64 * 128) + 64 * 128, 3 * 2 * 16 * 16


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "config.json").write_text(json.dumps(TINY))
    return folder


def decoded(tiny, *bits, design="tpu_like", **options):
    architecture = load_architecture(design)
    questions = Questions(("decode",), contexts=(16,))
    given = [parse_layer_bits(each) for each in bits]
    model = read_model(tiny)
    return study_tokens(
        model, architecture, estimate(architecture), questions, bits=given, workers=1, **options
    ).points[0]


def test_bytes_of_a_token_are_its_bits_over_eight(tiny):
    """By hand: every weight of a product once, 16 positions' keys and values, the new ones, and rows in and out."""
    rows = 3 * (2 * (64 + 64) + 2 * 64 + 3 * (64 + 128) + 2 * (64 + 8 * 16)) + 64 + 128
    new = 3 * 2 * 16
    own = decoded(tiny)
    assert own.cost.dram_bytes == WEIGHTS + CACHE + new + rows
    assert decoded(tiny, "weights=4").cost.dram_bytes == WEIGHTS / 2 + CACHE + new + rows
    grouped = decoded(tiny, "weights=4+16/32,cache=4")
    assert grouped.cost.dram_bytes == WEIGHTS * 4.5 / 8 + (CACHE + new) / 2 + rows
    assert grouped.cache_bytes == CACHE / 2
    assert grouped.bits_per_cached == 4
    others = own.model.parameters - WEIGHTS  # the embedding and the norms: the design's words
    assert grouped.weights_bytes == WEIGHTS * 4.5 / 8 + others
    assert grouped.bits_per_weight * own.model.parameters / 8 == grouped.weights_bytes
    assert grouped.energy_J < own.energy_J
    assert grouped.parts["cache"] == pytest.approx(own.parts["cache"] / 2)


def test_weights_are_not_keys_and_values_unless_the_product_is_named(tiny):
    model = read_model(tiny)
    network = network_of(model, step_of(model, Asked("decode", context=16)))

    def widths(*bits):
        wide = with_widths(model, network, [parse_layer_bits(each) for each in bits])
        return {each.name: each.problem.bits_text for each in wide.layers}

    plain = widths("weights=4,inputs=8")
    assert (plain["attention.q"], plain["attention.scores"]) == ("Weights=4 Inputs=8", "Inputs=8")
    assert widths("8")["attention.scores"] == "Weights=8 Inputs=8 Outputs=8"
    named = widths("weights=4", "attention.values:weights=2", "cache=6", "*.scores:cache=3")
    assert (named["attention.scores"], named["attention.values"]) == ("Weights=3", "Weights=6")
    assert (named["attention.k"], named["attention.out"]) == ("Weights=4 Outputs=6", "Weights=4")


def test_narrow_values_fit_further_in():
    """tpu_like's queue of weights holds 262,144 bytes."""
    architecture = load_architecture("tpu_like")
    assert fits(architecture, Stored(((None, 500_000),)), "weights") == "DRAM"
    assert fits(architecture, Stored(((Width(4), 500_000),)), "weights") == "weight_fifo"
    assert fits(architecture, Stored(((Width(4, 16, 32), 500_000),)), "weights") == "DRAM"


def test_what_stays_takes_the_words_that_it_fills(tiny):
    """tpu_like's buffer has words of 8 bits: four keys of 2 bits each; what stays is not moved."""
    model, architecture = read_model(tiny), load_architecture("tpu_like")
    step = step_of(model, Asked("decode", context=16))
    network, asked = network_of(model, step), parse_residents("cache@unified_buffer,activations@unified_buffer")
    wide, narrow = (
        plan_of(model, step, with_widths(model, network, [parse_layer_bits(each)]), architecture, asked)
        for each in ("inputs=8,outputs=8,cache=8", "inputs=8,outputs=8,cache=2")
    )
    assert wide.stays[0].words == wide.stays[0].of == CACHE
    assert narrow.stays[0].words == narrow.stays[0].of == CACHE // 4
    assert narrow.stays[1].words == wide.stays[1].words


def test_the_command_says_widths(tiny, capsys):
    words = [
        "tokens",
        str(tiny),
        "--on",
        "tpu_like",
        "--context",
        "16",
        "--bits",
        "weights=4,cache=4",
        "--workers",
        "1",
    ]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert check(told, closed=True) == "tokens"
    assert told["bits_per_cached"] == 4
    assert told["cache_bytes"] == CACHE / 2
    assert main(words) == 0
    assert "4 bits a value" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("bits", "said"),
    [
        ("wieghts=4", "has no tensor 'wieghts'"),
        ("attention.out:cache=4", "reads and writes no cache"),
        ("nothing:cache=4", "reads and writes no cache"),
        ("nothing:weights=4", "has no layer 'nothing'"),
        ("weights=40", "wider than its line"),
    ],
)
def test_widths_that_cannot_be_are_refused(tiny, bits, said):
    with pytest.raises(InputError, match=said):
        decoded(tiny, bits)


def test_a_model_without_a_cache_and_fused_attention_are_refused(tiny, tmp_path):
    (tmp_path / "bert.json").write_text(json.dumps({**TINY, "model_type": "bert", "type_vocab_size": 2}))
    bert = read_model(tmp_path / "bert.json")
    with pytest.raises(InputError, match="reads and writes no cache"):
        with_widths(bert, network_of(bert, step_of(bert, Asked("prefill"))), [parse_layer_bits("cache=4")])
    with pytest.raises(InputError, match="leave out --bits"):
        decoded(tiny, "weights=4", counting=Counting(fused="unified_buffer"))
