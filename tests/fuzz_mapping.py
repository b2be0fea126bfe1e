"""Throws mutated mapping files at their readers: whatever comes in, only an error on purpose may come out.

Run it for as long as you like::

    python tests/fuzz_mapping.py --seconds 60

It stops at the first text that brings anything else out, prints it and the traceback, and ends with code 1.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
import traceback

from dovetail.errors import DovetailError
from dovetail.mapping.constraints import violations
from dovetail.mapping.directives import mapping_to_directives
from dovetail.mapping.files import parse_mapping
from dovetail.mapping.native_yaml import native_mapping_yaml
from dovetail.mapping.text import loop_nest_text
from dovetail.mapping.timeloop_yaml import timeloop_mapping_yaml
from mapping_strategies import EYERISS, LAYER, NEST

SEEDS = [timeloop_mapping_yaml(NEST, EYERISS, LAYER), native_mapping_yaml(NEST, LAYER)]
WORDS = """
C=3 C3 C=0 C=0,1 C=3,2 C=-1 C=1e9 C=99999999999999999999 CC CMRSNPQ , = # : - [ ] { } & * ! | > ' " --- ... ~ null true
.inf .nan 0 1 -1 7 1e999 0x10 target type temporal spatial bypass datatype dataspace keep factors permutation split
loop_nest level x y mapping DRAM shared_glb PE PE_column inter_PE_spatial mac psum_spad Weights Outputs é 中 &a *a <<
"""
PIECES = [*re.findall(r"\S+", WORDS), "\n", "\n- ", "  ", "\t", "\x00", "\x85", "\u2028", "\ufeff"]


def mutated(text: str, chance: random.Random) -> str:
    """Return a text with a few of its words or stretches deleted, doubled, moved or replaced."""
    for _ in range(chance.randint(1, 5)):
        at = chance.randint(0, len(text))
        to = min(len(text), at + chance.choice((0, 1, 3, 10, 60)))
        where = chance.randint(0, len(text))
        match chance.randint(0, 3):
            case 0:
                text = text[:at] + text[to:]
            case 1:
                text = text[:where] + text[at:to] + text[where:]
            case _:
                text = text[:at] + chance.choice(PIECES) + text[to:]
    return text[:20_000]


def attempt(number: int) -> str | None:
    """Make one attempt, the same for the same number; return what went wrong, None when nothing did."""
    chance = random.Random(number)
    text = mutated(chance.choice(SEEDS), chance)
    began = time.monotonic()
    try:
        mapping = parse_mapping(text, EYERISS, LAYER)
        violations(mapping, LAYER, EYERISS)
        loop_nest_text(mapping, EYERISS, LAYER)
        mapping_to_directives(mapping, EYERISS, LAYER)
    except DovetailError as error:
        if "\n" in str(error):
            return f"attempt {number}: a message of several lines: {error!r}\n{text!r}"
    except Exception:
        return f"attempt {number}:\n{text!r}\n{traceback.format_exc()}"
    if time.monotonic() - began > 20:
        return f"attempt {number} took more than 20 seconds\n{text!r}"
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
    sys.stdout.write(f"{number - args.first} attempts, nothing but errors on purpose escaped\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
