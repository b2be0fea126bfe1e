"""Families that are no plain decoders: encoders, encoders with decoders, state-space models."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from dovetail.workload.language.between import (
    activation,
    activation_of,
    additions,
    embedded,
    norms,
    one_pass,
)
from dovetail.workload.language.configuration import Configuration
from dovetail.workload.language.families import decoder, gated, mixing, plain, separate
from dovetail.workload.language.model import Between, Block, Convolution, LanguageModel, Linear, Scan


def _encoding(config: Configuration, hidden: int, width: int, *, parts: int = 2) -> tuple[Between, ...]:
    """Return what lies between the products of a block with layer norms, of so many parts."""
    return (
        *norms("layer_norm", *(hidden,) * parts),
        *activation(activation_of(config, "gelu"), width, gated=False),
        *additions(hidden, parts),
    )


def _bert(config: Configuration) -> LanguageModel:
    """BERT and RoBERTa, as the bare model with its pooler."""
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    config.divides(hidden, heads, "num_attention_heads")
    products = (
        *separate(hidden, heads, heads, hidden // heads, bias=True),
        *plain(hidden, config.size("intermediate_size")),
    )
    block = Block(
        config.size("num_hidden_layers"),
        products,
        (mixing(heads, heads, hidden // heads),),
        others=4 * hidden,
        between=_encoding(config, hidden, config.size("intermediate_size")),
        decoder=False,
    )
    tables = ("vocab_size", "max_position_embeddings", "type_vocab_size")
    return LanguageModel(
        config.name,
        config.family,
        (block,),
        after=(Linear("pooler", hidden, hidden, True, rows="one"),),
        embeddings=hidden * sum(config.size(table) for table in tables),
        others=2 * hidden,
        between=(
            *embedded(hidden, more=2),
            *norms("layer_norm", hidden),
            one_pass("tanh", hidden, rows="one"),
        ),
        vocabulary=config.size("vocab_size"),
        most=config.size("max_position_embeddings"),
        source=config.source,
    )


def _vit(config: Configuration) -> LanguageModel:
    """ViT with a classifier on its first token."""
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    config.divides(hidden, heads, "num_attention_heads")
    image, patch, channels = config.size("image_size"), config.size("patch_size"), config.optional("num_channels") or 3
    config.divides(image, patch, "patch_size")
    bias = config.flag("qkv_bias", True)
    products = (
        *separate(hidden, heads, heads, hidden // heads, bias=bias, output_bias=True),
        *plain(hidden, config.size("intermediate_size")),
    )
    block = Block(
        config.size("num_hidden_layers"),
        products,
        (mixing(heads, heads, hidden // heads),),
        others=4 * hidden,
        between=_encoding(config, hidden, config.size("intermediate_size")),
        decoder=False,
    )
    side = image // patch
    return LanguageModel(
        config.name,
        config.family,
        (block,),
        (Convolution("patches", channels, hidden, (patch, patch), (patch, patch), columns=side),),
        (Linear("head", hidden, config.optional("num_labels") or 1000, True, rows="one"),),
        embeddings=hidden * (side * side + 2),  # positions, and the first token
        others=2 * hidden,
        between=(*additions(hidden, 1), *norms("layer_norm", hidden)),
        length=side * side + 1,
        source=config.source,
    )


def _whisper(config: Configuration) -> LanguageModel:
    """Whisper: two convolutions and an encoder over sound, and a decoder that looks at it; keys have no bias."""
    hidden, sounds = config.size("d_model"), config.size("num_mel_bins")
    frames, words = config.size("max_source_positions"), config.size("max_target_positions")

    def attention(heads: int) -> tuple[Linear, ...]:
        config.divides(hidden, heads, "encoder_attention_heads")
        made = separate(hidden, heads, heads, hidden // heads, bias=True)
        return tuple(replace(each, bias=each.name != "attention.k") for each in made)

    def block(side: str, *, decoder: bool) -> Block:
        heads = config.size(f"{side}_attention_heads")
        own = mixing(heads, heads, hidden // heads)
        products = attention(heads)
        if decoder:
            products += tuple(_crossing(each) for each in products)
        mixings = (own, replace(own, crossing=True, name="cross")) if decoder else (own,)
        products += plain(hidden, config.size(f"{side}_ffn_dim"))
        parts, width = (3 if decoder else 2), config.size(f"{side}_ffn_dim")
        between = _encoding(config, hidden, width, parts=parts)
        layers = config.size(f"{side}_layers")
        return Block(layers, products, mixings, others=2 * hidden * parts, between=between, decoder=decoder, name=side)

    vocabulary = config.size("vocab_size")
    sounds_between = (  # behind the first convolution there are two rows for one behind the second
        one_pass("gelu", 2 * hidden),
        one_pass("gelu", hidden),
        *additions(hidden, 1),
        *norms("layer_norm", hidden),
    )
    return LanguageModel(
        config.name,
        config.family,
        (block("encoder", decoder=False), block("decoder", decoder=True)),
        (
            Convolution("sound.1", sounds, hidden, (3, 1), (1, 1), halved=1),
            Convolution("sound.2", hidden, hidden, (3, 1), (2, 1)),
        ),
        (Linear("head", hidden, vocabulary, rows="one", shares=True),),
        embeddings=hidden * (vocabulary + frames + words),
        others=4 * hidden,
        between=(
            *embedded(hidden, positions=True),
            *norms("layer_norm", hidden),
            *(replace(each, rows="source") for each in sounds_between),
        ),
        vocabulary=vocabulary,
        length=frames,
        most=words,
        source=config.source,
    )


def _crossing(product: Linear) -> Linear:
    """Return one of attention's products where keys and values come from the encoder."""
    name = product.name.replace("attention", "cross")
    return replace(product, name=name, rows="source" if name in ("cross.k", "cross.v") else "tokens")


def _t5(config: Configuration) -> LanguageModel:
    hidden, heads, size = config.size("d_model"), config.size("num_heads"), config.size("d_kv")
    form = config.text("feed_forward_proj", "relu")
    width = config.size("d_ff")
    feed = gated(hidden, width) if form.startswith("gated-") else plain(hidden, width, bias=False)
    own = mixing(heads, heads, size)
    attention = separate(hidden, heads, heads, size)
    crossing = tuple(_crossing(each) for each in attention)
    layers = config.size("num_layers")
    kind, wide = activation_of(config, "relu"), form.startswith("gated-")

    def between(parts: int) -> tuple[Between, ...]:
        own_norms = norms("rms_norm", *(hidden,) * parts)
        return (*own_norms, *activation(kind, width, gated=wide), *additions(hidden, parts))

    encoder = Block(
        layers, (*attention, *feed), (own,), others=2 * hidden, between=between(2), decoder=False, name="encoder"
    )
    other = Block(
        config.optional("num_decoder_layers") or layers,
        (*attention, *crossing, *feed),
        (own, replace(own, crossing=True, name="cross")),
        others=3 * hidden,
        between=between(3),
        name="decoder",
    )
    buckets = config.optional("relative_attention_num_buckets") or 32
    made = decoder(config, (encoder, other), tied=True, final=2 * hidden)
    ends = tuple(replace(each, rows="source") for each in made.between)
    return replace(made, embeddings=made.embeddings + 2 * buckets * heads, between=made.between + ends)


def _mamba(config: Configuration) -> LanguageModel:
    """Mamba: its products, and the product that reads each token's state; the rest of the recurrence is elementwise."""
    hidden, state, taps = config.size("hidden_size"), config.size("state_size"), config.size("conv_kernel")
    channels = config.optional("intermediate_size") or hidden * (config.optional("expand") or 2)
    rank = math.ceil(hidden / 16) if config.says("time_step_rank", "auto") else config.size("time_step_rank")
    bias = config.flag("use_bias", False)
    products = (
        Linear("ssm.in", hidden, 2 * channels, bias),
        Linear("ssm.x", channels, rank + 2 * state),
        Linear("ssm.dt", rank, channels, True),
        Linear("ssm.out", channels, hidden, bias),
    )
    convolution = Convolution("ssm.conv", 1, 1, (taps, 1), groups=channels, bias=config.flag("use_conv_bias", True))
    block = Block(
        config.size("num_hidden_layers"),
        products,
        scan=Scan(channels, state, channels * (taps - 1)),
        convolutions=(convolution,),
        others=hidden + channels * (state + 1),
        between=_recurrence(hidden, channels, state, channels * (taps - 1)),
    )
    made = decoder(config, (block,), tied=True, final=hidden)
    note = f"{made.name}: the recurrence is element by element, between products; reading its state is a product"
    return replace(made, notes=(note,))


def _recurrence(hidden: int, channels: int, state: int, kept: int) -> tuple[Between, ...]:
    """Return what lies between a Mamba block's products: its state is read and written once a sequence and step."""
    held = channels * state + kept
    return (
        *norms("rms_norm", hidden),
        *activation("silu", channels, gated=False),
        one_pass("softplus", channels),
        Between("scan", channels * state, 2 * channels + state, 0, channels * state),  # its decays are parameters
        Between("state", 0, held, held, rows="one"),
        *activation("silu", channels, gated=True),
        *additions(hidden, 1),
    )


#: ``model_type`` -> what reads its configuration.
OTHERS: dict[str, Callable[[Configuration], LanguageModel]] = {
    "bert": _bert,
    "roberta": _bert,
    "vit": _vit,
    "whisper": _whisper,
    "t5": _t5,
    "mamba": _mamba,
}
