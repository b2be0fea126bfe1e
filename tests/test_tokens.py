"""What a token costs: points equal the network's costs, parts add up, curves say where they bend, traffic by hand."""

import csv
import io
import json
import math

import pytest

from dovetail.api.schema import check
from dovetail.cli.main import main
from dovetail.components.estimate import estimate
from dovetail.hardware.reader import load_architecture
from dovetail.network.map_network import map_network
from dovetail.store import Store
from dovetail.tokens.curve import bends, straight
from dovetail.tokens.point import cache_pJ, fits, part_of
from dovetail.tokens.study import Questions, study_tokens
from dovetail.tokens.widths import Stored
from dovetail.workload.language.layers import Asked, network_of, step_of
from dovetail.workload.language.reader import read_bundled_model, read_model

TINY = {"model_type": "llama", "vocab_size": 128, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3}
TINY |= {"num_attention_heads": 8, "num_key_value_heads": 2, "max_position_embeddings": 4096}
#: What the issue of language models asks of every point.
KEYS = (
    *("model", "phase", "batch", "context", "parameters", "macs_per_token", "energy_J_per_token", "ms_per_token"),
    *("weights_bytes", "cache_bytes", "parts", "exact"),
)


#: Here, not in processes of their own.
ONE = ("--workers", "1")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "config.json").write_text(json.dumps(TINY))
    return folder


@pytest.fixture(scope="module")
def studied(tiny):
    model, architecture = read_model(tiny), load_architecture("tpu_like")
    return study_tokens(
        model,
        architecture,
        estimate(architecture),
        Questions(("prefill", "decode"), (1, 4), (16,), (16, 32, 64)),
        workers=1,
    )


def test_a_point_is_the_cost_of_its_network(studied, tiny):
    assert [(p.step.phase, p.step.batch, p.step.attended) for p in studied.points] == [
        ("prefill", 1, 16),
        ("prefill", 4, 16),
        *(("decode", batch, context) for batch in (1, 4) for context in (16, 32, 64)),
    ]
    architecture, model = studied.architecture, read_model(tiny)
    network = network_of(model, step_of(model, Asked("decode", context=32), 4))
    cost = map_network(network, architecture, estimate(architecture), workers=1)
    point = next(p for p in studied.points if (p.step.batch, p.step.attended, p.step.phase) == (4, 32, "decode"))
    assert point.energy_J == pytest.approx(cost.energy_pJ * 1e-12)
    assert point.energy_J_per_token * 4 == pytest.approx(point.energy_J)
    assert point.ms == pytest.approx(cost.seconds * 1e3)
    assert point.tokens_per_second == pytest.approx(4 / cost.seconds)
    prefill = studied.points[1]
    assert prefill.tokens == 4 * 16
    assert prefill.ms_per_token * 64 == pytest.approx(prefill.ms)


def test_parts_add_up_and_the_cache_is_one_of_them(studied):
    for point in studied.points:
        assert math.fsum(point.parts.values()) == pytest.approx(point.energy_J_per_token)
        assert set(point.parts) == {"attention", "cache", "mlp", "head"}
    cached = [point.parts["cache"] for point in studied.points if point.step == point.step and point.step.batch == 4][
        1:
    ]
    assert cached[0] < cached[1] < cached[2]  # more to read with every position


def test_reading_the_cache_is_every_key_and_value_once_and_writing_it_one_position(studied):
    """By hand: words times what one access of the outermost level costs, line by line."""
    point = studied.points[-1]
    read = sum(cache_pJ(point.model, each) for each in point.cost.layers if each.layer.kind == "matrix product")
    written = sum(
        cache_pJ(point.model, each) for each in point.cost.layers if each.name in ("attention.k", "attention.v")
    )
    weights = point.cost.layers[0].cost.levels[0].tensors["Weights"]
    of_word = weights.energy_pJ / weights.reads  # reads of the outermost level, whole lines
    words = point.model.cached_words(64) // 3 * 4  # of one of three blocks, four sequences
    assert read == pytest.approx(words * of_word)
    assert written == pytest.approx(2 * 16 * 4 * of_word)


def test_weights_are_read_once_a_step_whatever_the_batch(studied):
    """Compulsory traffic: a batch of 4 reads the weights of a batch of 1, and its own cache."""
    one, four = (
        next(p for p in studied.points if (p.step.phase, p.step.batch, p.step.attended) == ("decode", batch, 64))
        for batch in (1, 4)
    )

    def read(point):
        return sum(
            each.cost.levels[0].tensors["Weights"].reads * each.layer.repeats
            for each in point.cost.layers
            if each.layer.kind == "linear"
        )

    products = 3 * (2 * 64 * 64 + 2 * 64 * 16 + 3 * 64 * 128) + 64 * 128
    assert read(one) == read(four) == products


def test_a_whole_decode_step_of_llama2_7b_moves_what_it_must(tmp_path):
    """By hand: 6.6 G weights, 1000 positions of 32 blocks' keys and values, and every layer's rows in and out."""
    model, architecture = read_bundled_model("llama2-7b"), load_architecture("eyeriss_like")
    network = network_of(model, step_of(model, Asked("decode", context=1024)))
    with Store.open(tmp_path) as store:
        cost = map_network(network, architecture, estimate(architecture), workers=1, store=store)
    weights = 32 * (4 * 4096**2 + 3 * 4096 * 11008) + 4096 * 32000
    cache = 32 * 2 * 4096 * 1024
    rows = 32 * (4 * (4096 + 4096) + 3 * (4096 + 11008) + 2 * (4096 + 32 * 1024)) + 4096 + 32000
    assert weights + cache + rows == sum(
        layer.repeats * sum(layer.problem.words(tensor) for tensor in layer.problem.shape.tensors)
        for layer in network.layers
    )
    assert cost.exact
    assert cost.totals.outer_words == weights + cache + rows


class Line:
    """A stand-in for points: an energy and a time for each context."""

    def __init__(self, context, energy_J, ms, layers=()):
        self.step = type("Step", (), {"attended": context, "batch": 1, "source": 2048})()
        self.energy_J, self.ms = energy_J, ms
        self.cost = type("Cost", (), {"layers": layers})()


def test_a_straight_line_has_no_bends():
    points = [Line(context, 1 + context * 1e-3, 2 + context * 0.5) for context in (100, 200, 400, 1000)]
    assert bends(points) == ()
    (text,) = straight(points)
    assert "from 100 to 1,000 positions" in text
    assert "1 mJ" in text
    assert "500 us" in text
    assert straight(points[:2]) == ()


def test_where_units_idle_the_time_bends_and_the_reason_is_said():
    model, architecture = read_bundled_model("gpt2"), load_architecture("simple_weight_stationary")
    study = study_tokens(
        model,
        architecture,
        estimate(architecture),
        Questions(("decode",), contexts=(128, 256, 300, 512)),
        workers=1,
    )
    assert [(bend.quantity, bend.context, bend.following) for bend in study.bends] == [
        ("time", 256, 300),
        ("time", 300, 512),
    ]
    assert "attention.values keeps" in study.bends[0].text
    assert study.bends[0].before < study.bends[0].after


def test_what_fits_where():
    architecture = load_architecture("eyeriss_like")
    inner = [level for level in architecture.levels if getattr(level, "words", None)]
    buffer = max(inner, key=lambda level: level.words * level.instances)
    size = buffer.words * buffer.datawidth / 8 * buffer.instances

    def of_bytes(count: float) -> Stored:
        return Stored(((None, count * 8 / architecture.levels[0].datawidth),))

    assert fits(architecture, of_bytes(size), "cache") == buffer.name
    assert fits(architecture, of_bytes(size + 1), "cache") == architecture.levels[0].name
    names = ("attention.q", "dense.mlp.up", "expert.down:2", "patches", "head", "dense.window.attention.q")
    assert [part_of(name) for name in names] == ["attention", "mlp", "mlp", "other", "head", "attention"]


def test_a_level_that_a_kind_passes_by_does_not_hold_it():
    """tpu_like's accumulators have outputs alone; weights go from its queue to its units."""
    architecture = load_architecture("tpu_like")
    assert fits(architecture, Stored(((None, 1),)), "weights") == "weight_reg"
    assert fits(architecture, Stored(((None, 200_000),)), "weights") == "weight_fifo"
    assert fits(architecture, Stored(((None, 500_000),)), "weights") == "DRAM"
    assert fits(architecture, Stored(((None, 500_000),)), "cache") == "unified_buffer"  # as a product's other operand


def test_the_command_prints_one_object_with_what_was_asked_for(tiny, capsys):
    assert main(["tokens", str(tiny), "--on", "tpu_like", "--batch", "1,4", "--context", "16:64", *ONE, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert check(told, closed=True) == "tokens"
    assert [(each["batch"], each["context"]) for each in told["points"]] == [
        (b, c) for b in (1, 4) for c in (16, 32, 64)
    ]
    for each in told["points"]:
        assert not set(KEYS) - set(each)
        assert each["phase"] == "decode"
        assert each["exact"] is True
    weights = 3 * (2 * 64 * 64 + 2 * 64 * 16 + 3 * 64 * 128 + 2 * 64) + 2 * 64 * 128 + 64
    assert told["parameters"] == told["points"][0]["parameters"] == weights
    assert told["points"][0]["cache_bytes"] == 16 * 3 * 2 * 16 * told["points"][0]["weights_bytes"] / weights
    assert main(["tokens", str(tiny), "--on", "tpu_like", "--context", "64", *ONE, "--json"]) == 0
    single = json.loads(capsys.readouterr().out)
    assert check(single, closed=True) == "tokens"
    assert not set(KEYS) - set(single)
    assert single["energy_J_per_token"] == single["points"][0]["energy_J_per_token"]


def test_the_command_prints_a_table_and_writes_it(tiny, tmp_path, capsys):
    target = tmp_path / "points.csv"
    assert main(["tokens", str(tiny), "--on", "tpu_like", "--context", "16:64", *ONE, "--csv", str(target)]) == 0
    told = capsys.readouterr().out
    assert "held by" in told
    assert "straight from 16 to 64 positions" in told or "between" in told
    rows = list(csv.DictReader(io.StringIO(target.read_text())))
    assert [row["length"] for row in rows] == ["16", "32", "64"]


def test_shares_of_experts_come_from_a_file(tmp_path, capsys):
    """Half of 8 experts are never taken: 4 of them, 2 a token, at batch 3: 4 (1 - 1/8) of them get a token."""
    sizes = {"model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}
    (tmp_path / "config.json").write_text(json.dumps({**TINY, **sizes}))
    shares = tmp_path / "shares.json"
    words = ["tokens", str(tmp_path), "--on", "tpu_like", "--batch", "3", "--context", "16", *ONE, "--json"]
    for listed, awake in (([1] * 4 + [0] * 4, 4 * (1 - 0.5**3)), ([1] * 8, 8 * (1 - 0.75**3))):
        shares.write_text(json.dumps(listed))
        assert main([*words, "--expert-shares", str(shares)]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert check(printed, closed=True) == "tokens"
        told = printed["experts"]
        assert told["expected_distinct"] == pytest.approx(awake)
        assert told["tokens_per_expert"] == pytest.approx(6 / awake)
    shares.write_text("[1, 2]")
    assert main([*words, "--expert-shares", str(shares)]) == 2
    assert "2 frequencies for 8 experts" in capsys.readouterr().err


def test_an_encoder_has_no_cache(tmp_path):
    """Keys that are read once and let go are attention's; T5's decoder has a cache, its own keys and the source's."""
    architecture = load_architecture("tpu_like")
    sizes = {"model_type": "bert", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "type_vocab_size": 2}
    sizes |= {"num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 64}
    (tmp_path / "bert.json").write_text(json.dumps(sizes))
    (point,) = study_tokens(
        read_model(tmp_path / "bert.json"), architecture, estimate(architecture), Questions(("prefill",)), workers=1
    ).points
    assert point.cache_bytes == 0
    assert set(point.parts) == {"attention", "mlp", "head"}


def test_a_source_of_any_length_is_that_of_decode_steps_too(tmp_path, capsys):
    sizes = {"model_type": "t5", "vocab_size": 64, "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 1}
    (tmp_path / "t5.json").write_text(json.dumps({**sizes, "num_heads": 2}))
    words = ["tokens", str(tmp_path / "t5.json"), "--on", "tpu_like", "--context", "8", *ONE]
    assert main([*words, "--tokens", "16,32", "--json"]) == 0
    points = json.loads(capsys.readouterr().out)["points"]
    assert [(one["phase"], one["source_tokens"], one["context"]) for one in points] == [
        *(("prefill", 16, 1), ("prefill", 32, 1), ("decode", 16, 8), ("decode", 32, 8)),
    ]
    one, other = points[2:]
    assert other["macs_per_token"] - one["macs_per_token"] == 2 * 32 * 16  # both products with 16 more of the source
    assert other["cache_bytes"] - one["cache_bytes"] == 2 * 32 * 16
    first = points[0]  # the writing of the source's keys and values is the cache's, the encoder's own are not
    assert 0 < first["parts"]["cache"] < first["parts"]["attention"]
    assert main([*words, "--phase", "decode", "--tokens", "16,32"]) == 0
    assert "source" in capsys.readouterr().out


WRONG = {
    "no model": (["alexnet"], "no language model"),
    "nearly": (["lama3-8b"], "did you mean 'llama3-8b'?"),
    "downwards": (["gpt2", "--context", "64:16"], "lengths run upwards"),
    "other phase": (["gpt2", "--phase", "decode", "--tokens", "5"], "--tokens is for the other phase"),
    "nothing to decode": (["bert-base", "--phase", "decode"], "nothing to decode"),
    "too many": (["gpt2", "--context", "1:1000:1"], "at most 512"),
    "too long": (["gpt2", "--context", "5e9"], "sizes are at most 999,999,999"),
    "no cache": (["bert-base", "--context", "5"], "bert-base has no cache"),
    "no experts": (["gpt2", "--context", "5", "--expert-load", "random"], "gpt2 has no experts"),
    "no rule": (["gpt2", "--between", "seriel"], "no rule 'seriel', did you mean 'serial'?"),
    "nothing that stays": (["gpt2", "--resident", "foo@x"], "known: activations, cache, weights (see"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_asked_is_said(case, capsys):
    words, message = WRONG[case]
    try:
        code = main(["tokens", *words, "--on", "tpu_like"])
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert message in capsys.readouterr().err
