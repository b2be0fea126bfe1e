"""What every component of an architecture costs, estimated, with where each number comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dovetail.components.compose import Composer, Instance, Share, instantiate
from dovetail.components.compound import MUST_SPECIFY, ComponentClass, bundled_classes, read_classes
from dovetail.components.dram import METADATA_ACTIONS, Dram
from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.components.estimator import Answer, Query, ask, named
from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture, Compute, Level, Spatial, Storage
from dovetail.hardware.storage_attributes import SYNONYMS

STORAGE_ACTIONS = ("read", "write", "update", "leak")
COMPUTE_ACTIONS = ("compute", "leak")
#: Accelergy writes pJ and um^2 to so many decimals; with the same, totals agree to the digit.
DECIMALS = 6
#: Who says what a design itself states, as attributes ``read_pJ``, ``compute_pJ`` and so on, and ``area_um2``.
STATED = "stated"
_OF_ZEROS = re.compile(r"metadata|gated|skipped|compress")
#: What a level costs that stands for a fan-out only, or that holds nothing.
STRUCTURE = "dummy_storage"


@dataclass(frozen=True)
class Estimate:
    """One component's costs and how they came about.

    Attributes:
        level: name of the architecture's level.
        component: its class.
        instances: how many the whole chip has.
        actions: pJ per action, as a tree.
        area: um^2 of one instance, as a tree.
    """

    level: str
    component: str
    instances: int
    actions: Mapping[str, Share] = field(hash=False)
    area: Share

    @property
    def estimators(self) -> tuple[str, ...]:
        """Names of the estimators behind its numbers, in order of appearance."""
        shares = [leaf for share in (*self.actions.values(), self.area) for leaf in share.leaves()]
        return tuple(dict.fromkeys(share.estimator for share in shares if share.estimator))

    @property
    def extrapolated(self) -> bool:
        """Whether any of its numbers lies outside of an estimator's data."""
        return self.area.extrapolated or any(share.extrapolated for share in self.actions.values())

    def cost(self) -> ComponentCost:
        """Return the numbers alone, to the six decimals that the reference's tables have."""
        energies = {name: round(share.value, DECIMALS) for name, share in self.actions.items()}
        note = " (extrapolated)" if self.extrapolated else ""
        return ComponentCost(energies, round(self.area.value, DECIMALS), " + ".join(self.estimators) + note)


def estimate(architecture: Architecture, forced: Sequence[str] = ()) -> EnergyTable:
    """Return the costs of every level of an architecture.

    Args:
        architecture: whose levels' component classes and attributes say what is estimated.
        forced: names of estimators to prefer wherever they serve.

    Raises:
        InputError: as :func:`explain` does.
    """
    return EnergyTable({each.level: each.cost() for each in explain(architecture, forced)})


def explain(architecture: Architecture, forced: Sequence[str] = ()) -> tuple[Estimate, ...]:
    """Return the costs of every level, outer to inner, with how each number came about.

    Args:
        architecture: whose levels' component classes and attributes say what is estimated.
        forced: names of estimators to prefer wherever they serve.

    Raises:
        InputError: a level's attributes are missing or senseless, a forced estimator does not exist or serves
            nothing here, or no estimator serves a component (the message says why each declined).
    """
    for name in forced:
        named(name)
    classes = {**bundled_classes(), **read_classes(architecture.component_classes)}
    used: set[str] = set()
    answers: dict[tuple[Any, ...], Answer] = {}

    def answer(query: Query) -> Answer:
        key = (query.component, query.action, *((name, repr(value)) for name, value in query.attributes.items()))
        if key not in answers:
            answers[key] = ask(query, forced)
        used.add(answers[key].estimator.name)
        return answers[key]

    composer = Composer(answer)
    found = tuple(_estimate(architecture, level, classes, composer) for level in architecture.levels)
    for name in forced:
        if name not in used:
            raise InputError(f"the estimator '{name}' serves no component of {architecture.name}")
    return found


def _estimate(
    architecture: Architecture, level: Level, classes: Mapping[str, ComponentClass], composer: Composer
) -> Estimate:
    holds_nothing = isinstance(level, Spatial) or (isinstance(level, Storage) and level.words == 0)
    component = STRUCTURE if holds_nothing else level.component
    attributes = {"global_cycle_seconds": architecture.cycle_seconds, **_sizes(level, classes.get(component))}
    try:
        instance = instantiate(component, attributes, {} if holds_nothing else classes)
        actions = {
            name: _stated(level, f"{name}_pJ", name) or composer.energy(level.name, instance, name)
            for name in _needed(level)
        }
        for name in _others(level, instance):
            try:
                actions[name] = composer.energy(level.name, instance, name)
            except InputError:
                if isinstance(level, Storage) and _OF_ZEROS.search(name):
                    raise  # it would cost nothing; all else is never multiplied, or has a full one to stand in
        area = _stated(level, "area_um2", "") or composer.area(level.name, instance)
    except InputError as error:
        raise _placed(error, level) from None
    return Estimate(level.name, component, level.instances, actions, area)


def _stated(level: Level, attribute: str, action: str) -> Share | None:
    """Return what a design itself says that an action or the area costs: it stands above every estimator."""
    value = level.attributes.get(attribute)
    if value is None or isinstance(level, Spatial):
        return None
    cost = Query(level.component, level.attributes, action).number(attribute, positive=False)
    return Share(level.name, level.component, action, 1, 1.0, cost, estimator=STATED, source="the design itself")


def _sizes(level: Level, definition: ComponentClass | None) -> dict[str, Any]:
    """Return a level's attributes with the sizes under the names that estimators and classes know.

    A size under an older name is renamed (``memory_width``: ``width``), and one that follows from others (``sizeKB``)
    is filled in where the class must have it; unless the class itself declares the older name.
    """
    attributes, own = dict(level.attributes), {} if definition is None else definition.attributes
    if not isinstance(level, Storage):
        return attributes
    for name, (_, *older) in SYNONYMS.items():
        for synonym in older:
            if attributes.get(synonym) is not None and (name in own or synonym not in own):
                attributes[name] = attributes.pop(synonym)
    for name, size in (("width", level.width), ("depth", level.depth)):
        needs = definition is None or (name in own and own[name].value == MUST_SPECIFY)
        if needs and size is not None and attributes.get(name) is None:
            attributes[name] = size
    return attributes


def _needed(level: Level) -> tuple[str, ...]:
    """Return the actions that the model multiplies."""
    if isinstance(level, Spatial):
        return ()
    known = METADATA_ACTIONS if level.component in Dram.classes and _has_metadata(level) else ()
    return (*(COMPUTE_ACTIONS if isinstance(level, Compute) else STORAGE_ACTIONS), *known)


def _others(level: Level, instance: Instance) -> list[str]:
    """Return whatever else the component's class defines, which some model of zeros may ask for."""
    if isinstance(level, Spatial) or instance.definition is None:
        return []
    return [name for name in instance.definition.actions if name not in _needed(level)]


def _has_metadata(level: Level) -> bool:
    """Return whether a storage keeps a tensor in a format, in lines whose width is known."""
    return bool(level.sparse.formats) and level.attributes.get("metadata_storage_width") is not None


def _placed(error: InputError, level: Level) -> InputError:
    """Return the error with the level that it concerns, unless it already says where it stands."""
    if error.file is not None:
        where = f"component '{level.name}' of class {level.component}: {error.message}"
        return InputError(where, file=error.file, line=error.line, key=error.key)
    attribute = f".{error.key}" if error.key else ""
    return InputError(error.message, key=f"{level.name}{attribute}")
