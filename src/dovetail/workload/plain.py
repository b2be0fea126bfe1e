"""Problems, layers and networks as plain values, for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from dovetail.errors import InputError, did_you_mean
from dovetail.workload.densities import DENSE, Banded, Density, FixedStructured, Hypergeometric, Measured
from dovetail.workload.describe import unknown_text
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import Problem, Shape, Tensor, Term
from dovetail.workload.widths import parse_widths


def problem_fields(problem: Problem) -> dict[str, Any]:
    """Return a problem: its name as a layer, sizes, and which tensor each loop touches. ``macs`` are of one run."""
    shape = problem.shape
    return {
        "layer": problem.name,
        "shape": shape.name,
        "sizes": dict(zip(shape.dimensions, problem.bounds, strict=True)),
        "coefficients": dict(zip(shape.coefficients, problem.coefficients, strict=True)),
        "tensors": [{**_tensor_fields(tensor), **_density(problem, tensor)} for tensor in shape.tensors],
        **({"bits": problem.bits_text} if problem.bits_text else {}),
        "macs": problem.macs,
    }


def problem_of(fields: Mapping[str, Any]) -> Problem:
    """Return the problem that `problem_fields` was given; raises InputError where its values make none."""
    tensors = (
        Tensor(one["tensor"], tuple(tuple(map(_term, axis)) for axis in one["axes"]), is_output=one["is_output"])
        for one in fields["tensors"]
    )
    shape = Shape(fields["shape"], tuple(fields["sizes"]), tuple(tensors), tuple(fields["coefficients"]))
    for term in (term for tensor in shape.tensors for axis in tensor.projection for term in axis):
        for name, known in ((term.dimension, shape.dimensions), (term.coefficient, shape.coefficients)):
            if name is not None and name not in known:
                raise InputError(f"an axis names '{name}', which has no size{did_you_mean(name, known)}", key="tensors")
    densities = tuple(_density_of(one) for one in fields["tensors"])
    sizes, coefficients = tuple(fields["sizes"].values()), tuple(fields["coefficients"].values())
    problem = Problem(shape, sizes, coefficients, fields["layer"], densities)
    return problem.with_widths(parse_widths(fields["bits"])) if "bits" in fields else problem


def _density(problem: Problem, tensor: Tensor) -> dict[str, Any]:
    """Return where a tensor's zeros are; nothing where it has none. Of a measured pattern only its share is said."""
    density = problem.density(tensor.name)
    if density == DENSE:
        return {}
    if isinstance(density, Measured):
        return {"density": {"kind": density.kind, "share": density.share, "file": density.name}}
    if isinstance(density, Banded):
        return {"density": {"kind": density.kind, "band_width": density.band_width}}
    return {"density": {"kind": density.kind, "share": density.density}}


def _density_of(fields: Mapping[str, Any]) -> Density:
    said = fields.get("density")
    if said is None:
        return DENSE
    if said["kind"] == Banded.kind and "band_width" in said:
        return Banded(said["band_width"])
    for kind in (FixedStructured, Hypergeometric):
        if said["kind"] == kind.kind and "share" in said:
            return kind(said["share"])
    raise InputError(f"where the zeros of {fields['tensor']} are is not in this file ({said['kind']})", key="tensors")


def _tensor_fields(tensor: Tensor) -> dict[str, Any]:
    axes = [[_term_text(term) for term in axis] for axis in tensor.projection]
    return {"tensor": tensor.name, "axes": axes, "is_output": tensor.is_output}


def _term_text(term: Term) -> str:
    """Return ``P``, or ``P*Wstride`` with the coefficient."""
    return term.dimension if term.coefficient is None else f"{term.dimension}*{term.coefficient}"


def _term(text: str) -> Term:
    dimension, star, coefficient = text.partition("*")
    return Term(dimension, coefficient if star else None)


def layer_fields(layer: Layer, row: int) -> dict[str, Any]:
    """Return a network's layer; ``row`` is its place among the distinct ones, ``repeats`` how often it runs."""
    return {
        **problem_fields(layer.problem),
        "layer": layer.name,
        "row": row,
        "kind": layer.kind,
        "repeats": layer.repeats,
        "modules": list(layer.modules),
        "batch_dimension": layer.batch_dimension,
        "reading": layer.reading,
    }


def network_fields(network: Network) -> dict[str, Any]:
    """Return a network without its layers: where it came from, and what of it costs nothing or is not mapped."""
    return {
        "network": network.name,
        "source": network.source,
        "batch": network.batch,
        "macs": network.macs,
        "known_macs": network.known_macs,
        "unmapped_mac_share": network.unmapped_share,
        "unknown": [operation.name for operation in network.unknown],
        "free": [
            {"operation": each.name, "count": each.count, "moved": None if each.moved is None else asdict(each.moved)}
            for each in network.free
        ],
        "unmapped": [
            {
                "operation": operation.name,
                "count": operation.count,
                "macs": operation.macs,
                "modules": list(operation.modules),
            }
            for operation in network.unmapped
        ],
        "edges": [list(edge) for edge in network.edges],
    }


def network_document(network: Network) -> dict[str, Any]:
    """Return a network with every layer in the order they run."""
    rows = network.rows()
    return {
        **network_fields(network),
        "layers": [layer_fields(layer, rows[layer.name]) for layer in network.layers],
        "notes": [*unknown_text(network), *network.notes],
    }
