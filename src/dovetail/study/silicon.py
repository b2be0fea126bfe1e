"""The model beside what two publications say of Eyeriss: the fabricated chip, and the energy analysis before it."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.components.estimate import estimate
from dovetail.document import parse_document
from dovetail.executors import Workers
from dovetail.hardware.architecture import Architecture, Storage
from dovetail.hardware.reader import load_architecture, read_architecture
from dovetail.mapper.allowance import Limit
from dovetail.mapper.binding import Binding
from dovetail.mapper.search import SearchFunction
from dovetail.network.bottleneck import diagnose
from dovetail.network.bounds import physical_bounds
from dovetail.network.costs import MappedLayer, NetworkCost
from dovetail.network.map_network import Progress, map_networks
from dovetail.store import Store
from dovetail.study.chip_zeros import WithZeros, with_zeros
from dovetail.table import Cell, Table, headed
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import Problem, convolution, linear

CHIP_BATCH, ANALYSIS_BATCH = 4, 16
#: Energies of one access in units of one MAC's (ISCA 2016, table IV); a hop on the array, 2, has no place in our model.
UNIT_COSTS = {"DRAM": 200.0, "buffer": 6.0, "ifmap_spad": 1.0, "weights_spad": 1.0, "psum_spad": 1.0}
#: What lies this close is said to agree.
AGREES = 0.03
_REGISTER_FILES = ("ifmap_spad", "weights_spad", "psum_spad")


@dataclass(frozen=True)
class Residual:
    """One published number and ours.

    Attributes:
        layer: which layer.
        what: which quantity, with its unit.
        published: as printed.
        ours: from the model.
        reason: why they differ, where we know.
    """

    layer: str
    what: str
    published: float
    ours: float
    reason: str = ""

    @property
    def ratio(self) -> float:
        """Ours over published."""
        return self.ours / self.published


@dataclass(frozen=True)
class Silicon:
    """Both comparisons.

    Attributes:
        chip: against the fabricated chip.
        analysis: against the energy analysis.
        notes: what to know, and what does not match.
        costs: the mapped networks: chip, analysis.
    """

    chip: tuple[Residual, ...]
    analysis: tuple[Residual, ...]
    notes: tuple[str, ...]
    costs: tuple[NetworkCost, NetworkCost] = field(repr=False, compare=False)

    def table(self, which: str) -> Table:
        """Return the residuals of ``chip`` or ``analysis``."""
        residuals: tuple[Residual, ...] = getattr(self, which)
        rows: list[tuple[Cell, ...]] = [
            (each.layer, each.what, each.published, float(each.ours), each.ratio, each.reason) for each in residuals
        ]
        return Table(headed("layer", "quantity", "published", "ours", "ours / published", "why"), tuple(rows))

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""

        def listed(residuals: tuple[Residual, ...]) -> list[dict[str, Any]]:
            return [
                {
                    "layer": each.layer,
                    "quantity": each.what,
                    "published": each.published,
                    "ours": each.ours,
                    "ratio": each.ratio,
                    "reason": each.reason,
                }
                for each in residuals
            ]

        sources = {name: record["source"] for name, record in measured().items()}
        return {
            "sources": sources,
            "chip": listed(self.chip),
            "analysis": listed(self.analysis),
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        return self.table("chip").html("the fabricated chip") + self.table("analysis").html("the energy analysis")


@functools.cache
def measured() -> dict[str, Any]:
    """Return the published records, each with its source."""
    data: dict[str, Any] = json.loads(_data("silicon.json"))
    return data


def run_silicon(
    *,
    time_limit: Limit = None,
    store: Store | None = None,
    workers: Workers = None,
    progress: Callable[[Progress], None] | None = None,
    search: SearchFunction | None = None,
) -> Silicon:
    """Map AlexNet as both publications ran it, and compare.

    Args:
        time_limit: seconds per layer; what it ends is not proven optimal, and says so.
        store: where results are kept and found.
        workers: processes, or any executor; None: one process per CPU. See `map_network`.
        progress: called after every finished layer.
        search: what finds the best mapping; None: the exact mapper.
    """
    chip, analysis = load_architecture("eyeriss_jssc"), isca_design()
    pairs = [
        (grouped_alexnet(CHIP_BATCH, linear_layers=False), chip, estimate(chip)),
        (grouped_alexnet(ANALYSIS_BATCH, linear_layers=True), analysis, unit_energies(analysis)),
    ]
    costs = map_networks(pairs, time_limit=time_limit, store=store, workers=workers, progress=progress, search=search)
    return Silicon(_chip(costs[0]), _analysis(costs[1]), _notes(costs), (costs[0], costs[1]))


def isca_design() -> Architecture:
    """Return the design of the ISCA 2016 analysis."""
    return read_architecture(parse_document(_data("eyeriss_isca.yaml"), file="eyeriss_isca.yaml"), "eyeriss_isca")


def unit_energies(architecture: Architecture) -> EnergyTable:
    """Return the analysis's unit costs as an energy table: "pJ" there means one MAC's energy."""
    table = {"mac": ComponentCost({"compute": 1.0, "leak": 0.0}, source="ISCA 2016, unit costs")}
    for level in architecture.storages:
        each = UNIT_COSTS[level.name] * level.block
        actions = {"read": each, "write": each, "update": each, "leak": 0.0}
        table[level.name] = ComponentCost(actions, source="ISCA 2016, unit costs")
    return EnergyTable(table)


def grouped_alexnet(batch: int, *, linear_layers: bool) -> Network:
    """Return the original AlexNet with its two groups, as the publications ran it."""
    sizes = [
        ("CONV1", convolution(C=3, M=96, P=55, Q=55, R=11, S=11, N=batch, stride=(4, 4), name="CONV1")),
        ("CONV2", convolution(C=48, M=128, P=27, Q=27, R=5, S=5, N=batch, G=2, name="CONV2")),
        ("CONV3", convolution(C=256, M=384, P=13, Q=13, R=3, S=3, N=batch, name="CONV3")),
        ("CONV4", convolution(C=192, M=192, P=13, Q=13, R=3, S=3, N=batch, G=2, name="CONV4")),
        ("CONV5", convolution(C=192, M=128, P=13, Q=13, R=3, S=3, N=batch, G=2, name="CONV5")),
    ]
    if linear_layers:
        # as the publication has them: the first one is a convolution over all of its 6 x 6 input
        sizes += [
            ("FC1", convolution(C=256, M=4096, P=1, Q=1, R=6, S=6, N=batch, name="FC1")),
            ("FC2", linear(C=4096, M=4096, N=batch, name="FC2")),
            ("FC3", linear(C=4096, M=1000, N=batch, name="FC3")),
        ]
    layers = tuple(Layer(name, problem, 1, _kind(problem), (name,), "N") for name, problem in sizes)
    return Network("alexnet, grouped", layers, batch=batch, source="A. Krizhevsky et al., NIPS 2012")


def _kind(problem: Problem) -> str:
    return "grouped convolution" if "G" in problem.shape.dimensions else "convolution"


def _chip(cost: NetworkCost) -> tuple[Residual, ...]:
    record = measured()["eyeriss_jssc"]
    found = []
    zeros = with_zeros(cost.layers, record["zeros_in_inputs_percent"])
    for place, each in enumerate(cost.layers):
        values = {name: column[place] for name, column in record.items() if isinstance(column, list)}
        found += _chip_layer(each, zeros[place], values, cost)
    return tuple(found)


def _chip_layer(each: MappedLayer, coded: WithZeros, published: dict[str, Any], whole: NetworkCost) -> list[Residual]:
    architecture = whole.architecture
    cost, ms = each.cost, each.cost.cycles * architecture.cycle_seconds * 1e3
    used = cost.levels[-1].instances
    buffer = _megabytes(cost["shared_glb"].words_moved, architecture, "shared_glb")
    dram = _megabytes(cost["DRAM"].words_moved, architecture, "DRAM")
    on_chip_mW = (cost.energy_pJ - cost["DRAM"].energy_pJ) * 1e-9 / ms * 1e3
    zeros = published["zeros_in_inputs_percent"]
    return [
        Residual(each.name, "processing, ms", published["processing_ms"], ms, _time_reason(each, published)),
        Residual(each.name, "active PEs", published["active_PEs"], used, _active_reason(each, used, whole)),
        Residual(each.name, "buffer accesses, MB", published["buffer_MB"], buffer, _buffer_reason(published, buffer)),
        Residual(each.name, "DRAM uncoded, MB", published["dram_MB"], dram, _dram_reason(each, zeros, architecture)),
        Residual(
            each.name, "DRAM accesses, MB", published["dram_MB"], coded.dram_MB, _coded_reason(zeros, coded, dram)
        ),
        Residual(each.name, "power ungated, mW", published["power_mW"], on_chip_mW, _power_reason(zeros)),
        Residual(each.name, "power on chip, mW", published["power_mW"], coded.on_chip_pJ * 1e-6 / ms, _gated_reason()),
    ]


def _megabytes(words: float, architecture: Architecture, level: str) -> float:
    storage = architecture.level(level)
    assert isinstance(storage, Storage)
    return words * storage.datawidth / 8e6


def _time_reason(each: MappedLayer, published: dict[str, Any]) -> str:
    full = each.layer.problem.macs / published["active_PEs"] / 200e3
    lost = 100 * (published["processing_ms"] / full - 1)
    return (
        f"the chip's {published['active_PEs']} elements alone need {full:.1f} ms; it takes {lost:.0f} % more, to fill "
        "and drain each pass, which the model overlaps"
    )


def _active_reason(each: MappedLayer, used: int, whole: NetworkCost) -> str:
    loops = (level.spatial_x + level.spatial_y for level in each.result.mapping.levels)
    shape = " x ".join(str(math.prod(loop.factor for loop in here)) for here in loops if here)
    held = diagnose(each, whole.architecture, whole.energies).held
    here = f"{shape} here" + ("" if held.binding is Binding.COMPUTE else f" ({held.text})")
    return f"{here}; the chip folds rows of outputs that do not divide" if used < 150 else here


def _buffer_reason(published: dict[str, Any], ours: float) -> str:
    if abs(ours / published["buffer_MB"] - 1) < AGREES:
        return "agrees: inputs and partial sums, in and out"
    return "the chip's mapping and ours differ: ours minimises EDP over the whole space, the chip's is its authors'"


def _dram_reason(each: MappedLayer, zeros: float, architecture: Architecture) -> str:
    least = _megabytes(physical_bounds(each.layer.problem, architecture).compulsory_words, architecture, "DRAM")
    if zeros < 1:
        return f"hardly a zero to code away; moving everything once is {least:.1f} MB"
    return f"the chip codes runs of zeros ({zeros} % of inputs); uncoded, moving everything once is {least:.1f} MB"


def _coded_reason(zeros: float, coded: WithZeros, dram: float) -> str:
    if zeros < 1:
        return f"an image is not coded, outputs have the next layer's zeros; uncoded {dram:.3g} MB"
    return (
        f"runs of zeros (5 bits) and values (16 bits) for {zeros} % zeros at random places among inputs; outputs have "
        f"the next layer's zeros; uncoded {dram:.3g} MB"
    )


def _power_reason(zeros: float) -> str:
    gating = f"the chip neither reads nor multiplies for {zeros} % zeros among its inputs" if zeros >= 1 else ""
    return gating or "hardly a zero to gate"


def _gated_reason() -> str:
    return (
        "where an input is zero no weight is read and nothing multiplied; clock network, control and network-on-chip "
        "are not modelled; energies are estimates for 65 nm"
    )


def _analysis(cost: NetworkCost) -> tuple[Residual, ...]:
    record = measured()["eyeriss_isca"]
    found = []
    for place, each in enumerate(cost.layers):
        by_level = each.cost.energy_by_level
        ours = {
            "ALU": by_level["mac"],
            "RF": math.fsum(by_level[name] for name in _REGISTER_FILES),
            "DRAM": by_level["DRAM"],
        }
        for what, energy in ours.items():
            reason = _analysis_reason(what, each)
            found.append(Residual(each.name, f"{what}, 1e9 MACs", record[what][place], energy * 1e-9, reason))
    return tuple(found)


def _analysis_reason(what: str, each: MappedLayer) -> str:
    if what == "ALU":
        return "counts of MACs"
    if what == "RF":
        per_mac = math.fsum(each.cost.energy_by_level[name] for name in _REGISTER_FILES) / each.cost.computes
        return f"{per_mac:.2f} accesses per MAC; the paper has 4 (two operands, a sum read and written), fills aside"
    words = each.cost["DRAM"].words_moved
    least = sum(each.layer.problem.words(tensor) for tensor in each.layer.problem.shape.tensors)
    return (
        f"{words / 1e6:.3g} M words; moving everything once is {least / 1e6:.3g} M; the paper's mapping is not printed"
    )


def _notes(costs: Sequence[NetworkCost]) -> tuple[str, ...]:
    open_ended = [
        f"{each.name} on {cost.architecture.name}"
        for cost in costs
        for each in cost.layers
        if not each.result.certificate.exact
    ]
    unproven = f"Not proven optimal within the time limit: {', '.join(open_ended)}."
    return (
        *((unproven,) if open_ended else ()),
        "Both sides run the original AlexNet with two groups. Nothing here is fitted: sizes and clock are the papers', "
        "energies per access of the chip are our estimates for 65 nm.",
        "Our mapping is the optimum of the space that the design's constraints describe, for EDP; the chip ran its "
        "authors' mapping. Where they differ, time and traffic may lie on either side of the published numbers.",
        "Zeros (run lengths on the way to DRAM, gated scratchpads and multipliers) are counted on the mapping found "
        "without them, as in the design eyeriss_sparse; a gated multiplication takes its cycle, so time is that of the "
        "dense run.",
        "Not modelled: filling and draining the array between passes, the network-on-chip and the clock tree.",
    )


def _data(name: str) -> str:
    return (resources.files("dovetail.study") / "data" / name).read_text(encoding="utf-8")
