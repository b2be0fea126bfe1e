"""Estimators for on-chip memory: SRAM from recorded CACTI runs."""

from __future__ import annotations

import bisect
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

from dovetail.components.estimator import Declined, Query, Quote

#: Runs of one bank and port at powers of two, and between them; runs of several banks or ports.
FILES = ("sram_cacti7.csv", "sram_cacti7_between.csv", "sram_cacti7_banks.csv")

#: The smallest bank that CACTI models; smaller ones are scaled down from it.
SMALLEST_BITS, SMALLEST_ROWS = 32, 64
#: Nodes to which the runs are extrapolated.
NODE_RANGE = (7.0, 180.0)
#: Supply that CACTI takes at its nodes (low standby power devices), V.
SUPPLY_VOLTS = {22.0: 0.8, 32.0: 1.0, 45.0: 1.1, 65.0: 1.2, 90.0: 1.3}

_QUANTITIES = ("read", "write", "leak", "area")
#: Exponents in the number of rows beyond the largest runs: CACTI's energy grows 1.56 times per doubling.
_DEEPER = {"read": 0.64, "write": 0.64, "leak": 1.0, "area": 1.0}
#: Powers of banks (at the same size in all) and of ports beyond the recorded ones: medians over the recorded runs.
_BANKS = {"read": 0.14, "write": 0.06, "leak": 0.42, "area": 0.19}
_PORTS = {"read": 0.6, "write": 0.55, "leak": 0.15, "area": 1.15}


@dataclass(frozen=True)
class _Grid:
    """The runs of one number of banks and ports at one node, filled up to a rectangle.

    Attributes:
        bits: ln(bits per line), ascending, (widths,).
        rows: ln(lines), ascending, (depths,).
        recorded: ln(lines) of the deepest run at each width, (widths,).
        values: each quantity, by its name, pJ or um^2, (widths, depths).
    """

    bits: tuple[float, ...]
    rows: tuple[float, ...]
    recorded: tuple[float, ...]
    values: Mapping[str, tuple[tuple[float, ...], ...]]

    def at(self, quantity: str, bits: float, rows: float) -> tuple[float, bool]:
        """Return a quantity of an array, and whether the array is larger than any recorded one.

        Linear in ln(bits) and ln(rows); wider arrays are several side by side, deeper ones grow by a fixed power.
        """
        column, lean = _cell(math.log(bits), self.bits)
        row, slope = _cell(math.log(rows), self.rows)
        table = self.values[quantity]
        left, right = (_mean(line[row], line[row + 1], slope) for line in table[column : column + 2])
        value = _mean(left, right, lean)
        wider = max(0.0, math.log(bits) - self.bits[-1])
        deeper = max(0.0, math.log(rows) - self.rows[-1])
        beyond = wider > _NEAR or math.log(rows) > self.recorded[column + (lean > 0.5)] + _NEAR
        return value * math.exp(wider + deeper * _DEEPER[quantity]), beyond


#: How near in the logarithm two sizes are one.
_NEAR = 1e-9


def _mean(first: float, second: float, share: float) -> float:
    """Return what lies between two numbers by the logarithm; at either end, that number to the last bit."""
    if share in (0.0, 1.0):
        return second if share else first
    return first * math.exp(share * math.log(second / first))


def _cell(at: float, axis: Sequence[float]) -> tuple[int, float]:
    """Return the cell of an axis that a place lies in, and where in it: 0 to 1, exactly so on the axis' points."""
    cell = min(max(bisect.bisect_right(axis, at + _NEAR) - 1, 0), len(axis) - 2)
    share = (at - axis[cell]) / (axis[cell + 1] - axis[cell])
    return cell, 0.0 if share < _NEAR else 1.0 if share > 1 - _NEAR else share


#: Recorded runs: banks and ports -> node in nm -> ln(bits per line) -> ln(lines) -> quantities; leakage of one bank.
_Runs = dict[tuple[int, int], dict[float, dict[float, dict[float, list[float]]]]]


@functools.cache
def _runs() -> _Runs:
    """Return every recorded run."""
    runs: _Runs = {}
    for file in FILES:
        text = resources.files("dovetail.components").joinpath(f"data/{file}").read_text(encoding="utf-8")
        for line in text.splitlines()[1:]:
            node, size, block, ports, banks, *found = map(float, line.split(",")[:9])
            columns = runs.setdefault((int(banks), int(ports)), {}).setdefault(node, {})
            columns.setdefault(math.log(8 * block), {})[math.log(size / block)] = found
    return runs


@functools.cache
def _grids(falling: bool, banks: int, ports: int) -> dict[float, _Grid]:
    """Return the recorded runs of some banks and ports by node in nm.

    Args:
        falling: whether to keep quantities that fall although the array grows; else they stay what the largest
            smaller array has.
        banks: recorded ones.
        ports: recorded ones.
    """
    runs = _runs()[banks, ports]
    return {node: _rectangle(runs[node], falling) for node in sorted(runs)}


def _rectangle(runs: Mapping[float, Mapping[float, list[float]]], falling: bool) -> _Grid:
    """Return the runs at one node, by ln(bits) and ln(rows), as a grid."""
    bits = tuple(sorted(runs))
    rows = tuple(sorted({row for column in runs.values() for row in column}))
    recorded = tuple(max(runs[width]) for width in bits)
    values = {}
    for i, quantity in enumerate(_QUANTITIES):
        table = np.empty((len(bits), len(rows)))
        for j, width in enumerate(bits):
            known = sorted(runs[width])
            found = [runs[width][row][i] for row in known]
            table[j] = np.exp(np.interp(rows, known, np.log(found)))
            table[j] *= np.exp(_DEEPER[quantity] * np.maximum(0.0, np.array(rows) - known[-1]))
            table[j, [rows.index(row) for row in known]] = found
        if not falling:
            table = np.maximum.accumulate(np.maximum.accumulate(table, axis=0), axis=1)
        values[quantity] = tuple(tuple(map(float, line)) for line in table)
    return _Grid(bits, rows, recorded, values)


@dataclass(frozen=True)
class Memory:
    """What a query says of its SRAM: node in nm, bits per line, lines, banks, read-write ports."""

    node: float
    bits: float
    rows: float
    banks: float
    ports: float


class CactiRuns:
    """SRAM by CACTI 7: recorded runs at powers of two and between them, interpolated in log space.

    Exact where CACTI was run. CACTI picks a new organisation as an array grows, for least leakage, and at some sizes
    between powers of two an access costs less although the array is larger. This estimator follows it there, as the
    reference does; ``cacti_monotone`` does not.
    """

    name = "cacti_runs"
    classes: tuple[str, ...] = ("SRAM",)
    valid = "22 to 90 nm, 32 to 1024 bits x 64 to 262144 lines, 1 to 32 banks, 1 or 2 ports; otherwise extrapolated"
    accuracy: float = 80
    source = "CACTI 7 (Balasubramonian et al., TACO 2017), recorded runs: read-write ports, RAM mode"
    falling = True

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
        return Quote(quote.value * supply * _changing(query), quote.notes, quote.extrapolated)

    def area(self, query: Query) -> Quote:
        """Return um^2."""
        return self.quantity("area", memory_of(query))

    def quantity(self, quantity: str, memory: Memory) -> Quote:
        """Return a quantity of the whole memory: interpolated in its size and between nodes, times what the rest adds.

        A number of banks that is no power of two counts as the next one, as in the reference; leakage is that of the
        banks there are.
        """
        banks, ports = 2 ** math.ceil(math.log2(memory.banks)), int(memory.ports)
        near = max(known for known in _runs() if known[0] <= banks and known[1] <= ports)
        smallest = SMALLEST_ROWS * near[0]
        bits, rows = max(memory.bits, SMALLEST_BITS), max(memory.rows, smallest)
        small = small_scale(quantity, memory.bits / bits, memory.rows / rows)
        many = (banks / near[0]) ** _BANKS[quantity] * (ports / near[1]) ** _PORTS[quantity]
        nodes = tuple(_grids(self.falling, *near))
        inside = min(max(memory.node, nodes[0]), nodes[-1])
        value, beyond = self._recorded(quantity, inside, bits, rows, near)
        if not self.falling:  # nor where CACTI falls as ports are added
            fewer = [known for known in _runs() if known[0] == near[0] and known[1] < near[1]]
            value = max([value, *(self._recorded(quantity, inside, bits, rows, each)[0] for each in fewer)])
        value *= small * many * _beyond(quantity, memory.node, nodes)
        if quantity == "leak":
            value *= near[0] * memory.banks / banks
        what = f"{banks:g} banks, {ports:g} ports: x{many:.3g} from {near[0]} and {near[1]}, good to 40 % or so"
        caveats = {
            "larger than any recorded run: extrapolated": beyond,
            f"smaller than {smallest} x {SMALLEST_BITS} bits: scaled down from there": small != 1,
            f"{memory.node:g} nm is outside of {nodes[0]:g} to {nodes[-1]:g} nm: extrapolated": inside != memory.node,
            what: (banks, ports) != near,
        }
        notes = tuple(note for note, holds in caveats.items() if holds)
        return Quote(value, notes, bool(notes))

    def _recorded(
        self, quantity: str, node: float, bits: float, rows: float, near: tuple[int, int]
    ) -> tuple[float, bool]:
        """Return a quantity between the runs of some banks and ports, and whether it lies beyond all of them."""
        grids = _grids(self.falling, *near)
        nodes = tuple(grids)
        first, share = _cell(node, nodes)
        around = [nodes[first]] if share == 0 else [nodes[first], nodes[first + 1]]
        found = [grids[each].at(quantity, bits, rows) for each in around]
        return found[0][0] + share * (found[-1][0] - found[0][0]), any(out for _, out in found)


class CactiMonotone(CactiRuns):
    """The same runs, but where CACTI falls as an array or its ports grow, the numbers stay what the smaller has."""

    name = "cacti_monotone"
    accuracy: float = 75
    falling = False


def memory_of(query: Query) -> Memory:
    """Return the memory that a query asks about; raises Declined outside of the nodes, InputError for no sizes."""
    node = query.node_nm
    if not NODE_RANGE[0] <= node <= NODE_RANGE[1]:
        raise Declined(f"{node:g} nm is outside of {NODE_RANGE[0]:g} to {NODE_RANGE[1]:g} nm")
    banks, ports = (math.ceil(query.number(name, 1)) for name in ("n_banks", "n_rw_ports"))
    return Memory(node, query.number("width"), query.number("depth"), banks, ports)


def _changing(query: Query) -> float:
    """Return the share of an access whose data or address stay what they were; decoding takes 30 %, cells the rest."""
    data, address = (bool(query.number(name, 1, positive=False)) for name in ("data_delta", "address_delta"))
    return 1.0 if data and address else 0.7 * data + 0.3 * address


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
    nodes, volts = tuple(SUPPLY_VOLTS), tuple(SUPPLY_VOLTS.values())
    first, share = _cell(min(max(node, nodes[0]), nodes[-1]), nodes)
    own = volts[first] + share * (volts[first + 1] - volts[first])
    return (query.number("voltage") / own) ** 2
