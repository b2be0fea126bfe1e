"""A network as a table that fits a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.table import Column, Table
from dovetail.units import counted
from dovetail.workload.network import Network, UnmappedOperation
from dovetail.workload.problem import Problem


def describe(network: Network, *, every: bool = False, width: int | None = None) -> str:
    """Return the network's layers as a table, what is free and what can't be mapped below it.

    The number before each layer is its row in the table of distinct ones, by which ``NETWORK:ROW`` names it.

    Args:
        network: the network.
        every: a line for each layer rather than for each distinct one.
        width: characters that the table may take, None for as many as it needs; words fold, columns are left out.
    """
    layers, places = network.layers if every else network.distinct(), network.rows()
    rows = tuple(
        (
            places[layer.name],
            layer.name,
            f"{layer.repeats} x",
            " ".join(filter(None, (sizes_text(layer.problem), layer.problem.bits_text))),
            layer.macs / 1e6,
            layer.macs / network.macs if network.macs else None,
        )
        for layer in layers
    )
    lines = [*unknown_text(network), Table(_COLUMNS, rows).text(width), "", *_summary(network)]
    return "\n".join(line.rstrip() for line in lines)


_COLUMNS = (
    Column("row"),
    Column("layer", words=True),
    Column("runs", words=False, spare=2),
    Column("sizes", words=True),
    Column("MMACs", show="{:,.3f}".format),
    Column("share", show="{:.1%}".format, spare=1),
)


def unknown_text(network: Network) -> list[str]:
    """Return what to say first of a network of which something is not known; nothing when all is."""
    if not network.unknown:
        return []
    names = ", ".join(f"{operation.count} x {operation.name}" for operation in network.unknown)
    return [
        f"UNKNOWN: {network.name} runs {names}, whose multiply-accumulates are not known here. "
        "The share of the network that is not counted is unknown, and every total is without it."
    ]


def _summary(network: Network) -> list[str]:
    runs = sum(layer.repeats for layer in network.layers)
    lines = [
        f"{network.name}, batch {network.batch}: {counted(runs, 'layer')}, {len(network.distinct())} distinct, "
        + (f"at least {network.known_macs / 1e6:,.3f}" if network.unknown else f"{network.known_macs / 1e6:,.3f}")
        + " million MACs"
    ]
    if network.free:
        lines.append("free here: " + ", ".join(f"{free.count} {free.name}" for free in network.free))
    for unmapped in network.unmapped:
        lines.append(f"no mapping form: {unmapped.count} x {unmapped.name}, {_uncounted(unmapped, network)}")
    if network.source:
        lines.append(f"from {network.source}")
    return lines


def _uncounted(operation: UnmappedOperation, network: Network) -> str:
    if operation.macs is None:
        return "MACs unknown, not counted"
    if not network.macs:
        return f"{operation.macs:,} MACs, costs nothing below"
    return f"{operation.macs / network.macs:.1%} of the MACs, costs nothing below"


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
