"""What a level does about zeros: the format it keeps a tensor in, and the accesses and computations it leaves out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dovetail.errors import InputError


class Format(StrEnum):
    """How one rank of a fibre tree is written."""

    UOP = "UOP"
    CP = "CP"
    B = "B"
    RLE = "RLE"
    UB = "UB"

    @property
    def compresses(self) -> bool:
        """Whether zeros take no room: an offset pair for every fibre and a bitmask beside all words do not compress."""
        return self in (Format.CP, Format.B, Format.RLE)


class Leaving(StrEnum):
    """What becomes of an access or a computation that would be for nothing."""

    GATING = "gating"
    SKIPPING = "skipping"

    @property
    def done(self) -> str:
        """What has been done to it: the word of energy tables."""
        return "gated" if self is Leaving.GATING else "skipped"


@dataclass(frozen=True)
class Rank:
    """One rank of a format.

    Attributes:
        format: how it is written.
        metadata_bits: bits of a metadata word; None: the level's default.
        payload_bits: bits of a payload word; None: the level's default.
        flattened: lists of dimensions whose loops may share the rank.
    """

    format: Format
    metadata_bits: int | None = None
    payload_bits: int | None = None
    flattened: tuple[frozenset[str], ...] = ()


@dataclass(frozen=True)
class TensorFormat:
    """The format of one tensor at one level.

    Attributes:
        tensor: its name.
        ranks: outermost first.
        inner_to_outer: whether loops are given to ranks from the innermost on; else from the outermost.
    """

    tensor: str
    ranks: tuple[Rank, ...]
    inner_to_outer: bool = False

    def __post_init__(self) -> None:
        """Refuse what the reference refuses: words compressed within what is uncompressed again."""
        if not self.ranks:
            raise InputError(f"the format of {self.tensor} has no rank")
        packed = [rank.format.compresses for rank in self.ranks]
        if True in packed and not all(packed[packed.index(True) :]):
            outer = self.ranks[packed.index(True)].format
            inner = next(r.format for r in self.ranks[packed.index(True) :] if not r.format.compresses)
            raise InputError(
                f"{self.tensor}: an uncompressed rank ({inner}) inside of a compressed one ({outer}); compressed ranks "
                f"must be the innermost ones"
            )

    @property
    def compresses(self) -> bool:
        """Whether zeros take no room."""
        return any(rank.format.compresses for rank in self.ranks)

    def __str__(self) -> str:
        """Return the ranks' formats, outermost first."""
        return "-".join(rank.format for rank in self.ranks)


@dataclass(frozen=True)
class Choice:
    """One way of leaving accesses out: those to a tensor where the tensors that it depends on are all zero.

    Attributes:
        target: whose accesses are left out.
        condition_on: the tensors that decide; an access is for nothing where any of them has nothing but zeros.
    """

    target: str
    condition_on: tuple[str, ...]


@dataclass(frozen=True)
class LeaveOut:
    """Accesses that a level leaves out.

    Attributes:
        how: gated accesses take their time, skipped ones do not.
        choices: the one that saves most is taken.
    """

    how: Leaving
    choices: tuple[Choice, ...]

    def __str__(self) -> str:
        """Return it in words: ``gating of Weights on Inputs``."""
        ways = " or ".join(f"{way.target} on {' and '.join(way.condition_on)}" for way in self.choices)
        return f"{self.how} of {ways}"


@dataclass(frozen=True)
class Sparse:
    """Everything that a level does about zeros.

    Attributes:
        formats: of the tensors that it keeps in one.
        leaves_out: accesses that it leaves out.
        computing: what the compute units do without (compute level only).
    """

    formats: tuple[TensorFormat, ...] = ()
    leaves_out: tuple[LeaveOut, ...] = ()
    computing: frozenset[Leaving] = frozenset()

    def __bool__(self) -> bool:
        """Return whether it does anything."""
        return bool(self.formats or self.leaves_out or self.computing)

    def __str__(self) -> str:
        """Return it in words, empty where it does nothing."""
        formats = [f"{one.tensor} as {one}" for one in self.formats]
        computing = [f"{how} of computations" for how in sorted(self.computing)]
        return "; ".join([*formats, *map(str, self.leaves_out), *computing])

    def format_of(self, tensor: str) -> TensorFormat | None:
        """Return the format of a tensor; None where it has none."""
        return next((one for one in self.formats if one.tensor == tensor), None)

    @property
    def tensors(self) -> tuple[str, ...]:
        """Every tensor that it names."""
        named = [one.tensor for one in self.formats]
        for choice in (choice for one in self.leaves_out for choice in one.choices):
            named += [choice.target, *choice.condition_on]
        return tuple(dict.fromkeys(named))

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Every dimension that its formats name."""
        ranks = [rank for one in self.formats for rank in one.ranks]
        return tuple(dict.fromkeys(name for rank in ranks for listed in rank.flattened for name in sorted(listed)))


@dataclass(frozen=True)
class MetadataStore:
    """Where a storage keeps metadata.

    Attributes:
        datawidth: bits of a metadata word where a format does not say it.
        width: bits of a line.
        depth: lines; a storage of bounded size has none unless it says so.
        compresses: whether it can compress what it hands to the level outside.
        decompresses: whether it can decompress what it gets from the level outside.
    """

    datawidth: int = 0
    width: int = 0
    depth: int = 0
    compresses: bool = False
    decompresses: bool = False

    def word_bits(self, rank: Rank) -> tuple[int, int]:
        """Return the bits of a rank's metadata words and payload words: as given, widened until they divide a line."""
        if rank.format is Format.UB:
            return self.datawidth, self.datawidth
        metadata = 1 if rank.format is Format.B and rank.metadata_bits is None else rank.metadata_bits
        return self._fitting(metadata), self._fitting(rank.payload_bits)

    def _fitting(self, bits: int | None) -> int:
        if not bits:
            return self.datawidth if bits is None else 0
        if bits > self.width:  # no line holds it: refused where it is counted
            return bits
        if bits * bits <= self.width:
            return next((wider for wider in range(bits, 2 * bits) if self.width % wider == 0), 2 * bits)
        # few of such words share a line: asked by their number, most first
        shared = range(self.width // bits, self.width // (2 * bits), -1)
        return next((self.width // words for words in shared if self.width % words == 0), 2 * bits)


#: What a level of a dense design does about zeros, and where it keeps metadata.
NOTHING_LEFT_OUT, NO_METADATA = Sparse(), MetadataStore()
