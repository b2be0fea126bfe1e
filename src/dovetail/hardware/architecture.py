"""An architecture: storage, spatial fan-out and compute, as one list of levels from outer to inner."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from dovetail.document import Node
from dovetail.errors import InputError, did_you_mean
from dovetail.hardware.sparse import NO_METADATA, NOTHING_LEFT_OUT, MetadataStore, Sparse
from dovetail.hardware.vector_unit import VectorUnit
from dovetail.text import clean

#: What is counted in 64 bits with room to spare: instances of a level, bits of a line, words of an instance.
MOST_INSTANCES, MOST_BITS, MOST_WORDS = 2**31, 2**31, 2**60
#: Where the bundled designs lie.
_BUNDLED = f"{Path(__file__).parent / 'designs'}{os.sep}"
#: Words per cycle and instance; less would make cycles endless.
LEAST_BANDWIDTH, MOST_BANDWIDTH = 1e-9, 1e18


class Relation(StrEnum):
    """How a loop factor relates to the value a constraint gives."""

    EQ = "="
    LE = "<="
    GE = ">="


@dataclass(frozen=True)
class Source:
    """Where in a file something was said.

    Attributes:
        file: as the reader was given it.
        line: counted from 1.
        key: the dotted path of keys that leads to it.
    """

    file: str
    line: int
    key: str

    def __str__(self) -> str:
        """Return ``file:line``; of a bundled design's file the name alone: the same wherever the package lies."""
        return f"{self.file.removeprefix(_BUNDLED)}:{self.line}"


@dataclass(frozen=True)
class Said:
    """A word of a file's constraints, and where it stands.

    Attributes:
        what: ``tensor`` or ``dimension`` for a name, ``key`` for a constraint such as ``factors_only``.
        name: the word.
        source: where it stands.
    """

    what: str
    name: str
    source: Source


@dataclass(frozen=True)
class FactorConstraint:
    """``dimension relation value`` on the factor of one level's loop.

    ``value`` 0 with ``=`` means the whole bound of the dimension, and a larger one than the bound means the bound, as
    in the reference; the reader turns ``<`` and ``>`` into ``<=`` and ``>=``. ``source`` is where the file says so,
    None for what no file says; it is no part of the content.
    """

    dimension: str
    relation: Relation
    value: int
    source: Source | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        """Return it as a file would: ``C<=4``."""
        return f"{self.dimension}{self.relation}{self.value}"


@dataclass(frozen=True)
class LoopConstraints:
    """What a level's temporal or spatial loops must look like; the empty one allows everything.

    Attributes:
        factors: bounds on single factors; a dimension may have one lower and one upper bound.
        inner: dimensions pinned innermost, listed outer to inner; all others are free outside of them.
        outer: dimensions pinned outermost, listed outer to inner.
        split: (spatial only) how many dimensions of the full permutation, counted in the order in which the
            reference lists it, lie on X; the rest lie on Y. None: free.
        listed_first: (spatial only) dimensions that the permutation leaves out follow behind those that it names, also
            those that can only have factor 1: so before v0.4, whose front end puts these innermost.
        no_reuse: tensors for which this level's loops bring no multicast or reduction (spatial), or no reuse
            over time (temporal).
        no_link_transfer: (spatial only) tensors that neighbours below this level do not pass on to each other.
        rmw_first_update: (temporal only) outputs whose first update at this level also reads.
        max_dimensions: how many loops of this level may have a factor above 1; None: any number.

    The remaining ones depend on the problem; ``dovetail.hardware.binding`` turns them into the ones above. In sets of
    tensors ``*`` stands for all.

    Attributes:
        only_listed: dimensions that ``factors`` does not name have factor 1 (``factors_only``).
        no_iteration_over: tensors whose dimensions all have factor 1.
        iteration_over: tensors outside of whose dimensions every factor is 1; None: no such constraint.
        maximize: groups of dimensions whose factors are made as large as fits, group by group.
        maximize_capacity: what the product of all factors may reach then; None: the level's fan-out.
        default_max: upper bound of factors that have none.
        default_min: lower bound of factors that have none.

    What follows is no part of the content: two constraints that say the same are equal wherever they stand.

    Attributes:
        said: every name and key of the file that these constraints were read from.
    """

    factors: tuple[FactorConstraint, ...] = ()
    inner: tuple[str, ...] = ()
    outer: tuple[str, ...] = ()
    split: int | None = None
    listed_first: bool = False
    no_reuse: frozenset[str] = frozenset()
    no_link_transfer: frozenset[str] = frozenset()
    rmw_first_update: frozenset[str] = frozenset()
    max_dimensions: int | None = None
    only_listed: bool = False
    no_iteration_over: frozenset[str] = frozenset()
    iteration_over: frozenset[str] | None = None
    maximize: tuple[tuple[str, ...], ...] = ()
    maximize_capacity: int | None = None
    default_max: int | None = None
    default_min: int | None = None
    said: tuple[Said, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True)
class Constraints:
    """Constraints of one level.

    Attributes:
        keep: tensors that must be kept here.
        bypass: tensors that must pass by.
        temporal: on the level's temporal loops.
        spatial: on the level's spatial loops.
        bypass_all_but: all tensors but these must pass by; None: no such constraint. It depends on the problem;
            ``dovetail.hardware.binding`` turns it into ``bypass``.
        keep_all_but: all tensors but these must be kept; likewise.
        said: every tensor that the file names to be kept or not; no part of the content.
    """

    keep: frozenset[str] = frozenset()
    bypass: frozenset[str] = frozenset()
    temporal: LoopConstraints = LoopConstraints()
    spatial: LoopConstraints = LoopConstraints()
    bypass_all_but: frozenset[str] | None = None
    keep_all_but: frozenset[str] | None = None
    said: tuple[Said, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Wires:
    """What carrying words from a level to the next one inside costs, as in the reference's inferred networks.

    Attributes:
        hop_pJ: per word and hop; None: what the wire's length and ``wire_pJ`` come to.
        router_pJ: per word and router on its way.
        ingress_pJ: per word put on the network.
        wire_pJ: per bit and mm.
        word_bits: bits of a word on the network.
        tile_width_um: length of a hop; None: the side of a square as large as all that lies inside of one hop.
    """

    word_bits: int
    hop_pJ: float | None = None
    router_pJ: float = 0.0
    ingress_pJ: float = 0.0
    wire_pJ: float = 0.0
    tile_width_um: float | None = None


@dataclass(frozen=True, kw_only=True)
class Level:
    """What every level has.

    Attributes:
        name: unique in the architecture.
        component: the component class, e.g. ``smartbuffer_SRAM``; what the energy estimators go by.
        mesh_x: instances along X in the whole chip.
        mesh_y: instances along Y.
        attributes: every attribute of the component, evaluated; for the energy estimators.
        constraints: on mappings.
        wires: of the network to the next level inside; None: it costs nothing.
        sparse: what it does about zeros.
    """

    name: str
    component: str
    mesh_x: int = 1
    mesh_y: int = 1
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)
    constraints: Constraints = Constraints()
    wires: Wires | None = None
    sparse: Sparse = NOTHING_LEFT_OUT

    def __post_init__(self) -> None:
        """Keep names fit to be shown, and check sizes once, so that nothing behind needs to."""
        clean(self, "name", "component")
        self._check("instances", self.instances, 1, MOST_INSTANCES)

    @property
    def instances(self) -> int:
        """Instances in the whole chip."""
        return self.mesh_x * self.mesh_y

    def _check(self, what: str, value: float | None, least: float, most: float) -> None:
        """Raise InputError unless a size is unset or lies within limits."""
        if value is not None and not least <= value <= most:
            raise InputError(f"{self.name}: {what} must be at least {least:g} and at most {most:g}, found {value:.16g}")


@dataclass(frozen=True, kw_only=True)
class Storage(Level):
    """A level that keeps tiles.

    Attributes:
        width: bits of one line.
        datawidth: bits of one word.
        depth: lines; None: unbounded (DRAM).
        cluster_size: instances that one physical line serves (the line is shared among them).
        multiple_buffering: how many tiles must fit at once (2 for double buffering).
        read_bandwidth: words per cycle and instance; None: unbounded.
        write_bandwidth: words per cycle and instance; None: unbounded.
        shared_bandwidth: words per cycle and instance, reads and writes together; None: unbounded.
        entries: words that one instance holds, where they fill no whole number of lines; None: what the lines hold.
        line_pJ: per line read, written or updated, given by the file (``vector_access_energy``), which the energy
            table does not overrule; the level then does not leak. None: what the table says.
        address_pJ: per address generated.
        metadata: where it keeps the metadata of formats.
        value_widths: bits of values that it has places for, rising; values are padded up. Empty: as many whole values
            lie in a word as fit.
        any_width: values of any width lie back to back.
        gated_at: the level further out with whose idle instances its own are switched off; empty: each by itself.
        adds: whether it adds up partial sums that arrive; else they are carried out and back in, which only the network
            below it takes note of.
        absent: tensors that lie elsewhere before and after: what a mapping moves of them here takes neither energy nor
            bandwidth; see `dovetail.network.resident`.
        origin: tensors that lie here from start to end, as all levels outside let them pass by; nothing fills it with
            them (`dovetail.mapping.origins`).
    """

    width: int
    datawidth: int
    depth: int | None = None
    cluster_size: int = 1
    multiple_buffering: float = 1
    read_bandwidth: float | None = None
    write_bandwidth: float | None = None
    shared_bandwidth: float | None = None
    entries: int | None = None
    line_pJ: float | None = None
    address_pJ: float = 0.0
    metadata: MetadataStore = NO_METADATA
    value_widths: tuple[int, ...] = ()
    any_width: bool = False
    gated_at: str = ""
    adds: bool = True
    absent: frozenset[str] = frozenset()
    origin: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Check sizes once, so that nothing behind needs to."""
        super().__post_init__()
        for name in ("width", "datawidth", "cluster_size"):
            self._check(name, getattr(self, name), 1, MOST_BITS)
        self._check("depth", self.depth, 0, MOST_WORDS)
        self._check("words of an instance", self.words, 0, MOST_WORDS)
        self._check("multiple_buffering", self.multiple_buffering, 1, MOST_BITS)
        for name in ("read_bandwidth", "write_bandwidth", "shared_bandwidth"):
            self._check(name, getattr(self, name), LEAST_BANDWIDTH, MOST_BANDWIDTH)

    @property
    def block(self) -> int:
        """Words that move per access of one instance."""
        return max(1, self.width // (self.datawidth * self.cluster_size))

    @property
    def words(self) -> int | None:
        """Words that one instance holds; None: unbounded."""
        if self.entries is not None:
            return self.entries
        return None if self.depth is None else self.depth * self.block


@dataclass(frozen=True, kw_only=True)
class Spatial(Level):
    """A fan-out: each instance feeds ``fanout_x * fanout_y`` instances of the next level.

    Attributes:
        fanout_x: along X.
        fanout_y: along Y.
        packs: it stands for the products that one compute unit does at once: as many as the units' `Compute.products`
            say for a layer's widths (`dovetail.mapping.packing`), and 1 where none is at hand.
    """

    fanout_x: int
    fanout_y: int
    packs: bool = False

    def __post_init__(self) -> None:
        """Check sizes once, so that nothing behind needs to."""
        super().__post_init__()
        self._check("instances of the next level", self.instances * self.fanout, 1, MOST_INSTANCES)

    @property
    def fanout(self) -> int:
        """Instances of the next level per instance of this one."""
        return self.fanout_x * self.fanout_y


class ProductSums(StrEnum):
    """What becomes of the products that a unit does at once: added up, added to sums of their own, or as a layer likes.

    The words are those of V. Camus, L. Mei, C. Enz, M. Verhelst, "Review and Benchmarking of Precision-Scalable
    Multiply-Accumulate Unit Architectures for Embedded Neural-Network Processing", JETCAS 9(4), 2019.
    """

    TOGETHER = "together"
    APART = "apart"
    EITHER = "either"


@dataclass(frozen=True)
class ByBits:
    """What holds of operands that are no wider than so many bits.

    Attributes:
        wide: bits of the widest operand.
        narrow: bits of all others.
        value: what holds.
    """

    wide: int
    narrow: int
    value: float

    @property
    def bits(self) -> str:
        """The bits as a design states them: ``8``, or ``8x4``."""
        return str(self.wide) if self.wide == self.narrow else f"{self.wide}x{self.narrow}"

    def holds(self, operands: Sequence[int]) -> bool:
        """Return whether operands of so many bits each are no wider."""
        widest, *others = sorted(operands, reverse=True)
        return widest <= self.wide and all(bits <= self.narrow for bits in others)


@dataclass(frozen=True, kw_only=True)
class Compute(Level):
    """The multiply-accumulate units; always the innermost level.

    Attributes:
        datawidth: bits of the operands that its energy is stated for.
        value_widths: bits that its units compute at, rising; operands are padded up. Empty: any, as a unit that wide.
        products: how many products one unit does at once, where that is more than one.
        product_sums: what becomes of them.
        product_energy: what one product takes of the energy of one of the unit's own words; what is not listed goes by
            `dovetail.components.arithmetic`.
    """

    datawidth: int = 16
    value_widths: tuple[int, ...] = ()
    products: tuple[ByBits, ...] = ()
    product_sums: ProductSums = ProductSums.TOGETHER
    product_energy: tuple[ByBits, ...] = ()


@dataclass(frozen=True)
class Architecture:
    """Levels outer to inner: the first is a storage, the last is the compute level.

    Attributes:
        name: what to call it in tables.
        levels: outer to inner.
        cycle_seconds: seconds per cycle.
        component_classes: the document's compound component classes as they stand, for ``dovetail.components``.
        elsewhere: (``tensor`` or ``dimension``, name) that a layer may lack, as it is known to be no mistake: other
            layers at hand have it, see `dovetail.hardware.names`; no part of the content.
        notes: what the reader found to be without effect; no part of the content.
        vector_unit: what its document says of the unit that does what lies between products.
    """

    name: str
    levels: tuple[Level, ...]
    cycle_seconds: float = 1e-9
    component_classes: tuple[Node, ...] = field(default=(), repr=False, compare=False)
    elsewhere: frozenset[tuple[str, str]] = field(default=frozenset(), repr=False, compare=False)
    notes: tuple[str, ...] = field(default=(), repr=False, compare=False)
    vector_unit: VectorUnit = field(default_factory=VectorUnit, repr=False)

    def __post_init__(self) -> None:
        """Keep the name fit to be shown, and check the order of levels once, so that nothing behind needs to."""
        clean(self, "name")
        if not 0 < self.cycle_seconds < math.inf:
            raise InputError(f"{self.name}: a cycle takes {self.cycle_seconds} s; it must be above 0 and finite")
        names = [level.name for level in self.levels]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise InputError(f"{self.name}: several levels are named {doubled[0]!r}; names must be unique")
        if not self.levels or not isinstance(self.levels[-1], Compute):
            raise InputError(f"{self.name}: the innermost level must be a compute component")
        if not isinstance(self.levels[0], Storage):
            raise InputError(f"{self.name}: the outermost level must be a storage component")
        if any(isinstance(level, Compute) for level in self.levels[:-1]):
            raise InputError(f"{self.name}: only the innermost level can be a compute component")

    def __repr__(self) -> str:
        return f"<Architecture {self.name}: {', '.join(level.name for level in self.levels)}>"

    def level(self, name: str) -> Level:
        """Return the level of that name; raises InputError with the nearest name when there is none."""
        for level in self.levels:
            if level.name == name:
                return level
        raise InputError(f"{self.name} has no level '{name}'{did_you_mean(name, [lv.name for lv in self.levels])}")

    def vector_level(self) -> Storage:
        """Return the storage that the vector unit reads and writes.

        Raises:
            InputError: its declaration names none.
        """
        if self.vector_unit.level is None:
            return self.storages[0]
        level = self.level(self.vector_unit.level)
        if not isinstance(level, Storage):
            raise InputError(f"{self.name}: the vector unit reads and writes a storage, which {level.name} is not")
        return level

    @property
    def compute(self) -> Compute:
        """The innermost level."""
        innermost = self.levels[-1]
        assert isinstance(innermost, Compute)
        return innermost

    @property
    def storages(self) -> tuple[Storage, ...]:
        """The storage levels, outer to inner."""
        return tuple(level for level in self.levels if isinstance(level, Storage))

    @property
    def is_sparse(self) -> bool:
        """Whether any level does anything about zeros."""
        return any(level.sparse for level in self.levels)

    @property
    def parallelism(self) -> int:
        """Compute units that the fan-outs reach."""
        return math.prod(level.fanout for level in self.levels if isinstance(level, Spatial))
