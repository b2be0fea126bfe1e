"""Records CACTI runs between the powers of two: how ``sram_cacti7_between.csv`` came about.

Needs a CACTI 7 binary (https://github.com/HewlettPackard/cacti) in ``$DOVETAIL_CACTI``; takes a quarter of an hour.

Usage: python tools/record_cacti.py > src/dovetail/components/data/sram_cacti7_between.csv
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

from dovetail.components.cacti import NODES, run
from dovetail.components.estimator import Declined
from dovetail.components.sram import Memory

HEADER = "technology_nm,size_bytes,block_bytes,rw_ports,banks,read_pJ,write_pJ,leak_mW,area_um2"


def sizes() -> Iterator[tuple[int, int]]:
    """Yield block bytes and lines: quarters between powers of two deep, and widths half way between powers of two."""
    for exponent in range(2, 8):
        block = 2**exponent
        deepest = 2 ** min(18, 24 - exponent)
        for quarters in (5, 6, 7):
            rows = 64 * quarters // 4
            while rows < deepest:
                yield block, rows
                rows *= 2
    for block in (6, 12, 24, 48, 96):
        for rows in (2**exponent for exponent in range(6, 18)):
            if block * rows <= 1 << 21:
                yield block, rows


def main() -> int:
    """Run CACTI for every size and node; print one line each."""
    print(HEADER)
    for node in NODES:
        for block, rows in sorted(sizes()):
            try:
                found = run(Memory(node, 8 * block, rows, 1, 1))
            except Declined as reason:
                print(f"{node:g} nm, {block} bytes x {rows}: {reason}", file=sys.stderr)
                continue
            values = (found[name] for name in ("read", "write", "leak", "area"))
            print(f"{node:g},{block * rows},{block},1,1,{','.join(f'{value:.6g}' for value in values)}", flush=True)
            assert all(math.isfinite(value) for value in found.values())
    return 0


if __name__ == "__main__":
    sys.exit(main())
