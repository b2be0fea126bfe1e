"""Reads results back from JSON: checked against the schema, their mappings evaluated again.

Costs are not taken from the file: the model counts each mapping anew, and where its numbers are others than the file's
(as another version of the model made them) that is said.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dovetail.api.designs import Design
from dovetail.api.explanations import Explanation
from dovetail.api.given import kind_of
from dovetail.api.results import Best, Comparison, Evaluated
from dovetail.api.schema import check
from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.document import read_text
from dovetail.errors import DovetailError, InputError
from dovetail.hardware.plain import architecture_of
from dovetail.json_text import json_text
from dovetail.mapper.explain import AxisUse, Explained, Lifted
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import Certificate, FrontPoint, SearchResult
from dovetail.mapping.check import check_mapping
from dovetail.mapping.plain import mapping_of
from dovetail.model.cost import Cost
from dovetail.model.evaluate import evaluate
from dovetail.network.between import Between
from dovetail.network.costs import MappedLayer, NetworkCost
from dovetail.workload.network import FreeOperation, Layer, Moved, Network, UnmappedOperation
from dovetail.workload.plain import problem_of
from dovetail.workload.problem import Problem
from dovetail.workload.problem_network import bare_network
from dovetail.workload.roles import Reading

#: What of a level's entries is its component's cost.
_PRICES = ("energy_pJ", "area_um2", "energy_source")


def load(source: str | os.PathLike[str] | Mapping[str, Any]) -> Any:
    """Read back what ``--json`` printed, or ``save`` wrote.

    Args:
        source: a path; the text itself; or what `json.loads` made of it.

    Returns:
        For ``map`` a `Best`, for ``evaluate`` an `Evaluated`, for ``compare`` and ``report`` a `Comparison`, for
        ``explain`` an `Explanation`, for ``layers`` a `Network`, for one design a `Design`; for every other command
        the object as it stands, checked.

    Raises:
        InputError: the file is no result of ours, or is wrong; with file and key.

    >>> import dovetail
    >>> cost = dovetail.compare("alexnet", on="eyeriss_like")
    >>> again = dovetail.load(cost.to_dict())
    >>> again[0].edp_J_cycle == cost[0].edp_J_cycle
    True
    """
    file, value = _value(source)
    try:
        kind = check(value)
        reader = _READERS.get(kind)
        return value if reader is None else reader(value)
    except InputError as error:
        raise error if file is None else error.placed(file) from None
    except DovetailError as error:
        raise InputError(str(error), file=file) from None


def _value(source: str | os.PathLike[str] | Mapping[str, Any]) -> tuple[str | None, Any]:
    """Return the file's name, if it is one, and its value."""
    if isinstance(source, Mapping):
        try:
            return None, json.loads(json_text(source))  # text as keys, lists: what a file has
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"is no result ({error})") from None
    if not isinstance(source, str | os.PathLike):
        raise InputError(f"a result is a path, its text or what `json.loads` makes of it, found {kind_of(source)}")
    if not str(source):
        raise InputError("'' names no file; a result is a path, or its text as JSON")
    text = str(source) if isinstance(source, str) and source.lstrip().startswith("{") else None
    file = None if text is not None else os.fspath(source)
    try:
        return file, json.loads(read_text(Path(file)) if text is None and file is not None else text or "")
    except (ValueError, RecursionError) as error:
        raise InputError(f"is no JSON ({error})", file=file) from None


def _designs(value: Mapping[str, Any]) -> dict[str, Design]:
    return {fields["design"]: _design(fields, f"designs[{at}]") for at, fields in enumerate(value["designs"])}


def _design(fields: Mapping[str, Any], key: str = "") -> Design:
    levels = [{name: item for name, item in level.items() if name not in _PRICES} for level in fields["levels"]]
    architecture = architecture_of({**fields, "levels": levels}, key)
    prices = {
        level["level"]: ComponentCost(level["energy_pJ"], level.get("area_um2", 0.0), level.get("energy_source", ""))
        for level in fields["levels"]
        if "energy_pJ" in level
    }
    return Design(architecture, EnergyTable(prices) if prices else None)


def _the_design(value: Mapping[str, Any], designs: Mapping[str, Design]) -> Design:
    if value["design"] not in designs:
        raise InputError(f"'designs' has no '{value['design']}'", key="designs")
    return designs[value["design"]]


def _evaluated(value: Mapping[str, Any]) -> Evaluated:
    design = _the_design(value, _designs(value))
    problem, mapping = problem_of(value), mapping_of(value["mapping"])
    cost, notes = _cost(value, problem, design)
    broken = tuple(value["broken_constraints"])
    return Evaluated(design, problem, mapping, cost, broken, (*value["notes"], *notes))


def _best(value: Mapping[str, Any]) -> Best:
    design = _the_design(value, _designs(value))
    problem = problem_of(value)
    layer = replace(bare_network(problem).layers[0], reading=value["reading"])
    result, notes = _result(value, problem, design)
    own = (design, problem, result.mapping, result.cost)
    return Best(*own, notes=(*value["notes"], *notes), layer=layer, result=result)


def _explanation(value: Mapping[str, Any]) -> Explanation | Mapping[str, Any]:
    if "designs" not in value:  # as earlier versions wrote it: without what is needed to count anew
        return value
    design = _the_design(value, _designs(value))
    problem, objective, notes = problem_of(value), Objective(value["objective"]), list(value["notes"])

    def result_of(fields: Mapping[str, Any]) -> SearchResult | None:
        if "mapping" not in fields:
            return None
        of = problem_of(fields["problem"]) if "problem" in fields else problem
        result, told = _result({**fields, "layer": of.name}, of, design)
        notes.extend(told)
        return result if of is problem else replace(result, reading=Reading(of))

    result = result_of(value)
    lifted = tuple(_lifted(fields, result_of(fields)) for fields in value["lifted"])
    axes = tuple(AxisUse(axis["level"], axis["axis"], axis["used"], axis["available"]) for axis in value["axes"])
    found = Explained(problem, objective, result, value["infeasible"], lifted, axes)
    return Explanation(design, found, tuple(notes))


def _lifted(fields: Mapping[str, Any], result: SearchResult | None) -> Lifted:
    value = None if result is None else result.certificate.value
    return Lifted(fields["level"], fields["constraint"], result, value, fields["gain"], fields["note"])


def _comparison(value: Mapping[str, Any]) -> Comparison:
    designs = _designs(value)
    return Comparison(tuple(_network_cost(each, _the_design(each, designs)) for each in value["results"]))


def _network_cost(value: Mapping[str, Any], design: Design) -> NetworkCost:
    layers, notes = [], []
    for fields in value["layers"]:
        layer = _layer(fields)
        result, told = _result(fields, layer.problem, design)
        layers.append(MappedLayer(layer, result))
        notes += told
    network = _network({**value, "notes": notes}, tuple(each.layer for each in layers))
    objective = Objective(value["objective"])
    cost = NetworkCost(network, design.architecture, design.energies, objective, tuple(layers))
    return cost.with_between(Between(value["between"]["rule"]) if "between" in value else None)


def _network(value: Mapping[str, Any], layers: tuple[Layer, ...] | None = None) -> Network:
    return Network(
        value["network"],
        tuple(map(_layer, value["layers"])) if layers is None else layers,
        tuple(
            FreeOperation(each["operation"], each["count"], None if each["moved"] is None else Moved(**each["moved"]))
            for each in value["free"]
        ),
        tuple(
            UnmappedOperation(each["operation"], each["macs"], each["count"], tuple(each["modules"]))
            for each in value["unmapped"]
        ),
        value["batch"],
        tuple((edge[0], edge[1]) for edge in value["edges"] if len(edge) == 2),
        value["source"],
        tuple(value["notes"]),
    )


def _layer(fields: Mapping[str, Any]) -> Layer:
    batch, modules = fields["batch_dimension"], tuple(fields["modules"])
    own = (fields["layer"], problem_of(fields), fields["repeats"], fields["kind"])
    return Layer(*own, modules, batch, fields["reading"])


def _result(fields: Mapping[str, Any], problem: Problem, design: Design) -> tuple[SearchResult, list[str]]:
    """Return a search's result with its cost counted anew, and what to know of that."""
    cost, notes = _cost(fields, problem, design)
    objective, said = Objective(fields["objective"]), dict(fields["certificate"])
    scale = objective.in_unit(1.0)
    for name in ("unit", "gap"):
        said.pop(name)
    for name in ("value", "bound"):
        said[name] = math.inf if said[name] is None else said[name] / scale
    said["binding"] = tuple(said["binding"])
    said["value"] = objective.value_of(cost.energy_pJ, cost.cycles)
    certificate = Certificate(**said)
    front = tuple(map(_point, fields.get("front", ())))
    return SearchResult(objective, mapping_of(fields["mapping"]), cost, certificate, front), notes


def _point(fields: Mapping[str, Any]) -> FrontPoint:
    reading = Reading(problem_of(fields["problem"]), fields["reading"]) if "problem" in fields else None
    return FrontPoint(fields["energy_pJ"], fields["cycles"], mapping_of(fields["mapping"]), reading)


def _cost(fields: Mapping[str, Any], problem: Problem, design: Design) -> tuple[Cost, list[str]]:
    mapping = mapping_of(fields["mapping"])
    check_mapping(mapping, problem, design.architecture)
    cost = evaluate(mapping, problem, design.architecture, design.energies)
    same = cost.cycles == fields["cycles"] and math.isclose(cost.energy_pJ, fields["energy_pJ"], rel_tol=1e-9)
    said = f"{fields['cycles']:,} cycles and {fields['energy_pJ']:.6g} pJ"
    now = f"{cost.cycles:,} and {cost.energy_pJ:.6g}"
    return cost, [] if same else [f"{fields['layer']}: the file says {said}, the model now counts {now}"]


_READERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "layer": _best,
    "evaluation": _evaluated,
    "comparison": _comparison,
    "network": _network,
    "design": _design,
    "explanation": _explanation,
}
