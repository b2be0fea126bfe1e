"""``dovetail verify``: checks a saved certificate again, from the mapping up, and repeats its search."""

from __future__ import annotations

import argparse

from dovetail.cli import arguments
from dovetail.cli.given import loaded
from dovetail.cli.notes import print_notes
from dovetail.cli.outputs import file_path
from dovetail.cli.tables import print_json
from dovetail.document import Node, parse_document, read_text
from dovetail.errors import InputError
from dovetail.family.certificate import front_claim, is_front_certificate
from dovetail.family.verify import verify_front
from dovetail.hardware.architecture import Architecture
from dovetail.hardware.reader import bundled_designs
from dovetail.mapper.certificate_file import ESTIMATED, Claim, read_certificate
from dovetail.mapper.search import SearchFunction
from dovetail.mapper.search import search as exact_search
from dovetail.mapper.verify import Check, Verdict, verify
from dovetail.network.jobs import Sampled
from dovetail.network.readings import readings_on
from dovetail.workload.problem import Problem
from dovetail.workload.problem_yaml import write_problem

#: Command lines to begin with.
EXAMPLES = (
    "verify proof.json",
    "verify proof.json --on my_arch.yaml --ert ERT.yaml",
    "verify front.json --samples 20",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "certificate", type=file_path, metavar="CERTIFICATE", help="a file of `dovetail map` or `dovetail explore`"
    )
    parser.add_argument(
        "--layer",
        metavar="LAYER",
        help="also check that the problem is this layer, as `dovetail map` takes it; what it is called is a label else",
    )
    arguments.add_model(parser)
    parser.add_argument(
        "--on", nargs="+", action="extend", metavar="DESIGN", help="the design's files, when it is not a bundled one"
    )
    arguments.add_settings(parser)
    parser.add_argument(
        "--ert", type=file_path, metavar="FILE", help="the energies per action that the search was given"
    )
    parser.add_argument(
        "--no-search", action="store_true", help="leave out the search; what it proved is not proven again then"
    )
    arguments.add_limits(parser, "seconds for the search")
    parser.add_argument(
        "--samples",
        type=_samples,
        default=8,
        metavar="N|all",
        help="of a family's front: designs on it, and as many beside it, that are mapped again (8)",
    )
    arguments.add_json(parser)


def _samples(text: str) -> int | None:
    return None if text == "all" else arguments.positive(text)


def run(args: argparse.Namespace) -> int:
    """Check the certificate; exit code 1 when anything in it is wrong, or is not proven again."""
    document = parse_document(read_text(args.certificate), file=str(args.certificate), lines=True)
    if is_front_certificate(document):
        return _run_front(document, args)
    claim = read_certificate(args.certificate)
    if args.on is None and claim.design not in bundled_designs():
        raise InputError(
            f"'{claim.design}' is not a bundled design; name its file with --on",
            file=args.certificate,
            key="architecture",
        )
    architecture, energies = arguments.load_hardware(args.on or claim.design, args)
    layer = _check_of_layer(claim, architecture, args) if args.layer else ()
    arguments.check_settings(args)
    known = args.ert is not None or claim.energies_from == ESTIMATED
    checks = layer + verify(
        claim,
        architecture,
        energies=energies if known else None,
        energies_from=ESTIMATED if args.ert is None else args.ert.name,
        search=None if args.no_search else _search(claim),
        time_limit=arguments.limit_of(args),
    )
    notes = [] if known else [f"with the energies in this certificate; --ert names their file, {claim.energies_from}"]
    _print(args, checks, notes)
    return 0 if all(check.passed for check in checks) else 1


def _run_front(document: Node, args: argparse.Namespace) -> int:
    """Check the certificate of a family's front."""
    if args.on or args.layer or args.ert:
        raise InputError("the certificate of a front holds its designs and layers: leave out --on, --layer and --ert")
    samples = 0 if args.no_search else args.samples
    checks = verify_front(front_claim(document), samples=samples, time_limit=args.time_limit)
    _print(args, checks, [])
    return 0 if all(check.passed for check in checks) else 1


def _check_of_layer(claim: Claim, architecture: Architecture, args: argparse.Namespace) -> tuple[Check, ...]:
    """Check that the certificate's problem is a layer, in any of the ways to read it on the design, and called so."""
    given, _ = loaded(args.layer, arguments.model_of(args))
    ways = [(way.problem.name, write_problem(way.problem)) for way in readings_on(given, architecture)]
    same = (claim.problem.name, claim.problem_text) in ways
    detail = given.name if same else f"{_sizes(claim.problem)}, but {args.layer} is {_sizes(given)}"
    return (Check("the problem is the layer", Verdict.HOLDS if same else Verdict.REJECTED, detail),)


def _sizes(problem: Problem) -> str:
    sizes = zip(problem.shape.dimensions, problem.bounds, strict=True)
    return f"{problem.name} ({' '.join(f'{dimension}={size}' for dimension, size in sizes)})"


def _search(claim: Claim) -> SearchFunction:
    """Return the search that found the certificate's answer."""
    samples, seed = claim.search.samples, claim.search.seed
    return exact_search if samples is None else Sampled(samples, seed)


def _print(args: argparse.Namespace, checks: tuple[Check, ...], notes: list[str]) -> None:
    verdicts = {check.verdict for check in checks}
    verdict = next((one for one in (Verdict.REJECTED, Verdict.NOT_PROVEN) if one in verdicts), Verdict.HOLDS)
    print_notes(notes)
    if args.json:
        listed = [{"what": c.what, "passed": c.passed, "verdict": str(c.verdict), "detail": c.detail} for c in checks]
        passed = verdict is Verdict.HOLDS
        print_json("verification", {"passed": passed, "verdict": str(verdict), "checks": listed, "notes": notes})
        return
    for check in checks:
        print(f"{check.verdict:16} {check.what}: {check.detail}")
    said = {
        Verdict.HOLDS: "the certificate holds" + (", with the energies in it" if notes else ""),
        Verdict.REJECTED: "rejected: the certificate does NOT hold",
        Verdict.NOT_PROVEN: "not proven again: the certificate does NOT hold",
    }
    print(said[verdict])
