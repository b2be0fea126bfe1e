"""``dovetail verify``: checks a saved certificate again, from the mapping up, and repeats its search."""

from __future__ import annotations

import argparse
from pathlib import Path

from dovetail.cli import arguments
from dovetail.cli.notes import print_notes
from dovetail.cli.tables import print_json
from dovetail.errors import InputError
from dovetail.hardware.reader import bundled_designs
from dovetail.mapper.certificate_file import ESTIMATED, Claim, read_certificate
from dovetail.mapper.search import SearchFunction
from dovetail.mapper.search import search as exact_search
from dovetail.mapper.verify import Check, Verdict, verify
from dovetail.network.jobs import Sampled

#: Command lines to begin with.
EXAMPLES = (
    "verify proof.json",
    "verify proof.json --on my_arch.yaml --ert ERT.yaml",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("certificate", type=Path, metavar="CERTIFICATE", help="a file that `dovetail map` has written")
    parser.add_argument(
        "--on", nargs="+", action="extend", metavar="DESIGN", help="the design's files, when it is not a bundled one"
    )
    arguments.add_settings(parser)
    parser.add_argument("--ert", type=Path, metavar="FILE", help="the energies per action that the search was given")
    parser.add_argument(
        "--no-search", action="store_true", help="leave out the search; what it proved is not proven again then"
    )
    parser.add_argument("--time-limit", type=arguments.seconds, metavar="S", help="seconds for the search")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Check the certificate; exit code 1 when anything in it is wrong, or is not proven again."""
    claim = read_certificate(args.certificate)
    if args.on is None and claim.design not in bundled_designs():
        raise InputError(
            f"'{claim.design}' is not a bundled design; name its file with --on",
            file=args.certificate,
            key="architecture",
        )
    architecture, energies = arguments.load_hardware(args.on or claim.design, args)
    known = args.ert is not None or claim.energies_from == ESTIMATED
    checks = verify(
        claim,
        architecture,
        energies=energies if known else None,
        energies_from=ESTIMATED if args.ert is None else args.ert.name,
        search=None if args.no_search else _search(claim),
        time_limit=args.time_limit,
    )
    notes = [] if known else [f"with the energies in this certificate; --ert names their file, {claim.energies_from}"]
    _print(args, checks, notes)
    return 0 if all(check.passed for check in checks) else 1


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
        print_json({"passed": passed, "verdict": str(verdict), "checks": listed, "notes": notes})
        return
    for check in checks:
        print(f"{check.verdict:16} {check.what}: {check.detail}")
    said = {
        Verdict.HOLDS: "the certificate holds" + (", with the energies in it" if notes else ""),
        Verdict.REJECTED: "rejected: the certificate does NOT hold",
        Verdict.NOT_PROVEN: "not proven again: the certificate does NOT hold",
    }
    print(said[verdict])
