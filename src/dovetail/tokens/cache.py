"""Which products of a language model read its cache, and which write it."""

from __future__ import annotations

from dovetail.workload.language.model import Block, LanguageModel
from dovetail.workload.network import Layer

#: Products that put keys and values into the cache: with how many heads' share is told by what is cached.
WRITERS = ("attention.k", "attention.v", "attention.kv_down", "attention.qkv", "cross.k", "cross.v")


def reads_cache(model: LanguageModel, layer: Layer) -> bool:
    """Return whether a layer's operand that would be weights is keys or values that a cache holds."""
    name = layer.name.partition(":")[0]
    mixes = layer.kind == "matrix product" and name.rpartition(".")[2] in ("scores", "values")
    return mixes and model.decodes and _block_of(model, name).decoder


def cached_share(model: LanguageModel, name: str) -> float:
    """Return which part of what a product puts out goes into the cache; ``name``: of its layer."""
    if not model.decodes or not name.endswith(WRITERS):
        return 0.0
    block = _block_of(model, name)
    if not block.decoder or not block.mixings:
        return 0.0
    if name.endswith("qkv"):
        return block.mixings[0].cached / next(one.outputs for one in block.products if name.endswith(one.name))
    return 1.0


def _block_of(model: LanguageModel, name: str) -> Block:
    """Return the block that a layer of that name is part of: its own name stands in front, where it has one."""
    named = [block for block in model.blocks if block.name and name.startswith(f"{block.name}.")]
    return max(named, key=lambda block: len(block.name), default=model.blocks[0])
