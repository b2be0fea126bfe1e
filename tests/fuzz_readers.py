"""Throws mutated documents at the readers: whatever comes in, only an InputError may come out.

Run it for as long as you like::

    python tests/fuzz_readers.py --seconds 60

It stops at the first text that brings anything else out, prints it and the traceback, and ends with code 1.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

from dovetail.document import parse_document, read_document
from dovetail.errors import InputError
from dovetail.expression import evaluate
from dovetail.hardware.binding import bind
from dovetail.hardware.describe import describe
from dovetail.hardware.reader import bundled_designs, design_file, read_architecture

BOUNDS = {"C": 8, "M": 16, "R": 3, "S": 3, "N": 1, "P": 14, "Q": 14}
TENSORS = {"Weights": "CMRS", "Inputs": "NCPQRS", "Outputs": "NMPQ"}

OWN = """
variables: {version: 0.4, a: 4, b: a * 2, global_cycle_seconds: 1e-9}
constraints: {targets: [{target: buf, type: temporal, factors: 'C=1 M<=4', permutation: RS_MC}]}
components: {version: 0.4, classes: [{name: x, attributes: {d: ceil(log2(depth))}}]}
architecture:
  version: 0.4
  nodes:
  - !Component {name: DRAM, class: DRAM, attributes: &at {width: 64, datawidth: 8, read_bandwidth: b}}
  - !Container {name: PE, spatial: {meshX: a, meshY: 2}, constraints: {spatial: {split: 1, maximize_dims: [[C, M]]}}}
  - !Component
    name: buf
    class: SRAM
    attributes: {<<: *at, entries: 100, cluster_size: 1, multiple-buffering: 2, shared_bandwidth: 3}
    constraints: {dataspace: {keep_only: [Inputs]}, temporal: {factors_only: [], no_reuse: ['*']}}
  - !Parallel
    nodes:
    - !Component
      name: w
      class: storage
      attributes: {<<<: *at, depth: 2}
      constraints: {dataspace: {keep: [Weights]}}
    - !Nothing {constraints: {dataspace: {keep: [Inputs]}}}
  - !Component {name: mac, class: intmac, spatial: {meshX: 2}}
"""
TEMPLATE = """
{% set n = bits|default(8) %}
a: {{ n * 2 }}
b: {{ include('inner.yaml', 'x.y') }}
{{ include_text('text.yaml') }}
{% for i in range(3) %}
k{{ i }}: {{ 'a' ~ i }}
{% endfor %}
"""
WORDS = """
& * < << <<< : ? - , | > ' " # ! % @ ` { } [ ] {{ }} {% %} {# #} --- ... ~ null true .inf .nan 0 -1 1e999 0x 1e-9
99999999999999999999 !Component !Container !Parallel !Nothing !!python/object:os.system !!int &a *a name: class:
spatial: nodes: attributes: constraints: factors: permutation: split: keep: C=1 C<=0 C>=x C=0 M= N _ include( range(
() ** // % lambda __class__ if else for in and or not max( ceil( open( inf depth width é 中
"""
SIGNS = [" ", "\n", "\t", "\r", "\x00", "\x1b[31m", "\x85", "\u2028", "\ufeff", "\ud83d"]
PIECES = [*re.findall(r"\S+", WORDS), *SIGNS]


def mutated(text: str, chance: random.Random) -> str:
    """Return a text with a few of its pieces deleted, doubled, moved or replaced."""
    for _ in range(chance.randint(1, 6)):
        at, to = sorted((chance.randint(0, len(text)), chance.randint(0, len(text))))
        to = min(to, at + chance.choice((0, 1, 3, 10, 60)))
        match chance.randint(0, 5):
            case 0:
                text = text[:at] + text[to:]
            case 1:
                text = text[:to] + text[at:to] * chance.choice((1, 2, 20)) + text[to:]
            case 2:
                where = chance.randint(0, len(text))
                text = text[:where] + text[at:to] + text[where:]
            case 3:
                lines = text.split("\n")
                chance.shuffle(some := lines[: chance.randint(0, len(lines))])
                text = "\n".join(some + lines[len(some) :])
            case _:
                text = text[:at] + chance.choice(PIECES) + text[to:]
    return text[:20_000]


def read_architecture_text(text: str) -> None:
    """Read a text as an architecture, bind it and describe it."""
    architecture = read_architecture(parse_document(text), "fuzzed")
    describe(bind(architecture, BOUNDS, TENSORS))


def read_template_text(text: str) -> None:
    """Read a text as a templated file that stands in a folder with others to include."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "inner.yaml").write_text("x: {y: [1, 2]}\n")
        (Path(folder) / "text.yaml").write_text("t: 1\n")
        path = Path(folder) / "top.yaml"
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        read_document(path).plain()


def read_bytes(text: str) -> None:
    """Read a text as the raw bytes of a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "top.yaml"
        path.write_bytes(text.encode("latin-1", errors="replace"))
        read_document(path).plain()


def read_expression(text: str) -> None:
    """Read a text as an expression."""
    evaluate(text, {"depth": 192, "width": 16})


SEEDS = {
    read_architecture_text: [OWN, *(design_file(name).read_text() for name in bundled_designs())],
    read_template_text: [TEMPLATE],
    read_bytes: [OWN],
    read_expression: ["max(1, ceil(log2(depth))) if depth >= 1 else -width ** 2 // 3 % 5", "not (1 < 2) and 'a' == 3"],
}


def attempt(number: int) -> str | None:
    """Make one attempt, the same for the same number; return what went wrong, None when nothing did."""
    chance = random.Random(number)
    reader = chance.choice(list(SEEDS))
    text = mutated(chance.choice(SEEDS[reader]), chance)
    began = time.monotonic()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            reader(text)
    except InputError as error:
        if "\n" in str(error):
            return f"attempt {number}: a message of several lines from {reader.__name__}: {error!r}\n{text!r}"
    except Exception:
        return f"attempt {number}: {reader.__name__}\n{text!r}\n{traceback.format_exc()}"
    if time.monotonic() - began > 20:
        return f"attempt {number}: {reader.__name__} took more than 20 seconds\n{text!r}"
    return None


def main() -> int:
    """Attempt until the time is over or something goes wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--first", type=int, default=0, help="number of the first attempt, to repeat or go on")
    args = parser.parse_args()
    end, number = time.monotonic() + args.seconds, args.first
    while time.monotonic() < end:
        wrong = attempt(number)
        if wrong is not None:
            sys.stderr.write(wrong + "\n")
            return 1
        number += 1
    sys.stdout.write(f"{number - args.first} attempts, nothing but InputError escaped\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
