"""Energy and area reference tables (ERT, ART) as Accelergy writes them: read and written."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.document import Node
from dovetail.document_file import read_document
from dovetail.errors import InputError, did_you_mean
from dovetail.files import write_text
from dovetail.hardware.architecture import Architecture, Level, Storage

VERSIONS = (0.2, 0.3, 0.4)

#: What each action of ours may be called in a table, the first found wins; as the reference looks them up
#: (Timeloop, ``include/model/topology.hpp``).
SYNONYMS: dict[str, tuple[str, ...]] = {
    "read": ("random_read", "read"),
    "write": ("random_fill", "random_write", "fill", "write"),
    "update": ("random_update", "random_write", "update", "write"),
    "compute": ("mac_random", "mult_random", "mac", "mult", "compute", "random_compute"),
    "leak": ("leak",),
}
STORES, _COMPUTE = ("read", "write", "update"), ("compute",)

_INDICES = re.compile(r"\[[^\[\]]*+\]")


def read_energy_table(ert: Path, art: Path | None = None, architecture: Architecture | None = None) -> EnergyTable:
    """Read an energy reference table and, if given, an area reference table.

    Either may be the summary that Accelergy writes beside it (``ERT_summary``): actions without their arguments, each
    with the dearest of their energies. Components go by the last part of their names
    (``system_top_level.PE[1..168].mac[1..168]`` is ``mac``). An action
    that occurs several times, for several arguments, costs what the dearest one costs, as in the reference. A storage
    whose table knows nothing like a read, write or update (only ``access``, say) pays for it what its dearest action
    costs, over the instances of a cluster: so the reference (Timeloop, ``model/buffer.cpp``); but nothing stands in
    where an action is misspelt (``raed``). ``leak`` that a table lacks costs nothing; area without an ART is 0.

    Args:
        ert: the file with the energies, pJ.
        art: the file with the areas, um^2.
        architecture: whose levels the table is for; without it, components that compute nothing count as storages.

    Raises:
        InputError: a file is not such a table.
    """
    energies = _energies(ert)
    areas = {} if art is None else read_areas(art)
    levels: dict[str, Level] = {level.name: level for level in architecture.levels} if architecture else {}
    source = ert.name if art is None else f"{ert.name}, {art.name}"
    found = {}
    for name in dict.fromkeys((*energies, *areas)):
        actions, note = _ours(energies.get(name, {}), levels.get(name))
        found[name] = ComponentCost(actions, areas.get(name, 0.0), source + note)
    return EnergyTable(found)


def _ours(actions: Mapping[str, float], level: Level | None) -> tuple[dict[str, float], str]:
    """Return the table's actions with those that the model knows by our names, and what had to stand in for others."""
    if not actions:
        return {}, ""
    named = {
        name: next(actions[synonym] for synonym in synonyms if synonym in actions)
        for name, synonyms in SYNONYMS.items()
        if any(synonym in actions for synonym in synonyms)
    }
    found = {"leak": 0.0, **actions, **named}
    stores = isinstance(level, Storage) or (level is None and "compute" not in named)
    missing = [name for name in STORES if stores and name not in named and not _misspelt(name, actions)]
    if not missing:
        return found, ""
    dearest = max(actions, key=lambda name: actions[name])
    cluster = level.cluster_size if isinstance(level, Storage) else 1
    found |= dict.fromkeys(missing, actions[dearest] / cluster)
    return found, f" ({dearest}{f' / cluster of {cluster}' if cluster > 1 else ''} for {', '.join(missing)})"


def _misspelt(name: str, actions: Iterable[str]) -> bool:
    """Return whether an action is nearly one that would serve: that is a slip, and nothing stands in for it."""
    known = {synonym for synonyms in SYNONYMS.values() for synonym in synonyms}
    strange = [action for action in actions if action not in known]
    return any(difflib.get_close_matches(synonym, strange, n=1, cutoff=0.75) for synonym in SYNONYMS[name])


def _tables(path: Path, section: str) -> tuple[Node, bool]:
    """Return a file's tables, and whether they are the summary that Accelergy writes beside them."""
    document = read_document(path)
    entries = document.mapping()
    summary = f"{section}_summary"
    is_summary = section not in entries and summary in entries
    if section not in entries and not is_summary:
        raise document.fail(f"the key '{section}' is missing{_other(section, entries)}")
    name = "table_summary" if is_summary else "tables"
    table = entries[summary if is_summary else section].mapping(("version", name), (name,))
    version = table.get("version")
    if version is not None and str(version.value) not in map(str, VERSIONS):
        raise version.fail(f"must be one of {', '.join(map(str, VERSIONS))}, found {version.kind}")
    return table[name], is_summary


def _other(section: str, entries: Mapping[str, Node]) -> str:
    for other, kind in (("ERT", "energies"), ("ART", "areas")):
        if other != section and entries.keys() & {other, f"{other}_summary"}:
            return f"; the file holds {kind} ({other})"
    return did_you_mean(section, entries)


def _energies(path: Path) -> dict[str, dict[str, float]]:
    tables, is_summary = _tables(path, "ERT")
    found: dict[str, dict[str, float]] = {}
    if isinstance(tables.value, dict):  # version 0.2: components and actions are keys
        for component, node in tables.value.items():
            _once(found, component, node)[_base(component)] = {
                action: _dearest(entry) for action, entry in node.mapping().items()
            }
        return found
    for node in tables.sequence():
        entries = node.mapping(None if is_summary else ("name", "actions"), ("name", "actions"))
        actions: dict[str, float] = {}
        for action in entries["actions"].sequence():
            of_all = "max_energy" if is_summary and "max_energy" in action.mapping() else "energy"
            fields = action.mapping(None if is_summary else ("name", "arguments", "energy"), ("name", of_all))
            name, energy = fields["name"].text(), float(fields[of_all].number(0))
            actions[name] = max(energy, actions.get(name, 0.0))
        component = entries["name"].text()
        _once(found, component, node)[_base(component)] = actions
    return found


def _dearest(node: Node) -> float:
    """Return pJ of a version 0.2 action: one entry, or one per combination of arguments."""
    entries = node.value if isinstance(node.value, list) else [node]
    if not entries:
        raise node.fail("must hold at least one energy, found an empty list")
    known = ("arguments", "energy")
    return max(float(entry.mapping(known, ("energy",))["energy"].number(0)) for entry in entries)


def read_areas(path: Path) -> dict[str, float]:
    """Return the um^2 of one instance of each component of an area reference table, by the last part of its name."""
    found: dict[str, float] = {}
    tables, is_summary = _tables(path, "ART")
    for node in tables.sequence():
        entries = node.mapping(None if is_summary else ("name", "area"), ("name", "area"))
        component = entries["name"].text()
        _once(found, component, node)[_base(component)] = float(entries["area"].number(0))
    return found


def _once(found: dict[str, Any], component: str, node: Node) -> dict[str, Any]:
    if _base(component) in found:
        raise node.fail(f"has a second component '{_base(component)}'; components go by the last part of their names")
    return found


def _base(name: str) -> str:
    """Return the last part of a hierarchical name without its indices."""
    return _INDICES.sub("", name).rpartition(".")[2].strip()


def require_actions(table: EnergyTable, architecture: Architecture, file: Path | None = None) -> None:
    """Check that a table has what an architecture's levels need.

    Args:
        table: to be checked.
        architecture: whose storages need ``read``, ``write`` and ``update``, whose compute level needs ``compute``.
        file: where the table came from, for the message.

    Raises:
        InputError: it lacks a level or one of its actions.
    """
    for level in (*architecture.storages, architecture.compute):
        needed = _COMPUTE if level is architecture.compute else STORES
        try:
            cost = table[level.name]
            for action in needed:
                cost.energy(action)
        except InputError as error:
            raise InputError(error.message, file=file, key=level.name) from None


def write_ert(table: EnergyTable, architecture: Architecture, path: Path) -> None:
    """Write energies in pJ as Accelergy does (version 0.4), one table per level that has actions.

    Raises:
        InputError: the file cannot be written.
    """
    tables = [
        {"name": name, "actions": [{"name": a, "arguments": {}, "energy": e} for a, e in cost.actions.items()]}
        for name, cost in _named(table, architecture)
        if cost.actions
    ]
    _write(path, {"ERT": {"version": "0.4", "tables": tables}})


def write_art(table: EnergyTable, architecture: Architecture, path: Path) -> None:
    """Write areas in um^2 of one instance as Accelergy does (version 0.4).

    Raises:
        InputError: the file cannot be written.
    """
    tables = [{"name": name, "area": cost.area_um2} for name, cost in _named(table, architecture)]
    _write(path, {"ART": {"version": "0.4", "tables": tables}})


def _named(table: EnergyTable, architecture: Architecture) -> list[tuple[str, ComponentCost]]:
    levels = [level for level in architecture.levels if level.name in table.components]
    return [(f"system_top_level.{level.name}[1..{level.instances}]", table[level.name]) for level in levels]


def _write(path: Path, document: dict[str, Any]) -> None:
    write_text(path, yaml.safe_dump(document, sort_keys=False, indent=4))
