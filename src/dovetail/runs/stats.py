"""Reads the ``stats.txt`` that Timeloop leaves: its counts by level, tensor and name, and its totals.

The file has a part per level (``=== NAME ===``), in it a part per tensor (``Weights:``), in that a line per count
(``Scalar reads (per-instance) : 512``); then networks in the same form, and a summary. Versions differ in what they
print beside; what is not known is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dovetail.document import read_text
from dovetail.errors import InputError

#: A count as printed -> the field of `TensorCost` that it is; the dense count where a sparse run prints several.
COUNTS = {
    "Partition size": "partition",
    "Utilized capacity": "tile",
    "Utilized instances (max)": "instances",
    "Utilized instances": "instances",
    "Scalar reads (per-instance)": "reads",
    "Scalar fills (per-instance)": "fills",
    "Scalar updates (per-instance)": "updates",
    "Algorithmic scalar reads (per-instance)": "reads",
    "Algorithmic scalar fills (per-instance)": "fills",
    "Algorithmic scalar updates (per-instance)": "updates",
    "Temporal reductions (per-instance)": "temporal_reductions",
    "Energy (total)": "energy_pJ",
}
#: Likewise on a network, the field of `LinkCost`.
TRAFFIC = {
    "Multicast factor": "multicast_factor",
    "Ingresses": "ingresses",
    "Link transfers": "link_transfers",
    "Spatial reductions": "spatial_reductions",
}
#: Likewise of a level, what one access to a line costs, pJ; older versions have one cost for reads and writes.
_PER_LINE = ("Vector read energy", "Vector access energy")
_SPARSE = ("Gated scalar", "Skipped scalar", "Gated computes", "Skipped computes")

_LEVEL = re.compile(r"=== (\S+) ===")
_NETWORK = re.compile(r"(\S+ <==> \S+)")
_NUMBERED = re.compile(r"Network \d{1,6}")
_TENSOR = re.compile(r" {4}([A-Za-z_]\w*):")
_NUMBER = r"(\d{1,18}(?:\.\d*)?(?:e[-+]?\d{1,2})?)"
_LINE = re.compile(rf"\s++([A-Z][^:]*): {_NUMBER}(?![\w.]).*")
_TOTAL = re.compile(rf"(Cycles|MACCs|Computes)\b\s*[:=] *{_NUMBER}(?![\w.]).*")


@dataclass(frozen=True)
class RunStats:
    """What a run of the reference printed.

    Attributes:
        cycles: of the whole run.
        computes: executions of the loop body; None where they are not printed.
        counts: by ``(level, tensor, field of TensorCost)``, words per instance; energies in pJ over all instances.
        traffic: by ``(network, tensor, field of LinkCost)``, words per instance of the outer level.
        is_sparse: whether anything was gated or skipped.
        line_pJ: what reading a line costs, by level, as the run was evaluated.
    """

    cycles: int
    computes: int | None
    counts: Mapping[tuple[str, str, str], float]
    traffic: Mapping[tuple[str, str, str], float]
    is_sparse: bool
    line_pJ: Mapping[str, float]

    @property
    def levels(self) -> frozenset[str]:
        """The levels that it has counts of."""
        return frozenset(level for level, _, _ in self.counts)


def read_stats(path: Path) -> RunStats:
    """Read a ``stats.txt``.

    Raises:
        InputError: the file can't be read, or holds no cycles and no counts.
    """
    counts: dict[tuple[str, str, str], float] = {}
    traffic: dict[tuple[str, str, str], float] = {}
    totals: dict[str, float] = {}
    line_pJ: dict[str, float] = {}
    place, tensor, is_sparse, known, into = "", "", False, COUNTS, counts
    for line in read_text(path).splitlines():
        if level := _LEVEL.fullmatch(line):
            place, tensor, known, into = level[1], "", COUNTS, counts
        elif network := _NETWORK.fullmatch(line):
            place, tensor, known, into = network[1], "", TRAFFIC, traffic
        elif _NUMBERED.fullmatch(line):  # a network with a name of its own has none of ours
            place, tensor = "", ""
        elif found := _TENSOR.fullmatch(line):
            tensor = found[1]
        elif place and tensor and (count := _LINE.fullmatch(line)):
            name = count[1].rstrip()
            is_sparse = is_sparse or (name.startswith(_SPARSE) and float(count[2]) > 0)
            if name in known:
                into[place, tensor, known[name]] = float(count[2])
        elif place and not tensor and (count := _LINE.fullmatch(line)) and count[1].rstrip() in _PER_LINE:
            line_pJ[place] = float(count[2])
        elif total := _TOTAL.fullmatch(line):
            totals.setdefault(total[1].lower(), float(total[2]))
    if "cycles" not in totals or not counts:
        raise InputError("holds no statistics of a run: levels such as '=== DRAM ===', and 'Cycles: 512'", file=path)
    computes = totals.get("computes", totals.get("maccs"))
    known_computes = None if computes is None else int(computes)
    return RunStats(int(totals["cycles"]), known_computes, counts, traffic, is_sparse, line_pJ)
