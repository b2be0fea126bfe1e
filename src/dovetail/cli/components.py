"""``dovetail components``: what one action of each component costs, how large it is, and where that comes from."""

from __future__ import annotations

import argparse
from typing import Any

from dovetail.cli.arguments import add_settings, check_settings
from dovetail.cli.outputs import add_output
from dovetail.cli.tables import print_json, print_text, table_width
from dovetail.columns import folded
from dovetail.components.accelergy_tables import write_art, write_ert
from dovetail.components.compose import Share
from dovetail.components.energy_table import EnergyTable
from dovetail.components.estimate import Estimate, explain
from dovetail.components.estimator import Estimator, estimators
from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture
from dovetail.hardware.reader import load_architecture
from dovetail.text import printable

_NAME, _VALUE = 52, 12


#: Command lines to begin with.
EXAMPLES = (
    "components --on eyeriss_like",
    "components --on my_arch.yaml --ert ERT.yaml --art ART.yaml",
    "components --list",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "--on", nargs="+", action="extend", metavar="DESIGN", help="a bundled design's name, or its files and folders"
    )
    add_settings(parser)
    parser.add_argument(
        "--estimator",
        metavar="NAME",
        action="append",
        default=[],
        help="prefer this estimator wherever it serves (may be given several times)",
    )
    parser.add_argument("--list", action="store_true", help="list the estimators instead")
    add_output(parser, "--ert", "write the energies as Accelergy's ERT")
    add_output(parser, "--art", "write the areas as Accelergy's ART")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Run the command; returns 0."""
    if args.list:
        _list(estimators(), args.json)
        return 0
    if not args.on:
        raise InputError("say which design with --on DESIGN, or list the estimators with --list")
    architecture = load_architecture(args.on, include_folders=args.include, data=dict(args.set))
    check_settings(args)
    found = explain(architecture, args.estimator)
    table = EnergyTable({each.level: each.cost() for each in found})
    if args.ert:
        write_ert(table, architecture, args.ert)
    if args.art:
        write_art(table, architecture, args.art)
    if args.json:
        print_json("components", _fields(architecture, found))
    else:
        _print(architecture, found)
    return 0


def _behind(found: tuple[Estimate, ...]) -> list[Estimator]:
    """Return the estimators that gave any of the numbers."""
    names = {name for each in found for name in each.estimators}
    return [estimator for estimator in estimators() if estimator.name in names]


def _list(known: tuple[Estimator, ...] | list[Estimator], as_json: bool) -> None:
    if as_json:
        print_json("estimators", {"estimators": [_stated(estimator) for estimator in known]})
        return
    for estimator in known:
        print(f"{printable(estimator.name)}  stated accuracy {estimator.accuracy:g} %")
        print_text(f"    serves  {printable(', '.join(estimator.classes))}", " " * 12)
        print_text(f"    valid   {printable(estimator.valid)}", " " * 12)
        print_text(f"    source  {printable(estimator.source)}", " " * 12)


def _stated(estimator: Estimator) -> dict[str, Any]:
    return {
        "name": estimator.name,
        "accuracy_percent": estimator.accuracy,
        "classes": list(estimator.classes),
        "valid": estimator.valid,
        "source": estimator.source,
    }


def _fields(architecture: Architecture, found: tuple[Estimate, ...]) -> dict[str, Any]:
    return {
        "design": architecture.name,
        "area_um2": sum(each.instances * each.area.value for each in found),
        "components": [
            {
                "level": each.level,
                "class": each.component,
                "instances": each.instances,
                "energy_pJ": {action: share.value for action, share in each.actions.items()},
                "area_um2": each.area.value,
                "extrapolated": each.extrapolated,
                "provenance": {action: _tree(share) for action, share in each.actions.items()},
                "area_provenance": _tree(each.area),
            }
            for each in found
        ],
        "estimators": [_stated(estimator) for estimator in _behind(found)],
    }


def _tree(share: Share) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": share.name, "class": share.component}
    if share.action:
        fields["action"] = share.action
    fields |= {"count": share.count, "scale": share.scale, "each": share.each, "value": share.value}
    if share.parts:
        return fields | {"parts": [_tree(part) for part in share.parts]}
    return fields | {
        "estimator": share.estimator,
        "source": share.source,
        "notes": list(share.notes),
        "extrapolated": share.extrapolated,
    }


def _print(architecture: Architecture, found: tuple[Estimate, ...]) -> None:
    total = sum(each.instances * each.area.value for each in found)
    print_text(f"{architecture.name}: energy per action and area per instance; * marks what is extrapolated")
    for each in found:
        print(f"\n{each.level}  ({each.component} x {each.instances})")
        shown: dict[tuple[Share, ...] | float, str] = {}
        for action, share in each.actions.items():
            same = shown.get(share.parts) if share.parts else None
            if same is None:
                _branch(share, "pJ", action, "  ")
            else:
                _line("  " + action, share, "pJ", f"as {same}")
            shown.setdefault(share.parts, action)
        _branch(each.area, "um^2", "area", "  ")
    print(f"\n{'area of all instances':<{_NAME}}{total:>{_VALUE}.6g} um^2")
    for each in found:
        area = each.instances * each.area.value
        share_of = 100 * area / total if total else 0.0
        print(f"  {each.level:<{_NAME - 2}}{area:>{_VALUE}.6g} um^2 {share_of:5.1f} %")
    print("\nestimators")
    for estimator in _behind(found):
        stated = f"{estimator.name} (stated accuracy {estimator.accuracy:g} %): {estimator.source}"
        print_text(f"  {printable(stated)}", "    ")


def _branch(share: Share, unit: str, label: str, indent: str) -> None:
    """Print a share and below it what it is made of."""
    _line(indent + label, share, unit, _how(share))
    for part in share.parts:
        action = f".{part.action}" if part.action else ""
        _branch(part, unit, f"{part.name}  {part.component}{action}", indent + "  ")


def _how(share: Share) -> str:
    factors = [f"{factor:.6g}" for factor in (share.count, share.scale) if factor != 1]
    product = " x ".join([*factors, f"{share.each:.6g}"]) if factors else ""
    return "; ".join(text for text in (product, share.estimator, *share.notes) if text)


def _line(label: str, share: Share, unit: str, how: str) -> None:
    mark = "*" if share.extrapolated else " "
    numbers = f"{label:<{_NAME}}{share.value:>{_VALUE}.6g} {unit:<4}{mark}"
    width = table_width()
    if width is None or len(numbers) + 1 + len(how) <= width:
        print(f"{numbers} {how}".rstrip())
        return
    print(numbers.rstrip())
    indent = " " * (len(label) - len(label.lstrip()) + 4)
    for line in folded(indent + how, max(width, 40), indent):
        print(line)
