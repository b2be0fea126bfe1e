"""Reads SCALE-Sim's configs: a systolic array, an SRAM for each operand, a dataflow, words per cycle from the DRAM.

The dataflow says what rests in the array's cells and what runs along its rows and columns: with ``ws`` weights rest,
partial sums run down the columns, inputs along the rows. Here these are constraints; how long values take to run
through the array (its fill and drain) is not counted.
"""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import Any

from dovetail.document import Node, read_text
from dovetail.errors import InputError
from dovetail.hardware.neighbours.building import TECHNOLOGY, WORD_BITS, Translation

_PRESETS = "architecture_presets"
#: Dataflow -> what rests in the cells, what loops over rows leave alone, what loops over columns do.
_DATAFLOWS = {
    "ws": ("Weights", "Outputs", "Inputs"),
    "os": ("Outputs", "Weights", "Inputs"),
    "is": ("Inputs", "Outputs", "Weights"),
}
_SRAMS = (("ifmapsramsz", "Inputs"), ("filtersramsz", "Weights"), ("ofmapsramsz", "Outputs"))
#: What says where data lie, or how a run is simulated, but changes nothing that is counted here.
_OF_A_RUN = (
    "ifmapoffset", "filteroffset", "ofmapoffset", "memorybanks", "readrequestbuffer", "writerequestbuffer",
    "topologycsv", "topology",
)  # fmt: skip
_MOST = 2**31


def is_scale_sim(text: str) -> bool:
    """Say whether a file's text is a config of SCALE-Sim."""
    return f"[{_PRESETS}]" in text.lower()


def read_scale_sim(path: Path) -> Node:
    """Return the v0.4 document that a config of SCALE-Sim means.

    Raises:
        InputError: it cannot be read, lacks a size, or asks for what has no equal here.
    """
    presets, lines, sparse, free = _sections(path)
    document = Node(None, str(path), 1)

    def place(key: str) -> Node:
        return Node(key, str(path), lines.get(key, 1), key, quoted=True)

    def number(key: str, least: int = 1) -> int:
        text = presets.pop(key, "")
        if "," in text:
            raise place(key).fail("several arrays beside each other have no equal here; write a config for each")
        if not text.isascii() or not text.isdigit() or not least <= int(text[:12]) <= _MOST:
            raise place(key).fail(f"must be a whole number of at least {least}, found '{text[:40]}'")
        return int(text)

    if sparse:
        raise place("sparsitysupport").fail(
            "its sparse formats have no equal here; write 'sparse_optimizations' in v0.4"
        )
    height, width = number("arrayheight"), number("arraywidth")
    said = presets.pop("dataflow", "").lower()
    flow, _, variant = said.partition("_")
    if flow not in _DATAFLOWS:
        raise place("dataflow").fail(f"'{said[:40]}' is none of {', '.join(_DATAFLOWS)}")
    translation = Translation("SCALE-Sim", document, variables={"technology": TECHNOLOGY})
    translation.note(place("dataflow"), f"costs are left to estimators: at {TECHNOLOGY}, or --set technology=...")
    translation.note(place("arrayheight"), "how long values take to run through the array is not counted")
    if variant:  # forks have names for how an array is filled and drained: os_piped, ws_overlap_ac
        translation.note(
            place("dataflow"), f"'{said[:40]}' is read as {flow}: {variant[:40]} is of how values run through"
        )
    presets["bandwidth"], _, more = presets.get("bandwidth", "").partition(",")  # as there, of several the first counts
    if more:
        translation.note(place("bandwidth"), f"of several bandwidths the first counts, {presets['bandwidth'][:40]}")
    if free and presets["bandwidth"]:
        why = "InterfaceBandwidth is CALC: the simulator says what bandwidth would be needed"
        translation.note(place("bandwidth"), f"it does not count: {why}")
    shared = None if free or not presets["bandwidth"] else number("bandwidth")
    presets.pop("bandwidth", None)
    dram: dict[str, Any] = {"datawidth": WORD_BITS, "width": 8 * WORD_BITS, "shared_bandwidth": shared}
    translation.component(place("DRAM"), "DRAM", "DRAM", dram)
    for key, tensor in _SRAMS:
        kilobytes = number(f"{key}kb" if f"{key}kb" in presets else key)
        sram = {"datawidth": WORD_BITS, "width": 8 * WORD_BITS, "depth": kilobytes * 128, "multiple_buffering": 2}
        keep = {"dataspace": {"keep_only": [tensor]}}
        translation.component(place(f"{tensor}_SRAM"), "storage", "smartbuffer_SRAM", sram, keep)
    rests, down, along = _DATAFLOWS[flow]
    for label, axis, size, left_alone in (("row", "meshY", height, down), ("column", "meshX", width, along)):
        translation.fan_out(place(label), label, {axis: size}, {"no_iteration_over_dataspaces": [left_alone]})
    cell = {"datawidth": WORD_BITS, "width": WORD_BITS, "depth": 1}
    translation.component(place("cell"), "storage", "reg", cell, {"dataspace": {"keep_only": [rests]}})
    translation.component(place("mac"), "compute", "intmac", {"datawidth": WORD_BITS, "width": WORD_BITS})
    for key in presets:
        if key not in _OF_A_RUN:
            translation.note(place(key), f"'{key[:40]}' is passed over: it has no equal here")
    return translation.document()


def _sections(path: Path) -> tuple[dict[str, str], dict[str, int], bool, bool]:
    """Return the presets by key in lower case, each key's line, whether zeros count, whether bandwidth does not."""
    text = read_text(path)
    parser = configparser.ConfigParser(interpolation=None, strict=True, inline_comment_prefixes=(";", "#"))
    try:
        parser.read_string(text)
    except configparser.Error as error:
        said = str(error.message).split("\n")[0].replace("<string>", path.name)
        raise InputError(f"is no config of SCALE-Sim: {said[:200]}", file=path) from None
    by_name = {name.lower(): parser[name] for name in parser.sections()}
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        key = line.replace("=", ":").partition(":")[0].strip().lower()
        lines.setdefault(key, number)
    sparse = by_name["sparsity"].get("sparsitysupport", "false").strip().lower() if "sparsity" in by_name else "false"
    mode = by_name["run_presets"].get("interfacebandwidth", "") if "run_presets" in by_name else ""
    presets = {key: value.strip() for key, value in by_name[_PRESETS].items()} if _PRESETS in by_name else {}
    return presets, lines, sparse == "true", mode.strip().upper() == "CALC"
