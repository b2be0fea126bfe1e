"""What a command is given: a layer by name and a design with `--on`, or files sorted by what they hold."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dovetail.cli.arguments import model_of, variables_of
from dovetail.document import Scalar
from dovetail.errors import InputError
from dovetail.hardware.contents import sections_of
from dovetail.hardware.design_files import SUFFIXES, design_paths, document_of
from dovetail.hardware.reader import bundled_designs
from dovetail.workload.loading import load_layer
from dovetail.workload.problem import Problem
from dovetail.workload.roles import made_room, renamed


@dataclass(frozen=True)
class Given:
    """What the words of a command stand for.

    Attributes:
        layer: as `load_layer` takes it; empty where none is given.
        design: as `load_architecture` takes it; empty where none is given.
        mapping: the file that has the mapping, where one of the files has.
    """

    layer: str
    design: tuple[str, ...]
    mapping: str = ""


def given_of(args: argparse.Namespace) -> Given:
    """Return what a command is given: one layer and `--on`, or files of which each is what its sections say.

    Raises:
        InputError: a file can't be read; there is no layer, no design, or more than one layer.
    """
    words: Sequence[str] = args.layer
    if args.on and len(words) == 1:
        return Given(words[0], tuple(args.on))
    found = _sorted(words, args)
    if args.on and found.design:
        raise InputError(f"the design is given twice: {found.design[0]} and --on {args.on[0]}")
    found = Given(found.layer, tuple(args.on) if args.on else found.design, found.mapping)
    if not found.layer:
        raise InputError("no layer is given: a file with 'problem', or NETWORK:LAYER, such as resnet18:5")
    if not found.design:
        raise InputError("no design is given: --on DESIGN, or a file with 'architecture' beside the layer")
    return found


def layer_of(args: argparse.Namespace) -> tuple[Problem, list[str]]:
    """Return the layer that a command is given, and what a person should know of its new names.

    A problem file's sizes may use the variables of the design.
    """
    given, model = given_of(args), model_of(args)
    if Path(given.layer).suffix in SUFFIXES:
        model["variables"] = variables_of(args, given.design)
    return loaded(given.layer, model)


def loaded(layer: str, model: Mapping[str, Any]) -> tuple[Problem, list[str]]:
    """Return a layer, and what a person should know of its new names.

    Args:
        layer: as `load_layer` takes it.
        model: what else `load_layer` takes.
    """
    problem, names = load_layer(layer, **{**model, "rename": None}), model["rename"]
    if not names:
        return problem, []
    return renamed(problem, names), [f"{problem.name}: {words}" for words in made_room(problem, names)]


def _sorted(words: Sequence[str], args: argparse.Namespace) -> Given:
    layers: list[str] = []
    mappings: list[str] = []
    design: list[str] = []
    for word in words:
        if word.startswith("--"):
            raise InputError(f"{word} stands behind '--', where all words are files: give options before it")
        if word in bundled_designs():
            design.append(word)
        elif not Path(word).is_dir() and Path(word).suffix not in SUFFIXES:
            layers.append(word)
        else:
            for file in map(str, design_paths(Path(word))):
                kinds = _kinds(file, args.include, dict(args.set))
                layers += [file] if "layer" in kinds else []
                mappings += [file] if "mapping" in kinds else []
                design += [file] if "design" in kinds else []
    for what, several in (("layer", layers), ("mapping", mappings)):
        if len(several) > 1:
            raise InputError(f"more than one {what} is given: {several[0]} and {several[1]}")
    return Given(layers[0] if layers else "", tuple(design), mappings[0] if mappings else "")


def _kinds(file: str, include: Sequence[Path], values: Mapping[str, Scalar]) -> set[str]:
    """Return what a file gives: ``layer``, ``mapping``, ``design``, several of these."""
    document = document_of(Path(file), include, values)
    kinds = {kind for kind, _ in sections_of(document)}
    if not kinds:
        raise document.fail("holds no problem, no architecture and nothing that goes with them")
    return kinds
