"""What a mapping costs by the walk: accesses priced, levels slowed down, words on networks."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from dovetail.components.energy_table import EnergyTable
from dovetail.hardware.architecture import Architecture, Level, Storage
from dovetail.mapping.mapping import Mapping
from dovetail.model.witness.nest import NestWalk, flat_nest
from dovetail.model.witness.traffic import Tile, executions, total, traffic
from dovetail.model.witness.widths import Room, computing, room
from dovetail.workload.problem import Problem


def walk(mapping: Mapping, problem: Problem, architecture: Architecture, energies: EnergyTable) -> dict[str, Any]:
    """Return what the mapping costs, as nested plain data with the names of `dovetail.model.cost`; no check is made.

    ``overflow`` names the innermost level that does not hold its tiles, or is None.
    """
    levels = list(reversed(architecture.levels[:-1]))
    loops = flat_nest(mapping, architecture, problem.shape.dimensions[-1])
    walks = {tensor.name: NestWalk(problem, tensor, loops, levels) for tensor in problem.shape.tensors}
    tiles = {
        name: traffic(nest, [name in mapping[level.name].keep for level in levels]) for name, nest in walks.items()
    }
    steps = math.prod(loop.factor for loop in loops if loop.axis == "t")
    computes = executions(next(iter(walks.values())))
    found: dict[str, Any] = {"levels": {}, "networks": {}, "overflow": None, "computes": computes}
    for index, level in enumerate(levels):
        kept = {name: column[index] for name, column in tiles.items() if name in mapping[level.name].keep}
        rooms = {tensor.name: room(level, tensor, problem, architecture) for tensor in problem.shape.tensors}
        absent = level.absent if isinstance(level, Storage) else frozenset[str]()
        here = {name: tile for name, tile in kept.items() if name not in absent}
        found["levels"][level.name] = _level(level, here, rooms, energies, steps)
        if isinstance(level, Storage) and level.words is not None and found["overflow"] is None:
            held = sum(tile.size * rooms[name].words for name, tile in here.items())
            if held > math.floor(level.words / level.multiple_buffering):
                found["overflow"] = level.name
        names = [lv.name for lv in architecture.levels]
        inner = names[names.index(level.name) + 1]
        found["networks"][f"{level.name} <==> {inner}"] = {
            tensor.name: _network(
                level,
                _carried(level, tiles[tensor.name][index], tensor.name in kept)
                if tensor.is_output
                else tiles[tensor.name][index],
                tensor.is_output,
                architecture,
                energies,
            )
            for tensor in problem.shape.tensors
        }
        for links, width in zip(
            found["networks"][f"{level.name} <==> {inner}"].values(),
            (room(next(lv for lv in levels[index:] if isinstance(lv, Storage)), tensor, problem, architecture).words
             for tensor in problem.shape.tensors),
            strict=True,
        ):  # fmt: skip
            links["energy_pJ"] *= float(width)
    found["cycles"] = max(steps, *(entry["cycles"] for entry in found["levels"].values()))
    energy = computes * (energies[architecture.compute.name].energy("compute") * computing(problem, architecture))
    used = {level.name: next(iter(tiles.values()))[index].instances for index, level in enumerate(levels)}
    for level in levels:
        found["levels"][level.name]["leakage_pJ"] = sum(
            energies[other.name].energy("leak") * found["cycles"] * used[level.name] * inside
            for other in levels
            if (inside := _leaking_with(level, other, levels)) and isinstance(other, Storage) and other.line_pJ is None
        )
    for level in levels:
        entry = found["levels"][level.name]
        energy += entry["leakage_pJ"]
        energy += sum(tensor["energy_pJ"] + tensor["address_pJ"] for tensor in entry["tensors"].values())
    energy += sum(link["energy_pJ"] for links in found["networks"].values() for link in links.values())
    found["energy_pJ"] = energy
    return found


def _leaking_with(level: Level, other: Level, levels: Sequence[Level]) -> float:
    """Return how many instances of another level leak with one of this level that is in use: gated there, or itself."""
    gater = next((each for each in levels if isinstance(other, Storage) and each.name == other.gated_at), other)
    if gater.instances >= other.instances:
        gater = other
    return other.instances / gater.instances if gater is level else 0.0


def _level(
    level: Level, kept: dict[str, Tile], rooms: dict[str, Room], energies: EnergyTable, steps: int
) -> dict[str, Any]:
    """Return a level's cycles and the counts of the tensors that it keeps."""
    tensors = {name: _tensor(level, tile, rooms[name], energies) for name, tile in kept.items()}
    again = [
        math.ceil(tile.reads / (tile.most / tile.instances)) * float(rooms[name].again - rooms[name].words)
        for name, tile in kept.items()
    ]
    read = _in_order(
        (math.ceil(tile.reads / (tile.most / tile.instances)) * float(rooms[name].words) + more) / steps
        for (name, tile), more in zip(kept.items(), again, strict=True)
    )
    write = _in_order(
        (math.ceil((tile.fills + tile.updates) / (tile.most / tile.instances)) * float(rooms[name].words) + more)
        / steps
        for (name, tile), more in zip(kept.items(), again, strict=True)
    )
    slowdown = 1.0
    if isinstance(level, Storage):
        for bandwidth, wanted in (
            (level.read_bandwidth, read),
            (level.write_bandwidth, write),
            (level.shared_bandwidth, read + write),
        ):
            if bandwidth is not None and bandwidth < wanted:
                slowdown = min(slowdown, bandwidth / wanted)
    return {"tensors": tensors, "cycles": math.ceil(steps / slowdown), "throttling": slowdown}


def _in_order(shares: Iterable[float]) -> float:
    """Return a sum that is rounded at every step, as the model's is: Python's `sum` is not from 3.12 on."""
    return functools.reduce(operator.add, shares, 0.0)


def _tensor(level: Level, tile: Tile, room: Room, energies: EnergyTable) -> dict[str, Any]:
    found: dict[str, Any] = {
        "tile": tile.size,
        "partition": tile.partition,
        "instances": tile.instances,
        "reads": tile.reads,
        "fills": tile.fills,
        "updates": tile.updates,
        "temporal_reductions": tile.reductions,
        "address_generations": math.ceil((tile.fills + (tile.updates or tile.reads)) * room.words),
        "energy_pJ": 0.0,
        "address_pJ": 0.0,
    }
    if isinstance(level, Storage):
        line = 0.0
        for action, words in (("read", tile.reads), ("write", tile.fills), ("update", tile.updates)):
            each = energies[level.name].energy(action) if level.line_pJ is None else level.line_pJ
            if action == "read" and room.again > room.words:  # and written so wide before
                update = energies[level.name].energy("update") if level.line_pJ is None else level.line_pJ
                each += float(room.again - room.words) / float(room.words) * (each + update)
            line += math.ceil(words * room.words / level.block) * each
        clusters = min(tile.most, level.instances // level.cluster_size)
        found["energy_pJ"] = line / (tile.most / clusters) * tile.instances
        found["address_pJ"] = found["address_generations"] * level.address_pJ * clusters
    return found


def _carried(level: Level, tile: Tile, is_kept: bool) -> Tile:
    """Return what the network sees where a storage adds nothing up: a sum goes out, and back in, but for the first."""
    if not isinstance(level, Storage) or level.adds:
        return tile
    first = tile.partition if is_kept else 0
    return replace(tile, records={key: 2 * words - first for key, words in tile.records.items()})


def _network(
    level: Level, tile: Tile, is_output: bool, architecture: Architecture, energies: EnergyTable
) -> dict[str, Any]:
    reductions = 0
    for receivers, groups in sorted(tile.records):
        if is_output:
            reductions = int(reductions + (receivers - 1) * tile.records[receivers, groups])
    return {
        "fanout": tile.fanout,
        "multicast_factor": max((receivers for receivers, _ in tile.records), default=0),
        "ingresses": total(tile.records),
        "link_transfers": int(tile.linked),
        "spatial_reductions": reductions,
        "energy_pJ": _network_energy(level, tile, architecture, energies),
    }


def _network_energy(level: Level, tile: Tile, architecture: Architecture, energies: EnergyTable) -> float:
    wires = level.wires
    if wires is None:
        return 0.0
    hop = wires.hop_pJ
    if hop is None:
        width = wires.tile_width_um
        if width is None:
            width, inside = 0.0, architecture.levels[architecture.levels.index(level) + 1 :]
            for each in inside:  # an instance of the level right inside, with all that lies in it
                width += energies[each.name].area_um2 * each.instances / inside[0].instances
            width = math.sqrt(width)
        hop = wires.word_bits * width / 1000 * wires.wire_pJ
    travelled, touched, ingresses = 0.0, 0, 0.0
    for key in sorted(tile.records):
        words = tile.records[key]
        if words > 0:
            hops = tile.hops.get(key, 0.0) / words
            touched = int(touched + (1 + math.floor(hops)) * words)
            travelled += hops * words
            ingresses += words
    one = travelled * hop + touched * wires.router_pJ + ingresses * wires.ingress_pJ
    return (one + int(tile.linked) * (hop + 2 * wires.router_pJ)) * tile.instances
