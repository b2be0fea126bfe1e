"""Numbers with their units: the energy-delay product, and how a person reads and writes energies, shares and counts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # every command imports this module; NumPy loads only where something is computed
    import numpy as np
    from numpy.typing import NDArray

    Number = TypeVar("Number", float, NDArray[np.float64])

#: What energy-delay products are counted in.
EDP_UNIT = "J x cycle"
_PREFIXES = ("p", "n", "u", "m", "", "k", "M")


def edp_J_cycle(energy_pJ: Number, cycles: Number) -> Number:
    """Return the energy-delay product in joules times cycles, of numbers or of arrays of them."""
    return energy_pJ * 1e-12 * cycles


def joules(energy_pJ: float) -> str:
    """Return an energy with four digits and its unit, from pJ to MJ."""
    if energy_pJ <= 0:
        return "0 pJ"
    step = min(max(math.floor(math.log10(energy_pJ) / 3), 0), len(_PREFIXES) - 1)
    return f"{energy_pJ / 1000.0**step:.4g} {_PREFIXES[step]}J"


def joules_alike(energies_pJ: Iterable[float]) -> tuple[str, Callable[[float], str]]:
    """Return one unit for several energies, and how to show each in it: so that sums can be checked by eye.

    The largest shows five digits; what is too small for a digit then shows that it is not nothing.
    """
    most = max(energies_pJ, default=0.0)
    step = min(max(math.floor(math.log10(most) / 3), 0), len(_PREFIXES) - 1) if most > 0 else 0
    decimals = max(0, 4 - math.floor(math.log10(most / 1000.0**step))) if most > 0 else 0

    def show(energy_pJ: float) -> str:
        text = f"{energy_pJ / 1000.0**step:,.{decimals}f}"
        return f"<{10.0**-decimals:.{decimals}f}" if energy_pJ > 0 and not text.strip("0.,") else text

    return f"{_PREFIXES[step]}J", show


def figures_text(cycles: int, energy_pJ: float, utilization: float) -> str:
    """Return what a cost comes to in a line: cycles, energy, their product, and how busy the compute units are."""
    edp = four_digits(edp_J_cycle(energy_pJ, cycles))
    return f"{whole(cycles)} cycles, {joules(energy_pJ)}, {edp} {EDP_UNIT}, {percent(utilization)} busy"


def whole(number: float) -> str:
    """Return a whole number with its thousands set apart."""
    return f"{round(number):,}"


def counted(number: int, thing: str) -> str:
    """Return how many of a thing there are: ``1 layer``, ``1,200 layers``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def percent(fraction: float) -> str:
    """Return a fraction as percent."""
    return f"{fraction:.1%}".replace("%", " %")


def four_digits(number: float) -> str:
    """Return a number, such as an energy-delay product, with four digits."""
    return f"{number:.4g}"


def size_text(count: float) -> str:
    """Return bytes as a person reads them."""
    for step, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= step:
            return f"{count / step:.4g} {letter}B"
    return f"{count:.4g} B"


def times(factor: float) -> str:
    """Return how many times something is something else."""
    return f"{factor:.3g} x"


def milliseconds(seconds: float) -> str:
    """Return a time of at most some seconds as a person reads it."""
    return f"{four_digits(seconds * 1e3)} ms"


#: Digits of whole numbers that a person may write.
_DIGITS = 30
_WHOLE = re.compile(r"([+-]?)([0-9]+(?:[_,][0-9]+)*)(?:[.]([0-9]*))?(?:[eE][+]?([0-9]{1,2}))?")


def read_whole(text: str) -> int | None:
    """Return a whole number as people write it, ``11e6``, ``2.5e3``, ``2_000`` and ``1,000`` included; else None."""
    found = _WHOLE.fullmatch(text.strip())
    if found is None:
        return None
    sign, digits, decimals, power = found.groups()
    digits, decimals = re.sub("[_,]", "", digits), (decimals or "").rstrip("0")
    zeros = int(power or 0) - len(decimals)
    if zeros < 0 or len(digits) + int(power or 0) > _DIGITS:
        return None
    return int(f"{sign}{digits}{decimals}{'0' * zeros}")
