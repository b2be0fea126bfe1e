"""SRAM from a CACTI binary on this machine, when there is one: ``$DOVETAIL_CACTI``, or ``cacti`` on the path."""

from __future__ import annotations

import csv
import functools
import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dovetail.components.estimator import Declined, Query, Quote
from dovetail.components.sram import SMALLEST_BITS, SMALLEST_ROWS, CactiRuns, Memory, small_scale
from dovetail.files import write_text
from dovetail.sources import sources_key
from dovetail.store import Store, cache_folder, content_key

#: The nodes that CACTI has device data for, nm.
NODES = (22.0, 32.0, 45.0, 65.0, 90.0)
_TIMEOUT_SECONDS = 60

#: Column of CACTI's own output -> our quantity and the factor to pJ, pJ per ns, and um^2.
_COLUMNS = {
    "Dynamic read energy (nJ)": ("read", 1e3),
    "Dynamic write energy (nJ)": ("write", 1e3),
    "Standby leakage per bank(mW)": ("leak", 1.0),
    "Area (mm2)": ("area", 1e6),
}

#: Settings that stay the same: low standby power devices, 300 K, least leakage; what the recorded runs used.
_SETTINGS = """\
-Array Power Gating - "false"
-WL Power Gating - "false"
-CL Power Gating - "false"
-Bitline floating - "false"
-Interconnect Power Gating - "false"
-Power Gating Performance Loss "default"
-exclusive read port 0
-exclusive write port 0
-single ended read ports 0
-page size (bits) 0
-burst length 8
-internal prefetch width 8
-Data array cell type - "itrs-lstp"
-Data array peripheral type - "itrs-lstp"
-Tag array cell type - "itrs-lstp"
-Tag array peripheral type - "itrs-lstp"
-operating temperature (K) 300
-access mode (normal, sequential, fast) - "fast"
-design objective (weight delay, dynamic power, leakage power, cycle time, area) 0:0:1000000:0:0
-deviate (delay, dynamic power, leakage power, cycle time, area) 20:10:100000:100:100
-NUCAdesign objective (weight delay, dynamic power, leakage power, cycle time, area) 100:100:0:0:100
-NUCAdeviate (delay, dynamic power, leakage power, cycle time, area) 10:10000:10000:10000:10000
-Optimize ED or ED^2 (ED, ED^2, NONE): "ED^2"
-Cache model (NUCA, UCA)  - "UCA"
-NUCA bank count 0
-Wire signaling (fullswing, lowswing, default) - "Global_30"
-Wire inside mat - "semi-global"
-Wire outside mat - "semi-global"
-Interconnect projection - "normal"
-Core count 1
-Add ECC - "false"
-Print level (DETAILED, CONCISE) - "DETAILED"
-Print input parameters - "true"
-Force cache config - "false"
-Ndwl 1
-Ndbl 1
-Nspd 0
-Ndcm 1
-Ndsam1 0
-Ndsam2 0
-dram_type "DDR3"
-io state "WRITE"
-addr_timing 1.0
-mem_density 4 Gb
-bus_freq 800 MHz
-duty_cycle 1.0
-activity_dq 1.0
-activity_ca 0.5
-num_dq 72
-num_dqs 18
-num_ca 25
-num_clk 2
-num_mem_dq 2
-mem_data_width 8
-rtt_value 10000
-ron_value 34
-tflight_value
-num_bobs 1
-capacity 80
-num_channels_per_bob 1
-first metric "Cost"
-second metric "Bandwidth"
-third metric "Energy"
-DIMM model "ALL"
-mirror_in_bob "F"
-cache type "ram"
-tag size (b) 0
-associativity 1
"""


class CactiLive(CactiRuns):
    """SRAM by running CACTI: any size, banks and ports at its nodes. Results are kept in the user's store."""

    name = "cacti_live"
    valid = "22, 32, 45, 65 and 90 nm; any size, banks and ports that CACTI finds an organisation for"
    accuracy: float = 85
    source = "CACTI (Balasubramonian et al., TACO 2017), run on this machine"

    def energy(self, query: Query) -> Quote:
        """Return pJ of one access of a whole line, or leaked per cycle."""
        _binary()
        return super().energy(query)

    def area(self, query: Query) -> Quote:
        """Return um^2."""
        _binary()
        return super().area(query)

    def quantity(self, quantity: str, memory: Memory) -> Quote:
        """Return pJ of an access, pJ leaked per ns, or um^2, of the whole memory."""
        if memory.node not in NODES:
            raise Declined(f"has device data for {', '.join(f'{node:g}' for node in NODES)} nm only")
        bits = max(8 * math.ceil(memory.bits / 8), SMALLEST_BITS)
        banks = 2 ** math.ceil(math.log2(memory.banks))
        rows = max(math.ceil(memory.rows), SMALLEST_ROWS * banks)
        asked = replace(memory, bits=bits, rows=rows, banks=banks)
        value = run(asked)[quantity] * small_scale(quantity, memory.bits / bits, memory.rows / rows)
        small = memory.rows < rows or memory.bits < SMALLEST_BITS
        notes = (f"CACTI goes no smaller than {rows} x {bits} bits: scaled down from there",) if small else ()
        return Quote(value * (memory.banks if quantity == "leak" else 1), notes, small)


def _binary() -> Path:
    """Return the CACTI binary; raises Declined when there is none, or its technology files don't lie beside it."""
    named = os.environ.get("DOVETAIL_CACTI")
    found = named or shutil.which("cacti")
    if not found or not Path(found).is_file():
        raise Declined(f"there is no file '{named}'" if named else "no CACTI binary on the path or in $DOVETAIL_CACTI")
    path = Path(found).resolve()
    if not (path.parent / "tech_params").is_dir():
        raise Declined(f"{path} has no folder tech_params beside it")
    return path


def run(memory: Memory) -> Mapping[str, float]:
    """Return pJ of read and write, pJ leaked per ns and bank, and um^2, as CACTI computes them.

    Raises:
        Declined: there is no CACTI, or it finds no organisation.
    """
    binary = _binary()
    files = (binary, *sorted((binary.parent / "tech_params").iterdir()))
    stamps = tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    found = _kept(binary, stamps, _input(memory))
    if found is None:
        raise Declined("found no organisation for this memory")
    return found


@functools.lru_cache(maxsize=4096)
def _kept(binary: Path, stamps: tuple[tuple[str, int, int], ...], text: str) -> Mapping[str, float] | None:
    """Return what this very binary computes, from the store when it did before; None when it finds nothing.

    ``stamps``: name, size and time of the last change of the binary and of its technology files.
    """
    key = content_key("cacti", sources_key(__name__), stamps, text)
    with Store.open() as store:
        kept = store.get(key)
        if kept is None:
            kept = _run(binary, text)
            if kept is not None:
                store.put(key, kept)
    return None if kept is None else {str(name): float(value) for name, value in kept.items()}


def _input(memory: Memory) -> str:
    """Return CACTI's input file for a memory of whole bytes per line."""
    block = int(memory.bits) // 8
    return _SETTINGS + "\n".join(
        (
            f"-size (bytes) {block * int(memory.rows)}",
            f"-block size (bytes) {block}",
            f"-output/input bus width {8 * block}",
            f"-technology (u) {memory.node / 1000:g}",
            f"-read-write port {memory.ports:g}",
            f"-UCA bank {memory.banks:g}",
            "",
        )
    )


def _run(binary: Path, text: str) -> dict[str, float] | None:
    folder = cache_folder()
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cacti-", dir=folder) as work:
        given = Path(work) / "memory.cfg"
        write_text(given, text)
        command = [str(binary), "-infile", str(given)]
        try:
            subprocess.run(command, cwd=binary.parent, capture_output=True, timeout=_TIMEOUT_SECONDS, check=False)  # noqa: S603
            rows = list(csv.DictReader((Path(work) / "memory.cfg.out").read_text(encoding="utf-8").splitlines()))
            row = {str(name).strip(): value for name, value in rows[-1].items()}
            return {ours: float(row[theirs]) * factor for theirs, (ours, factor) in _COLUMNS.items()}
        except (OSError, subprocess.SubprocessError, IndexError, KeyError, TypeError, ValueError):
            return None
