"""Language models by configuration: published parameter counts, products as the models' code runs them, experts."""

import itertools
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.cli.main import main
from dovetail.errors import InputError
from dovetail.workload.language.experts import Routing, distinct, loads
from dovetail.workload.language.layers import Asked, network_of, step_of
from dovetail.workload.language.model import Experts
from dovetail.workload.language.reader import bundled_models, read_bundled_model, read_model
from dovetail.workload.loading import load_layer, load_network

#: Model -> parameters. Where a paper or page gives a rounded number, it is the second one, in billions.
#: Sizes of the checkpoints' tensors at huggingface.co; GPT-3: arXiv 2005.14165, table 2.1 (174,600M and 6.7B).
#: DeepSeek-V3: 671B without its prediction module (arXiv 2412.19437).
PUBLISHED = {
    "gpt2": (124_439_808, 0.124),
    "gpt3-6.7b": (None, 6.7),
    "gpt3-175b": (None, 174.6),
    "llama2-7b": (6_738_415_616, 6.7),
    "llama3-8b": (8_030_261_248, 8.0),
    "llama3-70b": (70_553_706_496, 70.6),
    "mixtral-8x7b": (46_702_792_704, 46.7),
    "qwen3-8b": (8_190_735_360, 8.2),
    "qwen3-30b-a3b": (30_532_122_624, 30.5),
    "deepseek-v3": (671_026_419_200, 671),
    "bert-base": (109_482_240, 0.110),
    "bert-large": (335_141_888, 0.335),
    "vit-b-16": (86_567_656, 0.0866),
    "whisper-small": (241_734_912, 0.244),
    "t5-small": (60_506_624, 0.0605),
    "mamba-130m": (129_135_360, 0.13),
}
#: Parameters that a token uses, in billions: arXiv 2401.04088, 2505.09388 and 2412.19437.
ACTIVE = {"mixtral-8x7b": 12.9, "qwen3-30b-a3b": 3.3, "deepseek-v3": 37}


def step(name, phase=None, batch=1, **asked):
    model = read_bundled_model(name)
    found = step_of(model, Asked(phase, **asked), batch)
    return model, found, network_of(model, found)


def bounds(problem):
    return {name: bound for name, bound in zip(problem.shape.dimensions, problem.bounds, strict=True) if bound != 1}


def test_every_bundled_model_is_checked():
    assert set(PUBLISHED) == set(bundled_models())


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(name):
    exact, billions = PUBLISHED[name]
    model = read_bundled_model(name)
    assert exact in (None, model.parameters)
    assert model.parameters / 1e9 == pytest.approx(billions, rel=0.01)
    if name in ACTIVE:
        assert model.active_parameters / 1e9 == pytest.approx(ACTIVE[name], rel=0.02)
    assert "huggingface.co/" in model.source or "arXiv" in model.source


def test_a_decode_step_of_a_7b_model_by_hand():
    """32 blocks of 4 x 4096^2 and 3 x 4096 x 11008, a head of 4096 x 32000, and 2 x 4096 per position attended to."""
    _, _, network = step("llama2-7b", "decode", context=1000)
    weights = 32 * (4 * 4096**2 + 3 * 4096 * 11008) + 4096 * 32000
    assert network.known_macs == weights + 32 * 2 * 4096 * 1000
    _, _, network = step("llama2-7b", "decode", batch=3, context=1000)
    assert network.known_macs == 3 * (weights + 32 * 2 * 4096 * 1000)
    _, _, network = step("llama2-7b", "prefill", tokens=50, context=70)
    assert network.known_macs == 50 * (weights + 32 * 2 * 4096 * 120) - 49 * 4096 * 32000  # one token's head
    assert read_bundled_model("llama2-7b").cached_words(1000) == 32 * 2 * 4096 * 1000
    assert read_bundled_model("llama3-8b").cached_words(1000) == 32 * 2 * 8 * 128 * 1000


def test_grouped_heads_are_rows_and_names_are_parts():
    _, _, network = step("llama3-8b", "decode", batch=2, context=300)
    assert bounds(network.layer("attention.scores").problem) == {"C": 128, "M": 300, "P": 4, "G": 16}
    assert bounds(network.layer("attention.values").problem) == {"C": 300, "M": 128, "P": 4, "G": 16}
    assert network.layer("attention.scores").repeats == 32
    assert network.names()[:4] == ["attention.q", "attention.k", "attention.v", "attention.scores"]
    assert bounds(network.layer("head").problem) == {"C": 4096, "M": 128256, "N": 2}


def test_latent_attention_multiplies_with_the_cache_itself():
    """DeepSeek-V3 (arXiv 2412.19437): 128 heads, a latent of 512 and 64 turned channels a position."""
    _, _, network = step("deepseek-v3", "decode", context=1000)
    assert bounds(network.layer("sparse.attention.scores").problem) == {"C": 576, "M": 1000, "P": 128}
    assert bounds(network.layer("sparse.attention.values").problem) == {"C": 1000, "M": 512, "P": 128}
    assert bounds(network.layer("sparse.attention.q_absorbed").problem) == {"C": 128, "M": 512, "G": 128}
    assert read_bundled_model("deepseek-v3").cached_words(1) == 61 * 576
    _, _, network = step("deepseek-v3", "prefill", tokens=10)
    assert bounds(network.layer("sparse.attention.scores").problem) == {"C": 192, "M": 10, "P": 10, "G": 128}
    assert bounds(network.layer("sparse.attention.kv_up").problem) == {"C": 512, "M": 128 * 256, "P": 10}


def test_a_window_bounds_what_a_token_attends_to(tmp_path):
    config = {"model_type": "mistral", "vocab_size": 100, "hidden_size": 64, "intermediate_size": 96}
    config |= {"num_hidden_layers": 4, "num_attention_heads": 4, "sliding_window": 16}
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = read_model(tmp_path)
    network = network_of(model, step_of(model, Asked("decode", context=40)))
    assert network.layer("attention.scores").problem.bound("M") == 16
    assert model.cached_words(40) == 4 * 16 * 2 * 64
    config |= {"layer_types": ["sliding_attention", "full_attention"] * 2}
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = read_model(tmp_path)
    network = network_of(model, step_of(model, Asked("decode", context=40)))
    found = {
        layer.name: (layer.repeats, layer.problem.bound("M")) for layer in network.layers if "scores" in layer.name
    }
    assert found == {"window.attention.scores": (2, 16), "full.attention.scores": (2, 40)}


def test_windows_and_experts_are_told_layer_by_layer(tmp_path):
    """Layers 0 and 1 have no experts, layers 0 to 2 a window: two of one kind, one and one of the others."""
    config = {**SMALL, "model_type": "qwen3_moe", "num_experts": 4, "num_experts_per_tok": 2, "sliding_window": 16}
    config |= {"moe_intermediate_size": 32, "mlp_only_layers": [0, 1], "use_sliding_window": True}
    config |= {"layer_types": ["sliding_attention"] * 3 + ["full_attention"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = read_model(tmp_path)
    network = network_of(model, step_of(model, Asked("decode", context=40)))
    found = {
        layer.name: (layer.repeats, layer.problem.bound("M")) for layer in network.layers if "scores" in layer.name
    }
    assert found == {
        "dense.attention.scores": (2, 16),
        "window.attention.scores": (1, 16),
        "full.attention.scores": (1, 40),
    }
    del config["use_sliding_window"]  # Qwen's are for models that say so
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert all(mixing.window is None for block in read_model(tmp_path).blocks for mixing in block.mixings)


def test_quantised_configurations_say_what_is_not_counted(tmp_path):
    for said, words in (({"quant_method": "gptq", "bits": 4}, "gptq 4 bits"), ({"a": 1}, "of no known kind")):
        (tmp_path / "config.json").write_text(json.dumps({**SMALL, "quantization_config": said}))
        assert f"quantization_config ({words}) is not counted" in read_model(tmp_path).notes[0]


def test_a_prompt_of_a_model_without_attention_has_no_note_of_it():
    _, _, network = step("mamba-130m", "prefill", tokens=8)
    assert not any("every query" in note for note in network.notes)
    assert any("the head runs on the last token" in note for note in network.notes)


def test_products_are_those_of_the_same_model_in_torch(tmp_path):
    """A decoder with shared heads and a gated part, and an encoder, written by hand: shapes, repeats and kinds."""
    torch = pytest.importorskip("torch", reason="needs the torch extra")
    from dovetail.workload.torch_trace import trace

    nn = torch.nn

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            sizes = ((32, 32), (32, 16), (32, 16), (32, 32), (32, 48), (32, 48), (48, 32))
            self.blocks = nn.ModuleList(nn.ModuleList(nn.Linear(*size, bias=False) for size in sizes) for _ in range(3))
            self.head = nn.Linear(32, 100, bias=False)

        def forward(self, x):
            for q, k, v, out, gate, up, down in self.blocks:
                queries, keys, values = (part(x).unflatten(-1, (-1, 8)).transpose(1, 2) for part in (q, k, v))
                mixed = nn.functional.scaled_dot_product_attention(queries, keys, values, enable_gqa=True)
                x = x + out(mixed.transpose(1, 2).flatten(2))
                x = x + down(nn.functional.silu(gate(x)) * up(x))
            return self.head(x[:, -1:])

    config = {"model_type": "llama", "vocab_size": 100, "hidden_size": 32, "intermediate_size": 48}
    config |= {"num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2}
    (tmp_path / "config.json").write_text(json.dumps(config))
    ours = load_network(str(tmp_path), batch=2, asked=Asked("prefill", 6))
    theirs = trace(Decoder(), (2, 6, 32))

    def facts(network):
        found = {}
        for layer in network.layers:
            key = (layer.kind, layer.batch_dimension, tuple(sorted(bounds(layer.problem).items())))
            found[key] = found.get(key, 0) + layer.repeats
        return found

    assert facts(ours) == facts(theirs)
    assert load_network(str(tmp_path / "config.json"), batch=2, asked=Asked("prefill", 6)).layers == ours.layers


def test_a_vision_transformer_is_the_bundled_table():
    """ViT-B/16 by configuration runs as many MACs as torchvision's, which the other importers count: 17.5638 G."""
    _, _, network = step("vit-b-16")
    assert network.known_macs == 17_563_828_224
    assert bounds(network.layer("patches").problem) == {"C": 3, "M": 768, "R": 16, "S": 16, "P": 14, "Q": 14}


def test_whisper_reads_sound_once_and_looks_at_it_in_every_step():
    model, _, network = step("whisper-small", "prefill")
    assert bounds(network.layer("sound.1").problem) == {"C": 80, "M": 768, "R": 3, "P": 3000}
    assert network.layer("sound.2").problem.coefficients[:2] == (2, 1)
    assert bounds(network.layer("decoder.cross.k").problem) == {"C": 768, "M": 768, "P": 1500}
    _, _, network = step("whisper-small", "decode", context=20)
    names = network.names()
    assert "sound.1" not in names
    assert not any(name.startswith("encoder") or name == "decoder.cross.k" for name in names)
    assert network.layer("decoder.cross.scores").problem.bound("M") == 1500
    assert model.cached_words(20) == 12 * 2 * 768 * (20 + 1500)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.data())
def test_the_expected_number_of_experts_is_that_of_all_choices(count, data):
    """Counted over every choice that tokens can make."""
    chosen, tokens = data.draw(st.integers(1, count)), data.draw(st.integers(1, 3))
    choices = list(itertools.combinations(range(count), chosen))
    picks = list(itertools.product(choices, repeat=tokens))
    mean = sum(len(set().union(*pick)) for pick in picks) / len(picks)
    assert distinct(Experts(count, chosen, ()), tokens) == pytest.approx(mean)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 64),
    st.integers(1, 8),
    st.integers(1, 5000),
    st.integers(1, 60),
    st.booleans(),
    st.one_of(st.none(), st.integers(0, 9)),
)
def test_all_tokens_are_handed_out(count, chosen, tokens, blocks, spread, skew):
    chosen = min(chosen, count)
    frequencies = None if skew is None else tuple(1 + skew * place / count / 10 for place in range(count))
    experts, routing = Experts(count, chosen, ()), Routing(frequencies, spread)
    try:
        awake = distinct(experts, tokens, routing)
    except InputError:  # a share above what one token can give
        return
    found = loads(experts, tokens, blocks, routing)
    assert sum(rows * runs for rows, runs in found) == blocks * tokens * chosen
    assert [rows for rows, _ in found] == sorted({rows for rows, _ in found}, reverse=True)
    assert abs(sum(runs for _, runs in found) - blocks * awake) <= 0.5 + 1e-6
    assert all(rows >= 1 and runs >= 1 for rows, runs in found)


def test_chance_spreads_loads_and_frequencies_put_experts_to_sleep():
    experts = Experts(128, 8, ())
    even, spread = (loads(experts, 256, 48, Routing(spread=flag)) for flag in (False, True))
    assert even == ((16, 48 * 128),)  # 256 x 8 / 128 each, and none sleeps
    assert len(spread) > 4
    assert max(rows for rows, _ in spread) > 20
    mean = sum(rows * runs for rows, runs in spread) / sum(runs for _, runs in spread)
    variance = sum((rows - mean) ** 2 * runs for rows, runs in spread) / sum(runs for _, runs in spread)
    assert variance == pytest.approx(256 * (1 / 16) * (15 / 16), rel=0.1)  # binomial, but for the grouping
    skewed = Routing(tuple(10.0 if place < 16 else 1.0 for place in range(128)))
    assert distinct(experts, 4, skewed) < distinct(experts, 4)


#: A small model with windows, as its configuration has it.
SMALL = {"model_type": "mistral", "vocab_size": 100, "hidden_size": 64, "intermediate_size": 96}
SMALL |= {"num_hidden_layers": 4, "num_attention_heads": 4}

WRONG = {
    "no family": ({}, "'model_type' is missing"),
    "unknown family": ({"model_type": "lama"}, "did you mean 'llama'?"),
    "missing size": ({"model_type": "llama", "vocab_size": 10}, "'hidden_size' is missing"),
    "text for a size": ({"model_type": "gpt2", "n_embd": "768"}, "n_embd: must be a number"),
    "heads that do not divide": (
        {"model_type": "gpt2", "n_embd": 768, "n_head": 7, "n_layer": 2},
        "n_head: is 7, which does not divide 768",
    ),
    "too large": ({"model_type": "gpt2", "n_embd": 10**9, "n_head": 8, "n_layer": 2}, "at most"),
    "no mapping": ([1, 2], "must be a mapping"),
    "heads of nothing": ({**SMALL, "head_dim": 0}, "head_dim: must be at least 1, found 0"),
    "no heads of keys": ({**SMALL, "num_key_value_heads": 0}, "num_key_value_heads: must be at least 1"),
    "window of nothing": ({**SMALL, "sliding_window": 0}, "sliding_window: must be at least 1"),
    "kinds of some layers": (
        {**SMALL, "sliding_window": 4, "layer_types": ["sliding_attention"] * 3},
        "layer_types: are 3, but there are 4 layers",
    ),
    "unknown kind of layer": (
        {**SMALL, "sliding_window": 4, "layer_types": ["sliding_atention"] * 4},
        "did you mean 'sliding_attention'?",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_configurations_end_in_one_message(case, tmp_path, capsys):
    content, message = WRONG[case]
    file = tmp_path / "config.json"
    file.write_text(json.dumps(content, indent=1))
    assert main(["layers", str(file)]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert str(file) in told


def test_what_a_model_cannot_do_is_said():
    with pytest.raises(InputError, match="nothing to decode"):
        step("bert-base", "decode")
    with pytest.raises(InputError, match="one token per sequence"):
        step("llama3-8b", "decode", tokens=5)
    with pytest.raises(InputError, match="always takes 197 tokens"):
        step("vit-b-16", tokens=10)
    with pytest.raises(InputError, match="no cache"):
        step("bert-base", context=10)
    with pytest.raises(InputError, match="no language model"):
        load_network("alexnet", asked=Asked("decode"))
    _, _, network = step("gpt2", "decode", context=5000)
    assert any("made for up to 1024 positions" in note for note in network.notes)


def test_phases_are_options_of_every_command_that_takes_a_network(capsys):
    assert main(["layers", "llama3-8b", "--phase", "decode", "--batch", "4", "--context", "512", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["batch"] == 4
    assert {layer["layer"]: layer["sizes"]["M"] for layer in told["layers"]}["attention.scores"] == 512
    problem = load_layer("gpt2:attention.scores", asked=Asked("decode", context=100))
    assert bounds(problem) == {"C": 64, "M": 100, "G": 12}
    assert main(["layers", "mixtral-8x7b", "--phase", "decode", "--batch", "8", "--expert-load", "random"]) == 0
    out = capsys.readouterr().out
    assert "expert.gate:3" in out
    assert math.isclose(distinct(Experts(8, 2, ()), 8), 8 * (1 - 0.75**8))


@pytest.mark.parametrize("name", bundled_models())
def test_another_batch_is_the_step_of_that_batch(name):
    """Expected experts and their tokens included, and from any batch size to any other."""
    model = read_bundled_model(name)
    for phase in ("prefill", "decode") if model.decodes else ("prefill",):
        for spread in (False, True) if name in ACTIVE else (False,):
            asked = Asked(phase, context=64 if phase == "decode" else None, routing=Routing(spread=spread))
            one, three, eight = (network_of(model, step_of(model, asked, batch)) for batch in (1, 3, 8))
            for before, after in ((one, eight), (eight, one), (three, eight)):
                made = before.with_batch(after.batch)
                assert sorted(made.layers, key=lambda layer: layer.name) == sorted(
                    after.layers, key=lambda layer: layer.name
                )
                assert made.free == after.free
