"""What ONNX's compute operations are as problems."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dovetail.errors import InputError
from dovetail.workload.repeats import Axis, broadcast, plain, shared
from dovetail.workload.torch_operations import Form, convolution_form, product_form


@dataclass(frozen=True)
class Run:
    """One problem that a node runs, and how often; the suffix tells several of one node apart."""

    form: Form
    repeats: int = 1
    suffix: str = ""


class Node:
    """A node with its attributes and the shapes around it."""

    def __init__(
        self,
        onnx: Any,
        proto: Any,
        shapes: dict[str, tuple[int, ...]],
        path: Path,
        varying: Set[str],
        batch: int,
        repeated: Mapping[str, tuple[Axis, ...]] | None = None,
    ) -> None:
        self.batch = batch
        self.inputs = len(proto.input)
        self._repeated = repeated or {}
        self.operation = proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}.{proto.op_type}"
        self._proto, self._shapes, self._path, self._varying = proto, shapes, path, varying
        self._attributes = {item.name: onnx.helper.get_attribute_value(item) for item in proto.attribute}

    def varies(self, place: int) -> bool:
        """Say whether an input depends on the network's input, rather than being a weight."""
        return self._proto.input[place] in self._varying

    def given(self, place: int) -> bool:
        """Say whether an optional input is there."""
        return place < len(self._proto.input) and bool(self._proto.input[place])

    def shape(self, place: int) -> tuple[int, ...]:
        """Return an input's shape; raises InputError when the file doesn't lead to it."""
        return self._known(self._proto.input[place], place)

    def output(self, place: int = 0) -> tuple[int, ...]:
        """Return an output's shape; raises InputError when the file doesn't lead to it."""
        return self._known(self._proto.output[place], None)

    def axes(self, place: int) -> tuple[Axis, ...]:
        """Return an input's axes, with what is known to be repeated in it."""
        known = self._repeated.get(self._proto.input[place])
        return plain(self.shape(place)) if known is None else known

    def has_shapes(self) -> bool:
        """Say whether the shapes of all that it takes and puts out are known."""
        return all(name in self._shapes for name in (*self._proto.input, *self._proto.output[:1]) if name)

    def _known(self, name: str, place: int | None) -> tuple[int, ...]:
        if name not in self._shapes:
            which = "its output" if place is None else f"its input {place}"
            label = self._proto.name or self._proto.op_type
            raise InputError(
                f"{self._proto.op_type} '{label}': the shape of {which} '{name}' can't be inferred; "
                "export with fixed sizes",
                file=self._path,
            )
        return self._shapes[name]

    def numbers(self, name: str, default: Sequence[int]) -> tuple[int, ...]:
        """Return an attribute that lists integers."""
        value = self._attributes.get(name, default)
        return tuple(int(number) for number in value)

    def number(self, name: str, default: int) -> int:
        """Return an integer attribute."""
        return int(self._attributes.get(name, default))

    def text(self, name: str, default: str = "") -> str:
        """Return a text attribute."""
        value = self._attributes.get(name, default)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    def fail(self, message: str) -> InputError:
        """Return the error to raise about this node."""
        return InputError(f"{self._proto.op_type} '{self._proto.name}': {message}", file=self._path)


def _convolution(weights_at: int, *, transposed: bool = False) -> Callable[[Node], Iterator[Run]]:
    def runs(node: Node) -> Iterator[Run]:
        inputs, weights, outputs = node.shape(0), node.shape(weights_at), node.output()
        axes = len(weights) - 2
        groups = node.number("group", 1)
        if not 1 <= axes <= 3 or len(inputs) != len(weights) or len(outputs) != len(weights):
            raise node.fail(
                f"input {inputs}, weights {weights} and output {outputs} make no convolution of 1 to 3 axes"
            )
        if groups < 1 or weights[0] % groups or inputs[1] != (weights[0] if transposed else weights[1] * groups):
            raise node.fail(f"input {inputs} and weights {weights} don't go together in {groups} groups")
        stride, dilation = node.numbers("strides", (1,) * axes), node.numbers("dilations", (1,) * axes)
        if len(stride) != axes or len(dilation) != axes or min(*stride, *dilation) < 1:
            raise node.fail(f"strides {stride} and dilations {dilation} don't fit {axes} axes")
        if 0 not in (*inputs, *weights, *outputs):
            varies = node.varies(0) or node.varies(weights_at)
            form = convolution_form(
                inputs,
                weights,
                outputs,
                stride=stride,
                dilation=dilation,
                groups=groups,
                transposed=transposed,
                varies=varies,
            )
            yield Run(form)

    return runs


def _product(right_at: int) -> Callable[[Node], Iterator[Run]]:
    def runs(node: Node) -> Iterator[Run]:
        left, right = node.shape(0), node.shape(right_at)
        left = left if len(left) > 1 else (1, *left)
        right = right if len(right) > 1 else (*right, 1)
        varies = node.varies(0), node.varies(right_at)
        yield from products(node, left, right, *varies, operands=(0, right_at))

    return runs


def products(
    node: Node, left: Sequence[int], right: Sequence[int], *varies: bool, operands: tuple[int, int] | None = None
) -> Iterator[Run]:
    """Yield the product of two operands of at least two axes, broadcast over all but the last two.

    Args:
        node: the node.
        left: the left operand's shape.
        right: the right operand's.
        varies: whether the left, and the right one depends on the network's input.
        operands: the inputs that they are, where their leading axes are those inputs' own.
    """
    sharing = (1, 1)
    if len(left) < 2 or left[-1] != right[-2]:
        raise node.fail(f"can't multiply {tuple(left)} by {tuple(right)}")
    if len(right) == 2:  # one matrix for all: the leading axes are more rows
        left = (math.prod(left[:-1]), left[-1])
    else:
        ahead = _broadcast(node, left[:-2], right[:-2])
        if operands is not None and 0 not in ahead:
            sharing = shared(*(broadcast(node.axes(place)[:-2], ahead) for place in operands))
        left, right = (*ahead, *left[-2:]), (*ahead, *right[-2:])
    if 0 not in (*left, *right):
        varied = {"left_varies": varies[0], "right_varies": varies[1]}
        yield Run(product_form(left, right, **varied, batch=node.batch, sharing=sharing))


def _broadcast(node: Node, left: Sequence[int], right: Sequence[int]) -> tuple[int, ...]:
    length = max(len(left), len(right))
    sizes = []
    for a, b in zip(
        (1,) * (length - len(left)) + tuple(left), (1,) * (length - len(right)) + tuple(right), strict=True
    ):
        if a != b and 1 not in (a, b):
            raise node.fail(f"{tuple(left)} and {tuple(right)} don't broadcast")
        sizes.append(max(a, b) if 0 not in (a, b) else 0)
    return tuple(sizes)


def _gemm(node: Node) -> Iterator[Run]:
    left, right = node.shape(0), node.shape(1)
    if node.number("transA", 0):
        left = left[::-1]
    if node.number("transB", 0):
        right = right[::-1]
    yield from products(node, left, right, node.varies(0), node.varies(1))


def _einsum(node: Node) -> Iterator[Run]:
    """Two operands: indices of both and the output are G, of the first rows, of the second columns, summed ones C."""
    terms, _, wanted = node.text("equation").replace(" ", "").partition("->")
    operands = terms.split(",")
    if len(operands) != 2 or "." in terms or (not wanted and "->" not in node.text("equation")):
        raise node.fail(f"the equation '{node.text('equation')}' is not read; two operands and no dots are")
    size: dict[str, int] = {}
    for place, indices in enumerate(operands):
        shape = node.shape(place)
        if len(indices) != len(shape) or any(size.setdefault(i, n) != n for i, n in zip(indices, shape, strict=True)):
            raise node.fail(f"'{node.text('equation')}' doesn't fit the operands' shapes")
    first, second = (set(indices) for indices in operands)
    count = {index: size[index] for index in sorted(first | second)}
    groups = [index for index in count if index in first & second and index in wanted]
    G = math.prod(count[index] for index in groups)
    sharing = shared(*([node.axes(at)[indices.index(i)] for i in groups] for at, indices in enumerate(operands)))
    C = math.prod(n for i, n in count.items() if i not in wanted and i in first & second)
    rows = math.prod(n for i, n in count.items() if i in first - second)
    columns = math.prod(n for i, n in count.items() if i in second - first)
    varied = {"left_varies": node.varies(0), "right_varies": node.varies(1)}
    yield Run(product_form((G, rows, C), (G, C, columns), **varied, batch=node.batch, sharing=sharing))


def _recurrent(gates: int) -> Callable[[Node], Iterator[Run]]:
    def runs(node: Node) -> Iterator[Run]:
        inputs, weights = node.shape(0), node.shape(1)
        if len(inputs) != 3 or len(weights) != 3 or weights[0] not in (1, 2) or weights[1] % gates:
            raise node.fail(
                f"input {inputs} and weights {weights} don't go together; expected (steps, batch, size) and "
                f"(1 or 2 directions, {gates} x hidden, size)"
            )
        batch, steps = (inputs[0], inputs[1]) if node.number("layout", 0) else (inputs[1], inputs[0])
        hidden = weights[1] // gates
        for direction in range(weights[0]):
            side = "_reverse" if direction else ""
            for size, part in ((weights[2], "ih"), (hidden, "hh")):
                form = product_form(
                    (batch, size), (size, weights[1]), left_varies=True, right_varies=False, batch=node.batch
                )
                yield Run(form, steps, f".weight_{part}{side}")

    return runs


def _attention(node: Node) -> Iterator[Run]:
    """ONNX's Attention: query, key and value as (batch, heads, length, size), or (batch, length, heads x size).

    Query heads that share a key's head are further rows of one product: keys and values lack the group's dimension.
    """
    query, key, value = (node.shape(place) for place in range(3))
    if len(query) == 3:
        heads, groups = node.number("q_num_heads", 0), node.number("kv_num_heads", 0)
        if min(heads, groups) < 1:
            raise node.fail("three axes need q_num_heads and kv_num_heads")
        query = (query[0], heads, query[1], query[2] // heads)
        key, value = ((shape[0], groups, shape[1], shape[2] // groups) for shape in (key, value))
    if key[1] < 1 or query[1] % key[1] or key[1] != value[1]:
        raise node.fail(f"{query[1]} heads of queries do not share {key[1]} of keys and {value[1]} of values evenly")
    G, rows = query[0] * key[1], query[1] // key[1] * query[2]
    if 0 in (*query, *key, *value):
        return
    yield Run(product_form((G, rows, query[3]), (G, query[3], key[2]), left_varies=True, right_varies=True))
    yield Run(product_form((G, rows, key[2]), (G, key[2], value[3]), left_varies=True, right_varies=True))


#: Operation -> the problems one node of it runs.
FORMS: dict[str, Callable[[Node], Iterator[Run]]] = {
    "Conv": _convolution(1),
    "ConvInteger": _convolution(1),
    "QLinearConv": _convolution(3),
    "ConvTranspose": _convolution(1, transposed=True),
    "MatMul": _product(1),
    "MatMulInteger": _product(1),
    "QLinearMatMul": _product(3),
    "Gemm": _gemm,
    "Einsum": _einsum,
    "LSTM": _recurrent(4),
    "GRU": _recurrent(3),
    "RNN": _recurrent(1),
    "Attention": _attention,
}
