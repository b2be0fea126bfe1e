"""Small changes to Python source, one at a time, each of which a good test notices."""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_OPERATIONS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_OPPOSITES = {
    **{"min": "max", "max": "min", "any": "all", "all": "any", "ceil": "floor", "floor": "ceil"},
    **{"minimum": "maximum", "maximum": "minimum", "argmin": "argmax", "cumsum": "cumprod"},
}
#: Functions that take their arguments in any order, and one where swapping them says nothing.
_SYMMETRIC = {"min", "max", "minimum", "maximum", "gcd", "isinstance", "issubclass"}


@dataclass(frozen=True)
class Mutant:
    """One change: bytes ``start`` to ``end`` of the source become ``new``.

    Attributes:
        function: where they stand.
        compiled: whether Numba compiles that function.
        line: where it begins.
        start: its first byte.
        end: the one after its last.
        new: what takes its place.
    """

    function: str
    compiled: bool
    line: int
    start: int
    end: int
    new: str

    def applied(self, source: str) -> str:
        """Return the source with the change made."""
        whole = source.encode()
        return (whole[: self.start] + self.new.encode() + whole[self.end :]).decode()

    def told(self, source: str) -> str:
        """Return what the change is, on one line."""
        old = " ".join(source.encode()[self.start : self.end].decode().split())
        return f"{self.line} {self.function}: {old} -> {self.new}"


def mutants_of(source: str) -> list[Mutant]:
    """Return every change known for a module's functions, but for annotations, defaults, messages, docstrings."""
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found: dict[tuple[int, int, str], Mutant] = {}
    tree = ast.parse(source)
    jitted = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and _is_compiled(node)}
    for function, node, new in _changes(tree, ""):
        assert node.end_lineno is not None and node.end_col_offset is not None
        start, end = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        found.setdefault((start, end, new), Mutant(function, function in jitted, node.lineno, start, end, new))
    return list(found.values())


def sampled(mutants: list[Mutant], most: int, seed: int) -> list[Mutant]:
    """Return so many of the mutants, evenly over functions, drawn at random."""
    draw, by_function = random.Random(seed), dict[str, list[Mutant]]()
    for mutant in mutants:
        by_function.setdefault(mutant.function, []).append(mutant)
    for waiting in by_function.values():
        draw.shuffle(waiting)
    chosen: list[Mutant] = []
    while len(chosen) < most and any(by_function.values()):
        for waiting in by_function.values():
            if waiting and len(chosen) < most:
                chosen.append(waiting.pop())
    return sorted(chosen, key=lambda mutant: (mutant.start, mutant.end))


def _changes(node: ast.AST, function: str, inside: bool = False) -> Iterator[tuple[str, ast.expr | ast.stmt, str]]:
    """Yield the function, the node that goes and the text that takes its place, for all that a node holds."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        function = f"{function}.{node.name}".lstrip(".")
        inside = inside or isinstance(node, ast.FunctionDef)
    if isinstance(node, ast.expr) and inside:
        for new in _changed_expressions(node):
            yield function, node, f"({ast.unparse(ast.fix_missing_locations(new))})"
    if isinstance(node, ast.stmt) and inside:
        if _may_go(node):
            yield function, node, "pass"
        if isinstance(node, ast.If | ast.While):
            yield function, node.test, "False"
        if isinstance(node, ast.If):
            yield function, node.test, "True"
        if isinstance(node, ast.For):
            for part in ("[1:]", "[:-1]"):
                yield function, node.iter, f"list({ast.unparse(node.iter)}){part}"
    for child in _children(node):
        yield from _changes(child, function, inside)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what to look at within a node."""
    if isinstance(node, ast.JoinedStr | ast.Raise | ast.Assert | ast.Import | ast.ImportFrom):
        return
    for name, value in ast.iter_fields(node):
        if name in (
            "annotation",
            "returns",
            "decorator_list",
            "bases",
            "args" if isinstance(node, ast.FunctionDef) else "",
        ) or (name == "value" and _is_docstring(node)):
            continue
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, ast.keyword) and one.arg in ("strict", "file", "line", "key"):
                continue
            if isinstance(one, ast.AST):
                yield one


def _is_compiled(function: ast.FunctionDef) -> bool:
    decorators = (one.func if isinstance(one, ast.Call) else one for one in function.decorator_list)
    return any(isinstance(one, ast.Name) and one.id in ("jit", "jit_plain", "part") for one in decorators)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _may_go(node: ast.stmt) -> bool:
    """Return whether the function goes on without a statement."""
    if isinstance(node, ast.Assign):
        return not all(isinstance(target, ast.Name | ast.Tuple) for target in node.targets)
    gone = ast.AugAssign | ast.Continue | ast.Break | ast.Raise | ast.Expr
    return isinstance(node, gone) and not _is_docstring(node)


def _changed_expressions(node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case ast.Compare(ops=ops):
            for i, op in enumerate(ops):
                for other in _COMPARISONS[type(op)]:
                    yield _with(node, ops=[*ops[:i], other(), *ops[i + 1 :]])
        case ast.BoolOp(op=op, values=values):
            yield _with(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
            for i in range(len(values)):
                rest = [*values[:i], *values[i + 1 :]]
                yield rest[0] if len(rest) == 1 else _with(node, values=rest)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.BinOp():
            yield from _changed_operations(node)
        case ast.IfExp(body=body, orelse=orelse):
            yield _with(node, body=orelse, orelse=body)
        case ast.Call():
            yield from _changed_calls(node)
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() as value):
            yield ast.Constant(value + 1)
            yield ast.Constant(value - 1)
        case ast.Constant(value=float() as value):
            yield ast.Constant(value + 1)
            yield ast.Constant(value / 2 if value else -1.0)


def _changed_operations(node: ast.BinOp) -> Iterator[ast.expr]:
    if type(node.op) in _OPERATIONS:
        yield _with(node, op=_OPERATIONS[type(node.op)]())
    yield node.left
    if isinstance(node.op, ast.Add | ast.Mult | ast.BitAnd | ast.BitOr):
        yield node.right
    if isinstance(node.op, ast.FloorDiv):
        negated = isinstance(node.left, ast.UnaryOp) and isinstance(node.left.op, ast.USub)
        if not negated:  # to the next whole number up; where it is so already, dropping the signs turns it round
            yield ast.UnaryOp(ast.USub(), _with(node, left=ast.UnaryOp(ast.USub(), node.left)))


def _changed_calls(node: ast.Call) -> Iterator[ast.expr]:
    name = _name_of(node.func)
    plain = not any(isinstance(argument, ast.Starred) for argument in node.args)
    if name in _OPPOSITES:
        function = copy.deepcopy(node.func)
        if isinstance(function, ast.Attribute):
            function.attr = _OPPOSITES[name]
        elif isinstance(function, ast.Name):
            function.id = _OPPOSITES[name]
        yield _with(node, func=function)
    if name in ("min", "max", "minimum", "maximum") and len(node.args) > 1:
        for i in range(len(node.args)):
            rest = [*node.args[:i], *node.args[i + 1 :]]
            yield rest[0] if len(rest) == 1 and plain else _with(node, args=rest)
    if name == "ceil" and isinstance(node.args[0], ast.BinOp) and isinstance(node.args[0].op, ast.Div):
        yield _with(node.args[0], op=ast.FloorDiv())
    if name in ("abs", "int", "nearest", "sorted", "reversed", "list") and len(node.args) == 1:
        yield node.args[0]
    if name not in _SYMMETRIC and len(node.args) > 1 and plain:
        yield _with(node, args=[node.args[1], node.args[0], *node.args[2:]])


def _name_of(function: ast.expr) -> str:
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def _with(node: ast.expr, **fields: object) -> ast.expr:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed
