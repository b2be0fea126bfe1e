"""Reads and writes problems in Timeloop's YAML form: ``problem: {shape: {...}, instance: {...}}``.

What the form has and we don't model is refused by name (``flatten``) or reported in the notes (``histograms``); a key
that neither the form nor the field's collections of layers have is an error, where the reference would ignore it and
compute something else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from dovetail.document import Node, Scalar
from dovetail.document_file import read_document
from dovetail.errors import InputError, did_you_mean
from dovetail.expression import evaluate_all
from dovetail.workload.density_yaml import COMMON, DENSITIES, densities_of, densities_yaml
from dovetail.workload.problem import MOST_ITERATIONS, Problem, Shape, Tensor, Term, check_name
from dovetail.workload.roles import renamed
from dovetail.workload.widths import SUMS, parse_width

VERSIONS = ("0.2", "0.3", "0.4")
_SHAPE_KEYS = ("name", "dimensions", "coefficients", "data_spaces", "flatten")
_TENSOR_KEYS = ("name", "projection", "read_write", "ranks")

#: Keys that say nothing about the loops -> why they are passed over.
_PASSED_OVER = {
    "H": "the input's height follows from the output's",
    "W": "the input's width follows from the output's",
    **dict.fromkeys(("Hpad", "Wpad", "Hpadding", "Wpadding"), "padding never enters the output form"),
    "histograms": "no energy here depends on the values of data",
}
#: Keys that say how wide values are, tensor by tensor and of all; those of the fork of Timeloop that knows widths.
_WIDTHS = ("bitwidths", "datawidths", "wordwidths")
_COMMON_WIDTH = ("commonBitwidth", "common_bitwidth", "commonDatawidth", "commonWordwidth")
#: Keys of collections of layers that only tell where a layer comes from; nothing need be said of them.
_METADATA = ("name", "dnn_name", "layer_name", "notes")


def _built_in(name: str, dimensions: str, tensors: Mapping[str, str], coefficients: Sequence[str] = ()) -> Shape:
    """Build a shape from tensors such as ``"N C R*Wdilation+P*Wstride"``, the last one written."""
    made = [
        Tensor(
            tensor,
            tuple(tuple(Term(*term.split("*")) for term in axis.split("+")) for axis in axes.split()),
            is_output=tensor == list(tensors)[-1],
        )
        for tensor, axes in tensors.items()
    ]
    return Shape(name, tuple(dimensions), tuple(made), tuple(coefficients))


_CNN = _built_in(
    "CNN_Layer",
    "RSPQCKN",
    {"Weights": "C K R S", "Inputs": "N C R*Wdilation+P*Wstride S*Hdilation+Q*Hstride", "Outputs": "N K Q P"},
    ("Wstride", "Hstride", "Wdilation", "Hdilation"),
)
_GEMM = _built_in("gemm_ABZ", "MNK", {"A": "M K", "B": "N K", "Z": "M N"})
_DEPTHWISE = _built_in(
    "dw_cnn_layer",
    "RSPQCN",
    {"Weights": "C R S", "Inputs": "N C R*Wdilation+P*Wstride S*Hdilation+Q*Hstride", "Outputs": "N C Q P"},
    ("Wstride", "Hstride", "Wdilation", "Hdilation"),
)

#: Shapes that a problem may name instead of defining, ``-`` in the name read as ``_``: those of Timeloop's folder
#: ``problem-shapes``, and the depthwise convolution that DOSA's collection puts there.
BUILT_IN_SHAPES: dict[str, Shape] = {"cnn_layer": _CNN, "gemm_ABZ": _GEMM, "dw_cnn_layer": _DEPTHWISE}


@dataclass(frozen=True)
class ProblemFile:
    """A problem as read, and what its file says that our model passes over, one sentence each."""

    problem: Problem
    notes: tuple[str, ...] = ()


def read_problem(path: Path | str, *, include_folders: Sequence[Path] = ()) -> Problem:
    """Read a problem from Timeloop YAML; see `read_problem_file`, which also returns notes."""
    return read_problem_file(path, include_folders=include_folders).problem


def read_problem_file(
    path: Path | str, *, include_folders: Sequence[Path] = (), variables: Mapping[str, Scalar] | None = None
) -> ProblemFile:
    """Read a problem from Timeloop YAML (v0.2 to v0.4), anchors, merges and includes resolved.

    Args:
        path: the file. Beside its own folder it may include from the folder above when that holds a
            ``problem_base.yaml``, as the field's layer collections are laid out.
        include_folders: further folders that it may include from.
        variables: values of names that its sizes use; they stand above the file's own ``variables``.

    Raises:
        InputError: with file, line and key, and what would be right.
    """
    path = Path(path)
    document = read_document(path, include_folders=problem_folders(path, include_folders), data=variables)
    return problem_of_document(document, path.stem, variables)


def problem_folders(path: Path, include_folders: Sequence[Path] = ()) -> list[Path]:
    """Return the folders that a problem file may include from beside its own."""
    above = path.resolve().parent.parent
    return [*include_folders, *([above] if (above / "problem_base.yaml").is_file() else [])]


def problem_of_document(document: Node, name: str, variables: Mapping[str, Scalar] | None = None) -> ProblemFile:
    """Read the problem from a document that may hold other sections too.

    Args:
        document: a mapping with the key ``problem``; its sizes may use the document's ``variables``.
        name: the problem's name unless its instance gives one.
        variables: values that stand above the document's variables.
    """
    sections = document.mapping()
    if "problem" not in sections:
        raise document.fail("the key 'problem' is missing")
    return problem_of_node(sections["problem"], name, _Names(sections.get("variables"), variables or {}))


@dataclass(frozen=True)
class _Names:
    """What a problem's sizes may name: the document's variables, computed when they are needed, and given values."""

    own: Node | None = None
    given: Mapping[str, Scalar] = field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        if self.own is None or self.own.value is None:
            return dict(self.given)
        entries = {name: node for name, node in self.own.mapping().items() if name not in ("version", *self.given)}
        return {**evaluate_all(entries, self.given), **self.given}


def problem_of_node(node: Node, name: str, names: _Names | None = None) -> ProblemFile:
    """Read a problem from the value under ``problem``; ``names`` are what its sizes may use."""
    if isinstance(node.value, list):
        raise node.fail("several operations in one problem are a fused one; give each a file of its own")
    entries = _underscored(node)
    if "version" in entries and str(entries["version"].value) not in VERSIONS:
        raise entries["version"].fail(f"version {entries['version'].value} is not read; known: {', '.join(VERSIONS)}")
    shape, defaults = _shape(entries["shape"]) if "shape" in entries else (_CNN, {})
    beside_sizes = (*_PASSED_OVER, *DENSITIES, *COMMON, *_WIDTHS, *_COMMON_WIDTH)
    beside = {key: value for key, value in entries.items() if key in beside_sizes}
    if "instance" in entries:
        _check_keys(entries, ("version", "shape", "instance", "rename", *_METADATA, *beside_sizes), node)
        instance = {**beside, **entries["instance"].mapping()}
    else:  # the older form has the sizes right under `problem`
        others = ("version", "shape", "rename", *_METADATA)
        instance = {key: value for key, value in node.mapping().items() if key not in others}
    read = _sized(shape, defaults, instance, entries.get("instance", node), name, names or _Names())
    return replace(read, problem=_renamed(entries["rename"], read.problem)) if "rename" in entries else read


def _renamed(node: Node, problem: Problem) -> Problem:
    """Rename dimensions and tensors as the file says: ``rename: {K: C, B: Weights}``, old name to new one."""
    names = {old: _word(new) for old, new in node.mapping().items()}
    try:
        return renamed(problem, names)
    except InputError as error:
        raise node.fail(error.message) from None


def _sized(
    shape: Shape,
    defaults: Mapping[str, int],
    instance: Mapping[str, Node],
    node: Node,
    name: str,
    names: _Names,
) -> ProblemFile:
    known = (*shape.dimensions, *shape.coefficients)
    notes = _passed_over(instance, known, node)
    missing = [dimension for dimension in shape.dimensions if dimension not in instance]
    if missing:
        raise node.fail(f"no size for the dimension{'s' if len(missing) > 1 else ''} {', '.join(missing)}")
    sizes = {key: instance[key] for key in known if key in instance}
    named = any(isinstance(size.value, str) for size in sizes.values())
    known_names = names.values() if named else {}
    computed = evaluate_all(sizes, known_names)
    values = {key: _size(instance[key], computed[key]) for key in shape.dimensions}
    bounds = tuple(values[dimension] for dimension in shape.dimensions)
    given = {key: _coefficient(instance[key], computed[key], key, shape, values) for key in sizes if key not in values}
    coefficients = tuple(given.get(key, defaults.get(key, 1)) for key in shape.coefficients)
    if "name" in instance:
        name = instance["name"].text()
    try:
        problem = Problem(shape, bounds, coefficients, name)
    except InputError as error:  # together the sizes are too large
        raise error.placed(node.file, node.line, node.key) from None
    problem = _with_widths(_with_densities(problem, instance, known_names, node), instance)
    return ProblemFile(problem, tuple(notes))


def _with_densities(problem: Problem, instance: Mapping[str, Node], names: Mapping[str, Any], node: Node) -> Problem:
    densities = densities_of(problem, instance, names)
    try:
        return replace(problem, densities=densities) if densities else problem
    except InputError as error:  # a band in what is no matrix, a pattern of another shape
        raise instance.get("densities", node).fail(error.message) from None


def _with_widths(problem: Problem, instance: Mapping[str, Node]) -> Problem:
    """Give a problem the widths that its file states: one for all tensors, and single ones, which stand above it."""
    for key in (*_COMMON_WIDTH, *_WIDTHS):
        node = instance.get(key)
        if node is None or node.value in (None, 0):
            continue
        stated = node.mapping() if key in _WIDTHS else {"*": node}
        for tensor, width in stated.items():
            try:
                problem = problem.with_widths({tensor: parse_width(str(width.value))})
            except InputError as error:
                raise width.fail(error.message) from None
    return problem


def _passed_over(instance: Mapping[str, Node], known: Sequence[str], node: Node) -> list[str]:
    """Return a note for each key that says nothing about the loops; refuse keys that are neither that nor a size."""
    notes: list[str] = []
    for key, value in instance.items():
        if key in known or key in (*_METADATA, *DENSITIES, *COMMON, *_WIDTHS, *_COMMON_WIDTH):
            continue
        if key not in _PASSED_OVER:
            near = did_you_mean(key, (*known, *_PASSED_OVER, *DENSITIES, *_WIDTHS, *_COMMON_WIDTH))
            raise _at(value, f"unknown key '{key}'{near}", node)
        if value.value not in (None, 0, 1):
            notes.append(f"{value.file}:{value.line}: '{key}' is passed over: {_PASSED_OVER[key]}")
    return notes


def _size(node: Node, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise node.fail(f"must be a whole number, found {_found(node, value)}")
    if not 1 <= value <= MOST_ITERATIONS:
        raise node.fail(f"must be at least 1 and at most {MOST_ITERATIONS}, found {value}")
    return int(value)


def _coefficient(node: Node, value: object, name: str, shape: Shape, bounds: Mapping[str, int]) -> int:
    """Return a coefficient; 0 is 1 where it multiplies nothing but single iterations, as collections of layers have it.

    Args:
        node: where it stands.
        value: what stands there, computed.
        name: what it is called.
        shape: the problem's shape.
        bounds: iterations of its dimensions.
    """
    if value == 0 and not isinstance(value, bool):
        terms = (term for tensor in shape.tensors for axis in tensor.projection for term in axis)
        moving = [term.dimension for term in terms if term.coefficient == name and bounds[term.dimension] > 1]
        if not moving:
            return 1
        steps = bounds[moving[0]]
        raise node.fail(f"must be at least 1, found 0: all {steps} steps of {moving[0]} would stand at one place")
    return _size(node, value)


def _found(node: Node, value: object) -> str:
    """Return in words what stands there, and what it comes to where that is something else."""
    if node.value == value or not isinstance(value, bool | int | float | str):
        return node.kind
    return f"{node.kind}, which is {replace(node, value=value).kind}"


def _shape(node: Node) -> tuple[Shape, dict[str, int]]:
    """Read a shape, by name or by definition; returns it with its coefficients' defaults."""
    if isinstance(node.value, str):
        name = node.value.removesuffix(".yaml").replace("-", "_")
        if name not in BUILT_IN_SHAPES:
            raise node.fail(f"unknown shape '{node.value}'{did_you_mean(name, BUILT_IN_SHAPES)}")
        return BUILT_IN_SHAPES[name], {}
    entries = _underscored(node)
    _check_keys(entries, _SHAPE_KEYS, node)
    for key in ("dimensions", "data_spaces"):
        if key not in entries:
            raise node.fail(f"the key '{key}' is missing")
    if "flatten" in entries and entries["flatten"].value:
        raise entries["flatten"].fail("flattened dimensions are not supported")
    dimensions = _words(entries["dimensions"])
    defaults = _coefficients(entries["coefficients"]) if "coefficients" in entries else {}
    for clash in (name for name in defaults if name in dimensions):
        raise entries["coefficients"].fail(f"'{clash}' is a dimension already")
    tensors = [_tensor(item, dimensions, tuple(defaults)) for item in entries["data_spaces"].sequence()]
    names = [tensor.name for tensor in tensors]
    if len(set(names)) < len(names):
        raise entries["data_spaces"].fail(f"two tensors have one name: {', '.join(names)}")
    if not any(tensor.is_output for tensor in tensors):
        raise entries["data_spaces"].fail("no tensor is written: one needs 'read_write: true'")
    used = frozenset[str]().union(*(tensor.dimensions for tensor in tensors))
    for unused in (dimension for dimension in dimensions if dimension not in used):
        raise entries["dimensions"].fail(f"no tensor depends on the dimension '{unused}'")
    name = entries["name"].text() if "name" in entries else "problem"
    return Shape(name, dimensions, tuple(tensors), tuple(defaults)), defaults


def _words(node: Node) -> tuple[str, ...]:
    words = tuple(_word(item) for item in node.sequence())
    if not words:
        raise node.fail("is empty")
    for word in words:
        if words.count(word) > 1:
            raise node.fail(f"'{word}' stands there twice")
    return words


def _word(node: Node) -> str:
    text = node.text()
    try:
        return check_name(text)
    except InputError as error:
        raise node.fail(error.message) from None


def _coefficients(node: Node) -> dict[str, int]:
    defaults: dict[str, int] = {}
    for item in node.sequence():
        entries = item.mapping(known=("name", "default"), required=("name",))
        name = _word(entries["name"])
        if name in defaults:
            raise item.fail(f"'{name}' stands there twice")
        defaults[name] = _size(entries["default"], entries["default"].value) if "default" in entries else 1
    return defaults


def _tensor(node: Node, dimensions: Sequence[str], coefficients: Sequence[str]) -> Tensor:
    entries = _underscored(node)
    _check_keys(entries, _TENSOR_KEYS, node)
    for key in ("name", "projection"):
        if key not in entries:
            raise node.fail(f"the key '{key}' is missing")
    axes = entries["projection"].sequence()
    projection: tuple[tuple[Term, ...], ...]
    if axes and all(isinstance(axis.value, str) for axis in axes):  # a plain list of dimensions
        projection = tuple((_term([axis], axis, dimensions, coefficients),) for axis in axes)
    else:
        projection = tuple(
            tuple(_term(term.sequence(), term, dimensions, coefficients) for term in axis.sequence())
            for axis in axes
            if axis.sequence()  # without terms it is always at 0: a sum over everything has no axis at all
        )
    is_output = entries["read_write"].boolean() if "read_write" in entries else False
    return Tensor(_word(entries["name"]), projection, is_output)


def _term(words: Sequence[Node], node: Node, dimensions: Sequence[str], coefficients: Sequence[str]) -> Term:
    if len(words) not in (1, 2):
        raise node.fail(f"a term is [dimension] or [dimension, coefficient], found {len(words)} words")
    dimension = words[0].text()
    if dimension not in dimensions:
        raise words[0].fail(f"unknown dimension '{dimension}'{did_you_mean(dimension, dimensions)}")
    if len(words) == 1:
        return Term(dimension)
    coefficient = words[1].text()
    if coefficient not in coefficients:
        raise words[1].fail(f"unknown coefficient '{coefficient}'{did_you_mean(coefficient, coefficients)}")
    return Term(dimension, coefficient)


def _underscored(node: Node) -> dict[str, Node]:
    """Return a mapping's entries, ``data-spaces`` spelt as ``data_spaces``."""
    entries: dict[str, Node] = {}
    for key, value in node.mapping().items():
        if key.replace("-", "_") in entries:
            raise _at(value, f"'{key}' is given twice", node)
        entries[key.replace("-", "_")] = value
    return entries


def _check_keys(entries: Mapping[str, Node], known: Sequence[str], node: Node) -> None:
    for key, value in entries.items():
        if key not in known:
            raise _at(value, f"unknown key '{key}'{did_you_mean(key, known)}", node)


def _at(value: Node, message: str, within: Node) -> InputError:
    return InputError(message, file=value.file, line=value.line, key=within.key or None)


def write_problem(problem: Problem) -> str:
    """Return a problem as Timeloop v0.4 YAML that `read_problem` reads back to an equal one."""
    shape = problem.shape
    tensors: list[dict[str, object]] = []
    for tensor in shape.tensors:
        axes = [
            [[term.dimension] + ([term.coefficient] if term.coefficient else []) for term in axis]
            for axis in tensor.projection
        ]
        tensors.append({"name": tensor.name, "projection": axes} | ({"read_write": True} if tensor.is_output else {}))
    content: dict[str, object] = {"name": shape.name, "dimensions": list(shape.dimensions)}
    if shape.coefficients:
        content["coefficients"] = [{"name": name, "default": 1} for name in shape.coefficients]
    sizes = zip(shape.dimensions + shape.coefficients, problem.bounds + problem.coefficients, strict=True)
    instance: dict[str, object] = {**dict(sizes), **densities_yaml(problem), **_widths_of(problem)}
    document = {"problem": {"version": "0.4", "shape": content | {"data_spaces": tensors}, "instance": instance}}
    return yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=120)


def _widths_of(problem: Problem) -> dict[str, object]:
    """Return the entry of a problem's widths; empty where it states none."""
    tensors = zip(problem.shape.tensors, problem.widths, strict=False)
    stated = {tensor.name: width for tensor, width in tensors if width is not None}
    found: dict[str, object] = {name: str(w) if w.scale_bits else w.bits for name, w in stated.items()}
    found |= {} if problem.sum_bits is None else {SUMS: problem.sum_bits}
    return {"bitwidths": found} if found else {}
