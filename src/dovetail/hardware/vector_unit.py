"""A design's vector unit, which does what lies between products: as its document declares it, or by default.

A document may hold, beside ``architecture``::

    vector_unit:
      lanes: 256            # elements a cycle
      level: unified_buffer # the storage that it reads and writes
      bits: 16              # of a lane's operands
      step_pJ: 0.9          # pJ of one step of one lane
      word_pJ: 0            # pJ of a word on its way between that storage and the unit
      steps: {softmax: 1}   # steps per element, where the unit does not take those of the table

Without it, or where it does not say: as many lanes as the square root of the multiply-accumulate units, which is how
the first TPU is built (256 lanes behind 256 x 256 units: N. P. Jouppi et al., "In-Datacenter Performance Analysis of a
Tensor Processing Unit", ISCA 2017); the outermost storage; 16 bits. The energy of a step is that of a multiply-add: M.
Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014, figure 1.1.9, at 45 nm: integers of 8
bits 0.2 + 0.03 pJ, floating point of 16 bits 1.1 + 0.4 pJ and of 32 bits 3.7 + 0.9 pJ, carried to the design's node as
all digital energies are (`dovetail.components.technology`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from dovetail.document import Node

#: pJ of a multiplication and of an addition by bits of the operands, at 45 nm.
STEP_PJ = {8: 0.2 + 0.03, 16: 1.1 + 0.4, 32: 3.7 + 0.9}
MEASURED_NM = 45.0
#: Bits of a lane's operands unless it is said.
BITS = 16
#: Keys of its declaration.
KEYS = ("version", "lanes", "level", "bits", "step_pJ", "word_pJ", "steps")
MOST_LANES = 2**31


@dataclass(frozen=True)
class VectorUnit:
    """What a design's document says of its vector unit; None: not said.

    Attributes:
        lanes: elements that it works on at a time.
        level: the storage that it reads and writes.
        bits: of a lane's operands.
        step_pJ: of one step of one lane.
        word_pJ: of a word on its way between that storage and the unit.
        steps: per element, of operations that it does otherwise than the table has them.
    """

    lanes: int | None = None
    level: str | None = None
    bits: int | None = None
    step_pJ: float | None = None
    word_pJ: float = 0.0
    steps: Mapping[str, float] = field(default_factory=dict, hash=False)


def read_vector_unit(node: Node) -> VectorUnit:
    """Read a declaration.

    Raises:
        InputError: a key or a value is wrong; with file, line and key.
    """
    entries = node.mapping(known=KEYS)
    lanes = entries["lanes"].integer(minimum=1) if "lanes" in entries else None
    if lanes is not None and lanes > MOST_LANES:
        raise entries["lanes"].fail(f"is {lanes}; at most {MOST_LANES} are counted")
    bits = entries["bits"].integer(minimum=1) if "bits" in entries else None
    if bits is not None and bits not in STEP_PJ and "step_pJ" not in entries:
        known = ", ".join(map(str, STEP_PJ))
        raise entries["bits"].fail(f"is {bits}; energies are known of {known} bits: give step_pJ as well")
    steps = entries["steps"].mapping() if "steps" in entries else {}
    return VectorUnit(
        lanes,
        entries["level"].text() if "level" in entries else None,
        bits,
        _energy(entries["step_pJ"]) if "step_pJ" in entries else None,
        _energy(entries["word_pJ"]) if "word_pJ" in entries else 0.0,
        {name: float(said.number(minimum=0)) for name, said in steps.items()},
    )


def _energy(node: Node) -> float:
    found = float(node.number(minimum=0))
    if found > 1e12:
        raise node.fail(f"is {found:g} pJ, more than any unit takes")
    return found


def usual_lanes(units: int) -> int:
    """Return the lanes of a unit behind so many multiply-accumulate units."""
    return max(1, math.isqrt(units))
