"""Reads ZigZag's workloads: a YAML list of layers, each an equation over loops such as ``O[b][k]+=W[k][c]*I[b][c]``.

Its letters become the words of the field's convolutions: ``B K C G OY OX FY FX`` are ``N M C G P Q R S``, ``W I O`` are
Weights, Inputs and Outputs, and ``ix=2*ox+1*fx`` is a window with stride 2. What multiplies nothing (pooling,
additions) is not mapped. ``operand_precision`` gives widths: ``O`` that of partial sums, ``O_final`` that of outputs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from dovetail.document import Node
from dovetail.errors import InputError
from dovetail.workload.network import Layer, Network, UnmappedOperation, unique_names
from dovetail.workload.problem import MOST_ITERATIONS, Problem, Shape, Tensor, Term
from dovetail.workload.widths import SUMS, Width, checked_bits

#: ZigZag's loops that the field's convolutions have by other names.
_WORDS = {"B": "N", "K": "M", "OY": "P", "OX": "Q", "FY": "R", "FX": "S"}
_TENSORS = {"W": "Weights", "I": "Inputs", "O": "Outputs"}
_WIDTHS = {"W": "Weights", "I": "Inputs", "O_final": "Outputs", "O": SUMS}
#: What multiplies nothing: its second operand is a constant.
_WITHOUT_PRODUCTS = ("pooling", "add", "maxpool", "averagepool", "softmax")
_REQUIRED = ("id", "operator_type", "equation", "loop_dims", "loop_sizes")
_KNOWN = (
    *_REQUIRED, "name", "dimension_relations", "operand_precision", "operand_source", "pr_loop_dims", "pr_loop_sizes",
    "padding", "pr_padding", "constant_operands",
)  # fmt: skip

_EQUATION = re.compile(r"\s*O((?:\[\w+\])+)\s*\+?=\s*([WI])((?:\[\w+\])+)\s*\*\s*([WI])((?:\[\w+\])+)\s*")
_RELATION = re.compile(r"\s*(\w+)\s*=\s*(?:(\d+)\s*\*\s*)?(\w+)\s*\+\s*(?:(\d+)\s*\*\s*)?(\w+)\s*")


def is_zigzag(document: Node) -> bool:
    """Say whether a document is a workload of ZigZag: a list of layers with ``operator_type``."""
    first = document.value[0] if isinstance(document.value, list) and document.value else None
    return first is not None and isinstance(first.value, dict) and "operator_type" in first.value


def read_zigzag(document: Node, *, name: str) -> Network:
    """Read a network from a workload of ZigZag.

    Raises:
        InputError: with file, line and key.
    """
    layers: list[Layer] = []
    unmapped: list[UnmappedOperation] = []
    nodes = [node.mapping(known=_KNOWN, required=_REQUIRED) for node in document.sequence()]
    labels = unique_names(_label(entries) for entries in nodes)
    for entries, label in zip(nodes, labels, strict=True):
        kind = entries["operator_type"].text()
        if kind.lower() in _WITHOUT_PRODUCTS:
            unmapped.append(UnmappedOperation(f"{kind} {label}", None))
            continue
        problem = _problem(entries, label)
        grows = "N" if "N" in problem.shape.dimensions else None
        layers.append(Layer(label, problem, 1, kind.lower(), (label,), grows))
    if not layers:
        raise document.fail("none of its layers multiplies anything")
    batches = {layer.problem.bound("N") for layer in layers if layer.batch_dimension}
    batch = batches.pop() if len(batches) == 1 else 1
    return Network(name, tuple(layers), batch=batch, source=document.file, unmapped=tuple(unmapped))


def _label(entries: Mapping[str, Node]) -> str:
    return entries["name"].text() if "name" in entries else f"layer{entries['id'].plain()}"


def _problem(entries: Mapping[str, Node], label: str) -> Problem:
    names = [node.text().upper() for node in entries["loop_dims"].sequence()]
    sizes = [node.integer(1) for node in entries["loop_sizes"].sequence()]
    if len(names) != len(sizes) or len(set(names)) != len(names) or max(sizes, default=0) > MOST_ITERATIONS:
        raise entries["loop_sizes"].fail(f"must be a size for each of {', '.join(names)}, at most {MOST_ITERATIONS}")
    dimensions = tuple(_WORDS.get(name, name) for name in names)
    if not all(dimension.isidentifier() for dimension in dimensions) or len(set(dimensions)) != len(dimensions):
        raise entries["loop_dims"].fail(f"'{', '.join(names)[:60]}' are no names of different loops")
    windows, steps = _windows(entries, names)
    equation = entries["equation"]
    found = _EQUATION.fullmatch(equation.text())
    if found is None or found[2] == found[4]:
        raise equation.fail("is not of the form O[..]+=W[..]*I[..]")
    axes = {"O": found[1], found[2]: found[3], found[4]: found[5]}
    tensors = tuple(
        Tensor(_TENSORS[letter], _axes(axes[letter], windows, names, equation), is_output=letter == "O")
        for letter in "WIO"
    )
    used = frozenset[str]().union(*(tensor.dimensions for tensor in tensors))
    for unused in (dimension for dimension in dimensions if dimension not in used):
        raise equation.fail(f"no tensor depends on the loop {unused}")
    shape = Shape(entries["operator_type"].text(), dimensions, tensors, tuple(steps))
    try:
        problem = Problem(shape, tuple(sizes), tuple(steps.values()), label)
        return problem.with_widths(_widths(entries))
    except InputError as error:  # together the sizes are too large, or a width is none
        raise equation.fail(error.message) from None


def _windows(entries: Mapping[str, Node], names: list[str]) -> tuple[dict[str, tuple[Term, ...]], dict[str, int]]:
    """Return the terms of each axis that is a window, by its name, and the coefficients with their values."""
    windows: dict[str, tuple[Term, ...]] = {}
    steps: dict[str, int] = {}
    relations = entries.get("dimension_relations")
    for node in relations.sequence() if relations is not None and relations.value is not None else ():
        found = _RELATION.fullmatch(node.text())
        if found is None:
            raise node.fail("is not of the form ix=2*ox+1*fx")
        terms = []
        for factor, loop in ((found[2], found[3]), (found[4], found[5])):
            if loop.upper() not in names:
                raise node.fail(f"'{loop}' is none of the loops {', '.join(names)}")
            step = f"{found[1]}_per_{loop}"
            steps[step] = int(factor or 1)
            terms.append(Term(_WORDS.get(loop.upper(), loop.upper()), step))
        windows[found[1]] = tuple(terms)
    return windows, steps


def _axes(
    text: str, windows: Mapping[str, tuple[Term, ...]], names: list[str], equation: Node
) -> tuple[tuple[Term, ...], ...]:
    axes: list[tuple[Term, ...]] = []
    for axis in re.findall(r"\w+", text):
        if axis not in windows and axis.upper() not in names:
            raise equation.fail(f"'{axis}' is neither a loop nor said in dimension_relations")
        axes.append(windows.get(axis) or (Term(_WORDS.get(axis.upper(), axis.upper())),))
    return tuple(axes)


def _widths(entries: Mapping[str, Node]) -> dict[str, Width]:
    given = entries.get("operand_precision")
    if given is None or given.value is None:
        return {}
    known = given.mapping(known=tuple(_WIDTHS))
    return {
        _WIDTHS[letter]: Width(checked_bits(node.plain()))
        for letter, node in known.items()
        if node.value != 0  # of a constant, which nothing moves
    }
