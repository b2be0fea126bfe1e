"""Small files that stand for large ones: aliases, depth, digits, templates, arithmetic and archives."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable, Sequence

_SIZES = (10, 61, 300, 5_000, 200_000)
#: Stands in a document where a bomb goes.
_HERE = "BOMB"


def text_bomb(chance: random.Random) -> str:
    """Return a value of a YAML document that is more than it looks, or only looks like a value."""
    return chance.choice(_TEXTS)(chance, chance.choice(_SIZES))


def _aliases(chance: random.Random, size: int) -> str:
    width, depth = chance.choice(((10, 9), (2, 30), (300, 2), (2, 200)))
    first = chance.choice(("[x, x]", "{a: 1}", "9", "&b [*b]"))
    lists = [f"&a0 {first}"] + [
        f"&a{i} [{', '.join([f'*a{i - 1}'] * min(width, size))}]" for i in range(1, min(depth, size))
    ]
    return f"[{', '.join(lists)}]"


def _merges(chance: random.Random, size: int) -> str:
    sign = chance.choice(("<<", "<<<"))
    depth = min(size, chance.choice((3, 12, 40)))
    maps = ["&m0 {a: [1, 2], b: {c: 1}}"] + [
        f"&m{i} {{{sign}: {chance.choice((f'*m{i - 1}', f'[*m{i - 1}, *m{i - 1}]'))}, k{i}: [1], b: {{d{i}: 1}}}}"
        for i in range(1, depth)
    ]
    return f"[{', '.join(maps)}]"


def _depth(chance: random.Random, size: int) -> str:
    opening, closing = chance.choice(
        (("[", "]"), ("{a: ", "}"), ("[{a: ", "}]"), ("- ", ""), ("? ", ""), ("!x [", "]"))
    )
    return opening * size + chance.choice(("1", "", "{{ 1 }}")) + closing * chance.choice((size, size, 0))


def _arithmetic(chance: random.Random, size: int) -> str:
    one = chance.choice(("1", "a", "depth"))
    sign = chance.choice(("+", "*", "**", "//", " if 1 else ", " and ", " < ", "/"))
    return chance.choice((
        sign.join([one] * size), "(" * size + one + ")" * size, "-" * size + one, "not " * size + one,
        "ceil(" * size + one + ")" * size, "2 ** " * min(size, 9) + "9", "10 ** 10 ** 10",
        f"max({', '.join([one] * size)})", f"round({one}, -{size * 10**6})", f"{'9' * size} * {'9' * size}",
        f"1e{size}", f"log2({'9' * size})",
    ))  # fmt: skip


def _template(chance: random.Random, size: int) -> str:
    loops = min(size, chance.choice((2, 5, 70)))
    return chance.choice((
        "{{ " + "(" * size + "1" + ")" * size + " }}", "{{ " + "[" * size + "]" * size + " }}",
        "{{ " + "1 + " * size + "1 }}", "{{ " + "not " * size + "1 }}", "{{ 'a' * " + "9" * min(size, 30) + " }}",
        "".join(f"{{% for i{n} in range(999) %}}" for n in range(loops)) + "x" + "{% endfor %}" * loops,
        "{% if 1 %}" * loops + "x" + "{% endif %}" * loops, "{{ [1] * " + "9" * min(size, 12) + " }}",
        "{{ 1" + "|abs" * size + " }}", "{{ 2 " + "** 9 " * min(size, 9) + "}}", "{# " * size,
        "{{ '" + "x" * size + "' }}", "{{ '%0" + "9" * min(size, 12) + "d' % 1 }}", "{{ 1 " + "~ 'ab' " * size + "}}",
        "{{ include('x.yaml') }}", "{{ include_text('x.yaml') }}" * loops,
        "{% set n = 'a' %}" + "{% set n = n ~ n %}" * loops + "{{ n }}",
        "{% set n = [1] %}" + "{% set n = [n, n] %}" * loops + "{{ n }}",
        "{% set n = 9 %}" + "{% set n = n * n %}" * loops + "{{ n }}",
    ))  # fmt: skip


def _scalars(chance: random.Random, size: int) -> str:
    return chance.choice((
        "9" * size, "0x" + "f" * size, "1." + "0" * size + "1", "'" + "a" * size + "'", '"' + "\\x07" * size + '"',
        "{" + ", ".join(f"k{i}: {i}" for i in range(size)) + "}", "[" + "1," * size + "]", "\n---\n" * size,
        "&a " * size + "1", "!t " * size + "1", "|\n" + "  x\n" * size, '"' + "\\U0001F600" * size + '"',
        "[" + ",".join(f"&a{i} 1" for i in range(size)) + "]", "C=" + "1" * size, " ".join(["C=1"] * size),
        '"' + "\\n" * size + '"', "# x\n" * size + "1", "k" * size + ": 1", "a: " * size,
    ))  # fmt: skip


_TEXTS: tuple[Callable[[random.Random, int], str], ...] = (
    _aliases, _merges, _depth, _arithmetic, _template, _scalars,
)  # fmt: skip


def bombed(places: Sequence[str], chance: random.Random) -> bytes:
    """Return a document with a bomb in it.

    Args:
        places: the document in several forms, each with `_HERE` where a value was; see `with_holes`.
        chance: decides.
    """
    bomb = text_bomb(chance)
    if chance.random() < 0.1:
        return bomb.encode()
    return chance.choice(places).replace(_HERE, bomb, 1).encode()


def with_holes(text: str, values: Sequence[str]) -> list[str]:
    """Return the document once for each of some texts in it, with `_HERE` in the text's place."""
    found = [text.replace(value, _HERE, 1) for value in values if value in text]
    return [*found, f"{text}\nzzz: {_HERE}\n"]


def archive_bomb(chance: random.Random, inside: dict[str, bytes]) -> bytes:
    """Return an archive of some files that unpacks to more than it is, or says so, or is broken within."""
    packed = io.BytesIO()
    kind = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    inside = dict(inside)
    name = chance.choice(list(inside))
    match chance.randint(0, 5):
        case 0:
            inside[name] = b"\0" * chance.choice((10**6, 2 * 10**8))
            kind = zipfile.ZIP_DEFLATED
        case 1:
            inside[name] = chance.choice((b"[", b'{"a":', b" ", b"9")) * chance.choice((10**4, 10**7))
            kind = zipfile.ZIP_DEFLATED
        case 2:
            inside |= {f"x/{number}": b"" for number in range(chance.choice((10, 30_000)))}
        case 3:
            inside |= {"../../out": b"x", "/abs": b"x", "x\x1b[31m": b"x", "": b"x"}
    with zipfile.ZipFile(packed, "w", kind) as archive:
        for each, data in inside.items():  # what compresses nothing takes its time all the same, 30,000 times
            archive.writestr(each or " ", data, kind if data else zipfile.ZIP_STORED)
    out = bytearray(packed.getvalue())
    if chance.random() < 0.5:  # what the directory says of a file: sizes, way of packing, flags, place
        at = out.rfind(b"PK\x01\x02") + chance.choice((8, 10, 12, 16, 20, 24, 28, 42))
        out[at : at + 4] = chance.choice((b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\x01\0\0\0", b"\x63\0\0\0"))
    elif chance.random() < 0.7:
        out[chance.randrange(30, max(31, len(out) - 60))] ^= 0xFF
    return bytes(out)
