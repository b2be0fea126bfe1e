"""``dovetail tokens``: what a language model's token costs on a design, over phases, batches and contexts."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from dovetail.cli import arguments
from dovetail.cli.between import vector_unit_text
from dovetail.cli.network_progress import network_progress
from dovetail.cli.notes import compiling_notes, limited_of, print_notes
from dovetail.cli.outputs import add_output
from dovetail.cli.tables import print_json, print_table, print_text
from dovetail.errors import InputError, did_you_mean
from dovetail.files import write_text
from dovetail.network.sweep import parse_sizes
from dovetail.quantities import energy_alike
from dovetail.store import Store
from dovetail.table import Cell, Column, Table
from dovetail.tokens.point import Point, fits
from dovetail.tokens.resident import Resident, parse_residents
from dovetail.tokens.study import Counting, Questions, Searching, TokenStudy, reads_source, study_tokens
from dovetail.units import four_digits, joules, percent, whole
from dovetail.workload.language.layers import PHASES, Phase
from dovetail.workload.language.model import LanguageModel
from dovetail.workload.language.reader import bundled_models
from dovetail.workload.loading import language_model

#: What is kept when it ends early.
kept = arguments.kept_in_store

#: Command lines to begin with.
EXAMPLES = (
    "tokens llama3-8b --on tpu_like",
    "tokens llama3-8b --on tpu_like --batch 1,8,64 --context 1024:131072",
    "tokens llama3-8b --on tpu_like --bits weights=4+16/128,inputs=8,outputs=8,cache=8",
    "tokens config.json --on eyeriss_like --phase prefill --tokens 512 --json",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "model",
        metavar="LANGUAGE_MODEL",
        help="a bundled language model (`dovetail layers --list`), or a config.json as Hugging Face writes it",
    )
    arguments.add_hardware(parser)
    parser.add_argument(
        "--phase", choices=PHASES, help="only prompts, or only decode steps (both, or those whose length is given)"
    )
    parser.add_argument("--batch", type=lengths, default=[1], metavar="N,...", help="sequences at once (1)")
    parser.add_argument(
        "--tokens",
        type=lengths,
        default=[],
        metavar="LENGTHS",
        help="tokens of prompts, or of what an encoder reads (2048)",
    )
    parser.add_argument(
        "--context",
        type=lengths,
        default=[],
        metavar="LENGTHS",
        help="positions that a decode step attends to (2048): 1024,4096 or 1024:131072 (doubling) or 1024:8192:1024",
    )
    arguments.add_bits(
        parser,
        "bits of values, as weights=4+16/128,inputs=8,outputs=8,cache=8, or 8 for all; cache: keys and values, "
        "which weights do not speak of; LAYER:weights=8 for some layers, or a CSV or YAML file of layers and their "
        "bits; may be repeated, the last one stands (the design's words)",
    )
    arguments.add_expert_load(parser)
    arguments.add_objective(parser)
    arguments.add_between(parser)
    parser.add_argument(
        "--resident",
        type=_residents,
        action="extend",
        default=[],
        metavar="WHAT@LEVEL,...",
        help="what stays on chip between layers and steps as far as it fits: weights, cache or activations, each with "
        "the level that holds it (all is read from the outermost level)",
    )
    parser.add_argument(
        "--fused-attention",
        metavar="LEVEL",
        help="also map attention's two products as one nest, whose scores never leave this memory, and show it beside "
        "the two one after the other",
    )
    arguments.add_limits(parser, "seconds per layer (until proven)")
    arguments.add_samples(parser)
    arguments.add_odd_sizes(parser)
    arguments.add_workers(parser)
    add_output(parser, "--csv", "write one row per point, numbers in full")
    arguments.add_json(parser)


def _residents(text: str) -> list[Resident]:
    try:
        return parse_residents(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(error.message) from None


def lengths(text: str) -> list[int]:
    """Read lengths: ``1024``, ``1,8,64``, ``1024:8192`` (doubling, the last one included) or ``1024:8192:1024``."""
    found: list[int] = []
    for part in text.split(","):
        ends = part.split(":")
        try:
            if len(ends) != 2:
                found += parse_sizes(part)
                continue
            (first,), (last,) = parse_sizes(ends[0]), parse_sizes(ends[1])
        except InputError as error:
            raise argparse.ArgumentTypeError(error.message) from None
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{part}' is no range of lengths") from None
        if last < first:
            raise argparse.ArgumentTypeError(f"'{part}': lengths run upwards")
        while first < last:
            found.append(first)
            first *= 2
        found.append(last)
    return sorted(set(found))


def run(args: argparse.Namespace) -> int:
    """Map every point, print and write what was asked for."""
    model = _model(args.model)
    architecture, energies = arguments.hardware_of(args)
    arguments.check_settings(args)
    limit = arguments.limit_of(args)
    with network_progress() as progress, Store.open() as store:
        study = study_tokens(
            model,
            architecture,
            energies,
            Questions(_phases(model, args), args.batch, args.tokens, args.context, arguments.routing_of(args)),
            bits=args.bits,
            counting=Counting(args.between, args.resident, args.fused_attention),
            searching=Searching(args.objective, limit, arguments.search_of(args)),
            store=store,
            workers=args.workers,
            progress=progress,
        )
    limited = [] if arguments.search_of(args) else limited_of((point.cost for point in study.points), limit)
    print_notes([*study.notes, *limited, *compiling_notes()])
    if args.csv:
        write_text(args.csv, _table(study.points).csv())
    if args.json:
        print_json("tokens", study.to_json())
        return 0
    _print(study)
    return 0


def _model(word: str) -> LanguageModel:
    model = language_model(word)
    if model is None:
        raise InputError(
            f"'{word}' is no language model: give a bundled one's name, a config.json, or its folder"
            f"{did_you_mean(word, bundled_models())}"
        )
    return model


def _phases(model: LanguageModel, args: argparse.Namespace) -> Sequence[Phase]:
    """Return the phases that are asked for, or whose lengths are given; both where nothing tells."""
    if args.phase:
        other, given = ("--context", args.context) if args.phase == "prefill" else ("--tokens", args.tokens)
        if given and not (args.phase == "decode" and reads_source(model)):
            raise InputError(f"{other} is for the other phase, and --phase {args.phase} leaves that out")
        return (args.phase,)
    if not model.decodes:
        return ("prefill",)
    named = tuple(phase for phase, given in zip(PHASES, (args.tokens, args.context), strict=True) if given)
    return named or PHASES


def _print(study: TokenStudy) -> None:
    model, architecture = study.model, study.architecture
    print_table(f"{model.name} on {architecture.name}, best {study.objective}", _table(study.points))
    first = study.points[0]
    active = (
        f", {whole(model.active_parameters)} of them used by a token"
        if model.active_parameters < model.parameters
        else ""
    )
    print_text(f"{whole(model.parameters)} parameters{active}")
    largest = max(study.points, key=lambda point: point.cache_bytes)
    held = fits(architecture, first.weights, "weights")
    each = f", {four_digits(first.bits_per_weight)} bits each"
    print_text(f"weights: {first.weights_bytes / 1e6:,.4g} MB{each}, held by {held}", "  ")
    if largest.bits_per_cached:
        size, each = largest.cache_bytes, f", {four_digits(largest.bits_per_cached)} bits a value"
        held = fits(architecture, largest.cache, "cache")
        print_text(f"the largest cache: {size / 1e6:,.4g} MB{each}, held by {held}", "  ")
    rest = "every layer" if first.plan is None else "apart from that every layer"
    for text in first.plan.texts if first.plan is not None else ():
        print_text(f"{text}{' (of the first point)' if len(study.points) > 1 else ''}", "  ")
    print_text(
        f"{rest} reads its weights, its inputs and the cache from {architecture.levels[0].name}, and writes its "
        "outputs there, once a step whatever the batch",
        "  ",
    )
    if first.cost.between is not None:
        print_text(vector_unit_text(first.cost.between), "  ")
    for text in _fused_texts(study):
        print_text(text, "  ")
    for text in (*study.straight, *(bend.text for bend in study.bends)):
        print_text(text, "  ")
    if not all(point.exact for point in study.points):
        print_text("* not proven to be the optimum")


def _fused_texts(study: TokenStudy) -> Iterator[str]:
    """Yield how attention is fused, and what that changes, per point and kind of attention; equal texts once."""
    for point in study.points:
        fields = point.to_json().get("fused")
        if fields is None:
            continue
        step, before = point.step, point.unfused
        of = f"{step.phase}, batch {step.batch}, {whole(point.length)}: " if len(study.points) > 1 else ""
        assert before is not None
        for each, one in zip(point.fused, fields["attention"], strict=True):
            blocks, count = each.blocks, each.blocks.count(each.attention)
            several = "one block" if count == 1 else f"{whole(count)} blocks"
            yield (
                f"{of}{each.attention.name} fused in {each.level}: {joules(one['unfused_energy_J_per_token'] * 1e12)} "
                f"a token becomes {joules(one['energy_J_per_token'] * 1e12)}, "
                f"{four_digits(one['unfused_ms_per_step'])} ms a step {four_digits(one['ms_per_step'])}; in "
                f"{several} of {whole(blocks.groups)} x {whole(blocks.queries)} "
                f"queries x {whole(blocks.keys)} keys, {each.known}"
            )


def _table(points: Sequence[Point]) -> Table:
    parts = list(dict.fromkeys(part for point in points for part in point.parts))
    sources = len({point.source_tokens for point in points}) > 1
    apart = [point.unfused.energy_pJ / point.tokens for point in points if point.unfused is not None]
    energy = energy_alike([*(point.energy_J_per_token * 1e12 for point in points), *apart])
    columns = (
        Column("phase", words=True),
        Column("batch", show=whole),
        *([Column("source", show=whole)] if sources else []),
        Column("length", show=whole),
        Column("energy a token", energy.unit, key="energy_pJ_per_token", show=energy.show),
        *([Column("unfused", energy.unit, key="unfused_energy_pJ_per_token", show=energy.show)] if apart else []),
        Column("ms|a step", key="ms_per_step", show=four_digits),
        *([Column("unfused|ms", key="unfused_ms_per_step", show=four_digits)] if apart else []),
        Column("tokens|a second", key="tokens_per_second", show=four_digits),
        Column("util.", key="utilization", show=percent, spare=1),
        *(Column(part, key=f"share_{part}", show=percent, spare=2) for part in parts),
    )
    return Table(columns, tuple(_row(point, parts, sources) for point in points))


def _row(point: Point, parts: Sequence[str], sources: bool) -> tuple[Cell, ...]:
    return (
        point.step.phase + ("" if point.exact else " *"),
        point.step.batch,
        *([point.source_tokens] if sources else []),
        point.length,
        point.energy_J_per_token * 1e12,
        *([] if point.unfused is None else [point.unfused.energy_pJ / point.tokens]),
        point.ms,
        *([] if point.unfused is None else [point.unfused.seconds * 1e3]),
        point.tokens_per_second,
        point.cost.utilization,
        *(point.parts.get(part, 0.0) / point.energy_J_per_token for part in parts),
    )
