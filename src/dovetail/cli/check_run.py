"""``dovetail check-run``: what a run of Timeloop counted beside what is counted here, for the same mapping."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from dovetail.cli import arguments
from dovetail.cli.notes import print_notes
from dovetail.cli.outputs import file_path
from dovetail.cli.tables import print_json, print_table
from dovetail.errors import DovetailError, InputError
from dovetail.runs.agreement import Agreement, Change, agreement
from dovetail.runs.folder import Run, read_run, runs_below
from dovetail.table import Table, headed

#: Command lines to begin with.
EXAMPLES = (
    "check-run output",
    "check-run output arch/eyeriss_like.yaml prob/layer5.yaml",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "folder",
        type=file_path,
        metavar="FOLDER",
        help="a run's output (stats.txt, map.txt, ERT, ...), or many in folders",
    )
    parser.add_argument(
        "files",
        type=file_path,
        nargs="*",
        metavar="FILE",
        help="what was put in, if not in the folder: design, problem",
    )
    arguments.add_settings(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Compare; exit code 1 when a number differs that no change of the reference explains."""
    if not args.folder.exists():
        raise InputError("there is no such folder", file=args.folder)
    found = runs_below(args.folder)
    if not found:
        raise InputError("holds no run: a file whose name ends in stats.txt", file=args.folder)
    if len(found) > 1:
        return _many(found, args)
    one = read_run(found[0], args.files, args.include, dict(args.set))
    arguments.check_settings(args)
    result = agreement(one)
    print_notes([*one.notes, *one.architecture.notes])
    if args.json:
        print_json("run_check", _fields(one, result))
    else:
        _print(one, result)
    return int(result.verdict == "different")


def _print(one: Run, result: Agreement) -> None:
    energies = "" if one.energies else "; no ERT lies beside it, so no energies"
    print(f"{one.problem.name} on {one.architecture.name}: {result.verdict}")
    print(
        f"{result.compared} numbers compared{energies}; {one.stats.cycles:,} cycles there, {result.cost.cycles:,} here"
    )
    for change in result.changes:
        print(f"  {change.said}")
    if result.differences:
        print()
        print_table("what differs", result.table())


def _many(found: list[Path], args: argparse.Namespace) -> int:
    """Compare many runs, a line each; one that can't be read is named and does not hide the others."""
    verdicts: Counter[str] = Counter()
    rows: list[tuple[str, str, str]] = []
    fields: list[dict[str, Any]] = []
    changes: set[Change] = set()
    for path in found:
        name = str(path.relative_to(args.folder))
        try:
            one = read_run(path, args.files, args.include, dict(args.set))
            result = agreement(one)
        except DovetailError as error:
            verdict, said = "not compared", str(error)
            fields.append({"run": name, "verdict": verdict, "reason": said})
        else:
            verdict, said = result.verdict, ", ".join(change.short for change in result.changes)
            changes.update(result.changes)
            if result.differences:
                first = result.differences[0]
                place = " ".join(filter(None, (first.place, first.tensor, first.what)))
                said = f"{len(result.differences)} of {result.compared}: {place} {first.theirs:g}, here {first.ours:g}"
            fields.append({"run": name, **_fields(one, result)})
        verdicts[verdict] += 1
        rows.append((name, verdict, said))
    if args.json:
        print_json("run_checks", {"runs": fields, "verdicts": dict(verdicts)})
    else:
        print_table("runs", Table(headed("run", "verdict", "why"), tuple(rows)))
        for change in sorted(changes):
            print(f"{change.short}: {change.said}")
        print(", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common()))
    if len(found) == verdicts["not compared"]:
        raise InputError(f"none of its {len(found)} runs can be compared", file=args.folder)
    return int(verdicts["different"] > 0)


def _fields(one: Run, result: Agreement) -> dict[str, Any]:
    return {
        "layer": one.problem.name,
        "design": one.architecture.name,
        "verdict": result.verdict,
        "compared": result.compared,
        "reference_changes": [str(change) for change in result.changes],
        "cycles": {"theirs": one.stats.cycles, "ours": result.cost.cycles},
        "differences": [
            {
                "level": each.place,
                "tensor": each.tensor,
                "count": each.what,
                "theirs": each.theirs,
                "ours": each.ours,
            }
            for each in result.differences
        ],
        "notes": list(one.notes),
    }
