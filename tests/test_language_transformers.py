"""Models by configuration against the models' own code: parameters and multiply-accumulates, nothing downloaded."""

import json

import pytest

transformers = pytest.importorskip("transformers", reason="compares with transformers where that is installed")
torch = pytest.importorskip("torch", reason="needs the torch extra")

from dovetail.workload.language.layers import Asked, network_of, step_of  # noqa: E402
from dovetail.workload.language.reader import read_model  # noqa: E402
from dovetail.workload.torch_trace import trace  # noqa: E402

SMALL = {"vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}
LLAMA = {**SMALL, **HEADS, "max_position_embeddings": 64}
EXPERTS = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 20}
LATENT = {"kv_lora_rank": 12, "qk_nope_head_dim": 6, "qk_rope_head_dim": 4, "v_head_dim": 8, "n_routed_experts": 8}
CASES = {
    "llama": LLAMA,
    "llama-biased": {**LLAMA, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    "mistral": {**LLAMA, "sliding_window": None, "head_dim": 12},
    "qwen2": LLAMA,
    "qwen3": {**LLAMA, "head_dim": 12},
    "gemma": {**LLAMA, "head_dim": 12},
    "gemma2": {**LLAMA, "head_dim": 12, "sliding_window": 4},
    "gemma3_text": {**LLAMA, "head_dim": 12, "sliding_window": 4},
    "mixtral": {**LLAMA, "num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen2_moe": {**LLAMA, **EXPERTS, "shared_expert_intermediate_size": 28},
    "qwen3_moe": {**LLAMA, **EXPERTS, "head_dim": 12, "mlp_only_layers": [1]},
    "deepseek_v3": {
        **{**LLAMA, **LATENT, "num_key_value_heads": 4, "q_lora_rank": 14, "first_k_dense_replace": 1},
        **{"num_experts_per_tok": 2, "moe_intermediate_size": 20, "n_shared_experts": 2, "n_group": 2, "topk_group": 1},
    },
    "gpt2": {"vocab_size": 96, "n_positions": 64, "n_embd": 32, "n_layer": 3, "n_head": 4},
    "gpt_neox": {**SMALL, "num_attention_heads": 4, "max_position_embeddings": 64},
    "opt": {
        **{"vocab_size": 96, "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 3, "num_attention_heads": 4},
        **{"max_position_embeddings": 64, "word_embed_proj_dim": 32},
    },
    "phi": LLAMA,
    "phi3": {**LLAMA, "pad_token_id": 0},
    "falcon": {"vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4},
    "falcon-newer": {
        **{"vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4},
        **{"new_decoder_architecture": True, "num_kv_heads": 2},
    },
    "bert": {**SMALL, "num_attention_heads": 4, "max_position_embeddings": 64, "type_vocab_size": 2},
    "vit": {
        **{"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4},
        **{"image_size": 32, "patch_size": 8, "num_channels": 3, "num_labels": 1000},
    },
    "mamba": {"vocab_size": 96, "hidden_size": 32, "state_size": 6, "num_hidden_layers": 3, "time_step_rank": 5},
    "t5": {"vocab_size": 96, "d_model": 32, "d_kv": 6, "d_ff": 48, "num_layers": 3, "num_heads": 4},
    "whisper": {
        **{"vocab_size": 96, "d_model": 32, "num_mel_bins": 8, "encoder_layers": 2, "decoder_layers": 3},
        **{"encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 40},
        **{"max_source_positions": 20, "max_target_positions": 16, "pad_token_id": 0, "bos_token_id": 1},
        **{"eos_token_id": 2, "decoder_start_token_id": 1, "suppress_tokens": None, "begin_suppress_tokens": None},
    },
}
OWN = {"bert": "BertModel", "vit": "ViTForImageClassification", "t5": "T5ForConditionalGeneration"}
OWN |= {"whisper": "WhisperForConditionalGeneration"}
BATCH, TOKENS = 2, 12


def built(case):
    """Return the model's own code, and our reading of the same configuration as its library writes it."""
    family = case.partition("-")[0]
    config = transformers.AutoConfig.for_model(family, **CASES[case])
    if family == "vit":
        config.num_labels = CASES[case]["num_labels"]
    config._attn_implementation = "eager"
    kind = getattr(transformers, OWN[family]) if family in OWN else transformers.AutoModelForCausalLM
    return (kind(config) if family in OWN else kind.from_config(config)).eval(), config


def reading(config, folder, case):
    written = json.loads(config.to_json_string(use_diff=False))
    if case == "vit":
        written["num_labels"] = 1000
    (folder / "config.json").write_text(json.dumps(written))
    return read_model(folder)


@pytest.mark.parametrize("case", CASES)
def test_parameters_are_the_librarys(case, tmp_path):
    module, config = built(case)
    counted = sum(parameter.numel() for parameter in module.parameters())
    counted += sum(
        buffer.numel() for name, buffer in module.named_buffers() if name.endswith("e_score_correction_bias")
    )
    assert reading(config, tmp_path, case).parameters == counted


@pytest.mark.parametrize("case", [case for case in CASES if case not in ("t5", "whisper", "vit")])
def test_products_of_a_prefill_are_the_librarys(case, tmp_path):
    module, config = built(case)
    model = reading(config, tmp_path, case)
    ours = network_of(model, step_of(model, Asked("prefill", TOKENS), BATCH))
    inputs = {"input_ids": torch.zeros(BATCH, TOKENS, dtype=torch.int64)}
    if case != "bert":
        inputs |= {"logits_to_keep": 1} if case not in ("opt", "falcon", "falcon-newer", "mamba") else {}
        inputs |= {"use_cache": False}
    theirs = trace(module, inputs)
    head = 0 if "logits_to_keep" in inputs or case == "bert" else (TOKENS - 1) * BATCH * 96 * 32
    assert theirs.known_macs - head == pytest.approx(ours.known_macs, rel=0.05 if case == "mamba" else 0)
