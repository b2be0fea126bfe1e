"""Timeloop problems as networks: a file is a network of one layer, a folder one of a layer per file."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from dovetail.document import read_text
from dovetail.errors import InputError
from dovetail.workload.layer_table import read_index
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import Problem
from dovetail.workload.problem_yaml import read_problem


def network_of_problem(problem: Problem, path: Path) -> Network:
    """Return the network of one layer that a problem file is."""
    return _network(problem.name, (_bare(problem),), path)


def read_folder(folder: Path) -> Network:
    """Read a folder of Timeloop problems, one layer per file in the order of their names.

    A file ``index.csv`` with the columns ``name,repeats``, as `dovetail layers --timeloop` writes it, says how often
    each occurs; without one, each occurs once. A file that the index names must be there.

    Raises:
        InputError: with file, line and key.
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
    layers = []
    for file in files:
        problem = replace(read_problem(file), name=file.stem)
        layers.append(replace(_bare(problem), repeats=repeats.get(file.stem, 1)))
    return _network(folder.resolve().name, tuple(layers), folder)


def _bare(problem: Problem) -> Layer:
    batch_dimension = "N" if "N" in problem.shape.dimensions and "P" in problem.shape.dimensions else None
    return Layer(problem.name, problem, 1, "problem", (problem.name,), batch_dimension)


def _network(name: str, layers: tuple[Layer, ...], path: Path) -> Network:
    batches = {layer.problem.bound("N") for layer in layers if layer.batch_dimension}
    return Network(name, layers, batch=batches.pop() if len(batches) == 1 else 1, source=str(path))
