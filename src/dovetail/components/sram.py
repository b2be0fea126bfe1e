"""Estimators for on-chip memory: SRAM from recorded CACTI runs."""

from __future__ import annotations

import bisect
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from dovetail.components.estimator import Declined, Query, Quote

#: Runs at powers of two, and runs between them.
GRID = "sram_cacti7.csv"
BETWEEN = "sram_cacti7_between.csv"

#: The smallest array that CACTI models; smaller ones are scaled down from it.
SMALLEST_BITS, SMALLEST_ROWS = 32, 64
#: Nodes to which the runs are extrapolated.
NODE_RANGE = (7.0, 180.0)
#: Supply that CACTI takes at its nodes (low standby power devices), V.
SUPPLY_VOLTS = {22.0: 0.8, 32.0: 1.0, 45.0: 1.1, 65.0: 1.2, 90.0: 1.3}

_QUANTITIES = ("read", "write", "leak", "area")
#: Powers of the number of banks and of ports: fitted to live runs with 2, 4 and 8 banks of 1 to 64 KiB, where single
#: runs lie up to 1.6 times off, and with 2 and 4 ports, where they lie up to 1.5 times off.
_BANKS = {"read": 0.7, "write": 0.5, "leak": 1.0, "area": 1.2}
_PORTS = {"read": 0.5, "write": 0.5, "leak": 0.15, "area": 1.15}


@dataclass(frozen=True)
class _Column:
    """The runs of one node and block size: ln(rows) ascending, and ln of each quantity beside it."""

    rows: tuple[float, ...]
    values: Mapping[str, tuple[float, ...]]


@functools.cache
def _runs(files: tuple[str, ...]) -> dict[float, dict[float, _Column]]:
    """Return columns by node in nm and ln(block bits); from CACTI's mW, a leak in pJ per ns is the same number."""
    points: dict[tuple[float, float], dict[float, tuple[float, ...]]] = {}
    for file in files:
        text = resources.files("dovetail.components").joinpath(f"data/{file}").read_text(encoding="utf-8")
        for line in text.splitlines()[1:]:
            node, size, block, _, _, read, write, leak, area = map(float, line.split(",")[:9])
            column = points.setdefault((node, math.log(8 * block)), {})
            column[math.log(size / block)] = tuple(map(math.log, (read, write, leak, area)))
    found: dict[float, dict[float, _Column]] = {}
    for (node, bits), column in sorted(points.items()):
        values = {name: tuple(column[row][i] for row in sorted(column)) for i, name in enumerate(_QUANTITIES)}
        found.setdefault(node, {})[bits] = _Column(tuple(sorted(column)), values)
    return found


def _line(at: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return the piecewise linear function through (xs, ys) at a place; beyond the ends, their last pieces go on."""
    right = min(max(bisect.bisect_left(xs, at), 1), len(xs) - 1)
    left = right - 1
    if at == xs[right]:
        return ys[right]
    return ys[left] + (at - xs[left]) / (xs[right] - xs[left]) * (ys[right] - ys[left])


def _array(columns: Mapping[float, _Column], quantity: str, bits: float, rows: float) -> tuple[float, bool]:
    """Return a quantity of one array, and whether it lies beyond the runs: linear in ln(bits), then in ln(rows)."""
    widths = list(columns)
    at, row = math.log(bits), math.log(rows)
    exact = next((width for width in widths if abs(width - at) < 1e-9), None)
    if exact is not None:
        near = [exact]
    else:
        right = min(max(bisect.bisect_left(widths, at), 1), len(widths) - 1)
        near = [widths[right - 1], widths[right]]
    values = []
    beyond = at > widths[-1] + 1e-9
    for width in near:
        column = columns[width]
        close = next((known for known in column.rows if abs(known - row) < 1e-9), row)
        values.append(_line(close, column.rows, column.values[quantity]))
        beyond = beyond or close > column.rows[-1]
    return math.exp(values[0] if len(near) == 1 else _line(at, near, values)), beyond


@dataclass(frozen=True)
class Memory:
    """What a query says of its SRAM: node in nm, bits per line, lines, banks, read-write ports."""

    node: float
    bits: float
    rows: float
    banks: float
    ports: float


class CactiRuns:
    """SRAM by CACTI 7: 385 runs at powers of two, and more between them; interpolated in log space.

    Exact where CACTI was run. CACTI picks a new organisation as an array grows, and at some of these points the
    energy of an access falls although the array grows; this estimator follows it, ``cacti_smooth`` does not.
    """

    name = "cacti_runs"
    classes: tuple[str, ...] = ("SRAM",)
    valid = "22 to 90 nm, 32 to 1024 bits x 64 to 262144 lines, one read-write port; otherwise extrapolated"
    accuracy: float = 80
    source = "CACTI 7 (Balasubramonian et al., TACO 2017), recorded runs: one bank, one read-write port, RAM mode"
    files: tuple[str, ...] = (GRID, BETWEEN)

    def energy(self, query: Query) -> Quote:
        """Return pJ of one access of a whole line (``read``, ``write``, ``update``), or leaked per cycle (``leak``)."""
        memory = memory_of(query)
        if query.action == "leak":
            quote = self.quantity("leak", memory)
            return Quote(quote.value * query.cycle_seconds * 1e9, quote.notes, quote.extrapolated)
        if query.action not in ("read", "write", "update"):
            raise Declined(f"knows no action '{query.action}' of {query.component}, only read, write, update, leak")
        quote = self.quantity("read" if query.action == "read" else "write", memory)
        supply = _supply(query, memory.node)
        return Quote(quote.value * supply, quote.notes, quote.extrapolated)

    def area(self, query: Query) -> Quote:
        """Return um^2."""
        return self.quantity("area", memory_of(query))

    def quantity(self, quantity: str, memory: Memory) -> Quote:
        """Return a quantity of the whole memory: of one bank, interpolated between nodes, times what the rest adds."""
        runs = _runs(self.files)
        bits, rows = max(memory.bits, SMALLEST_BITS), max(memory.rows / memory.banks, SMALLEST_ROWS)
        small = small_scale(quantity, memory.bits / bits, memory.rows / memory.banks / rows)
        nodes = sorted(runs)
        inside = min(max(memory.node, nodes[0]), nodes[-1])
        right = bisect.bisect_left(nodes, inside)
        near = [nodes[right]] if nodes[right] == inside else [nodes[right - 1], nodes[right]]
        found = [_array(runs[node], quantity, bits, rows) for node in near]
        value = found[0][0] if len(near) == 1 else _line(inside, near, [each for each, _ in found])
        notes, beyond = [], any(out for _, out in found)
        if beyond:
            notes.append("larger than any recorded run: extrapolated in log space")
        if small != 1:
            notes.append(f"smaller than {SMALLEST_ROWS} x {SMALLEST_BITS} bits: scaled down from there")
        if inside != memory.node:
            notes.append(f"{memory.node:g} nm is outside of {nodes[0]:g} to {nodes[-1]:g} nm: extrapolated")
        many = memory.banks ** _BANKS[quantity] * memory.ports ** _PORTS[quantity]
        if many != 1:
            notes.append(f"{memory.banks:g} banks, {memory.ports:g} ports: x{many:.3g}, good to 40 % or so")
        value *= small * many * _beyond(quantity, memory.node, nodes)
        return Quote(value, tuple(notes), beyond or small != 1 or many != 1 or inside != memory.node)


class CactiSmooth(CactiRuns):
    """The same from the runs at powers of two alone: energy, leakage and area never fall as the array grows."""

    name = "cacti_smooth"
    accuracy: float = 70
    files: tuple[str, ...] = (GRID,)


def memory_of(query: Query) -> Memory:
    """Return the memory that a query asks about; raises Declined outside of the nodes, InputError for no sizes."""
    node = query.node_nm
    if not NODE_RANGE[0] <= node <= NODE_RANGE[1]:
        raise Declined(f"{node:g} nm is outside of {NODE_RANGE[0]:g} to {NODE_RANGE[1]:g} nm")
    banks, ports = (math.ceil(query.number(name, 1)) for name in ("n_banks", "n_rw_ports"))
    return Memory(node, query.number("width"), query.number("depth"), banks, ports)


def small_scale(quantity: str, width: float, depth: float) -> float:
    """Return the scale below the smallest array, as the reference's plug-in found it by trying CACTI's inputs."""
    if quantity in ("leak", "area"):
        return width * depth
    dynamic: float = (0.7 * width + 0.3) * depth**0.78
    return dynamic


def _beyond(quantity: str, node: float, nodes: Sequence[float]) -> float:
    """Return the scale outside of CACTI's nodes.

    Below them as the reference: energy with the root of the node and area with the node (IRDS 2022), leakage with
    the root and 21 % less for FinFETs (Parvais et al., VLSI-TSA 2009); above them all with the square.
    """
    if node > nodes[-1]:
        return (node / nodes[-1]) ** 2
    if node >= nodes[0]:
        return 1.0
    ratio = node / nodes[0]
    return {"area": ratio, "leak": 0.79 * math.sqrt(ratio)}.get(quantity, math.sqrt(ratio))


def _supply(query: Query, node: float) -> float:
    """Return the square of the stated supply over CACTI's own at the node; 1 when none is stated."""
    if "voltage" not in query.attributes:
        return 1.0
    nodes = sorted(SUPPLY_VOLTS)
    own = _line(min(max(node, nodes[0]), nodes[-1]), nodes, [SUPPLY_VOLTS[each] for each in nodes])
    return (query.number("voltage") / own) ** 2
