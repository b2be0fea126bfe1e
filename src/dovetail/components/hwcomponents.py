"""Whatever the ``hwcomponents`` package models, when it is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail.components.estimator import Declined, Query, Quote
from dovetail.errors import InputError


class HwComponents:
    """Models of the ``hwcomponents`` package and of those that bring it more; asked for what nobody else serves.

    Its models take the node as ``tech_node`` in metres and answer in J, W and m^2. It ranks its models by a priority
    and states no accuracy; the figure here only puts it behind the estimators that have their own data.
    """

    name = "hwcomponents"
    classes = ("*",)
    valid = "whatever its installed models are"
    accuracy: float = 50
    source = "the installed hwcomponents package and its models"

    def energy(self, query: Query) -> Quote:
        """Return pJ of one action, or leaked per cycle."""
        if query.action == "leak":
            watts = self._asked("get_leak_power", query)
            return Quote(float(watts) * query.cycle_seconds * 1e12)
        return Quote(float(self._asked("get_action_cost", query, query.action, {}).energy) * 1e12)

    def area(self, query: Query) -> Quote:
        """Return um^2."""
        return Quote(float(self._asked("get_area", query)) * 1e12)

    def _asked(self, function: str, query: Query, *more: Any) -> Any:
        attributes = dict(query.attributes)
        if "technology" in attributes:
            attributes.setdefault("tech_node", _node_nm(query) * 1e-9)
        try:
            return _package(function)(query.component.replace("_", "").lower(), attributes, *more)
        except Declined:
            raise
        except Exception as error:  # its models raise whatever they like
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise Declined(lines[0][:160]) from None


def _package(function: str) -> Callable[..., Any]:
    try:
        import hwcomponents  # optional, and slow to import
    except ImportError as error:
        raise Declined(f"the package is not installed ({error})") from None
    found: Callable[..., Any] = getattr(hwcomponents, function)
    return found


def _node_nm(query: Query) -> float:
    """Return the node in nm; a technology that is none (``memristor``) is nothing for its models."""
    try:
        return query.node_nm
    except InputError as error:
        raise Declined(error.message) from None
