"""The Jinja2 part of Timeloop v0.4 documents: variables, conditions, loops and includes, in a sandbox.

A template may use names, literals, arithmetic, comparisons, ``if``, ``for``, ``set``, macros of its own, namespaces,
``items``, ``keys``, ``values`` and ``get`` of dictionaries, and the functions that the reference gives to
specifications: ``include``, ``include_all``, ``include_text``, ``add_to_path``, ``cwd``, ``find_path``, ``find_paths``,
``path_exists`` and ``range``. The older form of an include, a line ``!include FILE`` or a value ``!include FILE``,
means the same. Everything else (other attributes and methods, imports, environment variables) is refused by name,
files outside the document's own folder are read only when the user named their folder, and the work a template can
cause is bounded.
"""

from __future__ import annotations

import bisect
import itertools
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import jinja2
from jinja2 import nodes
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from dovetail.document import MAX_BYTES, Node, Scalar, parse_document, read_text
from dovetail.errors import InputError, did_you_mean

MAX_INCLUDES = 200
MAX_MATCHES = 1_000
MAX_ITERATIONS = 100_000
MAX_TEXT = 100_000
MAX_INTEGER = 10**30

#: What a template that is at fault can end in, besides its own kinds of errors.
_FAULTS = (
    jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, MemoryError, NameError, OSError, RuntimeError,
    SyntaxError, TypeError, ValueError,
)  # fmt: skip

_FUNCTIONS = (
    "include", "include_all", "include_text", "add_to_path", "cwd", "find_path", "find_paths", "path_exists", "range",
    "dict", "namespace",
)  # fmt: skip
#: What may be asked of a dictionary.
_METHODS = ("items", "keys", "values", "get")
_FILTERS = (
    "abs", "capitalize", "count", "default", "d", "first", "float", "int", "last", "length", "lower", "max", "min",
    "round", "string", "sum", "title", "trim", "upper",
)  # fmt: skip
#: The includes of the front end's first versions: on a line of their own the file's text, behind a key its document.
_OLD_TEXT = re.compile(r"""^!include[ \t]+["']?([^\s"'#]+)["']?[ \t]*(?:#.*)?$""", re.M)
_OLD_DOCUMENT = re.compile(r"""((?:^[ \t]*-|:)[ \t]+)!include[ \t]+["']?([^\s"'#{}]+)["']?[ \t]*(?:#.*)?$""", re.M)
_PATTERN = "*?["
_TESTS = ("defined", "undefined", "none", "string", "number", "odd", "even", "true", "false")
_SYNTAX = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Assign, nodes.Name, nodes.Const,
    nodes.List, nodes.Tuple, nodes.Call, nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand, nodes.And, nodes.Or,
    nodes.Not, nodes.Neg, nodes.Pos, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow,
    nodes.CondExpr, nodes.Concat, nodes.Macro, nodes.Getattr, nodes.NSRef,
)  # fmt: skip


def read_template(path: Path, *, include_folders: Sequence[Path] = (), data: Mapping[str, Scalar] = {}) -> Node:
    """Render and parse a templated document; see :func:`dovetail.document_file.read_document`."""
    return _Templates([path.parent, *include_folders], data).read(path.resolve(), ())


class _Templates:
    """One reading of a document: the folders it may look into, and the budgets that all its templates share."""

    def __init__(self, folders: Sequence[Path], data: Mapping[str, Scalar]) -> None:
        self.roots = tuple(folder.resolve() for folder in folders)
        self.data = dict(data)
        self.includes = self.iterations = self.characters = 0

    def read(self, path: Path, chain: tuple[Path, ...], search: Sequence[Path] = ()) -> Node:
        """Return the document in a file, its includes replaced by what they name."""
        text, origins, included = self.render(path, chain, list(search))
        return parse_document(text, file=str(path), origins=origins, included=included)

    def render(
        self, path: Path, chain: tuple[Path, ...], search: list[Path]
    ) -> tuple[str, list[tuple[str, int]], dict[str, Node]]:
        """Return a file's rendered text, the file and line of each of its lines, and the documents it includes."""
        if path in chain:
            names = " -> ".join(step.name for step in (*chain[chain.index(path) :], path))
            raise InputError(f"includes itself: {names}")
        self.includes += 1
        if self.includes > MAX_INCLUDES:
            raise InputError(f"more than {MAX_INCLUDES} files are included; refused", file=path)
        source = _OLD_TEXT.sub(r"{{include_text('\1')}}", read_text(path))
        source = _OLD_DOCUMENT.sub(r"\1{{include('\2')}}", source)
        page = _Page(self, path, (*chain, path), search)
        environment = _environment(self, page.functions())
        text = _rendered(environment, source, path, self.data)
        self.characters += len(text)
        if self.characters > MAX_BYTES:
            raise InputError(f"includes expand to more than {MAX_BYTES} characters; refused", file=path)
        return text, _origins(text, source, path, page.texts), page.included

    def iterate(self, items: Iterable[Any]) -> Iterator[Any]:
        """Yield what a ``for`` runs over, counting against the budget of all loops together."""
        for item in items:
            self.iterations += 1
            if self.iterations > MAX_ITERATIONS:
                raise InputError(f"template loops run more than {MAX_ITERATIONS} times; refused")
            yield item

    def called(self, result: Any) -> Any:
        """Return what a macro gave, counting it as a step of a loop."""
        next(self.iterate([result]))
        return _bounded(result)


class _Page:
    """One file while it renders: the functions it can call, and what they brought in."""

    def __init__(self, templates: _Templates, path: Path, chain: tuple[Path, ...], search: list[Path]) -> None:
        self.templates, self.path, self.chain, self.search = templates, path, chain, search
        self.included: dict[str, Node] = {}
        self.texts: list[tuple[str, list[tuple[str, int]]]] = []

    def functions(self) -> dict[str, Callable[..., Any]]:
        """Return what a template may call, by name."""
        return {
            "include": self.include,
            "include_all": self.include_all,
            "include_text": self.include_text,
            "add_to_path": self.add_to_path,
            "cwd": lambda: str(self.path.parent),
            "find_path": lambda name: str(self.find(name)[0]),
            "find_paths": lambda name: [str(path) for path in self.find(name)],
            "path_exists": lambda name: bool(self.find(name, required=False)),
            "range": _small_range,
        }

    def find(self, name: str, *, required: bool = True) -> list[Path]:
        """Return the files that a name or pattern means: beside this file first, then on the search path."""
        if not isinstance(name, str) or not name or "\0" in name:
            raise InputError(f"a path must be text, found {name!r}")
        if "**" in name:
            raise InputError(f"'{name}' would walk through folders of any depth; name one folder at a time")
        found: list[Path] = []
        outside = False
        for folder in [self.path.parent, *self.search, *self.templates.roots[1:]]:
            target = folder / name
            alone = not any(sign in target.name for sign in _PATTERN)  # then it may be an allowed folder itself
            if not self.allows(target.parent.resolve()) and not (alone and self.allows(target.resolve())):
                outside = True
                continue
            for path in [match.resolve() for match in _matches(target)]:
                if not self.allows(path):
                    outside = True
                elif path.exists() and path not in found:
                    found.append(path)
        if outside and not found:
            raise InputError(
                f"'{name}' lies outside the document's folder; to allow it, name its folder as an include folder"
            )
        if not found and required:
            raise InputError(f"cannot find '{name}' to include")
        return found

    def allows(self, path: Path) -> bool:
        """Say whether a path without links lies in a folder that may be read."""
        return any(path.is_relative_to(root) for root in self.templates.roots)

    def include(self, name: str, keys: str = "") -> str:
        """Return a tag that stands for the document in a file, or for what dotted keys lead to in it."""
        files = self.find(name)
        if "*" in name and len(files) > 1:
            raise InputError(f"'{name}' means {len(files)} files; use include_all")
        return self.stand_in(self.load(files[0], keys))

    def include_all(self, name: str, keys: str = "") -> str:
        """Return a tag that stands for the list of documents in all files of a pattern."""
        return self.stand_in(Node([self.load(file, keys) for file in self.find(name)], str(self.path), 1, keys))

    def include_text(self, name: str) -> str:
        """Return the rendered text of a file."""
        parts = []
        for file in self.find(name):
            text, origins, included = self.templates.render(file, self.chain, self.search)
            self.included.update(included)
            self.texts.append((text, origins))
            parts.append(text)
        return "\n".join(parts)

    def add_to_path(self, folder: str) -> str:
        """Let later includes also look into a folder (itself inside the allowed ones)."""
        self.search += self.find(folder)
        return ""

    def load(self, file: Path, keys: str) -> Node:
        node = self.templates.read(file, self.chain, self.search)
        for key in filter(None, str(keys).split(".")):
            node = _step(node, key)
        return node

    def stand_in(self, node: Node) -> str:
        name = f"{len(self.templates.roots)}.{self.templates.includes}.{len(self.included)}"
        self.included[name] = node
        return f'!include_loaded "{name}"'


def _matches(target: Path) -> list[Path]:
    """Return the files that a name or a pattern means, within one folder."""
    if not any(sign in target.name for sign in _PATTERN):
        return [target]
    matches = list(itertools.islice(target.parent.glob(target.name), MAX_MATCHES + 1))
    if len(matches) > MAX_MATCHES:
        raise InputError(f"'{target.name}' means more than {MAX_MATCHES} files; refused")
    return sorted(matches)


def _step(node: Node, key: str) -> Node:
    entries = node.mapping()
    if key not in entries:
        raise node.fail(f"has no key '{key}' to include{did_you_mean(key, entries)}")
    return entries[key]


def _small_range(*bounds: int) -> range:
    steps = range(*bounds)
    if len(steps) > MAX_ITERATIONS:
        raise InputError(f"range() of {len(steps)} steps; at most {MAX_ITERATIONS} are run")
    return steps


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja2's sandbox without attributes but those of namespaces, and with results of bounded size."""

    intercepted_binops = frozenset(["+", "-", "*", "**", "%", "/", "//"])

    def __init__(self, templates: _Templates) -> None:
        super().__init__(undefined=jinja2.StrictUndefined, finalize=_printed, keep_trailing_newline=True)
        self.templates = templates

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Allow what a template itself keeps in a namespace."""
        return isinstance(obj, Namespace) and not attr.startswith("_")

    def call(self, __context: Any, __obj: Any, *arguments: Any, **named: Any) -> Any:
        """Call a function, or a macro, whose calls are counted and whose results are bounded."""
        result = super().call(__context, __obj, *arguments, **named)
        return self.templates.called(result) if isinstance(__obj, Macro) else result

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Compute on numbers only, and within bounds; strings are joined with ``~``."""
        for value in (left, right):
            if not isinstance(value, int | float):
                raise InputError(f"'{operator}' needs numbers, found {type(value).__name__} {str(value)[:40]!r}")
        if operator == "**" and abs(right) > 100:
            raise InputError(f"the exponent {right} is larger than 100")
        try:
            return _bounded(super().call_binop(context, operator, left, right))
        except ArithmeticError as error:
            raise InputError(f"cannot compute {left} {operator} {right}: {error}") from None


def _bounded(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise InputError(f"a template builds a text of more than {MAX_TEXT} characters; refused")
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise InputError("a template computes a number beyond 1e30; refused")
    if isinstance(value, complex):
        raise InputError("a template computes a complex number")
    return value


def _environment(templates: _Templates, functions: Mapping[str, Callable[..., Any]]) -> _Sandbox:
    environment = _Sandbox(templates)
    own = {"_iterate": templates.iterate, "_joined": _joined, "_asked": _asked, "dict": dict, "namespace": Namespace}
    environment.globals = {**functions, **own}
    environment.filters = {name: environment.filters[name] for name in _FILTERS} | {"indent": indented}
    environment.tests = {name: environment.tests[name] for name in _TESTS}
    return environment


def indented(text: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    """Return a text with its lines behind the first (or all) moved to the right, as Jinja2's filter of that name."""
    margin = width if isinstance(width, str) else " " * min(max(0, int(width)), MAX_TEXT)
    lines = f"{_printed(text)}\n".splitlines()
    if (len(lines) + 1) * len(margin) > MAX_TEXT:
        raise InputError(f"a template builds a text of more than {MAX_TEXT} characters; refused")
    moved = [margin + line if line or blank else line for line in lines[1:]]
    return "\n".join([margin + lines[0] if first else lines[0], *moved])


def _printed(value: Any) -> Any:
    if not isinstance(value, str | int | float | None | jinja2.Undefined):
        raise InputError(f"a template prints a {type(value).__name__}; only text and numbers can be printed")
    return value


def _asked(method: str, of: Any, *arguments: Any) -> Any:
    if not isinstance(of, dict):
        raise InputError(f"'{method}' is asked of a {type(of).__name__}; only dictionaries have it")
    return getattr(of, method)(*arguments)


def _joined(*parts: Any) -> str:
    return str(_bounded("".join(str(_printed(part)) for part in parts)))


def _rendered(environment: _Sandbox, source: str, path: Path, data: Mapping[str, Scalar]) -> str:
    try:
        tree = _checked(environment.parse(source), path)
        return "".join(_limited(environment.from_string(tree).generate(**data)))
    except InputError as error:
        if error.file is not None:
            raise
        raise InputError(error.message, file=path, line=_template_line(error)) from None
    except jinja2.TemplateSyntaxError as error:
        raise InputError(f"is no valid template: {error.message}", file=path, line=error.lineno) from None
    except _FAULTS as error:
        message, absent = str(error)[:200], re.fullmatch(r"'(\w{1,60})' is undefined", str(error))
        if absent and isinstance(error, jinja2.UndefinedError):
            message += f": give it a value with --set {absent[1]}=VALUE"
        raise InputError(f"template: {message}", file=path, line=_template_line(error)) from None


def _limited(pieces: Iterable[str]) -> Iterator[str]:
    """Yield pieces of text until they are more than any document is."""
    length = 0
    for piece in pieces:
        length += len(piece)
        if length > MAX_BYTES:
            raise InputError(f"a template prints more than {MAX_BYTES} characters; refused")
        yield piece


def _template_line(error: BaseException) -> int | None:
    """Return the template line an error came from (Jinja2 puts it into the traceback)."""
    step, line = error.__traceback__, None
    while step is not None:
        if step.tb_frame.f_code.co_filename == "<template>":
            line = step.tb_lineno
        step = step.tb_next
    return line


def _checked(tree: nodes.Template, path: Path) -> nodes.Template:
    """Refuse what templates may not use, and route loops, joins and dictionaries through the bounded functions."""
    macros = {node.name for node in tree.find_all(nodes.Macro)}
    spaces = {_namespace(node) for node in tree.find_all(nodes.Assign)} - {""}
    asked: set[int] = set()
    for node in list(tree.find_all(nodes.Node)):
        if id(node) in asked:
            continue
        if isinstance(node, nodes.Call) and isinstance(method := node.node, nodes.Getattr) and method.attr in _METHODS:
            asked.add(id(method))
            node.args = [nodes.Const(method.attr), method.node, *node.args]
            node.node = cast(nodes.Expr, nodes.Name("_asked", "load").set_lineno(node.lineno))
        else:
            _check(node, path, macros, spaces)
        if isinstance(node, nodes.For):
            node.iter = _call("_iterate", [node.iter])
    _bound_joins(tree)
    return tree


def _namespace(node: nodes.Assign) -> str:
    """Return the name that an assignment gives to a new namespace; empty where it makes none."""
    made, target = node.node, node.target
    is_call = isinstance(made, nodes.Call) and isinstance(made.node, nodes.Name) and made.node.name == "namespace"
    return target.name if is_call and isinstance(target, nodes.Name) else ""


def _check(node: nodes.Node, path: Path, macros: Collection[str], spaces: Collection[str]) -> None:
    what = ""
    if not isinstance(node, (*_SYNTAX, nodes.Keyword)):
        what = f"'{type(node).__name__.lower()}'"
    elif isinstance(node, nodes.For) and node.recursive:
        what = "a recursive loop"
    elif isinstance(node, nodes.Getattr | nodes.NSRef):
        owner = node.name if isinstance(node, nodes.NSRef) else getattr(node.node, "name", "")
        what = "" if owner in spaces and not node.attr.startswith("_") else f"'getattr' ('.{node.attr}')"
    elif isinstance(node, nodes.Macro) and (node.name in _FUNCTIONS or node.name.startswith("_")):
        what = f"the name '{node.name}' for a macro"
    elif isinstance(node, nodes.Call):
        what = _refused_call(node, macros)
    elif isinstance(node, nodes.Const) and isinstance(node.value, float) and not math.isfinite(node.value):
        what = "a number that is not finite"
    elif isinstance(node, nodes.Name) and node.name.startswith("_"):
        what = f"the name '{node.name}'"
    elif isinstance(node, nodes.List | nodes.Tuple) and any(
        isinstance(i, nodes.List | nodes.Tuple) for i in node.items
    ):
        what = "a list of lists"
    elif isinstance(node, nodes.Assign) and not isinstance(node.target, nodes.Name | nodes.NSRef):
        what = "an assignment to several names"
    if what:
        raise InputError(f"templates may not use {what}", file=path, line=node.lineno)


def _refused_call(node: nodes.Call, macros: Collection[str]) -> str:
    """Return why a call is refused; empty where it is not."""
    name = node.node.name if isinstance(node.node, nodes.Name) else ""
    if not name:
        return "a call of anything but a function"
    if name not in (*_FUNCTIONS, *macros):
        return f"the call of '{name}'{did_you_mean(name, _FUNCTIONS)}"
    if name == "dict" and (node.args or node.kwargs):
        return "'dict' with arguments"
    return "a call with * arguments" if node.dyn_args or node.dyn_kwargs else ""


def _call(name: str, arguments: Sequence[Any]) -> nodes.Call:
    return nodes.Call(nodes.Name(name, "load"), list(arguments), [], None, None)


def _bound_joins(node: nodes.Node) -> nodes.Node:
    for field, value in list(node.iter_fields()):
        if isinstance(value, list):
            setattr(node, field, [_bound_joins(item) if isinstance(item, nodes.Node) else item for item in value])
        elif isinstance(value, nodes.Node):
            setattr(node, field, _bound_joins(value))
    return _call("_joined", node.nodes).set_lineno(node.lineno) if isinstance(node, nodes.Concat) else node


def _origins(
    text: str, source: str, path: Path, texts: Sequence[tuple[str, list[tuple[str, int]]]]
) -> list[tuple[str, int]]:
    """Return file and line of every line of a rendered text.

    A rendered line comes from the nearest equal line of the source, or of the text included at that place; a line
    that the template changed comes from where its neighbours are.
    """
    if text == source:
        return [(str(path), line) for line in range(1, text.count("\n") + 2)]
    lines: list[str] = []
    places: list[tuple[str, int]] = []
    waiting = list(texts)
    for number, line in enumerate(source.split("\n"), 1):
        lines.append(line)
        places.append((str(path), number))
        if re.search(r"\binclude_text\b", line) and waiting:
            included, origins = waiting.pop(0)
            lines += included.split("\n")
            places += origins
    return _aligned(text.split("\n"), lines, places)


def _aligned(rendered: Sequence[str], lines: Sequence[str], places: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    where: dict[str, list[int]] = {}
    for position, line in enumerate(lines):
        where.setdefault(line, []).append(position)
    result, expected = [], 0
    for line in rendered:
        positions = where.get(line, [])
        after = bisect.bisect_left(positions, expected)
        near = positions[max(0, after - 1) : after + 1]
        at = min(near, key=lambda p: abs(p - expected)) if near else min(expected, len(lines) - 1)
        result.append(places[at])
        expected = at + 1
    return result
