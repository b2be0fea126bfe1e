"""What a mapping costs: per level, per tensor, per network between levels, and in total."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field

from dovetail.table import Cell, Column, Table, headed
from dovetail.units import edp_J_cycle, figures_text, joules, percent, whole


@dataclass(frozen=True)
class Fates:
    """What becomes of actions that a dense run would have all done.

    Attributes:
        done: in full.
        gated: in their time, at little energy.
        skipped: in no time.
    """

    done: float
    gated: float
    skipped: float


@dataclass(frozen=True)
class TensorZeros:
    """What zeros do to one tensor at one storage level of a sparse design, per instance.

    Attributes:
        format: of its ranks, outermost first; empty where it is kept as it is.
        compressed: whether zeros take no room.
        density: expected share of words that are not zero, of a tile that is sent at all.
        dense_tile: words of the tile, zeros included.
        dense_reads: words that would be read were nothing left out; likewise ``dense_fills``, ``dense_updates``.
        read: words; ``fill`` and ``update`` likewise.
        lines: accesses of whole lines of data, by what becomes of them and their kind (``gated_read``).
        metadata_words: words of metadata and of payload per rank, innermost first, keyed likewise.
        metadata_bits: bits of metadata that move, keyed likewise.
        metadata_held: bits that the largest tile's metadata takes.
        metadata_tile: its words of metadata and of payload per rank, innermost first.
        metadata_pJ: part of the tensor's energy, all instances.
        decompressed: words decompressed on their way in.
        compressions: words compressed on their way out.
    """

    format: str
    compressed: bool
    density: float
    dense_tile: int
    dense_reads: int
    dense_fills: int
    dense_updates: int
    read: Fates
    fill: Fates
    update: Fates
    lines: MappingOf[str, float]
    metadata_words: MappingOf[str, tuple[tuple[int, int], ...]]
    metadata_bits: MappingOf[str, int]
    metadata_held: int
    metadata_tile: tuple[tuple[float, float], ...]
    metadata_pJ: float
    decompressed: int
    compressions: int


@dataclass(frozen=True)
class TensorCost:
    """One tensor at one storage level. Counts are words per instance, energy is over all instances.

    On a sparse design counts are of what is done in full, and ``instances`` can be a fraction: those that are sent
    a tile at all.

    Attributes:
        tile: words held at a time.
        partition: words seen over the whole run.
        instances: instances in use.
        reads: words read out.
        fills: words written on their way in from the level outside.
        updates: words written by the level inside (outputs).
        temporal_reductions: partial sums added to what is held.
        address_generations: addresses made, per cluster.
        energy_pJ: of the accesses of all instances.
        address_pJ: of generating the addresses, over all clusters in use.
        zeros: what zeros do to it; None on a dense design.
    """

    tile: int
    partition: int
    instances: float
    reads: int
    fills: int
    updates: int
    temporal_reductions: int
    address_generations: int
    energy_pJ: float
    address_pJ: float = 0.0
    zeros: TensorZeros | None = None


@dataclass(frozen=True, repr=False)
class LevelCost:
    """One level.

    Attributes:
        name: the level's name.
        tensors: costs of the tensors that it keeps.
        instances: instances in use: on average over all passes, cut off to an integer, where factors leave a remainder.
        cycles: cycles that the level needs, given its bandwidth.
        throttling: cycles of computing alone over the level's cycles; 1 when it is fast enough.
        leakage_pJ: all instances in use, over all cycles.
        compute_pJ: energy of computing (compute level only).
        capacity_words: words that one instance holds; None: unbounded, or no storage.
        instances_max: instances that any pass uses; more than ``instances`` only where factors leave a remainder.
        network_pJ: of the network to the next level inside.
        computing: what becomes of executions of the loop body, over all units (compute level of a sparse design).
    """

    name: str
    tensors: MappingOf[str, TensorCost]
    instances: int
    cycles: int
    throttling: float
    leakage_pJ: float = 0.0
    compute_pJ: float = 0.0
    capacity_words: int | None = None
    instances_max: int = 0
    network_pJ: float = 0.0
    computing: Fates | None = None

    def __repr__(self) -> str:
        return f"<LevelCost {self.name}: {joules(self.energy_pJ)}, {whole(self.cycles)} cycles>"

    @property
    def address_pJ(self) -> float:
        """Energy of generating addresses, all tensors."""
        return sum(t.address_pJ for t in self.tensors.values())

    @property
    def energy_pJ(self) -> float:
        """Energy of the level: accesses, addresses, the network to the next level inside, leakage, computing."""
        accesses = sum(t.energy_pJ for t in self.tensors.values())
        return accesses + self.address_pJ + self.network_pJ + self.leakage_pJ + self.compute_pJ

    @property
    def apart_pJ(self) -> tuple[tuple[str, float], ...]:
        """What of the energy is no tensor's access, with its name; only what costs anything."""
        parts = {
            "addresses": self.address_pJ,
            "network": self.network_pJ,
            "leakage": self.leakage_pJ,
            "computing": self.compute_pJ,
        }
        return tuple((name, energy_pJ) for name, energy_pJ in parts.items() if energy_pJ)

    @property
    def words_moved(self) -> float:
        """Words read and written over all instances."""
        return sum((t.reads + t.fills + t.updates) * t.instances for t in self.tensors.values())


@dataclass(frozen=True)
class LinkCost:
    """One tensor on the network from one level to the next.

    Attributes:
        fanout: children in use per instance of the outer level.
        multicast_factor: children that at most share one word.
        ingresses: words put on the network per instance of the outer level.
        link_transfers: words that neighbours pass on to each other.
        spatial_reductions: partial sums added on the network (outputs).
        energy_pJ: of hops, routers, ingresses and transfers between neighbours, all instances of the outer level.
    """

    fanout: int
    multicast_factor: int
    ingresses: float
    link_transfers: int
    spatial_reductions: int
    energy_pJ: float = 0.0


@dataclass(frozen=True)
class Cost:
    """What one mapping of one problem costs.

    Attributes:
        levels: per level of the architecture, outer to inner, compute last.
        networks: ``"outer <==> inner"`` to tensor to traffic.
        cycles: the slowest of computing and of all levels.
        energy_pJ: everything.
        computes: executions of the loop body; on a sparse design also those that are left out.
        utilization: 0 to 1, of all compute units over all cycles.
        area_um2: of the whole architecture; 0 when the energy table has no areas.
    """

    levels: tuple[LevelCost, ...]
    networks: MappingOf[str, MappingOf[str, LinkCost]] = field(repr=False)
    cycles: int
    energy_pJ: float
    computes: int
    utilization: float
    area_um2: float = 0.0

    @property
    def edp_J_cycle(self) -> float:
        """Energy-delay product in joules times cycles."""
        return edp_J_cycle(self.energy_pJ, self.cycles)

    @property
    def text(self) -> str:
        """The totals in a line."""
        return figures_text(self.cycles, self.energy_pJ, self.utilization)

    def __repr__(self) -> str:
        return f"<Cost {self.text}>"

    def __getitem__(self, level: str) -> LevelCost:
        """Return the cost of the level of that name; KeyError when there is none."""
        for entry in self.levels:
            if entry.name == level:
                return entry
        raise KeyError(level)

    @property
    def energy_by_level(self) -> dict[str, float]:
        """pJ per level, outer to inner."""
        return {level.name: level.energy_pJ for level in self.levels}

    @property
    def operational_intensity(self) -> float:
        """Computes per word moved at the outermost level."""
        moved = self.levels[0].words_moved
        return self.computes / moved if moved else float("inf")

    def table(self) -> Table:
        """Return a row per level and tensor: words per instance, energy over all instances in pJ."""
        rows: list[tuple[Cell, ...]] = []
        for level in self.levels:
            for name, one in level.tensors.items():
                counts = (one.instances, one.tile, one.reads, one.fills, one.updates)
                rows.append((level.name, name, *counts, one.energy_pJ))
            for said, energy_pJ in level.apart_pJ:
                rows.append((level.name, said, level.instances, None, None, None, None, energy_pJ))
        heads = (
            *headed("level", "tensor"),
            Column("in use", key="instances"),
            *headed("tile", "reads", "fills", "updates"),
            Column("energy (pJ)", key="energy_pJ"),
        )
        return Table(heads, tuple(rows), ("all", "", "", "", "", "", "", self.energy_pJ))

    def zeros_table(self) -> Table | None:
        """Return what zeros do, a row per level and tensor and one for computing; None on a dense design.

        Shares are of the words that a dense run would move, per instance, and of what it would compute; what is neither
        done, gated nor skipped never comes there. Words held are of the tile's, with its metadata in bits beside them.
        """
        rows = [row for level in self.levels for row in _zeros_rows(level, self.computes)]
        heads = (
            *(Column(name, words=True) for name in ("level", "tensor", "format")),
            *(Column(name, show=percent) for name in ("density", "held")),
            Column("metadata", "bits", key="metadata_bits", show=whole),
            *(Column(name, show=percent) for name in _FATES),
            Column("metadata's|energy", key="metadata_energy_share", show=percent),
        )
        return Table(heads, tuple(rows)) if rows else None

    def _repr_html_(self) -> str:
        zeros = self.zeros_table()
        return ("" if zeros is None else zeros.html("what zeros do")) + self.table().html(
            figures_text(self.cycles, self.energy_pJ, self.utilization)
        )


def _zeros_rows(level: LevelCost, computes: int) -> list[tuple[Cell, ...]]:
    """Return a level's rows of what zeros do, in a layer of so many computations."""
    rows: list[tuple[Cell, ...]] = []
    for name, one in level.tensors.items():
        zeros = one.zeros
        if zeros is None:
            continue
        dense = zeros.dense_reads + zeros.dense_fills + zeros.dense_updates
        fates = zeros.read, zeros.fill, zeros.update
        moved = [sum(getattr(fate, what) for fate in fates) / dense if dense else 0.0 for what in _FATES]
        share = zeros.metadata_pJ / one.energy_pJ if one.energy_pJ else 0.0
        held = one.tile / zeros.dense_tile if zeros.dense_tile else 1.0
        written = zeros.format or "as it is"
        rows.append((level.name, name, written, zeros.density, held, zeros.metadata_held, *moved, share))
    if level.computing is not None:
        moved = [getattr(level.computing, what) / computes if computes else 0.0 for what in _FATES]
        rows.append((level.name, "computing", "", None, None, None, *moved, None))
    return rows


_FATES = ("done", "gated", "skipped")
