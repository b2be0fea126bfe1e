"""Mutates valid documents so that most still get past a parser: trees of plain values, text, cells, protobuf."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from dovetail.document import Node, parse_document

#: Acts on a terminal, a page and a spreadsheet, and breaks a line.
NASTY = "=1+a\x1b[31m\x07\n\u202e<b onclick=x>\"'&\u200b"
LEAVES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 1000, 2**31, 2**40, 2**63, 2**64, 10**18, 10**59, -(10**18), 0.5, -0.5, 1e-300,
    1e308, float("nan"), float("inf"), float("-inf"), "", " ", "x", "0", "-1", "²", "١٢", "1e400", "9" * 1000,
    "a" * 5000, NASTY, "é中", "*", "**", "../../etc/passwd", "/dev/zero", "%DIR%", "{{ cwd() }}", "__class__", "{}",
    [], {}, [[]], [0], [None], [1, 2, 3], ["a", "b"], {"a": 1}, {"": None}, [{"a": [1]}], {"name": "x"},
)  # fmt: skip


@dataclass
class Tagged:
    """A mapping or list of a YAML document with a tag of its own, such as ``!Component``."""

    tag: str
    value: Any


class Quoted(str):
    """A text that stands in quotes, so that it is no expression."""

    __slots__ = ()


class _Dumper(yaml.CSafeDumper if yaml.__with_libyaml__ else yaml.SafeDumper):  # type: ignore[misc]
    """Writes tagged values; shares nothing by aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_tagged(dumper: Any, tagged: Tagged) -> Any:
    node = dumper.represent_data(tagged.value)
    node.tag = tagged.tag
    return node


def _represent_quoted(dumper: Any, text: Quoted) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", _whole(text), style='"')


def _represent_text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", _whole(text))


def _whole(text: str) -> str:
    """Return a text without halves of surrogate pairs, which PyYAML's C emitter cannot write."""
    return text.encode("utf-8", "replace").decode("utf-8")


_Dumper.add_representer(Tagged, _represent_tagged)
_Dumper.add_representer(Quoted, _represent_quoted)
_Dumper.add_representer(str, _represent_text)


def tree_of(text: str) -> Any:
    """Return a YAML text as plain values that can be mutated and written again."""
    return _plain(parse_document(text))


def _plain(node: Node) -> Any:
    value: Any = node.value
    if isinstance(value, dict):
        value = {key: _plain(each) for key, each in value.items()}
    elif isinstance(value, list):
        value = [_plain(each) for each in value]
    elif node.quoted:
        value = Quoted(value)
    return Tagged(node.tag, value) if node.tag else value


def yaml_of(tree: Any) -> str:
    """Return a tree as YAML."""
    return str(yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=False, width=1000))


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (container, key) of every value in a tree."""
    if isinstance(tree, Tagged):
        yield tree, "value"
        yield from places(tree.value)
        return
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(items):
        yield tree, key
        yield from places(value)


def get(container: Any, key: Any) -> Any:
    """Return the value at a place."""
    return container.value if isinstance(container, Tagged) else container[key]


def put(container: Any, key: Any, value: Any) -> None:
    """Put a value at a place."""
    if isinstance(container, Tagged):
        container.value = value
    else:
        container[key] = value


def mutated_tree(tree: Any, chance: random.Random, donors: Sequence[Any] = (), leaves: Sequence[Any] = LEAVES) -> Any:
    """Return a copy of a tree with one to four things changed.

    Args:
        tree: dicts, lists, tagged values and scalars.
        chance: decides.
        donors: other trees, whose parts may be put in.
        leaves: what values may be replaced by.
    """
    tree = [copy.deepcopy(tree)]
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
        every = list(places(tree))
        container, key = chance.choice(every[1:] or every)
        value = get(container, key)
        match chance.randint(0, 11):
            case 0 | 1 | 2:
                put(container, key, copy.deepcopy(chance.choice(leaves)))
            case 3 | 4 | 5:
                put(container, key, _near(value, chance, leaves))
            case 6 if isinstance(container, dict | list) and len(every) > 1:
                del container[key]
                tree = tree or [None]
            case 7 if isinstance(container, dict):
                put_renamed(container, key, _misspelt(str(key), chance))
            case 8 if isinstance(container, list):
                container[key:key] = [copy.deepcopy(value) for _ in range(chance.choice((1, 1, 2, 70)))]
            case 9:
                for _ in range(chance.choice((1, 1, 2, 50, 100))):
                    value = [value] if chance.random() < 0.5 else {"a": value}
                put(container, key, value)
            case 10 if isinstance(container, dict):
                container[_misspelt(str(key), chance)] = copy.deepcopy(value)
            case _:
                source = chance.choice([tree, *donors])
                put(container, key, copy.deepcopy(get(*chance.choice(list(places(source)) or [([None], 0)]))))
    return tree[0]


def put_renamed(container: dict[Any, Any], key: Any, name: str) -> None:
    """Rename a key, its place kept."""
    items = [(name if each == key else each, value) for each, value in container.items()]
    container.clear()
    container.update(items)


def _near(value: Any, chance: random.Random, leaves: Sequence[Any]) -> Any:
    """Return a value of the same kind that is nearly as good."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return chance.choice((value + 1, value - 1, -value, value * 2, value * 1000, value * 10**9, float(value), 0, 1))
    if isinstance(value, float):
        return chance.choice((value * 2, -value, value * 1e300, value / 1e300, int(value) if abs(value) < 1e300 else 0))
    if isinstance(value, str):
        return mutated_text(value, chance) if chance.random() < 0.7 else value + NASTY
    if isinstance(value, Tagged):
        return Tagged(chance.choice(("!Component", "!Container", "!Parallel", "!Nothing", "!x", "!!set")), value.value)
    if isinstance(value, list):
        return chance.sample(value, len(value))
    if isinstance(value, dict):
        return dict(chance.sample(list(value.items()), len(value)))
    return copy.deepcopy(chance.choice(leaves))


def _misspelt(word: str, chance: random.Random) -> str:
    at = chance.randint(0, len(word))
    return chance.choice((word[:at] + word[at + 1 :], word[:at] + "x" + word[at:], word.upper(), NASTY, "", word * 100))


WORDS = """
& * < << <<< : ? - , | > ' " # ! % @ ` { } [ ] {{ }} {% %} {# #} --- ... ~ null true .inf .nan 0 -1 1e999 0x 1e-9
99999999999999999999 !Component !Container !Parallel !Nothing !!python/object:os.system !!int &a *a name: class:
spatial: nodes: attributes: constraints: factors: permutation: split: keep: C=1 C<=0 C>=x C=0 M= N _ include( range(
() ** // % lambda __class__ if else for in and or not max( ceil( open( inf depth width round( ² 1e9 é 中 = , ; C=0,1 P4
C=99999999999999999999 target type temporal bypass loop_nest level x y mac Weights Inputs Outputs 2** 9**9 gcd( int(
"""
SIGNS = (" ", "\n", "\t", "\r", "\x00", "\x1b[31m", "\x85", "\u2028", "\ufeff", "\ud83d", "\n- ")
PIECES = (*re.findall(r"\S+", WORDS), *SIGNS)


def mutated_text(text: str, chance: random.Random) -> str:
    """Return a text with a few of its pieces deleted, doubled, moved or replaced."""
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(text))
        to = min(len(text), at + chance.choice((0, 1, 3, 10, 60)))
        where = chance.randint(0, len(text))
        match chance.randint(0, 4):
            case 0:
                text = text[:at] + text[to:]
            case 1:
                text = text[:to] + text[at:to] * chance.choice((1, 2, 20)) + text[to:]
            case 2:
                text = text[:where] + text[at:to] + text[where:]
            case _:
                text = text[:at] + chance.choice(PIECES) + text[to:]
    return text[:20_000]


def mutated_bytes(data: bytes, chance: random.Random) -> bytes:
    """Return bytes with a few of them flipped, deleted, doubled or cut off."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(len(out) or 1)
        match chance.randint(0, 3):
            case 0 if out:
                out[at] = chance.randrange(256)
            case 1:
                del out[at : at + chance.choice((1, 4, 100))]
            case 2:
                out[at:at] = out[at : at + chance.choice((1, 8, 100))]
            case _:
                out[at:at] = chance.choice((b"\xff" * 8, b"\0" * 8, b"(", b".", b"c", b"\x80", b"R"))
    return bytes(out)


SIZES = (0, 1, -1, 2, 3, 7, 1000, 2**20, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, -(2**63))


def mutate_message(message: Any, chance: random.Random) -> None:
    """Change one to four fields of a protobuf message in place, of whatever messages stand in it."""
    for _ in range(chance.choice((1, 1, 2, 3, 4))):
        owner, field = chance.choice(list(_fields(message)))
        words = [getattr(one, other.name) for one, other in _fields(message) if other.type == other.TYPE_STRING]
        words = [word for each in words for word in ([each] if isinstance(each, str) else each)]
        if _is_repeated(field):
            values = getattr(owner, field.name)
            at = chance.randrange(len(values))
            match chance.randint(0, 3):
                case 0:
                    del values[at]
                case 1:
                    for _ in range(chance.choice((1, 1, 40))):
                        values.append(copy.deepcopy(values[at]))
                case 2 if field.message_type is not None:
                    other = copy.deepcopy(values[chance.randrange(len(values))])
                    values[at].CopyFrom(other)
                case _ if field.message_type is None:
                    values[at] = _other(field, values[at], words, chance)
        elif field.message_type is not None:
            owner.ClearField(field.name)
        else:
            setattr(owner, field.name, _other(field, getattr(owner, field.name), words, chance))


def _is_repeated(field: Any) -> bool:
    return bool(field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED)


def _fields(message: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (message, field) of every field that is set, in this message and those in it."""
    for field, value in message.ListFields():
        yield message, field
        if field.message_type is not None:
            for each in value if _is_repeated(field) else (value,):
                yield from _fields(each)


def _other(field: Any, value: Any, words: Sequence[str], chance: random.Random) -> Any:
    """Return another value of the same kind as a protobuf field's."""
    if isinstance(value, str):
        return chance.choice((chance.choice(words), "", NASTY, "x" * 3000, value + "x"))
    if isinstance(value, bytes):
        return mutated_bytes(value, chance)
    if field.type == field.TYPE_ENUM:
        return chance.choice([each.number for each in field.enum_type.values])
    if isinstance(value, float):
        return chance.choice((0.0, -1.0, 1e30, float("nan"), float("inf")))
    narrow = field.type in (field.TYPE_INT32, field.TYPE_SINT32, field.TYPE_UINT32)
    least = 0 if field.type in (field.TYPE_UINT32, field.TYPE_UINT64) else -(2**31) if narrow else -(2**63)
    return chance.choice([size for size in (*SIZES, value + 1) if least <= size < (2**31 if narrow else 2**63)])
