"""Decoder families: from the keys of a configuration, as Hugging Face's ``config.json`` has them, to blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from dovetail.workload.language.between import (
    activation,
    activation_of,
    additions,
    chosen,
    embedded,
    head_norms,
    norms,
    rotary,
)
from dovetail.workload.language.configuration import Configuration
from dovetail.workload.language.model import Between, Block, Experts, LanguageModel, Linear, Mixing


def gated(hidden: int, width: int, *, bias: bool = False, name: str = "mlp") -> tuple[Linear, ...]:
    """Return a feed-forward part whose first product has a gate beside it."""
    return (
        Linear(f"{name}.gate", hidden, width, bias),
        Linear(f"{name}.up", hidden, width, bias),
        Linear(f"{name}.down", width, hidden, bias),
    )


def plain(hidden: int, width: int, *, bias: bool = True, name: str = "mlp") -> tuple[Linear, ...]:
    """Return a feed-forward part of two products."""
    return Linear(f"{name}.up", hidden, width, bias), Linear(f"{name}.down", width, hidden, bias)


def separate(
    hidden: int, heads: int, key_heads: int, size: int, *, bias: bool = False, output_bias: bool | None = None
) -> tuple[Linear, ...]:
    """Return attention's four products with weights."""
    last = bias if output_bias is None else output_bias
    return (
        Linear("attention.q", hidden, heads * size, bias),
        Linear("attention.k", hidden, key_heads * size, bias),
        Linear("attention.v", hidden, key_heads * size, bias),
        Linear("attention.out", heads * size, hidden, last),
    )


def together(hidden: int, heads: int, key_heads: int, size: int, *, bias: bool) -> tuple[Linear, ...]:
    """Return attention's products where queries, keys and values are made by one."""
    return (
        Linear("attention.qkv", hidden, (heads + 2 * key_heads) * size, bias),
        Linear("attention.out", heads * size, hidden, bias),
    )


def mixing(heads: int, key_heads: int, size: int, window: int | None = None) -> Mixing:
    """Return attention over a cache of keys and values of one size."""
    return Mixing(heads, key_heads, size, size, 2 * key_heads * size, window)


def decoder(
    config: Configuration,
    blocks: tuple[Block, ...],
    *,
    tied: bool,
    final: int,
    positions: int = 0,
    head_bias: bool = False,
    norm: str = "rms_norm",
) -> LanguageModel:
    """Put a decoder together.

    Args:
        config: its configuration.
        blocks: its blocks.
        tied: whether the head's matrix is the embedding's, unless the configuration says.
        final: parameters of the last norm.
        positions: parameters of a table of positions.
        head_bias: whether the head has a bias.
        norm: what its norms are.
    """
    hidden = config.size("hidden_size", "n_embd", "d_model")
    vocabulary = config.size("vocab_size")
    head = Linear("head", hidden, vocabulary, head_bias, rows="one", shares=config.flag("tie_word_embeddings", tied))
    return LanguageModel(
        config.name,
        config.family,
        blocks,
        after=(head,),
        embeddings=vocabulary * hidden + positions,
        others=final,
        between=(*embedded(hidden, positions=positions > 0), *(norms(norm, hidden) if final else ())),
        vocabulary=vocabulary,
        most=config.optional("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"),
        source=config.source,
    )


def _heads(config: Configuration) -> tuple[int, int, int, int]:
    """Return hidden size, heads of queries, heads of keys, and a head's size."""
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    key_heads = config.optional("num_key_value_heads") or heads
    config.divides(heads, key_heads, "num_key_value_heads")
    size = config.optional("head_dim")
    if size is None:
        config.divides(hidden, heads, "num_attention_heads")
        size = hidden // heads
    return hidden, heads, key_heads, size


#: Families that have a norm over each head's queries and keys.
_NORMED_HEADS = ("qwen3", "gemma3_text", "qwen3_moe")


def _llama(config: Configuration) -> LanguageModel:
    """Llama, Mistral and what is built like them: differences are keys, or defaults by family."""
    family = config.family
    hidden, heads, key_heads, size = _heads(config)
    width, layers = config.size("intermediate_size"), config.size("num_hidden_layers")
    bias = config.flag("attention_bias", family == "qwen2") if family != "qwen2" else True
    attention = separate(hidden, heads, key_heads, size, bias=bias, output_bias=False if family == "qwen2" else None)
    feed = gated(hidden, width, bias=config.flag("mlp_bias", False))
    doubled = family in ("gemma2", "gemma3_text")  # norms in front of and behind each part
    own_norms = (4 if doubled else 2) * hidden + (2 * size if family in _NORMED_HEADS else 0)
    between = (
        *norms("rms_norm", *(hidden,) * (4 if doubled else 2)),
        *(head_norms("rms_norm", heads + key_heads, size) if family in _NORMED_HEADS else ()),
        *rotary((heads + key_heads) * size, size),
        *activation(activation_of(config, "gelu" if family.startswith("gemma") else "silu"), width, gated=True),
        *additions(hidden),
    )
    block = Block(layers, (*attention, *feed), (mixing(heads, key_heads, size),), others=own_norms, between=between)
    return decoder(config, _windowed(config, block, range(layers)), tied=family.startswith("gemma"), final=hidden)


#: What configurations call layers that look back over a window, and those that see everything.
_WINDOW, _FULL = "sliding_attention", "full_attention"


def _kinds_of_layers(config: Configuration, layers: int) -> Sequence[str]:
    """Return whether each layer looks back over a window or sees everything, as the configuration has it."""
    kinds = config.choices("layer_types", (_FULL, _WINDOW))
    if kinds is not None:
        if len(kinds) != layers:
            raise config.fail(f"are {len(kinds)}, but there are {layers} layers (num_hidden_layers)", "layer_types")
        return kinds
    if config.family == "gemma2":
        return [_FULL if place % 2 else _WINDOW for place in range(layers)]
    if config.family == "gemma3_text":
        pattern = config.optional("sliding_window_pattern") or 6
        return [_WINDOW if (place + 1) % pattern else _FULL for place in range(layers)]
    if config.family in ("qwen2", "qwen3"):
        first = config.optional("max_window_layers", least=0)
        return [_WINDOW if place >= (28 if first is None else first) else _FULL for place in range(layers)]
    return [_WINDOW] * layers


def _windowed(config: Configuration, block: Block, places: Sequence[int]) -> tuple[Block, ...]:
    """Return the blocks that look back over a window, and those that see everything.

    Args:
        config: says which.
        block: the blocks.
        places: of the model's layers, those that are such blocks.
    """
    if not config.flag("use_sliding_window", not config.family.startswith("qwen")):
        return (block,)
    window = config.optional("sliding_window")
    if window is None:
        return (block,)
    kinds = _kinds_of_layers(config, config.size("num_hidden_layers"))
    windowed = sum(kinds[place] == _WINDOW for place in places)
    near = replace(block, repeats=windowed, mixings=tuple(replace(each, window=window) for each in block.mixings))
    rest = block.repeats - windowed
    if not rest or not windowed:
        return (near,) if windowed else (block,)
    before = f"{block.name}." if block.name else ""
    return replace(near, name=f"{before}window"), replace(block, repeats=rest, name=f"{before}full")


def _mixture(config: Configuration) -> LanguageModel:
    """Mixtral, and Qwen's mixtures of experts."""
    family = config.family
    hidden, heads, key_heads, size = _heads(config)
    layers, width = config.size("num_hidden_layers"), config.size("intermediate_size")
    bias = family == "qwen2_moe" or config.flag("attention_bias", False)
    attention = separate(
        hidden, heads, key_heads, size, bias=bias, output_bias=False if family == "qwen2_moe" else None
    )
    own = width if family == "mixtral" else config.size("moe_intermediate_size")
    count = config.size("num_experts", "num_local_experts")
    experts = Experts(count, config.at_most("num_experts_per_tok", count), gated(hidden, own, name="expert"))
    router: tuple[Linear, ...] = (Linear("router", hidden, count),)
    if shared := config.optional("shared_expert_intermediate_size", least=0):
        router += (*gated(hidden, shared, name="shared"), Linear("shared.share", hidden, 1))
    own_norms = 2 * hidden + (2 * size if family in _NORMED_HEADS else 0)
    products = mixing(heads, key_heads, size)
    common = (
        *norms("rms_norm", hidden, hidden),
        *(head_norms("rms_norm", heads + key_heads, size) if family in _NORMED_HEADS else ()),
        *rotary((heads + key_heads) * size, size),
        *additions(hidden),
    )
    mixed = chosen(experts, hidden, own) + (activation("silu", shared, gated=True) if shared else ())
    sparse = Block(
        layers, (*attention, *router), (products,), experts=experts, others=own_norms, between=common + mixed
    )
    dense = frozenset(config.numbers("mlp_only_layers") or ())
    step = config.optional("decoder_sparse_step") or 1
    every = range(step - 1, layers, step)
    mixtures = [place for place in every if place not in dense] if dense else every
    several = frozenset(mixtures) if len(mixtures) < layers else ()
    others = [place for place in range(layers) if place not in several] if several else range(layers - len(mixtures))
    blocks = [(replace(sparse, repeats=len(mixtures)), mixtures)] if mixtures else []
    if others:
        other = Block(
            len(others),
            (*attention, *gated(hidden, width)),
            (products,),
            others=own_norms,
            between=common + activation("silu", width, gated=True),
            name="dense" * bool(mixtures),
        )
        blocks.insert(0, (other, others))
    windowed = tuple(part for block, places in blocks for part in _windowed(config, block, places))
    return decoder(config, windowed, tied=False, final=hidden)


def _deepseek(config: Configuration) -> LanguageModel:
    """DeepSeek V2 and V3: keys and values as one latent vector a position; experts behind the first layers."""
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    layers, dense = config.size("num_hidden_layers"), config.optional("first_k_dense_replace", least=0) or 0
    attention, latents, mixed, absorbed = _latent(config, hidden, heads)
    turned = config.size("qk_rope_head_dim")
    common = (
        *norms("rms_norm", hidden, hidden, *latents),
        *rotary((heads + 1) * turned, turned),
        *additions(hidden),
    )
    count, own = config.size("n_routed_experts", "num_local_experts"), config.size("moe_intermediate_size")
    experts = Experts(count, config.at_most("num_experts_per_tok", count), gated(hidden, own, name="expert"))
    router: tuple[Linear, ...] = (Linear("router", hidden, count),)
    if shared := config.optional("n_shared_experts", least=0):
        router += gated(hidden, own * shared, name="shared")
    corrections = count if config.family == "deepseek_v3" else 0  # of the router's choice, one an expert

    def block(repeats: int, more: tuple[Linear, ...], experts: Experts | None, name: str) -> Block:
        decoding = ((*absorbed[0], *more), absorbed[1])
        others = 2 * hidden + sum(latents) + (corrections if experts else 0)
        feed = chosen(experts, hidden, own) if experts else activation("silu", width, gated=True)
        feed += activation("silu", own * shared, gated=True) if experts and shared else ()
        between = common + feed
        return Block(
            repeats, (*attention, *more), (mixed,), decoding, experts, others=others, between=between, name=name
        )

    dense = min(dense, layers)
    width = config.size("intermediate_size") if dense else 0
    blocks = [block(dense, gated(hidden, width), None, "dense")] if dense else []
    if layers > dense:
        blocks.append(block(layers - dense, router, experts, "sparse" if dense else ""))
    made = decoder(config, tuple(blocks), tied=False, final=hidden)
    note = (
        f"{made.name}: a decode step multiplies with the latent cache itself, the matrices that would expand it put "
        "into queries and outputs (weight absorption); prefill expands keys and values"
    )
    return replace(made, notes=(note,))


def _latent(
    config: Configuration, hidden: int, heads: int
) -> tuple[tuple[Linear, ...], tuple[int, ...], Mixing, tuple[tuple[Linear, ...], Mixing]]:
    """Return latent attention's products, its norms' widths, its mixing, and both as a decode step has them."""
    latent, turned = config.size("kv_lora_rank"), config.size("qk_rope_head_dim")
    still, value = config.size("qk_nope_head_dim"), config.size("v_head_dim")
    rank = config.optional("q_lora_rank", least=0)
    if rank:
        queries: tuple[Linear, ...] = (
            Linear("attention.q_down", hidden, rank),
            Linear("attention.q_up", rank, heads * (still + turned)),
        )
    else:
        queries = (Linear("attention.q", hidden, heads * (still + turned)),)
    down = Linear("attention.kv_down", hidden, latent + turned)
    up = Linear("attention.kv_up", latent, heads * (still + value), rows="attended")
    out = Linear("attention.out", heads * value, hidden)
    cached = latent + turned
    mixed = Mixing(heads, heads, still + turned, value, cached)
    into = Linear("attention.q_absorbed", still, latent, groups=heads, shares=True)
    outof = Linear("attention.v_absorbed", latent, value, groups=heads, shares=True)
    decoding = (*queries, down, into, outof, out), Mixing(heads, 1, cached, latent, cached)
    return (*queries, down, up, out), ((rank, latent) if rank else (latent,)), mixed, decoding


def _gpt2(config: Configuration) -> LanguageModel:
    hidden, heads, layers = config.size("n_embd"), config.size("n_head"), config.size("n_layer")
    config.divides(hidden, heads, "n_head")
    size, width = hidden // heads, config.optional("n_inner") or 4 * hidden
    products = (*together(hidden, heads, heads, size, bias=True), *plain(hidden, width))
    between = _plain_between(config, hidden, width, "gelu")
    block = Block(layers, products, (mixing(heads, heads, size),), others=4 * hidden, between=between)
    positions = config.size("n_positions") * hidden
    return decoder(config, (block,), tied=True, final=2 * hidden, positions=positions, norm="layer_norm")


def _plain_between(
    config: Configuration, hidden: int, width: int, usual: str, *, count: int = 2, turned: tuple[int, int] = (0, 0)
) -> tuple[Between, ...]:
    """Return what lies between the products of a block with layer norms and no gate.

    Args:
        config: says the activation.
        hidden: words of a row.
        width: of the feed-forward part.
        usual: the activation where the configuration does not say.
        count: norms.
        turned: channels of queries and keys that are turned by their position, and those of one head.
    """
    return (
        *norms("layer_norm", *(hidden,) * count),
        *rotary(*turned),
        *activation(activation_of(config, usual), width, gated=False),
        *additions(hidden),
    )


def _turned(config: Configuration, heads: int, size: int, *names: str) -> tuple[int, int]:
    """Return the channels that a rotary embedding turns, and those of one head; a share of a head where one is said."""
    share = next((config.share(name) for name in names if config.share(name) is not None), None)
    part = size if share is None else int(size * share)
    return heads * part, part


def _gpt_neox(config: Configuration) -> LanguageModel:
    hidden, heads, _, size = _heads(config)
    attention = together(hidden, heads, heads, size, bias=config.flag("attention_bias", True))
    width = config.size("intermediate_size")
    products = (*attention, *plain(hidden, width))
    between = _plain_between(config, hidden, width, "gelu", turned=_turned(config, 2 * heads, size, "rotary_pct"))
    block = Block(
        config.size("num_hidden_layers"), products, (mixing(heads, heads, size),), others=4 * hidden, between=between
    )
    return decoder(config, (block,), tied=False, final=2 * hidden, norm="layer_norm")


def _opt(config: Configuration) -> LanguageModel:
    hidden, heads, _, size = _heads(config)
    bias = config.flag("enable_bias", True)
    products = (*separate(hidden, heads, heads, size, bias=bias), *plain(hidden, config.size("ffn_dim"), bias=bias))
    between = _plain_between(config, hidden, config.size("ffn_dim"), "relu")
    block = Block(
        config.size("num_hidden_layers"), products, (mixing(heads, heads, size),), others=4 * hidden, between=between
    )
    positions = (config.size("max_position_embeddings") + 2) * hidden
    last = config.flag("do_layer_norm_before", True) and not config.flag("_remove_final_layer_norm", False)
    made = decoder(config, (block,), tied=True, final=2 * hidden * last, positions=positions, norm="layer_norm")
    narrow = config.optional("word_embed_proj_dim") or hidden
    if narrow == hidden:
        return made
    words = config.size("vocab_size")
    ways = (Linear("embedding.in", narrow, hidden), Linear("head.narrow", hidden, narrow, rows="one"))
    head = replace(made.after[0], inputs=narrow)
    return replace(made, after=(*ways, head), embeddings=words * narrow + positions)


def _phi(config: Configuration) -> LanguageModel:
    hidden, heads, key_heads, size = _heads(config)
    attention = separate(hidden, heads, key_heads, size, bias=True)
    normed, width = config.flag("qk_layernorm", False), config.size("intermediate_size")
    own_norms = 2 * hidden + (4 * size if normed else 0)
    products = (*attention, *plain(hidden, width))
    turned = _turned(config, heads + key_heads, size, "partial_rotary_factor")
    between = _plain_between(config, hidden, width, "gelu", count=1, turned=turned)
    between += head_norms("layer_norm", heads + key_heads, size) if normed else ()
    mixed = (mixing(heads, key_heads, size),)
    block = Block(config.size("num_hidden_layers"), products, mixed, others=own_norms, between=between)
    return decoder(config, (block,), tied=False, final=2 * hidden, head_bias=True, norm="layer_norm")


def _phi3(config: Configuration) -> LanguageModel:
    hidden, heads, key_heads, size = _heads(config)
    width = config.size("intermediate_size")
    feed = Linear("mlp.gate_up", hidden, 2 * width), Linear("mlp.down", width, hidden)
    products = (*together(hidden, heads, key_heads, size, bias=False), *feed)
    between = (
        *norms("rms_norm", hidden, hidden),
        *rotary(*_turned(config, heads + key_heads, size, "partial_rotary_factor")),
        *activation(activation_of(config, "silu"), width, gated=True),
        *additions(hidden),
    )
    mixed = (mixing(heads, key_heads, size),)
    layers = config.size("num_hidden_layers")
    block = Block(layers, products, mixed, others=2 * hidden, between=between)
    return decoder(config, _windowed(config, block, range(layers)), tied=False, final=hidden)


def _falcon(config: Configuration) -> LanguageModel:
    hidden, heads, _, size = _heads(config)
    newer = config.flag("new_decoder_architecture", False)
    if newer:
        key_heads = config.optional("num_kv_heads") or heads
        config.divides(heads, key_heads, "num_kv_heads")
    else:
        key_heads = 1 if config.flag("multi_query", True) else heads
    bias = config.flag("bias", False)
    width = config.optional("ffn_hidden_size") or 4 * hidden
    products = (*together(hidden, heads, key_heads, size, bias=bias), *plain(hidden, width, bias=bias))
    count = 1 if not newer and config.flag("parallel_attn", True) else 2
    if newer and config.optional("num_ln_in_parallel_attn") == 1:
        count = 1
    turned = (0, 0) if config.flag("alibi", False) else _turned(config, heads + key_heads, size)
    between = _plain_between(config, hidden, width, "gelu", count=count, turned=turned)
    mixed = (mixing(heads, key_heads, size),)
    block = Block(config.size("num_hidden_layers"), products, mixed, others=2 * count * hidden, between=between)
    return decoder(config, (block,), tied=True, final=2 * hidden, norm="layer_norm")


#: ``model_type`` -> what reads its configuration.
DECODERS: dict[str, Callable[[Configuration], LanguageModel]] = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"), _llama),
    **dict.fromkeys(("mixtral", "qwen2_moe", "qwen3_moe"), _mixture),
    **dict.fromkeys(("deepseek_v2", "deepseek_v3"), _deepseek),
    "gpt2": _gpt2,
    "gpt_neox": _gpt_neox,
    "opt": _opt,
    "phi": _phi,
    "phi3": _phi3,
    "falcon": _falcon,
}
