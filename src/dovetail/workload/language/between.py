"""Operations between a language model's products: norms, activations, rotary embedding, additions, look-ups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dovetail.workload.language.configuration import Configuration
from dovetail.workload.language.model import Between, Block, Experts, LanguageModel, Mixing, Rows
from dovetail.workload.network import NOTHING_MOVED, FreeOperation, Moved

#: Keys under which configurations name the activation, and how names contain those that are told apart.
_ACTIVATION_KEYS = ("hidden_act", "hidden_activation", "activation_function", "feed_forward_proj", "activation")
_ACTIVATIONS = {"gelu": "gelu", "silu": "silu", "swish": "silu", "swiglu": "silu", "relu": "relu"}


def activation_of(config: Configuration, usual: str) -> str:
    """Return what a configuration's activation is counted as."""
    said = next((config.text(key) for key in _ACTIVATION_KEYS if config.text(key)), usual)
    return next((kind for word, kind in _ACTIVATIONS.items() if word in said), usual)


def one_pass(name: str, width: int, *, operands: int = 1, parameters: int = 0, rows: Rows = "tokens") -> Between:
    """Return an operation that reads operands as wide as what it makes."""
    return Between(name, width, operands * width, width, parameters, rows)


def norms(kind: str, *widths: int, rows: Rows = "tokens") -> tuple[Between, ...]:
    """Return norms over rows of so many words, each with its scales, and shifts where it is ``layer_norm``."""
    scales = 2 if kind == "layer_norm" else 1
    return tuple(one_pass(kind, width, parameters=scales * width, rows=rows) for width in widths)


def head_norms(kind: str, heads: int, size: int) -> tuple[Between, ...]:
    """Return the norm over each head's channels, those of queries and those of keys with scales of their own."""
    return (one_pass(kind, heads * size, parameters=2 * norms(kind, size)[0].parameters),)


def additions(width: int, count: int = 2) -> tuple[Between, ...]:
    """Return the additions of what a part of a block makes to what went into it."""
    return (one_pass("add", width, operands=2),) * count


def rotary(channels: int, size: int) -> tuple[Between, ...]:
    """Return a rotary embedding of so many channels, each head's ``size`` turned by the same cosines and sines."""
    return (Between("rotary", channels, channels + 2 * size, channels),) if channels and size else ()


def activation(kind: str, width: int, *, gated: bool) -> tuple[Between, ...]:
    """Return a feed-forward part's activation; ``gated``: it also multiplies what a second product made."""
    return (one_pass(f"{kind}_gate", width, operands=2) if gated else one_pass(kind, width),)


def chosen(experts: Experts, hidden: int, width: int, kind: str = "silu") -> tuple[Between, ...]:
    """Return what a mixture does between its products: the choice, the activation, the weighted sum."""
    several = experts.chosen
    return (
        one_pass("softmax", experts.count),
        *activation(kind, several * width, gated=True),
        Between("add", several * hidden, several * hidden, hidden),
    )


def embedded(hidden: int, *, positions: bool = False, more: int = 0) -> tuple[Between, ...]:
    """Return the look-ups of tokens (and of so many other tables), and the addition of positions."""
    added = one_pass("add", hidden, operands=2)
    return (Between("embedding", 0, hidden * (1 + more), hidden * (1 + more)), *(added,) * (more + positions))


def between_of(model: LanguageModel, parts: Sequence[tuple[Block, int, int]], rows_of: RowsOf) -> list[FreeOperation]:
    """Return a step's operations between products, those of one name put together.

    Args:
        model: the model.
        parts: the blocks that run: each with new tokens and positions attended to, per sequence.
        rows_of: counts the rows of a step.
    """
    found: dict[str, tuple[int, Moved]] = {}

    def add(name: str, count: int, moved: Moved) -> None:
        before, so_far = found.get(name, (0, NOTHING_MOVED))
        found[name] = before + count, so_far + moved

    for block, rows, attended in parts:
        for each in block.between:
            add(each.name, block.repeats, _moved(each, rows_of(each.rows, rows, attended)).times(block.repeats))
        for name, moved in _softmaxes(block, rows_of, rows, attended):
            add(name, block.repeats, moved.times(block.repeats))
    for each in model.between:
        if rows := rows_of(each.rows, None, None):
            add(each.name, 1, _moved(each, rows))
    return [FreeOperation(name, count, moved) for name, (count, moved) in sorted(found.items())]


def _moved(each: Between, rows: int) -> Moved:
    return Moved(each.reads * rows, each.writes * rows, each.elements * rows, each.parameters)


def _softmaxes(block: Block, rows_of: RowsOf, rows: int, attended: int) -> Iterator[tuple[str, Moved]]:
    for mixing in block.mixings:
        scores = mixing.heads * rows_of.scores(mixing, rows, attended)
        yield "softmax", Moved(scores, scores, scores)


class RowsOf:
    """Counts the rows of a step, those of all sequences.

    Attributes:
        batch: sequences.
        decode: whether it is a decode step.
        rows: new tokens per sequence, of the part that writes text; of the whole where none does.
        source: tokens that an encoder reads per sequence.
    """

    def __init__(self, *, batch: int, decode: bool, rows: int, source: int) -> None:
        self.batch, self.decode, self.rows, self.source = batch, decode, rows, source

    def __call__(self, kind: Rows, rows: int | None, attended: int | None) -> int:
        """Return the rows of an operation; of one outside of blocks, ``rows`` and ``attended`` are None."""
        if kind == "source":
            return 0 if self.decode else self.batch * self.source
        own = self.rows if rows is None else rows
        known = own if attended is None else attended
        return self.batch * {"tokens": own, "attended": known, "one": 1}[kind]

    def scores(self, mixing: Mixing, rows: int, attended: int) -> int:
        """Return the scores of one head, of all sequences."""
        looked_at = self.source if mixing.crossing else attended
        if mixing.window is not None and self.decode:
            looked_at = min(looked_at, mixing.window)
        return self.batch * rows * looked_at
