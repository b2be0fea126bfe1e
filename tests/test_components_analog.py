"""Converters and published parts: figures of the sources, what is declined, and what is asked for instead."""

from __future__ import annotations

import pytest

from dovetail.components.analog import Adc, Published
from dovetail.components.estimator import Declined, Query, ask
from dovetail.errors import InputError


def _adc(bits: float, rate: float = 1e9, nm: int = 32, **more: float) -> dict[str, object]:
    return {"resolution": bits, "throughput": rate, "technology": f"{nm}nm", **more}


@pytest.mark.parametrize(
    ("bits", "rate", "nm", "count", "energy", "area"),
    [
        (8, 1.2e9, 32, 1, 1.8486088943398364, 6313.144569312267),
        (10, 1e8, 65, 4, 12.542711283721342, 44968.69824720416),
        (5, 1e6, 45, 1, 1.777278192809513, 2430.7811968595524),
    ],
)
def test_a_converter_costs_what_the_plug_in_says(
    bits: float, rate: float, nm: int, count: int, energy: float, area: float
) -> None:
    """Numbers of the public ADC plug-in itself."""
    attributes = _adc(bits, rate, nm, n_adcs=count)
    assert Adc().energy(Query("adc", attributes, "read")).value == pytest.approx(energy, rel=1e-9)
    assert Adc().area(Query("adc", attributes)).value == pytest.approx(area, rel=1e-9)


def test_converters_leak_nothing_besides_and_add_up_in_area() -> None:
    assert Adc().energy(Query("adc", _adc(8), "leak")).value == 0
    assert Adc().area(Query("adc", _adc(8, 1.2e9, n_adcs=2))).value > Adc().area(Query("adc", _adc(8, 1.2e9))).value


@pytest.mark.parametrize("name", ["resolution", "adc_resolution", "n_bits"])
def test_a_converter_of_more_bits_or_an_older_node_costs_more(name: str) -> None:
    def energy(bits: float, nm: int) -> float:
        attributes = {name: bits, "throughput": 1e8, "technology": f"{nm}nm"}
        return Adc().energy(Query("array_adc", attributes, "convert")).value

    assert energy(6, 32) < energy(8, 32) < energy(10, 32) < energy(10, 65)


def test_what_lies_outside_of_the_survey_is_declined() -> None:
    with pytest.raises(Declined, match="4 to 20 bits, asked for 1"):
        Adc().energy(Query("adc", _adc(1), "read"))
    with pytest.raises(Declined, match="no action 'fly'"):
        Adc().energy(Query("adc", _adc(8), "fly"))


def test_published_parts_are_served_as_published_only() -> None:
    attributes = {"technology": "32nm", "width": 256}
    assert Published().energy(Query("isaac_router", attributes, "read")).value == 20.74
    assert Published().energy(Query("isaac_router", attributes, "write")).value == 0
    assert Published().area(Query("isaac_router", attributes)).value == 150000
    for other in ({"technology": "45nm", "width": 256}, {"technology": "32nm", "width": 64}):
        with pytest.raises(Declined, match="is published for 32 nm and width 256"):
            Published().energy(Query("isaac_router", other, "read"))


def test_what_nobody_serves_is_known_by_name_and_the_entry_that_is_missing_is_said() -> None:
    with pytest.raises(
        Exception, match="drivers of a memory array's rows: say it as its attribute 'read_pJ' or in an "
    ):
        ask(Query("array_row_drivers", {}, "read"), among=[Adc()])
    with pytest.raises(Exception, match=r"an ERT \(--ert\) in which it has the action 'write'"):
        ask(Query("strange", {}, "write"), among=[Adc()])


@pytest.mark.parametrize(("bits", "pJ"), [(2, 1.83e-3), (1, 3.45e-3)])
def test_memristor_cells_cost_what_the_public_exercise_says(bits: int, pJ: float) -> None:
    cell: dict[str, object] = {"technology": "memristor", "cellwidth": bits}
    assert ask(Query("ReRAMcell_compute", cell, "compute")).quote.value == pJ
    assert [ask(Query("ReRAMcell_storage", cell, action)).quote.value for action in ("read", "leak")] == [0, 0]
    with pytest.raises(InputError, match="is published for memristor and cellwidth 2 or memristor and cellwidth 1"):
        ask(Query("ReRAMcell_compute", cell | {"cellwidth": 4}, "compute"))
    with pytest.raises(InputError, match="asked for 32 nm and"):
        ask(Query("ReRAMcell_compute", cell | {"technology": "32nm"}, "compute"))
