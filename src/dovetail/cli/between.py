"""What commands say of what lies between products."""

from __future__ import annotations

from collections.abc import Iterator

from dovetail.network.between import BetweenCost
from dovetail.network.costs import NetworkCost
from dovetail.units import percent


def between_texts(cost: NetworkCost) -> Iterator[str]:
    """Yield what is said of what lies between products: what costs nothing, or what each kind takes."""
    if cost.between is None:
        free = ", ".join(f"{each.name} x {each.count}" for each in cost.network.free)
        if free:
            yield f"costs nothing unless --between is given: {free}"
        return
    parts = sorted(cost.between.passes, key=lambda each: -each.energy_pJ)
    shares = ", ".join(
        f"{each.name} x {each.count} {percent(each.energy_pJ / (cost.energy_pJ or 1.0))}" for each in parts
    )
    yield f"between products, of all energy: {shares or 'nothing'}"
    yield vector_unit_text(cost.between)


def vector_unit_text(between: BetweenCost) -> str:
    """Return what is assumed of the vector unit, and by which rule time is counted."""
    rule = "after the products" if between.rule == "serial" else "beside the products"
    return f"vector unit, {rule}: {between.unit.source}; it reads and writes {between.unit.level.name}"
