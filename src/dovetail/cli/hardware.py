"""The design that a command is given: its files, the values of their variables, and its energy tables."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dovetail import inputs
from dovetail.cli.outputs import file_path
from dovetail.components.accelergy_tables import read_energy_table, require_actions
from dovetail.components.energy_table import EnergyTable
from dovetail.components.estimate import estimate
from dovetail.document import Node, Scalar, parse_document
from dovetail.document_file import read_document
from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture
from dovetail.hardware.attribute_list import ATTRIBUTES
from dovetail.hardware.reader import load_architecture

#: What ``--set`` may give a value to though no file says it: the readers look for it all the same.
_UNSAID = frozenset(("technology", "global_cycle_seconds", *(name for each in ATTRIBUTES for name in each.names)))


def add_hardware(parser: argparse.ArgumentParser, *, several: bool = False, beside_layer: bool = False) -> None:
    """Declare the architecture, or several, and the energy tables; it may stand among the words of a layer instead."""
    parser.add_argument(
        "--on",
        required=not beside_layer,
        metavar="DESIGN",
        nargs="+",
        action="extend",
        help="designs: each a bundled one's name, a file in Timeloop's form, or a folder of such files"
        if several
        else "a bundled design's name, or its files in Timeloop's form (architecture, components, constraints, "
        "variables, in any split) and folders of such",
    )
    add_settings(parser)
    parser.add_argument("--ert", type=file_path, metavar="FILE", help="energies per action, as Accelergy writes them")
    parser.add_argument(
        "--art", type=file_path, metavar="FILE", help="areas, as Accelergy writes them; goes with --ert"
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Declare what a design's files may read and the values of their variables."""
    parser.add_argument(
        "--include",
        type=file_path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="let includes also read this folder",
    )
    add_values(parser)


def add_values(parser: argparse.ArgumentParser) -> None:
    """Declare values of variables, as ``args.set``: pairs of name and value."""
    parser.add_argument(
        "--set",
        type=setting,
        action=_Settings,
        default=(),
        metavar="NAME=VALUE",
        help="the value of a variable of the files, or of a template variable",
    )


class _Settings(argparse.Action):
    """Collects values of variables, each of which may be given once."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        before = getattr(namespace, self.dest)
        if values[0] in dict(before):
            raise argparse.ArgumentError(self, f"'{values[0]}' is given twice")
        setattr(namespace, self.dest, (*before, values))


def check_settings(args: argparse.Namespace) -> None:
    """Check that every name that ``--set`` gives a value is known, once all files have been read, before the work.

    Raises:
        InputError: none of the files has the name, and it is no attribute that is read without being said.
    """
    known = inputs.names() | _UNSAID if args.set else frozenset[str]()
    for name, _ in args.set:
        if name not in known:
            near = [f", did you mean '{word}'?" for word in difflib.get_close_matches(name, known, n=1)]
            raise InputError(f"--set {name}: no file that was read has this name{''.join(near)}")


def setting(text: str) -> tuple[str, Scalar]:
    """Return a variable's name and value; for ``type=``."""
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form NAME=VALUE")
    try:
        found = parse_document(value, file=name).value
    except InputError:
        found = value
    return name, found if isinstance(found, bool | int | float) else value


def hardware_of(args: argparse.Namespace) -> tuple[Architecture, EnergyTable]:
    """Return the architecture that ``--on`` names and its energies."""
    return load_hardware(args.on, args)


def load_hardware(design: str | Sequence[str], args: argparse.Namespace) -> tuple[Architecture, EnergyTable]:
    """Return an architecture and its energies: from an ERT (and ART) where given, else estimated.

    Args:
        design: a bundled design, a file, a folder, or several of these that make one design.
        args: what `add_hardware` declares.

    Raises:
        InputError: a file is wrong, or the ERT lacks something that the architecture needs.
    """
    ert, art = args.ert, getattr(args, "art", None)
    if art is not None and ert is None:
        raise InputError("--art needs --ert: areas without energies are of no use here")
    architecture = load_architecture(design, include_folders=args.include, data=dict(args.set))
    if ert is None:
        return architecture, estimate(architecture)
    energies = read_energy_table(ert, art, architecture)
    _check_complete(energies, architecture, ert)
    return architecture, energies


def _check_complete(energies: EnergyTable, architecture: Architecture, file: Path) -> None:
    """Check that a table read from a file has every action of every level, before anything is computed."""
    try:
        require_actions(energies, architecture, file)
    except InputError as error:
        level = error.key or ""
        message = error.message if level in error.message else f"{level}: {error.message}"
        raise _place(read_document(file), level).fail(message) from None


def _place(document: Node, level: str) -> Node:
    """Return where a table speaks of a level; the whole of its tables when it does not."""
    entries = document.mapping()
    tables = (
        entries["ERT"].mapping()["tables"] if "ERT" in entries else entries["ERT_summary"].mapping()["table_summary"]
    )
    named = tables.mapping() if isinstance(tables.value, dict) else {}
    for node in () if named else tables.sequence():
        named = {**named, str(node.mapping()["name"].value): node}
    for name, node in named.items():
        if name.split(".")[-1].split("[")[0] == level:
            return node
    return tables
