"""Reads AccelForge's architectures: nodes from the outside in, sizes in bits, energies in joules, rates per second.

Its memories, containers and compute units have equals here, and the sets of tensors that memories keep and fan-outs
share. A toll is a storage of any size without loops that only costs what passes (`dovetail.hardware.neighbours.tolls`).
Time is in seconds there: a cycle is what the compute unit takes for one operation. Of several compute units for one
layer, one is named (``--set compute=NAME``). Networks as nodes, and bounds on loops by a workload's own names have no
equal, and are refused by name.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from dovetail.document import Node, Scalar
from dovetail.errors import InputError
from dovetail.expression import evaluate, evaluate_all
from dovetail.hardware.neighbours.building import TECHNOLOGY, WORD_BITS, Translation, line_of
from dovetail.hardware.neighbours.tensor_sets import ALL, TENSORS, tensor_set
from dovetail.hardware.neighbours.tolls import WAYS, Toll, ways_of

_ARCH_KEYS = ("nodes", "name", "variables", "extra_attributes_for_all_component_models", "version")
_COMMON = (
    "name", "spatial", "component_class", "actions", "enabled", "area", "area_scale", "leak_power", "energy_scale",
    "leak_power_scale", "total_latency", "extra_attributes_for_component_model", "n_parallel_instances",
    "throughput_scale", "latency_scale",
)  # fmt: skip
_HOLDER_KEYS = (*_COMMON, "tensors", "bits_per_value", "bits_per_value_scale", "bits_per_action", "values_per_action")
_KNOWN = {
    "!Memory": (*_HOLDER_KEYS, "size", "skip_initial_output_write"),
    "!Toll": (*_HOLDER_KEYS, "direction"),
    "!Compute": (*_COMMON, "skip_initial_output_write"),
    "!Container": ("name", "spatial"),
}
#: Nodes that hold others: of a path of their own, or as if these stood in their place.
_FORK, _INLINE = "!Fork", "!Hierarchical"
_SPATIAL_KEYS = ("name", "fanout", "reuse", "may_reuse", "min_usage", "loop_bounds", "usage_scale", "power_gateable")
_ACTION_KEYS = (
    "name", "energy", "energy_scale", "throughput", "throughput_scale", "latency", "bits_per_action",
    "values_per_action",
    "extra_attributes_for_component_model",
)  # fmt: skip
#: What has no equal here: the tag, and why.
_REFUSED = {
    "!Network": "networks as nodes have none; what wires cost stands at the storage or container outside of them "
    "(energy_per_hop, router_energy)",
    "!Array": "components beside each other on one level have none; write them one after the other",
    "!Component": "a component that holds no tensor and computes nothing takes no part",
}
#: AccelForge's component models -> the classes that estimators here know.
_CLASSES = {
    "LPDDR4": "DRAM", "LPDDR5": "DRAM", "DDR3": "DRAM", "DDR4": "DRAM", "HBM2": "DRAM", "SmartBufferSRAM":
    "smartbuffer_SRAM", "SRAM": "SRAM", "RegFile": "regfile", "Register": "reg", "IntMAC": "intmac", "Dummy":
    "dummy_storage",
}  # fmt: skip
_ATTRIBUTES = {"n_rw_ports": "n_rdwr_ports", "n_r_ports": "n_rd_ports", "n_w_ports": "n_wr_ports"}
#: Actions that take time, and what is said of all of them in words that are no arithmetic.
_TIMED = ("read", "write", "compute")
_LATENCY_WORDS = {
    "sum(a.n_calls for a in actions)": "(read_actions + write_actions + compute_actions)",
    "max(a.n_calls / a.throughput for a in actions)": "max(read_latency, write_latency, compute_latency)",
    "sum(*action2latency.values())": "(read_latency + write_latency + compute_latency)",
}
_BITS = re.compile(r"\b(input|weight|output)\.bits_per_value\b")
#: What comes near to what has no equal.
_INSTEAD = {
    "force_memory_hierarchy_order": ": memories lie in the order in which they are listed",
    "no_refetch_from_above": "; 'no_iteration_over_dataspaces' in v0.4's constraints comes near",
    "no_resend_to_below": "; 'no_reuse' in v0.4's constraints comes near",
    "tile_shape": "; 'factors' in v0.4's constraints come near",
}
#: Keys of components whose numbers have no equal -> what comes near.
_UNEQUAL = {
    "total_area": "say the 'area' of one",
    "total_leak_power": "say the 'leak_power' of one",
    "actions_scale": "'energy_scale' says what actions cost",
}
#: The bandwidth that limits what passes a toll one way or both.
_RATE_OF = {"down": "read_bandwidth", "up": "write_bandwidth", "up_and_down": "shared_bandwidth"}
#: What ``--set`` calls the compute unit that is meant.
_CHOICE = "compute"
_UNITS_pJ = _UNITS_um2 = 1e12


def is_accelforge(document: Node) -> bool:
    """Say whether a document is an architecture of AccelForge."""
    arch = document.value.get("arch") if isinstance(document.value, dict) else None
    return arch is not None and isinstance(arch.value, dict) and "nodes" in arch.value


def read_accelforge(document: Node, data: Mapping[str, Scalar] | None = None) -> Node:
    """Return the v0.4 document that an architecture of AccelForge means.

    Args:
        document: the architecture.
        data: values that stand above its variables; ``compute`` names the compute unit that is meant.

    Raises:
        InputError: with file, line and key, of what has no equal here.
    """
    entries = document.mapping()
    arch = entries["arch"].mapping(known=_ARCH_KEYS, required=("nodes",))
    reading = _Reading(document, entries, arch, data or {})
    for node in arch["nodes"].sequence():
        reading.node(node)
    return reading.finished(arch["nodes"])


class _Reading:
    """Where the walk over the nodes stands."""

    def __init__(
        self, document: Node, entries: Mapping[str, Node], arch: Mapping[str, Node], data: Mapping[str, Scalar]
    ) -> None:
        self.translation = Translation("AccelForge", document)
        variables = {**_entries(entries.get("variables")), **_entries(arch.get("variables"))}
        tensors = dict.fromkeys(TENSORS, True)
        self.names: dict[str, Any] = {"inf": math.inf, **tensors}
        for name, node in variables.items():  # what cannot be computed is an error where it is used
            if name in data:
                self.names[name] = data[name]
                continue
            with contextlib.suppress(InputError):
                self.names |= evaluate_all({name: node}, self.names)
        self.chosen, self.passed_by = data.get(_CHOICE), list[str]()
        self.tolls: list[Toll] = []
        self.of_all = arch.get("extra_attributes_for_all_component_models")
        self.kept: dict[str, frozenset[str]] = {}
        self.parts: list[Callable[[float], None]] = []  # added in this order, once it is known what a cycle takes
        self.cycle_seconds: float | None = None
        for name in entries:
            if name not in ("arch", "variables") and entries[name].value:
                self.translation.note(entries[name], f"'{name}' is passed over: the architecture alone is read")

    def node(self, node: Node) -> None:
        tag = node.tag or ""
        if tag in (_FORK, _INLINE):
            inner = node.mapping(known=("nodes", "name"), required=("nodes",))["nodes"].sequence()
            if tag == _FORK and not self.computes(inner):
                why = "a path without a compute unit for a layer of two operands and a result is passed over"
                if self.passed_by:
                    why = f"the path of {', '.join(self.passed_by)} is passed over: '{self.chosen}' is meant"
                self.translation.note(node, why)
                return
            for each in inner:
                self.node(each)
            return
        _check_form(node)
        entries = node.mapping(known=_KNOWN[tag], required=("name",))
        if not self.enabled(entries) or (tag == "!Compute" and not self.is_meant(entries)):
            return
        for name in ("n_parallel_instances", "throughput_scale", "latency_scale"):
            if name in entries and self.number(entries[name]) != 1:
                raise entries[name].fail(f"'{name}' has no equal here other than 1; scale the action's throughput")
        if "spatial" in entries:
            self.spread(entries)
        if tag == "!Memory":
            self.memory(entries)
        elif tag == "!Toll":
            self.toll(entries)
        elif tag == "!Compute":
            self.compute(entries)

    def computes(self, nodes: Sequence[Node]) -> bool:
        """Say whether a path has a compute unit that takes part."""
        for node in nodes:
            if node.tag in (_FORK, _INLINE):
                if self.computes(node.mapping(required=("nodes",))["nodes"].sequence()):
                    return True
            elif node.tag == "!Compute" and self.enabled(node.mapping()) and self.is_meant(node.mapping()):
                return True
        return False

    def is_meant(self, entries: Mapping[str, Node]) -> bool:
        """Say whether a compute unit is the one that was named, where one was."""
        name = entries["name"].text() if "name" in entries else ""
        if self.chosen in (None, name):
            return True
        if name not in self.passed_by:
            self.passed_by.append(name)
        return False

    def enabled(self, entries: Mapping[str, Node]) -> bool:
        """Say whether a component takes part in a layer of two operands and a result."""
        node = entries.get("enabled")
        if node is None or isinstance(node.value, bool):
            return node is None or bool(node.value)
        text = re.sub(r"\blen\(\s*(All|Tensors)\s*\)", str(len(ALL)), node.text())
        return bool(self.computed(replace(node, value=text)))

    def spread(self, entries: Mapping[str, Node]) -> None:
        """Place a node's fan-outs, one container for each."""
        for place, node in enumerate(entries["spatial"].sequence()):
            parts = node.mapping(known=_SPATIAL_KEYS, required=("fanout",))
            fanout = replace(parts["fanout"], value=self.number(parts["fanout"])).integer(1)
            if parts.get("loop_bounds", node).value and "loop_bounds" in parts:
                why = "bounds on loops by a workload's own names have no equal here"
                raise parts["loop_bounds"].fail(f"{why}; 'factors' in v0.4's spatial constraints come near")
            if "usage_scale" in parts and self.number(parts["usage_scale"]) != 1:
                raise parts["usage_scale"].fail("'usage_scale' has no equal here other than 1; scale the fanout")
            if "min_usage" in parts and self.number(parts["min_usage"]) > 0:
                why = "'min_usage' is passed over: mappings that leave units idle are compared by what they cost"
                self.translation.note(parts["min_usage"], why)
            spatial: dict[str, Any] = {}
            reused = tensor_set(parts["reuse"], self.kept) if "reuse" in parts else frozenset[str]()
            may = tensor_set(parts["may_reuse"], self.kept) if "may_reuse" in parts else reused or ALL
            if reused:
                spatial["no_iteration_over_dataspaces"] = sorted(reused)
            if ALL - may:
                spatial["no_reuse"] = sorted(ALL - may)
            own = parts["name"].text() if "name" in parts else "spatial"
            axis = "meshY" if place % 2 else "meshX"
            label = re.sub(r"\W", "_", f"{entries['name'].text()}_{own}_{place}")
            self.parts.append(partial(self._add_fan_out, node, label, axis, fanout, spatial))

    def memory(self, entries: Mapping[str, Node]) -> None:
        name = entries["name"]
        keep, may = self.tensors(entries.get("tensors"))
        self.kept[name.text()] = keep | may
        for toll in self.tolls:
            toll.meet(name.text(), keep)
        bits = self.word_bits(entries, keep | may)
        actions = self.actions(entries, bits)
        line = line_of(max((action[1] for action in actions.values()), default=1), bits)
        size = self.number(entries["size"]) if "size" in entries else math.inf
        attributes: dict[str, Any] = {"datawidth": bits, "width": line, **self.costs(entries, actions, line)}
        attributes |= {"entries": int(size // bits)} if math.isfinite(size) else {}
        if "write_pJ" in attributes:
            attributes["update_pJ"] = attributes["write_pJ"]
        sets = (("keep", keep), ("bypass", ALL - keep - may))
        kept = {word: sorted(tensors) for word, tensors in sets if tensors}
        kind = "storage" if math.isfinite(size) else "DRAM"
        constraints = {"dataspace": kept} if kept else None
        self.put(entries, kind, attributes, lambda: constraints, self.bandwidths(entries, actions, bits))

    def compute(self, entries: Mapping[str, Node]) -> None:
        if self.cycle_seconds is not None:
            said = "a second compute unit for the same layer: a design here has one; say which is meant"
            raise entries["name"].fail(f"{said} with --set {_CHOICE}=NAME")
        actions = self.actions(entries, WORD_BITS)
        attributes = {"datawidth": WORD_BITS, **self.costs(entries, actions, 1)}
        rate = self.rates(entries)[0].get("compute", math.inf)
        if not math.isfinite(rate) or rate <= 0:
            self.translation.note(entries["name"], "the compute unit has no rate: a cycle of 1 ns is assumed")
            rate = 1e9
        self.cycle_seconds = 1 / rate
        self.put(entries, "compute", attributes, lambda: None, {})

    def toll(self, entries: Mapping[str, Node]) -> None:
        """Place what only charges for what passes by."""
        keep, may = self.tensors(entries.get("tensors"))
        if may and "tensors" in entries and entries["tensors"].mapping().get("may_keep") is not None:
            raise entries["tensors"].fail(
                "a toll that tensors may avoid has no equal here; say which ones pass: 'keep'"
            )
        if "direction" not in entries:
            raise entries["name"].fail("the key 'direction' is missing: up, down or up_and_down")
        toll = Toll(entries["name"], ways_of(entries["direction"], keep, self.kept))
        self.tolls.append(toll)
        bits = self.word_bits(entries, keep)
        pJ, each = self.actions(entries, bits).get("read", (math.nan, self.moved(entries, bits, 1.0)))
        rate = self.rates(entries)[0].get("read", math.inf) * each / bits
        once: dict[str, Any] = self.costs(entries, {}, 1)  # area and leakage, which stand at the first storage
        for way in toll.ways:
            attributes = {"datawidth": bits, "width": bits, **(once or {"area_um2": 0.0, "leak_pJ": 0.0})}
            if math.isfinite(pJ):
                charged = {action: action in WAYS[way] for action in ("read", "write", "update")}
                attributes |= {f"{action}_pJ": pJ * bits / each * does for action, does in charged.items()}
            words = {} if math.isinf(rate) else {_RATE_OF[way]: rate}
            self.put({**entries, "name": toll.label(way)}, "DRAM", attributes, partial(toll.constraints, way), words)
            once = {}

    def put(
        self, entries: Mapping[str, Node], kind: str, attributes: dict[str, Any],
        constraints: Callable[[], Mapping[str, Any] | None], words: Mapping[str, float],
    ) -> None:  # fmt: skip
        """Add a component, later; ``words`` are its bandwidths per second."""
        name = entries["name"]
        model = entries["component_class"].text() if "component_class" in entries else kind
        component = _CLASSES.get(model, model)
        extras = {**self.extras(self.of_all), **self.extras(entries.get("extra_attributes_for_component_model"))}
        if not any(key.endswith("_pJ") for key in attributes) and "technology" not in extras and model != "Dummy":
            self.translation.variables["technology"] = TECHNOLOGY
            self.translation.note(name, f"costs are left to estimators: at {TECHNOLOGY}, or --set technology=...")
        known = {**extras, **attributes}
        self.parts.append(partial(self._add_component, name, kind, component, known, constraints, words))

    def _add_component(
        self, name: Node, kind: str, component: str, attributes: Mapping[str, Any],
        constraints: Callable[[], Mapping[str, Any] | None], words: Mapping[str, float], cycle_seconds: float,
    ) -> None:  # fmt: skip
        known = {**attributes, **{key: float(f"{rate * cycle_seconds:.12g}") for key, rate in words.items()}}
        if (watts := known.pop("leak_W", None)) is not None:
            known["leak_pJ"] = watts * cycle_seconds * _UNITS_pJ
        self.translation.component(name, kind, component, known, constraints())

    def _add_fan_out(
        self, node: Node, label: str, axis: str, size: int, spatial: dict[str, Any], cycle_seconds: float
    ) -> None:
        self.translation.fan_out(node, label, {axis: size}, spatial)

    def bandwidths(
        self, entries: Mapping[str, Node], actions: Mapping[str, tuple[float, float]], bits: int
    ) -> dict[str, float]:
        """Return a memory's bandwidths as words per second, by attribute."""
        rates, apart = self.rates(entries)
        moved = {name: actions[name][1] if name in actions else self.moved(entries, bits, 1.0) for name in rates}
        words = {
            name: rate * moved[name] / bits
            for name, rate in rates.items()
            if math.isfinite(rate) and name in ("read", "write")
        }
        if apart:
            return {f"{name}_bandwidth": rate for name, rate in words.items()}
        if len({f"{rate:.9g}" for rate in words.values()}) > 1:
            why = "reads and writes take turns: both are counted at the rate of the slower"
            self.translation.note(entries["name"], why)
        return {"shared_bandwidth": min(words.values())} if words else {}

    def finished(self, place: Node) -> Node:
        """Return the document, rates per cycle."""
        if self.cycle_seconds is None and self.passed_by:
            raise place.fail(f"no compute unit is named '{self.chosen}'; there are {', '.join(self.passed_by)}")
        if self.cycle_seconds is None:
            raise place.fail("has no !Compute for a layer of two operands and a result")
        for add in self.parts:
            add(self.cycle_seconds)
        self.translation.variables["global_cycle_seconds"] = self.cycle_seconds
        return self.translation.document()

    def tensors(self, node: Node | None) -> tuple[frozenset[str], frozenset[str]]:
        """Return what a memory must keep, and what it may keep besides."""
        if node is None:
            return frozenset(), ALL
        known = ("keep", "may_keep", "back", "force_memory_hierarchy_order")
        entries = {key: value for key, value in node.mapping().items() if value.value not in (None, [])}
        for key, value in entries.items():
            if key not in known or (key == "force_memory_hierarchy_order" and value.value is not True):
                raise value.fail(f"'{key[:40]}' has no equal here{_INSTEAD.get(key, '')}")
        keep = tensor_set(entries["keep"], self.kept) if "keep" in entries else frozenset[str]()
        keep |= tensor_set(entries["back"], self.kept) if "back" in entries else frozenset()
        if "may_keep" in entries:
            return keep, tensor_set(entries["may_keep"], self.kept) - keep
        return keep, frozenset() if "keep" in entries else ALL

    def word_bits(self, entries: Mapping[str, Node], held: frozenset[str]) -> int:
        """Return the bits of a memory's words; of several tensors the widest counts, where they differ that is said."""
        widths = dict.fromkeys(held, WORD_BITS)
        for key, unit in (("bits_per_value_scale", WORD_BITS), ("bits_per_value", 1)):  # the former of earlier releases
            for expression, value in _entries(entries.get(key)).items():
                bits = replace(value, value=self.number(value) * unit).integer(1)
                widths |= dict.fromkeys(tensor_set(replace(value, value=expression), self.kept) & held, bits)
        if len(set(widths.values())) > 1:
            self.translation.note(
                entries["name"], "words of several widths: each is counted at the widest of its memory"
            )
        return max(widths.values(), default=WORD_BITS)

    def moved(self, entries: Mapping[str, Node], bits: int, default: float) -> float:
        """Return the bits that an action moves: so many values (of so many bits), so many bits, or the default."""
        values = {each.value: each for each in _entries(entries.get("values_per_action")).values()}
        counts = {self.number(each) for each in values.values()}
        if len(counts) > 1:
            raise entries["values_per_action"].fail("more values of one tensor than of another have no equal here")
        if counts:
            return counts.pop() * bits
        node = entries.get("bits_per_action")
        return default if node is None or node.value is None else self.number(node)

    def actions(self, entries: Mapping[str, Node], bits: int) -> dict[str, tuple[float, float]]:
        """Return what actions cost, pJ (NaN where an estimator says it), and the bits that each moves.

        ``bits``: of a value.
        """
        node, default = entries.get("actions"), self.moved(entries, bits, 1.0)
        scale = self.number(entries["energy_scale"]) if "energy_scale" in entries else 1.0
        found: dict[str, tuple[float, float]] = {}
        for action in node.sequence() if node is not None and node.value is not None else ():
            parts = action.mapping(known=_ACTION_KEYS, required=("name",))
            energy = self.number(parts["energy"]) if "energy" in parts else math.nan
            own = self.number(parts["energy_scale"]) if "energy_scale" in parts else 1.0
            moved = self.moved(parts, bits, default)
            if energy < 0 or moved <= 0:
                raise action.fail("energies and bits per action cannot be below 0")
            found[parts["name"].text()] = (energy * scale * own * _UNITS_pJ, moved)
        return found

    def costs(
        self, entries: Mapping[str, Node], actions: Mapping[str, tuple[float, float]], line: int
    ) -> dict[str, float]:
        """Return what a component says of its costs: pJ of each line, um^2 and W."""
        found = {
            f"{name}_pJ": energy * (line / bits if line > 1 else 1.0)
            for name, (energy, bits) in actions.items()
            if math.isfinite(energy) and name in ("read", "write", "compute")
        }
        for key, name, unit in (("area", "area_um2", _UNITS_um2), ("leak_power", "leak_W", 1.0)):
            if key in entries:
                scale = self.number(entries[f"{key}_scale"]) if f"{key}_scale" in entries else 1.0
                found[name] = self.number(entries[key]) * unit * scale
        return found

    def rates(self, entries: Mapping[str, Node]) -> tuple[dict[str, float], bool]:
        """Return actions per second, by name, and whether they go on at once; what is not said has no limit."""
        node = entries.get("actions")
        own: dict[str, float] = {}
        for action in node.sequence() if node is not None and node.value is not None else ():
            parts = action.mapping()
            name = parts["name"].text()
            if "throughput" in parts:
                own[name] = self.number(parts["throughput"])
            elif "latency" in parts:
                seconds = self.number(parts["latency"])
                own[name] = 1 / seconds if seconds > 0 else math.inf
            if name in own and "throughput_scale" in parts:
                own[name] *= self.number(parts["throughput_scale"])
            if own.get(name, 1) <= 0:
                raise action.fail("a throughput must be above 0")
        total = entries.get("total_latency")
        if total is None or total.value is None:
            return own, False
        each, apart = self.latencies(total, own)
        return {name: 1 / taken if taken > 0 else math.inf for name, taken in each.items()}, apart

    def latencies(self, node: Node, own: Mapping[str, float]) -> tuple[dict[str, float], bool]:
        """Return what one action of each name takes of a component's time, and whether they go on at the same time.

        The expression is tried on counts of actions: it must be a sum of what they take each, or the largest of these.
        """
        text = str(node.value)
        for words, meant in _LATENCY_WORDS.items():
            text = text.replace(words, meant)

        def total(**counts: int) -> float:
            known: dict[str, Any] = {f"{name}_actions": counts.get(name, 0) for name in _TIMED}
            known |= {f"{name}_latency": counts.get(name, 0) / own.get(name, math.inf) for name in _TIMED}
            return self.number(replace(node, value=evaluate(text, {**self.names, **known})))

        try:
            seconds = {name: total(**{name: 1}) for name in _TIMED}
            several = total(read=3, write=5, compute=7)
        except InputError:
            several, seconds = math.nan, {}
        each = [seconds.get(name, 0.0) * count for name, count in (("read", 3), ("write", 5), ("compute", 7))]
        for whole, apart in ((sum(each), False), (max(each), True)):
            if math.isclose(several, whole, rel_tol=1e-9):
                return seconds, apart
        raise node.fail(f"'{str(node.value)[:60]}' has no equal here; give each action a throughput")

    def extras(self, node: Node | None) -> dict[str, Any]:
        """Return attributes for estimators by their names here."""
        found: dict[str, Any] = {}
        for name, value in _entries(node).items():
            if name == "tech_node":
                found["technology"] = f"{self.number(value) * 1e9:g}nm"
            elif isinstance(value.value, int | float | str):
                found[_ATTRIBUTES.get(name, name)] = self.computed(value)
        return found

    def number(self, node: Node) -> float:
        """Return the number that a value or expression gives; may be infinite."""
        value = self.computed(node)
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            raise node.fail(f"must be a number, found {str(value)[:40]!r}")
        return value

    def computed(self, node: Node) -> Any:
        if not isinstance(node.value, str):
            return node.plain()
        if node.value.strip() in ("inf", ".inf"):
            return math.inf
        try:
            return evaluate(_BITS.sub(str(WORD_BITS), node.value), self.names)
        except InputError as error:
            raise node.fail(error.message) from None


def _check_form(node: Node) -> None:
    """Refuse what has no equal here by name: kinds of nodes, and keys that say what no number here can."""
    tag = node.tag or ""
    if tag in _REFUSED:
        raise node.fail(f"{tag} has no equal here: {_REFUSED[tag]}")
    if tag not in _KNOWN:
        known = ", ".join((*_KNOWN, _FORK, _INLINE, *_REFUSED))
        raise node.fail(f"'{tag[:40]}' is no node of AccelForge; known: {known}")
    if "attributes" in node.mapping():
        why = "'attributes' are of releases before 2026; size, tensors, actions stand beside the name there"
        raise node.mapping()["attributes"].fail(f"{why}; 'extra_attributes_for_component_model' has the rest")
    for key, near in _UNEQUAL.items():
        if key in node.mapping():
            raise node.mapping()[key].fail(f"'{key}' has no equal here; {near}")


def _entries(node: Node | None) -> dict[str, Node]:
    return {} if node is None or node.value is None else node.mapping()
