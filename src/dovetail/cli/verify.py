"""``dovetail verify``: checks a saved certificate again, from the mapping up, and repeats its search."""

from __future__ import annotations

import argparse
from pathlib import Path

from dovetail.cli import arguments
from dovetail.cli.tables import print_json
from dovetail.errors import InputError
from dovetail.hardware.reader import bundled_designs, load_architecture
from dovetail.mapper.certificate_file import read_certificate, verify
from dovetail.mapper.explain import exact_search


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("certificate", type=Path, metavar="CERTIFICATE", help="a file that `dovetail map` has written")
    parser.add_argument("--on", metavar="ARCH", help="the design, when it is not a bundled one")
    parser.add_argument("--no-search", action="store_true", help="leave out the search, check the rest")
    parser.add_argument("--time-limit", type=arguments.seconds, metavar="S", help="seconds for the search")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Check the certificate; exit code 1 when a check fails."""
    claim = read_certificate(args.certificate)
    if args.on is None and claim.design not in bundled_designs():
        raise InputError(
            f"'{claim.design}' is not a bundled design; name its file with --on",
            file=args.certificate,
            key="architecture",
        )
    architecture = load_architecture(args.on or claim.design)
    search = None if args.no_search else exact_search()
    checks = verify(claim, architecture, search=search, time_limit=args.time_limit)
    passed = all(check.passed for check in checks)
    if args.json:
        listed = [{"what": c.what, "passed": c.passed, "detail": c.detail} for c in checks]
        print_json({"passed": passed, "checks": listed})
    else:
        for check in checks:
            print(f"{'holds ' if check.passed else 'FAILS '} {check.what}: {check.detail}")
        print("the certificate holds" if passed else "the certificate does NOT hold")
    return 0 if passed else 1
