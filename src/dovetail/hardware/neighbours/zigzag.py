"""Reads ZigZag's accelerators (and Stream's cores): memories that each serve some dimensions of an operational array.

A memory that serves ``[D1]`` stands once for all units along D1, so there is one for every place along the others. A
design here is one path from the outside to the units, so memories must stand inside each other: the dimensions that
one serves are among those of the next one outside. A dimension becomes a fan-out where it is served no more. Costs are
pJ for all bits of a port in one cycle; with narrower accesses than that, ``bandwidth_min`` bits cost their share.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dovetail.document import Node
from dovetail.hardware.neighbours.building import TECHNOLOGY, WORD_BITS, Translation, line_of

#: ZigZag's memory operands, as its mappings link them unless they say otherwise.
_TENSORS = {"I1": "Inputs", "I2": "Weights", "O": "Outputs"}
_KEYS = (
    "name", "type", "memories", "operational_array", "dataflows", "operand_precision", "operator_types",
    "technology_node", "memory_sharing",
)  # fmt: skip
_MEMORY_KEYS = (
    "size", "r_cost", "w_cost", "area", "latency", "mem_type", "auto_cost_extraction", "operands", "ports",
    "served_dimensions", "force_double_buffering", "min_r_granularity", "min_w_granularity",
)  # fmt: skip
#: Earlier releases count the ports of a kind and give their width once -> the kind, the width, the least of an access.
_COUNTED_PORTS = {
    "r_port": ("read", "r_bw", "min_r_granularity"),
    "w_port": ("write", "w_bw", "min_w_granularity"),
    "rw_port": ("read_write", "r_bw", "min_r_granularity"),
}
_ARRAY_KEYS = ("dimensions", "sizes", "unit_energy", "unit_area", "input_precision", "is_imc", "imc_type",
               "adc_resolution", "bit_serial_precision")  # fmt: skip
#: What the array's keys were called before.
_FORMER = {"multiplier_energy": "unit_energy", "multiplier_area": "unit_area"}
_PORT_KEYS = ("name", "type", "bandwidth_min", "bandwidth_max", "allocation")
#: More lines than any memory has; what is larger is a mistake.
_MOST_BITS = 2**60
_MOST_PORTS = 1000


@dataclass(frozen=True)
class _Memory:
    """One memory: its name where it stands, what it serves and keeps, and its entries."""

    name: Node
    served: frozenset[str]
    tensors: tuple[str, ...]
    entries: Mapping[str, Node]


def is_zigzag(keys: frozenset[str]) -> bool:
    """Say whether a document's keys are those of an accelerator of ZigZag."""
    return {"operational_array", "memories"} <= keys


def is_zigzag_text(text: str) -> bool:
    """Say whether a YAML file's text is an accelerator of ZigZag; its reader takes the last of keys given twice."""
    return all(re.search(rf"^{key}[ \t]*:", text, re.M) for key in ("operational_array", "memories"))


def read_zigzag(document: Node, superseded: Sequence[Node] = ()) -> Node:
    """Return the v0.4 document that an accelerator of ZigZag means.

    Args:
        document: the accelerator.
        superseded: values of keys that are given again further down.

    Raises:
        InputError: with file, line and key, of what has no equal here.
    """
    entries = document.mapping(known=_KEYS, required=("memories", "operational_array"))
    translation = Translation("ZigZag", document)
    for node in superseded:
        key = node.key.rpartition(".")[2]
        translation.note(node, f"'{key[:40]}' is given twice: the last one stands, as in ZigZag")
    array = _array(entries["operational_array"])
    sizes = _sizes(entries["operational_array"], array)
    bits = _word_bits(entries, array)
    memories = _nested([_memory(name, node, sizes) for name, node in entries["memories"].mapping().items()])
    _around(translation, entries["memories"], memories, sizes, bits)
    translation.note(entries["memories"], f"areas are in {translation.tool}'s own units: no area is counted")
    for name in ("dataflows", "operator_types", "memory_sharing"):
        if name in entries:
            translation.note(entries[name], f"'{name}' is passed over: every mapping of a layer is tried")
    around, outside = frozenset(sizes), {"Outputs"}
    for memory in memories:
        _spread(translation, memory.name, around - memory.served, sizes)
        around = memory.served
        _place(translation, memory, bits, is_written=not outside.isdisjoint(memory.tensors))
        outside.update(memory.tensors)
    where = entries["operational_array"]
    _spread(translation, where, around, sizes)
    energy = {"compute_pJ": float(array["unit_energy"].number(0)), "leak_pJ": 0.0} if "unit_energy" in array else {}
    attributes = {"datawidth": bits, **energy, "area_um2": 0.0 if energy else None}
    unit = Node("operational_unit", where.file, where.line, where.key, quoted=True)
    translation.component(unit, "compute", "intmac", attributes)
    return translation.document()


def _array(node: Node) -> Mapping[str, Node]:
    """Return what is said of the array; earlier releases used its precision for nothing, so it says no width there."""
    said = node.mapping()
    if not _FORMER.keys().isdisjoint(said):
        said = {_FORMER.get(key, key): value for key, value in said.items() if key != "input_precision"}
    return replace(node, value=dict(said)).mapping(known=_ARRAY_KEYS, required=("dimensions", "sizes"))


def _sizes(node: Node, array: Mapping[str, Node]) -> dict[str, int]:
    """Return the units along each dimension."""
    if array.get("is_imc", node).value is True:
        raise array["is_imc"].fail("computing inside of the memory's cells is not modelled; give its ERT as v0.4 nodes")
    names = [item.text() for item in array["dimensions"].sequence()]
    sizes = [item.integer(0) for item in array["sizes"].sequence()]
    if len(names) != len(sizes) or len(set(names)) != len(names) or not names:
        raise array["sizes"].fail(f"must be one size for each of the dimensions {', '.join(names)[:60]}")
    if not all(sizes):
        raise array["sizes"].fail("an array without units computes nothing (an off-chip core of Stream)")
    return dict(zip(names, sizes, strict=True))


def _word_bits(entries: Mapping[str, Node], array: Mapping[str, Node]) -> int:
    """Return the bits of a word: the widest operand's."""
    if "input_precision" in array:
        return max((item.integer(1) for item in array["input_precision"].sequence()), default=WORD_BITS)
    given = entries.get("operand_precision")
    found = re.search(r"\d+", str(given.mapping()["input"].value)) if given and "input" in given.mapping() else None
    return min(max(int(found[0][:4]), 1), 1024) if found else WORD_BITS


def _memory(name: str, node: Node, sizes: Mapping[str, int]) -> _Memory:
    entries = node.mapping(required=("size", "operands", "ports", "served_dimensions"))
    if not _COUNTED_PORTS.keys().isdisjoint(entries):
        entries = _with_ports(node, entries)
    entries = replace(node, value=dict(entries)).mapping(known=_MEMORY_KEYS)
    served = frozenset(item.text() for item in entries["served_dimensions"].sequence())
    for other in sorted(served - set(sizes)):
        raise entries["served_dimensions"].fail(f"'{other[:60]}' is none of the dimensions {', '.join(sizes)}")
    operands = [item.text() for item in entries["operands"].sequence()]
    for other in operands:
        if other not in _TENSORS:
            raise entries["operands"].fail(f"'{other[:60]}' is none of {', '.join(_TENSORS)}")
    place = Node(name, node.file, node.line, node.key, quoted=True)
    return _Memory(place, served, tuple(_TENSORS[operand] for operand in operands), entries)


def _with_ports(node: Node, entries: Mapping[str, Node]) -> dict[str, Node]:
    """Return the entries of a memory whose ports are counted, with a list of these ports."""
    rest = {key: value for key, value in entries.items() if key not in (*_COUNTED_PORTS, "r_bw", "w_bw", "ports")}
    ports: list[Node] = []
    for key, (kind, width, least) in _COUNTED_PORTS.items():
        for _ in range(_whole(entries[key], 0) if key in entries else 0):
            if width not in entries:
                raise node.fail(f"the key '{width}' is missing: of how many bits are the ports of '{key}'?")
            values = {"type": replace(entries[key], value=kind), "bandwidth_max": entries[width]}
            values["bandwidth_min"] = entries.get(least, entries[width])
            ports.append(replace(entries[key], value=values))
            if len(ports) > _MOST_PORTS:
                raise entries[key].fail(f"more than {_MOST_PORTS} ports are more than any memory has")
    return {**rest, "ports": replace(entries["ports"], value=ports)}


def _nested(memories: list[_Memory]) -> list[_Memory]:
    """Return the memories outer to inner; they are listed the lowest first, of each operand by itself."""
    ordered = sorted(enumerate(memories), key=lambda pair: (-len(pair[1].served), -pair[0]))
    result = [memory for _, memory in ordered]
    for outer, inner in itertools.pairwise(result):
        if not inner.served <= outer.served:
            pair = (
                f"{inner.name.value} (serves {_listed(inner.served)}) and {outer.name.value} ({_listed(outer.served)})"
            )
            raise inner.entries["served_dimensions"].fail(
                f"{pair}: neither stands inside the other; memories of a design here lie on one path"
            )
    for tensor in _TENSORS.values():
        mine = [place for place, memory in ordered if tensor in memory.tensors]
        if mine != sorted(mine, reverse=True):
            inner = memories[min(mine)]
            raise inner.entries["served_dimensions"].fail(
                f"of the memories of {tensor}, listed from the lowest on, a lower one serves more dimensions"
            )
    return result


def _around(
    translation: Translation, place: Node, memories: list[_Memory], sizes: Mapping[str, int], bits: int
) -> None:
    """Put a memory around where none of the file's own holds every operand for the whole array."""
    if not memories:
        raise place.fail("no memory is listed")
    if memories[0].served == frozenset(sizes) and set(memories[0].tensors) == set(_TENSORS.values()):
        return
    translation.note(place, "no memory holds every operand of the array: one of any size stands around, at no cost")
    name = Node("off_chip", place.file, place.line, place.key, quoted=True)
    free = {f"{action}_pJ": 0.0 for action in ("read", "write", "update", "leak")}
    translation.component(name, "DRAM", "storage", {"width": bits, "datawidth": bits, **free, "area_um2": 0.0})


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _spread(translation: Translation, place: Node, dimensions: frozenset[str], sizes: Mapping[str, int]) -> None:
    """Add the fan-outs of dimensions that are served no more, two by two."""
    open_ones = [name for name in sizes if name in dimensions]
    for first in range(0, len(open_ones), 2):
        pair = open_ones[first : first + 2]
        axes = dict(zip(("meshX", "meshY"), (sizes[name] for name in pair), strict=False))
        translation.fan_out(place, f"array_{'_'.join(pair)}", axes)


def _place(translation: Translation, memory: _Memory, bits: int, *, is_written: bool) -> None:
    """Add a memory; ``is_written``: whether anything comes into it from a memory of the file or from the units."""
    entries = memory.entries
    size = _whole(entries["size"])
    if size > _MOST_BITS:
        raise entries["size"].fail(f"{size} bits are more than any memory has")
    ports = _ports(translation, memory, is_written=is_written)
    line = line_of(ports.least, bits)
    extracted = entries.get("auto_cost_extraction")
    attributes: dict[str, object] = {"width": line, "datawidth": bits, "entries": size // bits}
    if size < bits:
        raise entries["size"].fail(f"{size} bits hold no word of {bits} bits")
    attributes |= {
        "read_bandwidth": ports.reads / bits or None,
        "write_bandwidth": ports.writes / bits or None,
        "shared_bandwidth": ports.both / bits or None,
        "multiple_buffering": 2 if entries.get("force_double_buffering", entries["size"]).value is True else None,
    }
    component = "SRAM"
    if extracted is None or extracted.value is not True:
        component = "storage"
        for action, cost, port in (("read", "r_cost", ports.read), ("write", "w_cost", ports.write)):
            if cost in entries:
                attributes[f"{action}_pJ"] = _cost(entries[cost]) * line / port if port else 0.0
        attributes |= {"update_pJ": attributes.get("write_pJ"), "leak_pJ": 0.0, "area_um2": 0.0}
    elif "technology" not in translation.variables:
        translation.variables["technology"] = TECHNOLOGY
        translation.note(extracted, f"costs are left to estimators: at {TECHNOLOGY}, or --set technology=...")
    keeps = {"dataspace": {"keep_only": list(memory.tensors)}}
    translation.component(memory.name, "storage", component, attributes, keeps)


def _whole(node: Node, least: int = 1) -> int:
    """Return a whole number, at least 1 unless said, which ZigZag lets write as ``16_777_216``."""
    text = node.value.replace("_", "") if isinstance(node.value, str) else ""
    return replace(
        node, value=int(text) if text.isascii() and text.isdigit() and len(text) < 20 else node.value
    ).integer(least)


def _cost(node: Node) -> float:
    return float(_whole(node, 0) if isinstance(node.value, str) else node.number(0))


@dataclass(frozen=True)
class _Ports:
    """Bits per cycle of a memory's ports: of reads, of writes, of both; and of one port.

    Attributes:
        reads: of ports for reads alone, together; 0 without any.
        writes: likewise.
        both: of ports that read or write.
        read: of the port that costs of reads are meant for.
        write: likewise; 0 without one, where what is read lies there from the beginning.
        least: the fewest that an access moves.
    """

    reads: int
    writes: int
    both: int
    read: int
    write: int
    least: int


def _ports(translation: Translation, memory: _Memory, *, is_written: bool) -> _Ports:
    where = memory.entries["ports"]
    widths: dict[str, list[int]] = {"read": [], "write": [], "read_write": []}
    least: list[int] = []
    for node in where.sequence():
        port = node.mapping(known=_PORT_KEYS, required=("type", "bandwidth_min", "bandwidth_max"))
        kind = port["type"].text()
        if kind not in widths:
            raise port["type"].fail(f"'{kind[:60]}' is none of {', '.join(widths)}")
        widths[kind].append(_whole(port["bandwidth_max"]))
        least.append(_whole(port["bandwidth_min"]))
    if not least:
        raise where.fail("a memory without ports is never reached")
    if any(len(each) > 1 for each in widths.values()):
        translation.note(where, "which traffic takes which port is passed over: ports of a kind add up")
    reads, writes, both = (sum(widths[kind]) for kind in ("read", "write", "read_write"))
    found = {kind: [*widths[kind], *widths["read_write"]] for kind in ("read", "write")}
    for kind, needed in (("read", True), ("write", is_written)):
        if needed and not found[kind]:
            raise where.fail(f"no port is one of '{kind}' or 'read_write', and {memory.name.value} must {kind}")
    read, write = ([*found[kind], 0][0] for kind in ("read", "write"))
    if both and (reads or writes):
        translation.note(where, "ports both for reads and for writes are added to those for one of them")
        reads, writes, both = reads + both, writes + both, 0
    return _Ports(reads, writes, both, read, write, min(least))
