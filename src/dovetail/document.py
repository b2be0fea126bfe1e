"""Safe YAML whose every value knows its file, line and key.

Nothing in a document is ever executed or constructed: the text becomes numbers, strings, lists and mappings, and tags
such as ``!Container`` stay words for the reader to judge. What would act on a terminal in a text becomes a space.
Scalars resolve by the YAML 1.2 core schema, as the reference's own parser does (``1e-9`` is a number, ``no`` a word).

Usage::

    node = parse_document(text, file="arch.yaml")
    nodes = node.mapping(known=("architecture", "variables"), required=("architecture",))
    raise nodes["architecture"].fail("only version 0.4 is read")   # arch.yaml:3: architecture: only version 0.4 ...
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import yaml

from dovetail import inputs
from dovetail.errors import InputError, did_you_mean
from dovetail.text import printable

#: Limits that no honest specification comes near; a document beyond them is refused with one message.
MAX_BYTES = 8_000_000
MAX_DEPTH = 60
MAX_VALUES = 200_000
MAX_DIGITS = 60

Scalar = str | int | float | bool | None

_INTEGER = re.compile(r"[-+]?(?:[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+|0b[01]+)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **{sign + word: math.inf for sign in ("", "+") for word in (".inf", ".Inf", ".INF")},
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
_STANDARD_TAG = "tag:yaml.org,2002:"
_INCLUDED = "!include_loaded"
_NO_MERGE = "!nomerge"


@dataclass(frozen=True)
class Node:
    """One value of a document.

    Attributes:
        value: a scalar, a list of nodes, or a mapping from key to node.
        file: the file the value stands in.
        line: its line there, counted from 1.
        key: the dotted path of keys that leads to it; empty at the top.
        tag: the tag it carries, e.g. ``!Component``; None without one.
        quoted: whether a scalar stands in quotes (then it is text, never an expression).
    """

    value: Scalar | list[Node] | dict[str, Node]
    file: str
    line: int
    key: str = ""
    tag: str | None = None
    quoted: bool = False

    def fail(self, message: str) -> InputError:
        """Return the error to raise about this value: ``file:line: key: message``."""
        return InputError(message, file=self.file, line=self.line, key=self.key or None)

    @property
    def kind(self) -> str:
        """What the value is, in words for a message."""
        match self.value:
            case dict():
                return "a mapping"
            case list():
                return "a list"
            case None:
                return "nothing"
            case bool():
                return f"'{str(self.value).lower()}'"
            case str():
                return f"text '{_clip(self.value)}'"
            case _:
                return f"number {self.value}"

    def mapping(self, known: Collection[str] | None = None, required: Collection[str] = ()) -> dict[str, Node]:
        """Return the nodes by key.

        Args:
            known: the keys that may occur; None allows any.
            required: the keys that must occur.

        Raises:
            InputError: not a mapping, an unknown key (at its own line), or a missing one.
        """
        if not isinstance(self.value, dict):
            raise self.fail(f"must be a mapping, found {self.kind}")
        if known is not None:
            for name, node in self.value.items():
                if name not in known:
                    message = f"unknown key '{_clip(name)}'{did_you_mean(name, known)}"
                    raise InputError(message, file=node.file, line=node.line, key=self.key or None)
        for name in required:
            if name not in self.value:
                raise self.fail(f"the key '{name}' is missing")
        return self.value

    def sequence(self) -> list[Node]:
        """Return the items; raises InputError when the value is not a list."""
        if not isinstance(self.value, list):
            raise self.fail(f"must be a list, found {self.kind}")
        return self.value

    def text(self) -> str:
        """Return the text; raises InputError when the value is anything else."""
        if not isinstance(self.value, str):
            raise self.fail(f"must be text, found {self.kind}")
        return self.value

    def integer(self, minimum: int | None = None) -> int:
        """Return the whole number, at least ``minimum`` when given; raises InputError otherwise."""
        value = self.number(minimum)
        if not float(value).is_integer():
            raise self.fail(f"must be a whole number, found {value}")
        return int(value)

    def number(self, minimum: float | None = None) -> int | float:
        """Return the finite number, at least ``minimum`` when given; raises InputError otherwise."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.fail(f"must be a number, found {self.kind}")
        if not math.isfinite(value):
            raise self.fail(f"must be a finite number, found {value}")
        if minimum is not None and value < minimum:
            raise self.fail(f"must be at least {minimum}, found {value}")
        return value

    def boolean(self) -> bool:
        """Return the truth value; raises InputError when the value is anything but true or false."""
        if not isinstance(self.value, bool):
            raise self.fail(f"must be true or false, found {self.kind}")
        return self.value

    def plain(self) -> Any:
        """Return the value as nested plain Python lists, dicts and scalars, without positions and tags."""
        if isinstance(self.value, dict):
            return {name: node.plain() for name, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


def read_text(path: Path, *, own: bool = False) -> str:
    """Return a file's text.

    Args:
        path: the file.
        own: whether it is no input, but one that we keep for ourselves and may write again.

    Raises:
        InputError: it is absent, no plain file, too large, not UTF-8, or an output of the command at work.
    """
    try:
        if not path.is_file():
            raise InputError(not_a_file(path), file=path)
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({getattr(error, 'strerror', None) or error})", file=path) from None
    if len(raw) > MAX_BYTES:
        raise InputError(f"is larger than {MAX_BYTES} bytes; no specification is", file=path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(f"is not UTF-8 text (byte 0x{raw[error.start]:02x})", file=path, line=line) from None
    if not own:
        inputs.reading(path, text)
    return text


def not_a_file(path: Path) -> str:
    """Return why a path is no file to be read."""
    if path.is_dir():
        return "is a folder"
    return "is a device or a pipe; only plain files are read" if path.exists() else "no such file"


def parse_document(
    text: str,
    *,
    file: str = "<text>",
    origins: Sequence[tuple[str, int]] | None = None,
    included: Mapping[str, Node] | None = None,
    lines: bool = False,
    superseded: list[Node] | None = None,
) -> Node:
    """Parse YAML text. A key may be given twice where both say the same.

    Args:
        text: the document.
        file: what to call it in messages.
        origins: file and line of every line of the text, when it was put together from several files.
        included: documents that ``!include_loaded`` names stand for (put there by the template reader).
        lines: keep the line breaks in texts, which may be documents themselves; else a text is one line.
        superseded: where given, the last value of a key that is given several stands, and the others are put here.

    Raises:
        InputError: the text is not YAML, gives a key two values, has an object tag, or expands beyond the limits.
    """
    tree = _Composer(file, origins, included or {}, lines, superseded)
    try:
        return tree.document(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 0 if mark is None else min(mark.line, len(text.splitlines()) - 1)  # the end counts as a line of its own
        raise tree.failure(line, _syntax_message(text, line, error)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) if isinstance(error.position, int) else 0
        raise tree.failure(line, "is not YAML: it contains a character that text may not hold") from None
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start)
        raise tree.failure(line, "is not YAML: it contains half of a surrogate pair") from None
    except yaml.YAMLError as error:
        raise tree.failure(0, f"is not YAML: {error}") from None


def _clip(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _line(event: Any) -> int:
    line: int = event.start_mark.line
    return line


def _is_same(one: Node, other: Node) -> bool:
    """Say whether two values are the same, tags and what stands in quotes included."""
    if (one.tag, one.quoted) != (other.tag, other.quoted) or type(one.value) is not type(other.value):
        return False
    if isinstance(one.value, dict) and isinstance(other.value, dict):
        pairs = zip(one.value.values(), other.value.values(), strict=False)
        return list(one.value) == list(other.value) and all(_is_same(*pair) for pair in pairs)
    if isinstance(one.value, list) and isinstance(other.value, list):
        return len(one.value) == len(other.value) and all(map(_is_same, one.value, other.value))
    return one.value == other.value


def _size(node: Node) -> int:
    children = node.value.values() if isinstance(node.value, dict) else node.value
    return 1 + (sum(map(_size, children)) if isinstance(children, Iterable) and not isinstance(children, str) else 0)


def _syntax_message(text: str, line: int, error: yaml.MarkedYAMLError) -> str:
    lines = text.splitlines()
    stands = lines[line] if line < len(lines) else ""
    if "\t" in stands[: len(stands) - len(stands.lstrip())]:
        return "is not YAML: a tab cannot indent; use spaces"
    parts = [part for part in (error.context, error.problem) if part]
    return f"is not YAML: {', '.join(parts)}"


class _Composer:
    """Builds the nodes of one text from its parse events, counting as it goes.

    It walks events rather than PyYAML's own node graph so that depth and size are bounded before anything is built.
    """

    def __init__(
        self,
        file: str,
        origins: Sequence[tuple[str, int]] | None,
        included: Mapping[str, Node],
        lines: bool,
        superseded: list[Node] | None,
    ) -> None:
        self.file, self.origins, self.included, self.lines = file, origins, included, lines
        self.last_stands, self.superseded = superseded is not None, [] if superseded is None else superseded
        self.anchors: dict[str, tuple[Node, int] | None] = {}
        self.values = 0

    def place(self, line: int) -> tuple[str, int]:
        """Return file and line (from 1) of a line of the text (from 0)."""
        if not self.origins:
            return self.file, line + 1
        return self.origins[min(line, len(self.origins) - 1)]

    def failure(self, line: int, message: str, key: str = "") -> InputError:
        file, number = self.place(line)
        return InputError(message, file=file, line=number, key=key or None)

    def document(self, text: str) -> Node:
        events = iter(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
        next(events)  # stream start
        first = next(events)
        if isinstance(first, yaml.StreamEndEvent):
            return Node(None, self.file, 1)
        root = self.node(next(events), events, "", 0)
        next(events)  # document end
        extra = next(events)
        if not isinstance(extra, yaml.StreamEndEvent):
            raise self.failure(_line(extra), "holds more than one YAML document; give one per file")
        return root

    def count(self, amount: int, line: int, key: str) -> None:
        self.values += amount
        if self.values > MAX_VALUES:
            raise self.failure(line, f"expands to more than {MAX_VALUES} values (repeated aliases?); refused", key)

    def node(self, event: Any, events: Iterator[yaml.Event], key: str, depth: int) -> Node:
        line = _line(event)
        before = self.values
        if depth > MAX_DEPTH:
            raise self.failure(line, f"is nested more than {MAX_DEPTH} deep; refused")
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, line, key)
        self.count(1, line, key)
        if event.anchor is not None:
            self.anchors[event.anchor] = None  # open: an alias to it from inside would contain itself
        if isinstance(event, yaml.ScalarEvent):
            node = self.scalar(event, line, key)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self.sequence(event, events, key, depth)
        else:
            node = self.mapping(event, events, key, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = (node, self.values - before)
        return node

    def alias(self, event: Any, line: int, key: str) -> Node:
        if event.anchor not in self.anchors:
            raise self.failure(line, f"unknown alias '*{event.anchor}'{did_you_mean(event.anchor, self.anchors)}", key)
        known = self.anchors[event.anchor]
        if known is None:
            raise self.failure(line, f"the alias '*{event.anchor}' contains itself", key)
        node, size = known
        self.count(size, line, key)
        return node

    def scalar(self, event: yaml.ScalarEvent, line: int, key: str) -> Node:
        tag = self.tag(event, line, key)
        file, number = self.place(line)
        if tag == _INCLUDED:
            if event.value not in self.included:
                raise self.failure(line, f"the tag {_INCLUDED} is written by {{{{include(...)}}}} only", key)
            node = self.included[event.value]
            self.count(_size(node), line, key)
            return node
        plain = event.style is None or event.style == ""
        value: Scalar = printable(event.value) if not self.lines else "\n".join(map(printable, event.value.split("\n")))
        if plain and (tag is None or tag != "!!str"):
            value = self.resolve(event.value, line, key)
        wanted = {"!!int": int, "!!float": float, "!!bool": bool}.get(tag or "")
        if wanted is not None and not isinstance(value, wanted):
            if not (wanted is float and isinstance(value, int) and not isinstance(value, bool)):
                raise self.failure(line, f"is tagged {tag} but is '{_clip(event.value)}'", key)
            value = float(value)
        own = tag if tag is not None and not tag.startswith("!!") else None
        return Node(value, file, number, key, own, quoted=not plain)

    def resolve(self, text: str, line: int, key: str) -> Scalar:
        if text in _WORDS:
            return _WORDS[text]
        if not (_INTEGER.fullmatch(text) or _FLOAT.fullmatch(text)):
            return text
        if len(text) > MAX_DIGITS:
            raise self.failure(line, f"the number has {len(text)} digits; at most {MAX_DIGITS} are read", key)
        if not _INTEGER.fullmatch(text):
            return float(text)
        digits = text.lstrip("+-")
        return int(text, 0) if digits[:2].lower() in ("0x", "0o", "0b") else int(text)

    def tag(self, event: Any, line: int, key: str) -> str | None:
        """Return the tag in its short form; standard ones as ``!!name``, of which only the harmless pass."""
        tag: str | None = event.tag
        if tag is None or tag == "!":
            return None
        if tag.startswith(_STANDARD_TAG):
            tag = "!!" + tag[len(_STANDARD_TAG) :]
            if tag not in ("!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq"):
                raise self.failure(line, f"the tag {_clip(tag)} is refused: documents hold plain values only", key)
            return tag
        if tag in ("!include", "!includedir"):
            raise self.failure(line, f"the tag {tag} is not supported; write {{{{include('file.yaml')}}}}", key)
        return tag

    def sequence(self, event: yaml.SequenceStartEvent, events: Iterator[yaml.Event], key: str, depth: int) -> Node:
        line = _line(event)
        tag = self.tag(event, line, key)
        items: list[Node] = []
        while not isinstance(item := next(events), yaml.SequenceEndEvent):
            items.append(self.node(item, events, f"{key}[{len(items)}]", depth + 1))
        file, number = self.place(line)
        return Node(items, file, number, key, None if tag == "!!seq" else tag)

    def mapping(self, event: yaml.MappingStartEvent, events: Iterator[yaml.Event], key: str, depth: int) -> Node:
        line = _line(event)
        tag = self.tag(event, line, key)
        entries: dict[str, Node] = {}
        lines: dict[str, int] = {}
        merges: dict[str, Node] = {}
        while not isinstance(name_event := cast(Any, next(events)), yaml.MappingEndEvent):
            at = _line(name_event)
            name = self.name(name_event, at, key)
            path = f"{key}.{name}" if key else name
            node = self.node(next(events), events, path, depth + 1)
            if name in ("<<", "<<<") and not name_event.style:
                if name in merges:
                    raise self.failure(at, f"has a second merge key; list all sources under one '{name}'", key)
                merges[name] = node
                continue
            if name in entries:
                if _is_same(entries[name], node):
                    continue
                first = lines[name]
                if not self.last_stands:
                    raise self.failure(at, f"the key '{_clip(name)}' is given twice (first in line {first})", key)
                self.superseded.append(entries.pop(name))
            entries[name], lines[name] = self.at_key(node, at, path), self.place(at)[1]
        for name, merged in merges.items():
            _merge(entries, _sources(merged), deep=name == "<<<")
        entries = {n: replace(v, tag=None) if v.tag == _NO_MERGE else v for n, v in entries.items()}
        file, number = self.place(line)
        return Node(entries, file, number, key, None if tag == "!!map" else tag)

    def at_key(self, node: Node, line: int, path: str) -> Node:
        """Place a value at the line of its key, where a reader looks; what came from elsewhere keeps its place."""
        file, number = self.place(line)
        if node.key != path or node.file != file:
            return node
        return replace(node, line=number)

    def name(self, event: Any, line: int, key: str) -> str:
        self.count(1, line, key)
        if not isinstance(event, yaml.ScalarEvent):
            raise self.failure(line, "a key must be a word, not an alias, a list or a mapping", key)
        return printable(str(event.value))


def _sources(node: Node) -> list[dict[str, Node]]:
    if isinstance(node.value, list):
        return [item.mapping() for item in node.value]
    return [node.mapping()]


def _merge(into: dict[str, Node], sources: Sequence[dict[str, Node]], *, deep: bool) -> None:
    """Add what ``into`` lacks, the earlier source first; ``deep`` (``<<<``) also joins mappings and appends lists."""
    for source in sources:
        for name, node in source.items():
            mine = into.get(name)
            if mine is None:
                into[name] = node
            elif deep and mine.tag != _NO_MERGE:
                into[name] = _join(mine, node)


def _join(mine: Node, other: Node) -> Node:
    if isinstance(mine.value, dict) and isinstance(other.value, dict):
        joined = dict(mine.value)
        _merge(joined, [other.value], deep=True)
        return replace(mine, value=joined)
    if isinstance(mine.value, list) and isinstance(other.value, list):
        return replace(mine, value=mine.value + other.value)
    return mine
