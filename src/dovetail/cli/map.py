"""``dovetail map``: the best mapping of one layer on one design, with its cost and how it is known to be the best."""

from __future__ import annotations

import argparse
import functools
import sys
from dataclasses import replace

from dovetail.cli import arguments
from dovetail.cli.cost_table import limiting_levels, print_levels, print_totals
from dovetail.cli.given import given_of, layer_of
from dovetail.cli.interruption import INTERRUPTED, Gracefully, keeping
from dovetail.cli.notes import compiling_notes, print_notes
from dovetail.cli.outputs import add_output
from dovetail.cli.progress import progress
from dovetail.cli.tables import print_json, print_table, print_text
from dovetail.cli.width_tables import print_by_width
from dovetail.components.energy_table import EnergyTable
from dovetail.errors import InputError, NoMappingError
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.allowance import Limit, divided
from dovetail.mapper.certificate_file import ESTIMATED, SearchOptions, write_certificate
from dovetail.mapper.neighbours import passed_on
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import Certificate, SearchResult
from dovetail.mapping.files import write_mapping
from dovetail.mapping.notes import design_notes
from dovetail.mapping.text import loop_nest_text
from dovetail.model.sparse.prices import price_notes
from dovetail.network.bottleneck import diagnose
from dovetail.network.by_width import layer_energy_by_width
from dovetail.network.costs import MappedLayer
from dovetail.network.jobs import Job, Sampled
from dovetail.network.plain import layer_result
from dovetail.network.readings import Read, readings_on, search_readings
from dovetail.network.records import keep, kept_result
from dovetail.quantities import CYCLES, EDP, ENERGY
from dovetail.store import Store
from dovetail.table import Table
from dovetail.units import edp_J_cycle, joules, percent, whole
from dovetail.workload.network import Layer
from dovetail.workload.problem import Problem

#: Seconds, and random mappings, left for other readings of a layer once the search was interrupted.
_AT_ONCE, _FEW = 1e-3, 4096


#: Command lines to begin with.
EXAMPLES = (
    "map resnet18:layer1.0.conv1 --on eyeriss_like",
    "map layer.yaml --on my_arch.yaml --front --certificate proof.json",
    "map gemm.yaml --on tpu_like --rename K=C,N=M,M=P,B=Weights,A=Inputs,Z=Outputs",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    arguments.add_layer(parser)
    arguments.add_hardware(parser, beside_layer=True)
    arguments.add_objective(parser)
    parser.add_argument("--front", action="store_true", help="also find the Pareto front over energy and cycles")
    arguments.add_limits(parser, "seconds, then the best so far and a bound")
    arguments.add_samples(parser)
    arguments.add_odd_sizes(parser)
    add_output(parser, "--save", "write the mapping as Timeloop's mapping YAML")
    add_output(parser, "--certificate", "write what `dovetail verify` checks again")
    arguments.add_json(parser)
    parser.set_defaults(stored=False, all_kept=True, found=False, interrupted=False)


def run(args: argparse.Namespace) -> int:
    """Map the layer, print and write what was asked for.

    From the first Ctrl-C on it makes haste to the best so far and its bound; at the second the process ends.
    """
    odd = arguments.search_of(args)
    if odd is not None and not args.samples and args.certificate:
        raise InputError(
            "--certificate is for mappings whose factors divide, of the layer as it is: neither --imperfect "
            "nor --pad goes with it"
        )
    given, notes = layer_of(args)
    architecture, energies = arguments.load_hardware(given_of(args).design, args)
    arguments.check_settings(args)
    with Gracefully(compiling=False) as waiting:
        read = search_readings(
            given,
            architecture,
            lambda way, seconds: _search(args, waiting, way, architecture, energies, seconds),
            arguments.limit_of(args),
        )
        args.found, args.interrupted = True, waiting.interrupted
        keeping(kept(args))
        notes += _notes(args, read, architecture, energies, waiting.interrupted)
        print_notes(notes)
        try:
            _write(args, given, read, architecture, energies, waiting.interrupted)
        finally:  # what it found may be nowhere else
            _print(args, read, architecture, energies, notes)
    return INTERRUPTED if waiting.interrupted else 0


def kept(args: argparse.Namespace) -> str:
    """Return, in words, what is kept when it ends early, or when what it found can't be written."""
    if not args.found:
        return ""
    return "the result is in the store, the same command has it at once" if args.all_kept else "the result is printed"


def _notes(
    args: argparse.Namespace, read: Read, architecture: Architecture, energies: EnergyTable, interrupted: bool
) -> list[str]:
    notes = [f"{read.problem.name}: {read.reading.text}"] if read.reading.text else []
    notes += [*design_notes(architecture, [read.problem]), *price_notes(architecture, energies)]
    if args.stored:
        notes.append("from the store, as it was found before; DOVETAIL_CACHE=off searches again")
    if interrupted and not read.result.certificate.exact:
        notes.append("interrupted: this is the best so far, and its bound")
    elif args.time_limit and not read.result.certificate.exact and arguments.search_of(args) is None:
        by_itself = read.result.ended_by_itself
        ended = "the search came to its end without a proof" if by_itself else "the time limit ended the search"
        notes.append(
            f"{ended}: this is the best so far, and its bound; it is not kept in the store, --certificate FILE keeps it"
        )
    return [*notes, *compiling_notes()]


def _write(
    args: argparse.Namespace,
    given: Problem,
    read: Read,
    architecture: Architecture,
    energies: EnergyTable,
    interrupted: bool,
) -> None:
    if args.save:
        write_mapping(args.save, read.result.mapping, architecture, read.problem)
    if args.certificate:
        each = divided(arguments.limit_of(args), len(readings_on(given, architecture)))
        samples = read.own.certificate.states if args.samples else None  # fewer where it was interrupted
        options = SearchOptions(args.front, each, samples, args.seed if args.samples else 0, interrupted)
        origin = ESTIMATED if args.ert is None else args.ert.name
        write_certificate(args.certificate, read.own, read.problem, architecture, energies, options, origin)


def _print(
    args: argparse.Namespace, read: Read, architecture: Architecture, energies: EnergyTable, notes: list[str]
) -> None:
    problem, result = read.problem, read.result
    if args.json:
        mapped = MappedLayer(Layer(problem.name, problem, reading=read.reading.text), result)
        with Store.open() as store:
            told = None if args.interrupted else diagnose(mapped, architecture, energies, store)
        fields = layer_result(mapped, told, architecture, energies)
        print_json("layer", {**fields, "notes": notes})
    else:
        print(f"{problem.name} on {architecture.name}, best {args.objective}\n")
        print_totals(result.cost, architecture)
        if problem.bits_text:
            print(f"{'bits':12} {problem.bits_text}")
        if limits := limiting_levels(result.cost):
            print(f"{'limited by':12} the bandwidth of {', '.join(limits)}")
        print()
        _print_certificate(result.certificate, result.objective)
        if passed := passed_on(result.mapping, result.cost, problem, architecture, energies):
            print_text(passed.said(result.cost, result.certificate.exact), "  ")
        if args.front:
            _print_front(result)
        print()
        print_levels(result.cost)
        print_by_width(problem.name, layer_energy_by_width(result.cost, problem, architecture))
        print(loop_nest_text(result.mapping, architecture, problem), end="")
    sys.stdout.flush()  # while a Ctrl-C still waits for it


def _search(
    args: argparse.Namespace,
    waiting: Gracefully,
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    time_limit: Limit,
) -> SearchResult:
    """Search as was asked for; a Ctrl-C ends that with the best so far and its bound."""
    given = (problem, architecture, energies, args.objective)
    seconds = _AT_ONCE if waiting.interrupted else time_limit
    other = arguments.search_of(args)
    args.all_kept &= other is None
    if isinstance(other, Sampled):
        if waiting.interrupted:
            other = replace(other, samples=min(args.samples, _FEW))
        with waiting.raising():
            return other(*given, front=args.front, time_limit=time_limit)
    if other is not None:
        with progress() as report, waiting.raising():
            return other(*given, front=args.front, time_limit=seconds, progress=functools.partial(report, 0, 1))
    try:
        return _exact(args, waiting, problem, architecture, energies, seconds)
    except NoMappingError as error:
        from dovetail.mapper.imperfect.first import exists_imperfect  # compiles, too

        with waiting.raising():
            exists = exists_imperfect(problem, architecture, energies)
        if exists:
            message = f"{error}; there is one with factors that do not divide: --imperfect"
            raise NoMappingError(message) from None
        raise


def _exact(
    args: argparse.Namespace,
    waiting: Gracefully,
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    seconds: Limit,
) -> SearchResult:
    """Return the stored result of the exact search, or search and keep what is worth keeping."""
    job = Job(problem, architecture, energies, args.objective, args.front, seconds)
    with Store.open() as store, progress() as report:
        known = kept_result(store, job)
        if known is not None:
            args.stored = True
            return known
        with waiting.raising():
            result = job.run(functools.partial(report, 0, 1))
        keep(store, job, result)
        args.all_kept &= kept_result(store, job) is not None
        return result


def _print_certificate(certificate: Certificate, objective: Objective) -> None:
    size = f"{certificate.mapspace_size:.4g} " if certificate.mapspace_size else ""
    if certificate.exact:
        print_text(f"optimal: nothing better exists among {size}{certificate.space} ({certificate.method})", "  ")
        if not certificate.tie_proven:
            other = "fewer cycles" if objective is Objective.ENERGY else "less energy"
            print_text(f"not proven: that of all mappings as good as it none takes {other}", "  ")
    else:
        print_text(
            f"not proven optimal ({certificate.method}): at most {percent(certificate.gap)} above the optimum, "
            f"of {certificate.space}",
            "  ",
        )
    pruned = (certificate.pruned_by_bound, certificate.pruned_by_dominance, certificate.pruned_by_capacity)
    by = ("bound", "dominance", "capacity")
    dropped = ", ".join(f"{whole(count)} by {name}" for count, name in zip(pruned, by, strict=True))
    states = whole(certificate.states)
    print_text(f"examined {states} partial mappings in {certificate.seconds:.2f} s; dropped {dropped}", "  ")
    print_text(
        f"no mapping takes fewer than {whole(certificate.compute_bound_cycles)} cycles "
        f"or less than {joules(certificate.compulsory_pJ)}",
        "  ",
    )
    for reason in certificate.binding:
        print_text(reason, "  ")


def _print_front(result: SearchResult) -> None:
    rows = tuple((p.energy_pJ, p.cycles, edp_J_cycle(p.energy_pJ, p.cycles)) for p in result.front)
    print()
    print_table("Pareto front", Table((ENERGY, CYCLES, EDP), rows))
