"""What a transformer or state-space model is made of: blocks of products, and how many parameters each has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

#: What a linear layer's rows are: new tokens; all that is attended to; the encoder's output; one a sequence.
Rows = Literal["tokens", "attended", "source", "one"]


@dataclass(frozen=True)
class Linear:
    """A product with weights.

    Attributes:
        name: what to call it, its part before the first point: ``attention.q``, ``mlp.gate``, ``head``.
        inputs: channels that one group sums up.
        outputs: channels that one group makes.
        bias: whether there is one.
        groups: products side by side, each with weights of its own.
        rows: what it runs on.
        shares: parameters that are another's (a head tied to the embedding, a matrix used in other words): not counted.
    """

    name: str
    inputs: int
    outputs: int
    bias: bool = False
    groups: int = 1
    rows: Rows = "tokens"
    shares: bool = False

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return 0 if self.shares else self.groups * (self.inputs + self.bias) * self.outputs


@dataclass(frozen=True)
class Convolution:
    """A convolution over one axis, or over an image's two, that makes or mixes tokens.

    Attributes:
        name: as of `Linear`.
        inputs: channels of one group.
        outputs: channels of one group.
        kernel: taps per axis.
        stride: per axis; each output row is a token.
        groups: groups of channels.
        bias: whether there is one.
        columns: outputs along the second axis; 1 where there is one axis only.
        halved: how often later strides halve its rows before they are tokens.
    """

    name: str
    inputs: int
    outputs: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    groups: int = 1
    bias: bool = True
    columns: int = 1
    halved: int = 0

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.groups * self.outputs * (self.inputs * self.kernel[0] * self.kernel[1] + self.bias)


@dataclass(frozen=True)
class Mixing:
    """Attention's two products: queries by keys, and what comes of that by values.

    Attributes:
        heads: of queries.
        key_heads: of keys and values; each is shared by as many heads of queries.
        size: channels of a query and of a key.
        value_size: channels of a value.
        cached: words that one position leaves in the cache.
        window: positions that a token looks back at, itself included; None: all.
        crossing: whether keys and values are the encoder's.
        name: what the products' names begin with.
    """

    heads: int
    key_heads: int
    size: int
    value_size: int
    cached: int
    window: int | None = None
    crossing: bool = False
    name: str = "attention"


@dataclass(frozen=True)
class Scan:
    """A state-space layer's recurrence: what it keeps, and the product that reads it once a token.

    Attributes:
        channels: that keep a state each.
        state: words of a channel's state.
        kept: further words that one sequence keeps (the last inputs of a convolution).
    """

    channels: int
    state: int
    kept: int = 0


@dataclass(frozen=True)
class Between:
    """An operation between products, as one pass over each row.

    Attributes:
        name: as `dovetail.workload.between` has it.
        elements: elements of one row that it works on.
        reads: words of one row that it reads.
        writes: words of one row that it writes.
        parameters: words that it reads once, however many rows there are.
        rows: what it runs on.
    """

    name: str
    elements: int
    reads: int
    writes: int
    parameters: int = 0
    rows: Rows = "tokens"


@dataclass(frozen=True)
class Experts:
    """A mixture of experts, of which each token takes some.

    Attributes:
        count: experts.
        chosen: how many a token takes.
        products: of one expert.
    """

    count: int
    chosen: int
    products: tuple[Linear, ...]

    @property
    def parameters(self) -> int:
        """Of all experts."""
        return self.count * sum(each.parameters for each in self.products)


@dataclass(frozen=True)
class Block:
    """A layer of the model, and how often the model has one like it.

    Attributes:
        repeats: how often.
        products: its products with weights that every token uses, in the order they run.
        mixings: attention's products: over itself, and over the encoder's output.
        absorbed: the products and the mixing of a decode step where those are others (latent attention); None: the
            same.
        experts: its mixture of experts.
        scan: its recurrence.
        convolutions: over its tokens.
        others: parameters of norms and the like.
        between: operations between its products, but for the softmax of its mixings.
        decoder: whether it writes text token after token; else it is run once on all of its input.
        name: what tells it from other kinds of blocks; empty where there is one.
    """

    repeats: int
    products: tuple[Linear, ...]
    mixings: tuple[Mixing, ...] = ()
    absorbed: tuple[tuple[Linear, ...], Mixing] | None = None
    experts: Experts | None = None
    scan: Scan | None = None
    convolutions: tuple[Convolution, ...] = ()
    others: int = 0
    between: tuple[Between, ...] = ()
    decoder: bool = True
    name: str = ""

    @property
    def parameters(self) -> int:
        """Of one such block."""
        each = sum(product.parameters for product in self.products) + sum(one.parameters for one in self.convolutions)
        return each + (self.experts.parameters if self.experts else 0) + self.others

    @property
    def active_parameters(self) -> int:
        """Those of one such block that a token uses."""
        if self.experts is None:
            return self.parameters
        asleep = self.experts.count - self.experts.chosen
        return self.parameters - self.experts.parameters // self.experts.count * asleep


@dataclass(frozen=True)
class LanguageModel:
    """A model.

    Attributes:
        name: what to call it.
        family: ``model_type`` of its configuration.
        blocks: in the order they run.
        before: convolutions that make the tokens.
        after: products behind the last block: the head, a pooler.
        embeddings: parameters that are looked up, not multiplied.
        others: parameters of the last norm and the like.
        between: operations in front of the first block and behind the last one.
        vocabulary: tokens it knows; None where it takes none.
        length: tokens of every input where that is fixed (patches of an image, frames of sound).
        most: the longest context that it was made for; None: any.
        source: where its sizes come from.
        notes: what to know of how it was read.
    """

    name: str
    family: str
    blocks: tuple[Block, ...]
    before: tuple[Convolution, ...] = ()
    after: tuple[Linear, ...] = ()
    embeddings: int = 0
    others: int = 0
    between: tuple[Between, ...] = ()
    vocabulary: int | None = None
    length: int | None = None
    most: int | None = None
    source: str = ""
    notes: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """Everything that is trained, each once."""
        return (
            sum(block.repeats * block.parameters for block in self.blocks)
            + sum(each.parameters for each in self.before)
            + sum(each.parameters for each in self.after)
            + self.embeddings
            + self.others
        )

    @property
    def active_parameters(self) -> int:
        """Those that one token uses: of experts, the chosen."""
        return self.parameters - sum(
            block.repeats * (block.parameters - block.active_parameters) for block in self.blocks
        )

    @property
    def decodes(self) -> bool:
        """Whether it writes text token after token."""
        return any(block.decoder for block in self.blocks)

    @property
    def encodes(self) -> bool:
        """Whether some of it is run once on all of its input."""
        return any(not block.decoder for block in self.blocks)

    def cached_words(self, context: int, source: int | None = None) -> int:
        """Return the words that one sequence's cache holds after so many positions, behind a source of so many tokens.

        Without a length of the source: the model's own, or as many as there are positions.
        """
        length = self.length or source or context
        return sum(block.repeats * words for block in self.blocks for words in _cached(block, context, length))


def _cached(block: Block, context: int, length: int) -> Iterator[int]:
    if not block.decoder:
        return
    for mixing in block.mixings:
        if mixing.crossing:
            yield mixing.cached * length
        else:
            yield mixing.cached * (context if mixing.window is None else min(context, mixing.window))
    if block.scan is not None:
        yield block.scan.channels * block.scan.state + block.scan.kept
