"""One step of a language model as a network: prefill of a prompt, or decoding one more token a sequence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from dovetail.errors import InputError
from dovetail.workload.language.between import RowsOf, between_of
from dovetail.workload.language.experts import Mixed, Routing
from dovetail.workload.language.model import Block, Convolution, LanguageModel, Linear, Mixing
from dovetail.workload.network import FreeOperation, Layer, Network, unique_names
from dovetail.workload.problem import Problem, convolution, matrix_product

Phase = Literal["prefill", "decode"]
PHASES: tuple[Phase, ...] = ("prefill", "decode")
#: Tokens of a prompt and positions of a cache unless said otherwise, where the model takes as many.
USUAL = 2048
#: Tokens that a decoder is given first where its text is another's, an encoder's.
FIRST_TOKENS = {"whisper": 4}


@dataclass(frozen=True)
class Asked:
    """What is asked of a step, as far as it is said.

    Attributes:
        phase: prefill or decode; None: decode where tokens are written, prefill where none are.
        tokens: of a prompt, per sequence.
        context: decode: positions that the new token attends to, itself included. Prefill: positions that are in the
            cache before the prompt.
        routing: which experts get which share.
    """

    phase: Phase | None = None
    tokens: int | None = None
    context: int | None = None
    routing: Routing | None = None


@dataclass(frozen=True)
class Step:
    """One pass through a model.

    Attributes:
        phase: prefill or decode.
        batch: sequences.
        rows: new tokens per sequence, of the part that writes text.
        attended: positions that the last of them attends to, itself included.
        source: tokens that an encoder reads per sequence.
        routing: which experts get which share.
    """

    phase: Phase
    batch: int
    rows: int
    attended: int
    source: int
    routing: Routing = field(default_factory=Routing)

    @property
    def cached(self) -> int:
        """Positions in the cache before the step."""
        return self.attended - self.rows

    def new_tokens(self, model: LanguageModel) -> int:
        """Return the tokens that go through the model, of all sequences; what an encoder reads, where nothing else."""
        return self.batch * (self.rows if model.decodes else self.source)


def step_of(model: LanguageModel, asked: Asked, batch: int = 1) -> Step:
    """Return the step that is asked for, what is not said filled in.

    Raises:
        InputError: the model cannot do that.
    """
    phase = asked.phase or ("decode" if model.decodes and asked.tokens is None else "prefill")
    if phase == "decode" and not model.decodes:
        raise InputError(f"{model.name} writes no text, so there is nothing to decode: --phase prefill")
    if phase == "decode" and asked.tokens is not None and not model.encodes:
        raise InputError("a decode step has one token per sequence: --tokens is for --phase prefill")
    usual = min(USUAL, model.most or USUAL) if model.decodes else min(512, model.most or 512)
    if not model.decodes and asked.context:
        raise InputError(f"{model.name} has no cache: leave out --context")
    source = model.length or asked.tokens or usual
    if model.length is not None and not model.decodes and asked.tokens not in (None, model.length):
        raise InputError(f"{model.name} always takes {model.length} tokens, not {asked.tokens}")
    if asked.routing not in (None, Routing()) and all(block.experts is None for block in model.blocks):
        raise InputError(f"{model.name} has no experts: leave out --expert-load and --expert-shares")
    routing = asked.routing or Routing()
    if phase == "decode":
        return Step(phase, batch, 1, asked.context or usual, source, routing)
    if model.encodes and model.decodes:
        rows = (asked.tokens if model.length else None) or FIRST_TOKENS.get(model.family, 1)
    else:
        rows = asked.tokens or (source if model.encodes else usual)
    return Step(phase, batch, rows, rows + (asked.context or 0), source, routing)


def network_of(model: LanguageModel, step: Step) -> Network:
    """Return what a step runs, equal layers of the model's blocks as one that is repeated.

    Raises:
        InputError: a size is beyond what is counted.
    """
    found = [*_before(model, step), *_blocks(model, step)]
    found += [_linear(each, step, step.rows, 1) for each in model.after]
    names = unique_names(layer.name for layer in found)
    layers = tuple(
        replace(layer, name=name, problem=replace(layer.problem, name=name))
        for name, layer in zip(names, found, strict=True)
    )
    notes = (*model.notes, *_notes(model, step))
    source = f"{model.source or model.name}; {words_of(step, model)}"
    return Network(model.name, layers, _between(model, step), batch=step.batch, source=source, notes=notes)


def _between(model: LanguageModel, step: Step) -> tuple[FreeOperation, ...]:
    rows = step.rows if model.decodes else step.source
    rows_of = RowsOf(batch=step.batch, decode=step.phase == "decode", rows=rows, source=step.source)
    return tuple(between_of(model, list(_running(model, step)), rows_of))


def words_of(step: Step, model: LanguageModel) -> str:
    """Return a step in words."""
    if step.phase == "decode":
        return f"decode of one token per sequence, which attends to {step.attended} positions"
    if not model.decodes:
        return f"one pass over {step.source} tokens per sequence"
    cached = f" behind {step.cached} in the cache" if step.cached else ""
    return f"prefill of {step.rows} tokens per sequence{cached}"


def _notes(model: LanguageModel, step: Step) -> Iterator[str]:
    if step.phase == "prefill" and model.decodes and step.rows > 1:
        head = "the head runs on the last token of each sequence only"
        attention = (
            "attention in prefill multiplies every query by every key, those that the mask hides included, as the "
            "models' own code does; "
        )
        attends = any(block.mixings for block in model.blocks)
        yield f"{model.name}: {attention if attends else ''}{head}"
    if model.most is not None and model.decodes and step.attended > model.most:
        yield f"{model.name}: made for up to {model.most} positions, fewer than are asked for"


def _before(model: LanguageModel, step: Step) -> Iterator[Layer]:
    if step.phase == "decode":
        return
    for each in model.before:
        rows = each.columns if each.columns > 1 else step.source << each.halved
        yield _convolution(each, step, rows, 1, "")


def _blocks(model: LanguageModel, step: Step) -> Iterator[Layer]:
    for block, rows, attended in _running(model, step):
        yield from _block(block, step, rows, attended)


def _running(model: LanguageModel, step: Step) -> Iterator[tuple[Block, int, int]]:
    """Yield the blocks that a step runs, each with its new tokens and the positions they attend to."""
    for block in model.blocks:
        if block.decoder:
            yield block, step.rows, step.attended
        elif step.phase == "prefill":
            yield block, step.source, step.source


def _block(block: Block, step: Step, rows: int, attended: int) -> Iterator[Layer]:
    """Yield the layers of all blocks of one kind, in the order they run."""
    before = f"{block.name}." if block.name else ""
    products, mixings = block.products, {each.name: each for each in block.mixings}
    if step.phase == "decode" and block.absorbed is not None:
        products, mixings = block.absorbed[0], {block.absorbed[1].name: block.absorbed[1]}
    for each in products:
        mixing = mixings.get(each.name.removesuffix(".out")) if each.name.endswith(".out") else None
        if mixing is not None:
            yield from _mixing(mixing, step, rows, step.source if mixing.crossing else attended, block.repeats, before)
        if each.rows == "source" and step.phase == "decode":
            continue  # made once, from what the encoder put out
        number = {"source": step.source, "attended": attended, "tokens": rows, "one": 1}[each.rows]
        if each.name == "ssm.x":  # what it reads has been through the convolution
            yield from (_convolution(one, step, rows, block.repeats, before) for one in block.convolutions)
        if each.name == "ssm.out" and block.scan is not None:
            scan = block.scan
            problem = matrix_product(C=scan.state, M=1, P=scan.channels, G=step.batch)
            yield _layer(f"{before}ssm.state", problem, "matrix product", "G", block.repeats * rows)
        yield _linear(each, step, number, block.repeats, before)
    yield from _experts(block, step, rows, before)


def _experts(block: Block, step: Step, rows: int, before: str) -> Iterator[Layer]:
    if block.experts is None:
        return
    mixed = Mixed(block.experts, rows, block.repeats, step.routing)
    for tokens, runs in mixed.loads(step.batch):
        for each in block.experts.products:
            problem = convolution(C=each.inputs, M=each.outputs, P=tokens, Q=1)
            yield replace(_layer(f"{before}{each.name}", problem, "linear", "P", runs), shares=mixed)


def _linear(each: Linear, step: Step, rows: int, repeats: int, before: str = "") -> Layer:
    rows = 1 if each.rows == "one" else rows
    problem = convolution(C=each.inputs, M=each.outputs, P=rows, Q=1, N=step.batch, G=each.groups)
    return _layer(f"{before}{each.name}", problem, "linear" if each.groups == 1 else "grouped linear", "N", repeats)


def _mixing(each: Mixing, step: Step, rows: int, attended: int, repeats: int, before: str) -> Iterator[Layer]:
    """Yield queries by keys, and what comes of that by values; heads that share keys are further rows."""
    if each.window is not None and step.phase == "decode":
        attended = min(attended, each.window)
    P, G = each.heads // each.key_heads * rows, step.batch * each.key_heads
    scores = matrix_product(C=each.size, M=attended, P=P, G=G)
    values = matrix_product(C=attended, M=each.value_size, P=P, G=G)
    yield _layer(f"{before}{each.name}.scores", scores, "matrix product", "G", repeats)
    yield _layer(f"{before}{each.name}.values", values, "matrix product", "G", repeats)


def _convolution(each: Convolution, step: Step, rows: int, repeats: int, before: str) -> Layer:
    problem = convolution(
        C=each.inputs,
        M=each.outputs,
        P=rows,
        Q=each.columns,
        R=each.kernel[0],
        S=each.kernel[1],
        N=step.batch,
        G=each.groups,
        stride=each.stride,
    )
    kind = "convolution" if each.groups == 1 else "depthwise convolution" if each.inputs == 1 else "grouped convolution"
    return _layer(f"{before}{each.name}", problem, kind, "N", repeats)


def _layer(name: str, problem: Problem, kind: str, grows: str, repeats: int) -> Layer:
    return Layer(name, problem, repeats, kind, (name,), grows)
