"""Records CACTI runs: how ``sram_cacti7_between.csv`` and ``sram_cacti7_banks.csv`` came about.

Needs a CACTI 7 binary (https://github.com/HewlettPackard/cacti, ``make opt``) in ``$DOVETAIL_CACTI``. One bank between
the powers of two takes a quarter of an hour, several banks and ports take three times as long.

Usage: python tools/record_cacti.py between > src/dovetail/components/data/sram_cacti7_between.csv
       python tools/record_cacti.py banks > src/dovetail/components/data/sram_cacti7_banks.csv
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

from dovetail.components.cacti import NODES, run
from dovetail.components.estimator import Declined
from dovetail.components.sram import SMALLEST_ROWS, Memory

HEADER = "technology_nm,size_bytes,block_bytes,rw_ports,banks,read_pJ,write_pJ,leak_mW,area_um2"

#: Banks and ports that are recorded; a plain SRAM has two banks unless it says otherwise.
SEVERAL = ((2, 1), (4, 1), (8, 1), (16, 1), (32, 1), (1, 2), (2, 2))


def powers(banks: int, ports: int) -> Iterator[tuple[int, int]]:
    """Yield block bytes and lines at powers of two, from the smallest that so many banks can have.

    The default of two banks goes up to 16 MiB, others up to 2 MiB.
    """
    for exponent in range(2, 8):
        rows = SMALLEST_ROWS * banks
        while rows <= 2 ** min(18, (24 if (banks, ports) == (2, 1) else 21) - exponent):
            yield 2**exponent, rows
            rows *= 2


def between(banks: int) -> Iterator[tuple[int, int]]:
    """Yield block bytes and lines: quarters between powers of two deep, and widths half way between powers of two.

    One bank goes up to 16 MiB, several up to 1 MiB.
    """
    for exponent in range(2, 8):
        block = 2**exponent
        deepest = 2 ** min(18, (24 if banks == 1 else 20) - exponent)
        for quarters in (5, 6, 7):
            rows = banks * SMALLEST_ROWS * quarters // 4
            while rows < deepest:
                yield block, rows
                rows *= 2
    for block in (6, 12, 24, 48, 96):
        for rows in (2**exponent for exponent in range(6, 18)):
            if rows >= banks * SMALLEST_ROWS and block * rows <= (1 << 21 if banks == 1 else 1 << 20):
                yield block, rows


def memories(what: str) -> Iterator[Memory]:
    """Yield what to run for one of the two files, in the order of its lines."""
    if what == "between":
        sizes = {(1, 1): sorted(between(1))}
    else:
        sizes = {(banks, ports): sorted(powers(banks, ports)) for banks, ports in SEVERAL}
        sizes[2, 1] += sorted(between(2))
    for (banks, ports), several in sizes.items():
        for node in NODES:
            yield from (Memory(node, 8 * block, rows, banks, ports) for block, rows in several)


def main(what: str) -> int:
    """Run CACTI for every size and node; print one line each. Leakage is that of one bank."""
    print(HEADER)
    for memory in memories(what):
        block = int(memory.bits) // 8
        try:
            found = run(memory)
        except Declined as reason:
            print(f"{memory}: {reason}", file=sys.stderr)
            continue
        assert all(math.isfinite(value) for value in found.values())
        size = f"{memory.node:g},{block * memory.rows},{block},{memory.ports},{memory.banks}"
        values = (found[name] for name in ("read", "write", "leak", "area"))
        print(f"{size},{','.join(f'{value:.6g}' for value in values)}", flush=True)
    return 0


if __name__ == "__main__":
    if sys.argv[1:] not in (["between"], ["banks"]):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
