"""What one action of each component costs, and how large each component is: what the model multiplies by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dovetail.errors import InputError, did_you_mean
from dovetail.table import Table, headed
from dovetail.text import clean

#: An action's energy beyond which products with counts and cycles could leave what floating point holds.
MOST_PJ = 1e30


@dataclass(frozen=True)
class ComponentCost:
    """Costs of one instance of one component.

    Attributes:
        actions: pJ per action. Storages have ``read``, ``write``, ``update`` (one whole line each) and ``leak``
            (per cycle); compute has ``compute`` and ``leak``.
        area_um2: area of one instance.
        source: where the numbers come from, for the report.
    """

    actions: Mapping[str, float] = field(hash=False)
    area_um2: float = 0.0
    source: str = ""

    def __post_init__(self) -> None:
        """Keep the source, a file's name perhaps, fit to be shown."""
        clean(self, "source")

    def energy(self, action: str) -> float:
        """Return pJ of one action; raises InputError naming the known actions when it is missing."""
        try:
            return self.actions[action]
        except KeyError:
            raise InputError(f"no energy for action '{action}'{did_you_mean(action, self.actions)}") from None


@dataclass(frozen=True)
class EnergyTable:
    """Costs per component, by the name of the architecture's level."""

    components: Mapping[str, ComponentCost] = field(hash=False)

    def __post_init__(self) -> None:
        """Check once that sums and products of energies stay finite, and that none is negative."""
        for name, cost in self.components.items():
            for what, value in (*cost.actions.items(), ("area", cost.area_um2)):
                if not 0 <= value <= MOST_PJ:
                    unit = "um^2" if what == "area" else "pJ"
                    raise InputError(
                        f"{name}: {what} is {value:g} {unit}; it must be at least 0 and at most {MOST_PJ:g}"
                    )

    def __repr__(self) -> str:
        return f"<EnergyTable of {', '.join(self.components)}>"

    def __getitem__(self, level: str) -> ComponentCost:
        """Return the costs of a level's component; raises InputError when the table misses it."""
        try:
            return self.components[level]
        except KeyError:
            raise InputError(
                f"the energy table has no component '{level}'{did_you_mean(level, self.components)}"
            ) from None

    def table(self) -> Table:
        """Return a row per component: pJ of every action, area, and where they come from."""
        actions = list(dict.fromkeys(action for cost in self.components.values() for action in cost.actions))
        rows = [
            (name, *(cost.actions.get(action) for action in actions), cost.area_um2, cost.source)
            for name, cost in self.components.items()
        ]
        heads = headed("component", *(f"{action} pJ" for action in actions), "area um2", "source")
        return Table(heads, tuple(rows))

    def _repr_html_(self) -> str:
        return self.table().html()
