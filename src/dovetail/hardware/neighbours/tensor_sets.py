"""Computes AccelForge's sets of the tensors of one layer, such as ``~Intermediates`` or ``input | output``."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from dovetail.document import Node
from dovetail.errors import InputError

#: The tensors of a layer, by AccelForge's names for them.
TENSORS = {"input": "Inputs", "weight": "Weights", "output": "Outputs"}
ALL = frozenset(TENSORS.values())
#: Names that its sets know, for one layer by itself: nothing in it lies between two layers.
NAMED: dict[str, frozenset[str]] = {
    **{name: frozenset([tensor]) for name, tensor in TENSORS.items()},
    "All": ALL, "Tensors": ALL, "Nothing": frozenset(), "Intermediates": frozenset(), "Shared": frozenset(),
    "Inputs": ALL - {"Outputs"}, "Outputs": frozenset(["Outputs"]),
}  # fmt: skip
_LONGEST, _DEEPEST = 400, 40


def tensor_set(node: Node, kept: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Return the tensors that an expression means.

    Args:
        node: the expression.
        kept: of each memory further out, what it may keep; ``MainMemory`` and ``MainMemory.tensors`` mean that, and
            ``Above`` what any of them may.

    Raises:
        InputError: it is no expression of sets, or names what is none.
    """
    text = node.text()
    try:
        if len(text) > _LONGEST:
            raise InputError("is too long")
        return _value(ast.parse(text.strip(), mode="eval").body, {**NAMED, **_above(kept), **kept}, _DEEPEST)
    except InputError as error:
        raise node.fail(f"'{text[:60]}' {error.message}") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise node.fail(f"'{text[:60]}' is no set of tensors") from None


def _above(kept: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    return {"Above": frozenset[str]().union(*kept.values())}


def _value(tree: ast.expr, names: Mapping[str, frozenset[str]], depth: int) -> frozenset[str]:
    if depth == 0:
        raise InputError("is nested too deep")
    match tree:
        case ast.Name(id=name) | ast.Attribute(value=ast.Name(id=name), attr="tensors"):
            if name in names:
                return names[name]
            raise InputError(f"names '{name[:40]}', which is no tensor of a layer and no memory further out")
        case ast.UnaryOp(op=ast.Invert(), operand=operand):
            return ALL - _value(operand, names, depth - 1)
        case ast.BinOp(left=left, op=operator, right=right):
            one, other = _value(left, names, depth - 1), _value(right, names, depth - 1)
            match operator:
                case ast.BitOr():
                    return one | other
                case ast.BitAnd():
                    return one & other
                case ast.Sub():
                    return one - other
    raise InputError("is no set of tensors")
