"""A network as a table that fits a terminal, and as plain values for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import Problem


def describe(network: Network, *, every: bool = False, width: int = 100) -> str:
    """Return the network's layers as a table, what is free and what can't be mapped below it.

    Args:
        network: the network.
        every: a line for each layer rather than for each distinct one.
        width: columns the table may take; long names give way.
    """
    layers = network.layers if every else network.distinct()
    rows = [
        (str(number), layer.name, f"{layer.repeats} x", sizes_text(layer.problem), *_macs(layer, network))
        for number, layer in enumerate(layers, start=1)
    ]
    heads = ("", "layer", "runs", "sizes", "MMACs", "share")
    lines = _table(heads, rows, "><><>>", width)
    lines += ["", *_summary(network)]
    return "\n".join(line.rstrip() for line in lines)


def _macs(layer: Layer, network: Network) -> tuple[str, str]:
    return f"{layer.macs / 1e6:,.3f}", f"{layer.macs / network.macs:.1%}" if network.macs else ""


def _summary(network: Network) -> list[str]:
    runs = sum(layer.repeats for layer in network.layers)
    lines = [
        f"{network.name}, batch {network.batch}: {runs} layers, {len(network.distinct())} distinct, "
        f"{network.macs / 1e6:,.3f} million MACs"
    ]
    if network.free:
        lines.append("free here: " + ", ".join(f"{free.count} {free.name}" for free in network.free))
    for unmapped in network.unmapped:
        share = f"{unmapped.macs / network.macs:.1%}" if network.macs else "0 %"
        lines.append(f"no mapping form: {unmapped.count} x {unmapped.name}, {share} of the MACs, costs nothing below")
    if network.source:
        lines.append(f"from {network.source}")
    return lines


def sizes_text(problem: Problem) -> str:
    """Return a problem's sizes that are not 1, kernel and output put together: ``C3 M64 RxS 7x7/2 PxQ 112x112``."""
    size = dict(zip(problem.shape.dimensions, problem.bounds, strict=True))
    step = dict(zip(problem.shape.coefficients, problem.coefficients, strict=True))
    if not {"P", "Q", "R", "S"} <= size.keys():
        return " ".join(f"{name}{bound}" for name, bound in size.items())
    parts = [f"{name}{size[name]}" for name in ("G", "N", "C", "M") if size.get(name, 1) != 1]
    kernel = [size[name] for name in ("T", "R", "S") if name in size]
    stride = [step[name] for name in ("Dstride", "Wstride", "Hstride") if name in step]
    dilation = [step[name] for name in ("Ddilation", "Wdilation", "Hdilation") if name in step]
    if max(*kernel, *stride) > 1:
        parts.append("RxS " + _by(kernel) + _mark("/", stride) + _mark(" dilated ", dilation))
    output = [size[name] for name in ("D", "P", "Q") if name in size]
    if max(output) == output[-2] > 1 == output[-1] and "D" not in size:
        parts.append(f"P{output[-2]}")  # rows of vectors
    elif max(output) > 1:
        parts.append("PxQ " + _by(output))
    used = {*"GNCMTRSDPQ"}
    return " ".join(parts + [f"{name}{bound}" for name, bound in size.items() if name not in used and bound != 1])


def _by(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))


def _mark(sign: str, steps: Sequence[int]) -> str:
    if all(step == 1 for step in steps):
        return ""
    return sign + (str(steps[0]) if len(set(steps)) == 1 else _by(steps))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], align: str, width: int) -> list[str]:
    columns = list(zip(heads, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    widths[1] = max(12, min(widths[1], width - sum(widths) + widths[1] - 2 * (len(widths) - 1)))
    lines = [
        "  ".join(f"{_shorten(cell, size):{side}{size}}" for cell, size, side in zip(row, widths, align, strict=True))
        for row in (heads, *rows)
    ]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= width else "..." + text[3 - width :]


def fields(network: Network) -> dict[str, Any]:
    """Return the network as nested plain values, each layer once, for JSON."""
    return {
        "network": network.name,
        "source": network.source,
        "batch": network.batch,
        "macs": network.macs,
        "unmapped_share": network.unmapped_share,
        "layers": [
            {
                "name": layer.name,
                "kind": layer.kind,
                "repeats": layer.repeats,
                "macs": layer.macs,
                "shape": layer.problem.shape.name,
                "sizes": dict(zip(layer.problem.shape.dimensions, layer.problem.bounds, strict=True))
                | dict(zip(layer.problem.shape.coefficients, layer.problem.coefficients, strict=True)),
                "modules": list(layer.modules),
            }
            for layer in network.layers
        ],
        "free": {operation.name: operation.count for operation in network.free},
        "unmapped": [
            {
                "name": operation.name,
                "count": operation.count,
                "macs": operation.macs,
                "modules": list(operation.modules),
            }
            for operation in network.unmapped
        ],
        "edges": [list(edge) for edge in network.edges],
    }
