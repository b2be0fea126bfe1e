"""Arithmetic expressions in documents, such as ``max(1, ceil(log2(depth)))``: computed without executing anything.

The text is parsed with Python's grammar and its syntax tree walked by hand. Allowed are numbers, texts in quotes,
names, lists, ``+ - * / // % **``, comparisons, ``and or not``, ``a if b else c`` and calls of :data:`FUNCTIONS`, of
``len`` and ``sum`` of a list and ``str`` of a number; everything else is refused by name. Lists and texts are joined by
``+``, lists repeated by ``*``. Numbers stay below :data:`MAX_MAGNITUDE`, lists and texts below :data:`MAX_LENGTH`
items, so that no expression can eat memory or time.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from dovetail.document import Node
from dovetail.errors import InputError, did_you_mean

Value = int | float | bool | str | list[Any]

MAX_LENGTH = 1_000
MAX_DEPTH = 50
MAX_EXPONENT = 1_000
MAX_MAGNITUDE = 2**128
#: Digits to which a number may be rounded: beyond them even the largest is 0, or stays as it is.
MAX_DIGITS = 400

#: What an expression may call: the arithmetic that the reference offers to specifications.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs, "acos": math.acos, "acosh": math.acosh, "asin": math.asin, "asinh": math.asinh, "atan": math.atan,
    "atan2": math.atan2, "atanh": math.atanh, "bool": bool, "ceil": math.ceil, "copysign": math.copysign,
    "cos": math.cos, "cosh": math.cosh, "degrees": math.degrees, "erf": math.erf, "erfc": math.erfc, "exp": math.exp,
    "expm1": math.expm1, "fabs": math.fabs, "float": float, "floor": math.floor, "fmod": math.fmod,
    "gamma": math.gamma, "gcd": math.gcd, "hypot": math.hypot, "int": int, "isclose": math.isclose,
    "isfinite": math.isfinite, "isinf": math.isinf, "isnan": math.isnan, "isqrt": math.isqrt, "lcm": math.lcm,
    "ldexp": math.ldexp, "lgamma": math.lgamma, "log": math.log, "log10": math.log10, "log1p": math.log1p,
    "log2": math.log2, "max": max, "min": min, "radians": math.radians, "remainder": math.remainder, "round": round,
    "sin": math.sin, "sinh": math.sinh, "sqrt": math.sqrt, "tan": math.tan, "tanh": math.tanh, "trunc": math.trunc,
}  # fmt: skip

#: Functions of whole numbers that grow fast, with the largest first argument that they take.
_GROWING: dict[str, tuple[Callable[..., Any], int]] = {
    "comb": (math.comb, 200), "factorial": (math.factorial, 40), "perm": (math.perm, 200),
}  # fmt: skip

#: What may be called on a list.
_OF_LISTS: dict[str, Callable[..., Any]] = {"len": len, "max": max, "min": min, "sum": sum}

#: Names every expression knows.
CONSTANTS: dict[str, Value] = {"pi": math.pi, "e": math.e, "tau": math.tau, "inf": math.inf}

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow,
}  # fmt: skip
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_,
}  # fmt: skip
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}  # fmt: skip
_REFUSED = {
    ast.Attribute: "attribute access with '.'",
    ast.Subscript: "indexing with [ ]",
    ast.Tuple: "a tuple",
    ast.Dict: "a dictionary",
    ast.Set: "a set",
    ast.Lambda: "'lambda'",
    ast.JoinedStr: "an f-string",
    ast.NamedExpr: "':='",
}


def evaluate(text: str, names: Mapping[str, Any]) -> Value:
    """Compute an expression.

    Args:
        text: the expression.
        names: values its names stand for; :data:`CONSTANTS` are known besides.

    Raises:
        InputError: it is no expression, uses what is not allowed or not known, or has no finite value.
    """
    if len(text) > MAX_LENGTH:
        raise InputError(f"the expression has {len(text)} characters; at most {MAX_LENGTH} are read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compiler's advice on hostile text is of no use to its reader
            tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputError(f"'{_clip(text)}' is no expression; text must stand in quotes") from None
    value: Value = _compute(tree, names, MAX_DEPTH)
    return value


def evaluate_node(node: Node, names: Mapping[str, Any]) -> Any:
    """Return a document's value with its expression computed: unquoted text is one, anything else stands for itself.

    Raises:
        InputError: as :func:`evaluate` does, with file, line and key.
    """
    if not isinstance(node.value, str) or node.quoted:
        return node.plain()
    try:
        return evaluate(node.value, names)
    except InputError as error:
        raise node.fail(error.message) from None


def evaluate_all(entries: Mapping[str, Node], outer: Mapping[str, Any]) -> dict[str, Any]:
    """Compute entries that may refer to each other.

    A name means the entry above it, else what ``outer`` knows, else the entry below it; so ``depth: depth`` hands an
    outer value on, as in the reference.

    Args:
        entries: expressions by name, in order.
        outer: names from outside.

    Raises:
        InputError: as :func:`evaluate` does; or entries that need each other, named as a chain.
    """
    scope = _Scope(entries, outer)
    return {name: scope.value(name) for name in entries}


def evaluate_what_can_be(entries: Mapping[str, Node], outer: Mapping[str, Any]) -> dict[str, Any]:
    """Compute entries as `evaluate_all` does, and leave out those that cannot be computed."""
    scope, found = _Scope(entries, outer), dict[str, Any]()
    for name in entries:
        try:
            found[name] = scope.value(name)
        except InputError:
            scope.open.clear()
    return found


class _Scope(Mapping[str, Any]):
    """The names that one entry sees, while entries are computed on demand."""

    def __init__(self, entries: Mapping[str, Node], outer: Mapping[str, Any]) -> None:
        self.entries, self.outer = entries, outer
        self.order = {name: position for position, name in enumerate(entries)}
        self.done: dict[str, Any] = {}
        self.open: list[str] = []

    def value(self, name: str) -> Any:
        if name not in self.done:
            if name in self.open:
                chain = " -> ".join([*self.open[self.open.index(name) :], name])
                raise self.entries[name].fail(f"needs its own value: {chain}")
            if len(self.open) >= MAX_DEPTH:
                raise self.entries[name].fail(f"stands in a chain of more than {MAX_DEPTH} names")
            self.open.append(name)
            self.done[name] = evaluate_node(self.entries[name], self)
            self.open.pop()
        return self.done[name]

    def __getitem__(self, name: str) -> Any:
        above = name in self.order and self.order[name] < self.order[self.open[-1]]
        if not above and name in self.outer:
            return self.outer[name]
        if name in self.order:
            return self.value(name)
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return name in self.order or name in self.outer

    def __iter__(self) -> Any:
        return iter([*self.entries, *self.outer])

    def __len__(self) -> int:
        return len(self.entries) + len(self.outer)


def _clip(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _compute(tree: ast.expr, names: Mapping[str, Any], depth: int) -> Any:
    if depth == 0:
        raise InputError(f"the expression is nested more than {MAX_DEPTH} deep")

    def inner(part: ast.expr) -> Any:
        return _compute(part, names, depth - 1)

    match tree:
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return _bounded(value)
        case ast.List(elts=items):
            return [inner(item) for item in items]
        case ast.Name(id=name):
            return _lookup(name, names)
        case ast.BinOp(left, op, right) if type(op) in _BINARY:
            return _binary(op, inner(left), inner(right))
        case ast.UnaryOp(op, operand) if type(op) in _UNARY:
            return _applied(_UNARY[type(op)], type(op).__name__, inner(operand))
        case ast.BoolOp(op, values):
            return _short_circuit(isinstance(op, ast.And), values, inner)
        case ast.Compare(left, ops, rights):
            return _compared(inner(left), ops, rights, inner)
        case ast.IfExp(test, body, orelse):
            return inner(body) if inner(test) else inner(orelse)
        case ast.Call():
            return _called(tree, inner)
    refused = _REFUSED.get(type(tree)) or f"'{_clip(ast.unparse(tree))}'"
    raise InputError(f"{refused} is not allowed in an expression")


def _lookup(name: str, names: Mapping[str, Any]) -> Any:
    if name in names:
        return names[name]
    if name in CONSTANTS:
        return CONSTANTS[name]
    hint = did_you_mean(name, names)
    near = hint if hint.endswith("?") else ""
    raise InputError(f"unknown name '{name}'{near} (text must stand in quotes; --set gives a name a value)")


def _binary(op: ast.operator, left: Any, right: Any) -> Any:
    if isinstance(left, list | str) or isinstance(right, list | str):
        return _strung(op, left, right)
    for value in (left, right):
        if not isinstance(value, int | float):
            raise InputError(f"cannot compute with {_clip(repr(value))}; it is no number")
    if isinstance(op, ast.Pow) and (abs(right) > MAX_EXPONENT or (abs(left) > 1 and abs(right) > _room(left))):
        raise InputError(f"{left} ** {right} is too large")
    return _applied(_BINARY[type(op)], f"{left} {_SIGNS[type(op)]} {right}", left, right)


def _strung(op: ast.operator, left: Any, right: Any) -> Any:
    """Return two texts or lists joined, or a list repeated."""
    if isinstance(op, ast.Mult) and isinstance(right, list):
        left, right = right, left
    joins = isinstance(op, ast.Add) and type(left) is type(right)
    repeats = isinstance(op, ast.Mult) and isinstance(left, list) and type(right) is int
    if not joins and not repeats:
        value = left if isinstance(left, list | str) else right
        raise InputError(f"cannot compute with {_clip(repr(value))}; it is no number")
    if (len(left) + len(right) if joins else len(left) * right) > MAX_LENGTH:
        raise InputError(f"the expression makes a text or list of more than {MAX_LENGTH} items")
    return left + right if joins else left * right


_SIGNS = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
}  # fmt: skip


def _room(base: float) -> float:
    """Return the largest exponent that keeps ``base ** exponent`` within :data:`MAX_MAGNITUDE`, roughly."""
    return math.log2(MAX_MAGNITUDE) / math.log2(abs(base)) + 1 if isinstance(base, int) else MAX_EXPONENT


def _short_circuit(all_of: bool, values: list[ast.expr], inner: Callable[[ast.expr], Any]) -> Any:
    result: Any = all_of
    for value in values:
        result = inner(value)
        if bool(result) != all_of:
            break
    return result


def _compared(left: Any, ops: list[ast.cmpop], rights: list[ast.expr], inner: Callable[[ast.expr], Any]) -> bool:
    for op, part in zip(ops, rights, strict=True):
        if type(op) not in _COMPARE:
            raise InputError(f"the comparison '{type(op).__name__.lower()}' is not allowed in an expression")
        right = inner(part)
        if not _applied(_COMPARE[type(op)], "the comparison", left, right):
            return False
        left = right
    return True


def _called(call: ast.Call, inner: Callable[[ast.expr], Any]) -> Any:
    if not isinstance(call.func, ast.Name):
        raise InputError(f"the call of '{_clip(ast.unparse(call.func))}' is not allowed in an expression")
    name = call.func.id
    if name not in (*FUNCTIONS, *_GROWING, *_OF_LISTS, "pow", "str"):
        hint = did_you_mean(name, FUNCTIONS)
        more = hint if hint.endswith("?") else ": functions of a user's Python are not run; --set gives a name a value"
        raise InputError(f"the call of '{name}' is not allowed in an expression{more}")
    if call.keywords or any(isinstance(argument, ast.Starred) for argument in call.args):
        raise InputError(f"{name}() takes plain arguments only")
    arguments = [inner(argument) for argument in call.args]
    if len(arguments) == 1 and isinstance(arguments[0], list) and name in _OF_LISTS:
        return _applied(_OF_LISTS[name], f"{name}()", arguments[0])
    if name in ("len", "sum"):
        raise InputError(f"{name}() takes a list")
    if name == "str" and len(arguments) == 1 and isinstance(arguments[0], str | int | float):
        return str(arguments[0])
    for argument in arguments:
        if not isinstance(argument, int | float):
            raise InputError(f"{name}() takes numbers, found {_clip(repr(argument))}")
    if name == "round" and any(abs(digits) > MAX_DIGITS for digits in arguments[1:]):
        raise InputError(f"round() to {_clip(repr(arguments[1]))} digits; at most {MAX_DIGITS} make sense")
    if name == "pow" and len(arguments) == 2:
        return _binary(ast.Pow(), *arguments)
    if name in _GROWING and any(abs(argument) > _GROWING[name][1] for argument in arguments):
        raise InputError(f"{name}() of {_clip(repr(arguments[0]))}; at most {_GROWING[name][1]} is computed")
    function = _GROWING[name][0] if name in _GROWING else FUNCTIONS.get(name, pow)
    return _applied(function, f"{name}()", *arguments)


def _applied(function: Callable[..., Any], what: str, *arguments: Any) -> Any:
    try:
        value = _bounded(function(*arguments))
        if isinstance(value, float) and math.isinf(value) and not any(map(math.isinf, arguments)):
            raise OverflowError("the result is too large")
        return value
    except (ArithmeticError, TypeError, ValueError) as error:
        raise InputError(f"cannot compute {what}: {error}") from None


def _bounded(value: Any) -> Any:
    if isinstance(value, complex) or value != value:
        raise InputError("the expression has no real value")
    if isinstance(value, int) and abs(value) > MAX_MAGNITUDE:
        raise InputError("the expression computes a number beyond 2 ** 128")
    return value
