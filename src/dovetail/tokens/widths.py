"""How wide the values of a language model's step are: weights, activations, and the cache as a tensor of its own.

Widths speak of layers and their tensors as everywhere (`dovetail.workload.widths`), with two differences. Keys and
values are operands of attention's products, which are called ``Weights`` there, but what is said of all layers'
weights is not meant of them; ``cache`` is: of what those products read, and of what the products put out that make
keys and values. Where nothing is said of the cache, it holds the design's own words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dovetail.errors import InputError
from dovetail.hardware.architecture import Storage
from dovetail.mapping.widths import words_of_value
from dovetail.tokens.cache import cached_share, reads_cache
from dovetail.workload.language.layers import Step
from dovetail.workload.language.model import Convolution, LanguageModel, Linear
from dovetail.workload.network import Network
from dovetail.workload.widths import LayerBits, Width

#: What the cache is called where widths are written.
CACHE = "cache"
_WEIGHTS, _OUTPUTS = "Weights", "Outputs"


def with_widths(model: LanguageModel, network: Network, given: Sequence[LayerBits]) -> Network:
    """Return a model's step with widths; where several speak of a layer's tensor, the last one stands.

    Raises:
        InputError: one speaks of a layer or a tensor that the step does not have.
    """
    for one in given:
        rest = {name: width for name, width in one.widths.items() if name.lower() != CACHE}
        cached = [width for name, width in one.widths.items() if name.lower() == CACHE]
        if rest:
            network = network.with_bits(list(_of_weights(network, replace(one, widths=rest))))
        for width in cached:
            network = network.with_bits(list(_of_cache(model, network, one.layer, width)))
    return network


def _of_weights(network: Network, one: LayerBits) -> Iterator[LayerBits]:
    """Yield what is said of all layers apart from the products of attention, whose operands are no weights."""
    plain = {name: width for name, width in one.widths.items() if name.lower() != _WEIGHTS.lower()}
    if one.layer != "*" or len(plain) == len(one.widths):
        yield one
        return
    for layer in network.layers:
        widths = plain if layer.kind == "matrix product" else one.widths
        if widths:
            yield LayerBits(layer.name, widths)


def _of_cache(model: LanguageModel, network: Network, pattern: str, width: Width) -> Iterator[LayerBits]:
    found = False
    for place, layer in enumerate(network.layers):
        if not LayerBits(pattern, {}).speaks_of(layer.name, place, len(network.layers)):
            continue
        name = layer.name.partition(":")[0]
        if reads_cache(model, layer):
            found = True
            yield LayerBits(layer.name, {_WEIGHTS: width})
        elif cached_share(model, name) == 1:
            found = True
            yield LayerBits(layer.name, {_OUTPUTS: width})
    if not found:
        where = model.name if pattern == "*" else f"'{pattern}' of {model.name}"
        raise InputError(f"{where} reads and writes no cache that could have a width")


@dataclass(frozen=True)
class Stored:
    """Values of a model, by how wide they are.

    Attributes:
        values: how many there are of each width; None: of the outermost level's words.
    """

    values: tuple[tuple[Width | None, float], ...]

    def bytes_in(self, level: Storage, outermost: Storage) -> float:
        """Return the bytes that they take in a level, as its words hold them."""
        taken = 0.0
        for width, count in self.values:
            if width is None:
                taken += count * outermost.datawidth / 8
            else:
                taken += count * float(words_of_value(level, width, "values", passes=True)) * level.datawidth / 8
        return taken


def weights_of(model: LanguageModel, network: Network) -> Stored:
    """Return all parameters of a model by the widths that a step gives them; norms, tables and what does not run: own.

    Args:
        model: the model.
        network: a step of it, with widths.
    """
    widths = {layer.name.partition(":")[0]: layer.problem.width_of(_WEIGHTS) for layer in network.layers}
    found: dict[Width | None, float] = {}
    for name, count in _parameters(model):
        found[widths.get(name)] = found.get(widths.get(name), 0) + count
    found[None] = found.get(None, 0) + model.parameters - sum(found.values())
    return Stored(tuple(found.items()))


def _parameters(model: LanguageModel) -> Iterator[tuple[str, int]]:
    """Yield the layers with weights, by their names, and how many parameters they have, those of all repeats."""
    outer: tuple[Linear | Convolution, ...] = (*model.before, *model.after)
    for each in outer:
        yield each.name, each.parameters
    for block in model.blocks:
        before = f"{block.name}." if block.name else ""
        inner: tuple[Linear | Convolution, ...] = (*block.products, *block.convolutions)
        for each in inner:
            yield f"{before}{each.name}", block.repeats * each.parameters
        if block.experts is not None:
            for one in block.experts.products:
                yield f"{before}{one.name}", block.repeats * block.experts.count * one.parameters


def cache_of(model: LanguageModel, step: Step, network: Network) -> Stored:
    """Return what all sequences' caches hold behind a step, by the widths that its products of attention give."""
    read: dict[Width | None, int] = {}
    for layer in network.layers:
        if reads_cache(model, layer):
            (words,) = (layer.problem.words(each) for each in layer.problem.shape.tensors if each.name == _WEIGHTS)
            width = layer.problem.width_of(_WEIGHTS)
            read[width] = read.get(width, 0) + layer.repeats * words
    count = step.batch * model.cached_words(step.attended, step.source)
    every = sum(read.values())
    return Stored(tuple((width, count * words / every) for width, words in read.items()) or ((None, count),))
