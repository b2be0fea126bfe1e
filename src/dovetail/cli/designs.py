"""The command ``designs``: lists the bundled designs, or shows one of them or a user's architecture file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from dovetail.cli.arguments import add_json, add_settings, check_settings
from dovetail.cli.notes import print_notes
from dovetail.cli.tables import print_json, print_text, table_width
from dovetail.components.estimate import estimate
from dovetail.errors import InputError
from dovetail.hardware.contents import sections_of
from dovetail.hardware.describe import describe
from dovetail.hardware.design_files import design_paths, document_of
from dovetail.hardware.reader import bundled_designs, design_file, load_architecture
from dovetail.network.plain import priced_design

#: Command lines to begin with.
EXAMPLES = (
    "designs",
    "designs eyeriss_like",
    "designs eyeriss_like --yaml > my_arch.yaml",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "design",
        nargs="*",
        metavar="DESIGN",
        help="a bundled design, or a design's files and folders; none: list the bundled ones",
    )
    parser.add_argument("--yaml", action="store_true", help="print a bundled design's file, to start your own from")
    add_settings(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """List designs, or print one."""
    if args.yaml and args.json:
        raise InputError("--yaml and --json are two forms of one answer: leave out either")
    if not args.design:
        names = bundled_designs()
        if args.json:
            print_json("designs", {"designs": [{"design": name, "summary": _summary(name)} for name in names]})
            return 0
        for name in names:
            print_text(f"{name:26} {_summary(name)}", " " * 27)
    elif args.yaml:
        for name in args.design:
            print(design_file(name).read_text(encoding="utf-8"), end="")
    else:
        architecture = load_architecture(args.design, include_folders=args.include, data=dict(args.set))
        check_settings(args)
        if args.json:
            print_json("design", priced_design(architecture, estimate(architecture)))
        else:
            print(describe(architecture, table_width()))
            _print_files([Path(word) for word in args.design if word not in bundled_designs()], args)
        print_notes(architecture.notes)
    return 0


def _print_files(paths: Sequence[Path], args: argparse.Namespace) -> None:
    """Print what each file gives to the design, where there are several or one holds more than it."""
    said = []
    for file in (file for path in paths for file in design_paths(path)):
        document = document_of(file, args.include, dict(args.set))
        said.append((str(file), "; ".join(what for _, what in sections_of(document)) or "nothing of a design"))
    if said and (len(said) > 1 or ";" in said[0][1]):
        print("\nfiles")
        for name, what in said:
            print_text(f"  {name}: {what}", "    ")


def _summary(name: str) -> str:
    """Return the first sentence of a design's header."""
    with design_file(name).open(encoding="utf-8") as stream:
        return stream.readline().lstrip("# ").split(": ", 1)[-1].strip()
