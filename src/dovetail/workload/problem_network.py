"""Timeloop problems as networks: a file is a network of one layer, a folder one of a layer per file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from dovetail.document import Scalar, read_text
from dovetail.errors import InputError
from dovetail.workload.layer_table import read_index
from dovetail.workload.network import Layer, Network, UnmappedOperation
from dovetail.workload.problem import Problem
from dovetail.workload.problem_yaml import ProblemFile, read_problem_file


def network_of_problem(read: ProblemFile, path: Path) -> Network:
    """Return the network of one layer that a problem file is."""
    return replace(_network(read.problem.name, (_bare(read.problem),), path), notes=read.notes)


def bare_network(problem: Problem, name: str = "") -> Network:
    """Return the network of one layer that a problem is."""
    return _network(name or problem.name, (_bare(problem),), "")


def read_folder(folder: Path, variables: Mapping[str, Scalar] | None = None) -> Network:
    """Read a folder of Timeloop problems, one layer per file in the order of their names.

    A file ``index.csv`` with the columns ``name,repeats``, as `dovetail layers --timeloop` writes it, says how often
    each occurs; without one, each occurs once. A file that the index names must be there. One that cannot be read is
    an operation that is not mapped, and a note says why; it does not hide the others.

    Args:
        folder: where they are.
        variables: values of names that their sizes use.

    Raises:
        InputError: with file, line and key; the first file's, when none can be read.
    """
    files = sorted(
        (file for file in folder.iterdir() if file.suffix in (".yaml", ".yml") and file.stem != "problem_base"),
        key=lambda file: [int(part) if at % 2 else part for at, part in enumerate(re.split(r"([0-9]+)", file.stem))],
    )
    if not files:
        raise InputError("the folder holds no .yaml file", file=folder)
    index = folder / "index.csv"
    repeats = read_index(read_text(index), file=index) if index.exists() else {}
    for missing in sorted(repeats.keys() - {file.stem for file in files}):
        raise InputError(f"names '{missing}', but there is no such .yaml file beside it", file=index)
    layers: list[Layer] = []
    notes: list[str] = []
    unread: dict[str, InputError] = {}
    for file in files:
        try:
            read = read_problem_file(file, variables=variables)
        except InputError as error:
            unread[file.stem] = error
        else:
            notes += read.notes
            problem = replace(read.problem, name=file.stem)
            layers.append(replace(_bare(problem), repeats=repeats.get(file.stem, 1)))
    if not layers:
        raise next(iter(unread.values()))
    unmapped = tuple(UnmappedOperation(name, None, repeats.get(name, 1)) for name in unread)
    notes = [f"not read: {error}" for error in unread.values()] + notes
    return replace(_network(folder.resolve().name, tuple(layers), folder), unmapped=unmapped, notes=_once_each(notes))


def _once_each(notes: Iterable[str]) -> tuple[str, ...]:
    """Return notes with those that say the same of several files said once."""
    places: dict[str, list[str]] = {}
    for note in notes:
        place, _, said = note.partition(": '")
        places.setdefault(said or note, []).append(place if said else "")
    return tuple(
        said if not where[0] else f"{where[0]}{f' and {len(where) - 1} more' if len(where) > 1 else ''}: '{said}"
        for said, where in places.items()
    )


def _bare(problem: Problem) -> Layer:
    batch_dimension = "N" if "N" in problem.shape.dimensions and "P" in problem.shape.dimensions else None
    return Layer(problem.name, problem, 1, "problem", (problem.name,), batch_dimension)


def _network(name: str, layers: tuple[Layer, ...], source: Path | str) -> Network:
    batches = {layer.problem.bound("N") for layer in layers if layer.batch_dimension}
    return Network(name, layers, batch=batches.pop() if len(batches) == 1 else 1, source=str(source))
