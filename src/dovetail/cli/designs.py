"""The command ``designs``: lists the bundled designs, or shows one of them or a user's architecture file."""

from __future__ import annotations

import argparse

from dovetail.cli.arguments import add_settings
from dovetail.hardware.describe import describe
from dovetail.hardware.reader import bundled_designs, design_file, load_architecture


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "design", nargs="*", help="a bundled design, or a design's files and folders; none: list the bundled ones"
    )
    parser.add_argument("--yaml", action="store_true", help="print a bundled design's file, to start your own from")
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """List designs, or print one."""
    if not args.design:
        for name in bundled_designs():
            print(f"{name:26} {_summary(name)}")
    elif args.yaml:
        for name in args.design:
            print(design_file(name).read_text(encoding="utf-8"), end="")
    else:
        print(describe(load_architecture(args.design, include_folders=args.include, data=dict(args.set))))
    return 0


def _summary(name: str) -> str:
    """Return the first sentence of a design's header."""
    with design_file(name).open(encoding="utf-8") as stream:
        return stream.readline().lstrip("# ").split(": ", 1)[-1].strip()
