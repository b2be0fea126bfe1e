"""Estimators for what stands between digital and analog values: converters, drivers of arrays, published macros.

Energy and area of an analog-to-digital converter follow from its resolution, rate and node by the regression that the
ADC plug-in of Accelergy makes of Murmann's survey; the coefficients are its own. Other parts have figures only where a
publication has them; for all others an ERT is asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dovetail.components.estimator import Declined, Query, Quote

#: Schreier's figure of merit at high rates, dB: what it starts from, and what it loses with ln(Hz).
_MERIT_dB, _MERIT_PER_LN_HZ = 213.7806687348118, -2.8719030399529957
#: The most that a converter of b effective bits reaches, dB: linear in b.
_MOST_MERIT_dB, _MOST_MERIT_PER_BIT = 128.3068287398817, 3.2205115109775617
#: ln(pJ) of an energy from merit alone, corrected by ln(nm) and ln(bits).
_LN_pJ, _LN_pJ_PER_LN_NM, _LN_pJ_PER_LN_BITS = (
    26.0496215686518 - 1.4702022133784405,
    1.8800369206815004,
    -2.8291256050594527,
)
#: ln(um^2), by ln(nm), ln(Hz) and ln(pJ).
_LN_UM2, _LN_UM2_PER = 1.3461916439910742, (0.9932794744745022, 0.18071538424508238, 0.29912426192653485)
_FEWEST_BITS, _MOST_BITS = 4, 20
_RESOLUTION = ("resolution", "adc_resolution", "n_bits", "bits", "resolution_adc")
_FREE = ("leak", "write", "update")


class Adc:
    """Converters by the regression over the survey: pJ of one conversion; leakage is part of it."""

    name = "adc_survey"
    classes = ("adc", "array_adc", "cim_adc", "cim_array_adc", "pim_adc", "pim_array_adc", "sar_adc")
    valid = "4 to 20 bit; needs resolution, throughput (conversions per second of all n_adcs together), technology"
    accuracy: float = 75
    source = "B. Murmann, ADC Performance Survey 1997-2023, as regressed in Accelergy's ADC plug-in (MIT)"

    def energy(self, query: Query) -> Quote:
        """Return pJ of one conversion; what comes with it costs nothing besides."""
        if query.action in _FREE:
            return Quote(0.0)
        if query.action not in ("convert", "read", "sample", "drive", "activate"):
            raise Declined(f"knows no action '{query.action}' of {query.component}, only convert, read, leak")
        return Quote(self._energy(query))

    def area(self, query: Query) -> Quote:
        """Return um^2 of all converters that one component has."""
        bits, rate, count = self._asked(query)
        per = zip(_LN_UM2_PER, (query.node_nm, rate, self._energy(query)), strict=True)
        return Quote(
            count * math.exp(_LN_UM2 + sum(slope * math.log(value) for slope, value in per)), (f"{bits:g} bit",)
        )

    def _energy(self, query: Query) -> float:
        bits, rate, _ = self._asked(query)
        most = _MOST_MERIT_dB + _MOST_MERIT_PER_BIT * math.ceil(bits)
        merit = min(_MERIT_dB + _MERIT_PER_LN_HZ * math.log(rate), most)
        noise = bits * 20 * math.log10(2) + 10 * math.log10(1.5)  # signal to noise of an ideal converter, dB
        correction = _LN_pJ + _LN_pJ_PER_LN_NM * math.log(query.node_nm) + _LN_pJ_PER_LN_BITS * math.log(bits)
        return math.exp(correction) / (2 * 10 ** ((merit - noise) / 10))

    def _asked(self, query: Query) -> tuple[float, float, float]:
        """Return bits, conversions per second of one converter, and how many there are."""
        name = next((name for name in _RESOLUTION if name in query.attributes), _RESOLUTION[0])
        bits, count = query.number(name), query.number("n_adcs", 1)
        if not _FEWEST_BITS <= bits <= _MOST_BITS:
            raise Declined(f"is made for {_FEWEST_BITS} to {_MOST_BITS} bits, asked for {bits:g}")
        return bits, query.number("throughput") / count, count


@dataclass(frozen=True)
class _Figure:
    """What is published of one part: its node, nm, or technology; its size's name and how large it is; pJ, um^2."""

    technology: float | str
    size: str
    value: float
    energy: float
    area: float
    actions: tuple[str, ...]


#: ISAAC (Shafiee et al., ISCA 2016), with pJ and um^2 as Accelergy's library derives them from the paper's tables.
_ISAAC = {
    "isaac_adc": _Figure(32, "resolution", 8, 1.666666667, 1200, ("convert", "read")),
    "isaac_dac": _Figure(32, "resolution", 1, 0.41667, 0.166015625, ("drive", "read")),
    "isaac_router": _Figure(32, "width", 256, 20.74, 150000, ("read",)),
    "isaac_router_shared_by_four": _Figure(32, "width", 256, 20.74, 37500, ("read",)),
    "isaac_eDRAM_bus": _Figure(32, "width", 1, 0.054, 29.296875, ("read",)),
    "isaac_shift_add": _Figure(32, "width", 16, 0.021, 60, ("shift_add", "read", "write")),
    "isaac_eDRAM": _Figure(32, "width", 256, 20.45, 83000, ("read", "write", "update")),
    "isaac_chip2chip_link": _Figure(65, "width", 128, 26, 23000000, ("read", "write", "update")),
}
#: Cells of memristors of 2 and of 1 bit, with the figures of the public exercise on processing in memory.
_CELLS = {
    "ReRAMcell_compute": (
        _Figure("memristor", "cellwidth", 2, 1.83e-3, 1.525879e-3, ("compute",)),
        _Figure("memristor", "cellwidth", 1, 3.45e-3, 7.63e-4, ("compute",)),
    ),
    "ReRAMcell_storage": (
        _Figure("memristor", "cellwidth", 2, 0.0, 0.0, ("read",)),
        _Figure("memristor", "cellwidth", 1, 0.0, 0.0, ("read",)),
    ),
}
_BY_NAME = {name.lower(): (figure,) for name, figure in _ISAAC.items()} | {
    name.lower(): figures for name, figures in _CELLS.items()
}


class Published:
    """Parts of published accelerators, at the node and of the size that they were published with."""

    name = "published_parts"
    classes = (*_ISAAC, *_CELLS)
    valid = "the node and size of the publication only"
    accuracy: float = 90
    source = (
        "ISAAC (Shafiee et al., ISCA 2016), as derived in Accelergy's library plug-in; cells: the tables of the "
        "exercise 05_pim in timeloop-accelergy-exercises"
    )

    def energy(self, query: Query) -> Quote:
        """Return pJ of one action; what a part does not do costs nothing."""
        figure = self._figure(query)
        if query.action not in (*figure.actions, *_FREE):
            raise Declined(f"knows no action '{query.action}' of {query.component}, only {', '.join(figure.actions)}")
        return Quote(figure.energy if query.action in figure.actions else 0.0)

    def area(self, query: Query) -> Quote:
        """Return um^2."""
        return Quote(self._figure(query).area)

    def _figure(self, query: Query) -> _Figure:
        figures = _BY_NAME[query.component.lower()]
        size = query.number(figures[0].size, figures[0].value)
        asked = query.attributes.get("technology")
        technology = asked if asked == figures[0].technology else query.node_nm
        for figure in figures:
            if (technology, size) == (figure.technology, figure.value):
                return figure
        said = " or ".join(f"{_named(one.technology)} and {one.size} {one.value:g}" for one in figures)
        raise Declined(f"is published for {said}, asked for {_named(technology)} and {size:g}")


def _named(technology: object) -> str:
    return f"{technology:g} nm" if isinstance(technology, int | float) else str(technology)
