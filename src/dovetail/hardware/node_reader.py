"""Walks the nodes of a Timeloop v0.4 architecture and lays them out as levels, outer to inner.

As the reference's front end does it: containers hand their attributes to everything after them; whatever has a
``spatial`` fan-out gets a fan-out level before it, ``inter_NAME_spatial``, which takes its spatial constraints; the
branches of a ``!Parallel`` become levels one after the other, each letting pass what another branch keeps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from dovetail.document import Node
from dovetail.errors import InputError, did_you_mean
from dovetail.expression import evaluate_all, evaluate_node
from dovetail.hardware.architecture import Compute, Constraints, Level, LoopConstraints, Said, Spatial, Storage
from dovetail.hardware.attribute_list import check_names
from dovetail.hardware.constraint_reader import read_constraint, read_group, whole_number, without_ignored
from dovetail.hardware.energy_attributes import storage_charges, wires_below
from dovetail.hardware.storage_attributes import DEFAULTS, storage_fields

_BRANCHES = ("!Hierarchical", "!Parallel", "!Pipelined")
_TAGS = ("!Component", "!Container", "!Nothing", *_BRANCHES)
_STORAGE = ("DRAM", "SRAM", "regfile", "smartbuffer", "storage")
_COMPUTE = ("mac", "intmac", "fpmac", "compute")
_NETWORK = ("XY_NoC", "Legacy", "ReductionTree", "SimpleMulticast")
_LEAF_KEYS = ("name", "attributes", "spatial", "constraints", "sparse_optimizations")
_COMPONENT_KEYS = (*_LEAF_KEYS, "class", "subclass", "required_actions", "area_scale", "energy_scale", "enabled")

#: Constraints that stand elsewhere in the document: node name -> (kind, node) in order.
Targeted = Mapping[str, list[tuple[str, Node]]]


def fanout_name(name: str) -> str:
    """Return the name of the fan-out level that a container or component of this name brings."""
    return f"inter_{name}_spatial"


def read_nodes(
    node: Node, variables: Mapping[str, Any], targeted: Targeted
) -> tuple[tuple[Level, ...], tuple[str, ...]]:
    """Read a list of nodes as levels; also return what was found to be without effect, a sentence each.

    Args:
        node: the list under ``architecture.nodes``.
        variables: evaluated names that expressions know and every level inherits.
        targeted: constraints from other sections of the document; each must find its level.

    Raises:
        InputError: a node is wrong, or a targeted constraint names no node.
    """
    walk = _Walk(dict(variables), targeted)
    walk.branch(node, None)
    for name, constraints in targeted.items():
        if name not in walk.targets:
            raise constraints[0][1].fail(f"unknown target '{name}'{did_you_mean(name, walk.targets)}")
    return tuple(walk.levels), tuple(walk.notes)


@dataclass
class _Walk:
    """Where the walk over the nodes stands: what later nodes inherit, and the levels so far."""

    inherited: dict[str, Any]
    targeted: Targeted
    handed_down: dict[str, Any] = field(default_factory=dict)  # by containers; the reference's model knows no variables
    mesh_x: int = 1
    mesh_y: int = 1
    levels: list[Level] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def branch(self, nodes: Node, branch_keeps: frozenset[str] | None) -> None:
        """Read nodes one inside the other; ``branch_keeps`` are the tensors of their branch of a !Parallel, if any."""
        for node in nodes.sequence():
            self.node(node, branch_keeps)

    def node(self, node: Node, branch_keeps: frozenset[str] | None) -> None:
        if node.tag not in _TAGS:
            found = f"the tag '{node.tag}' is unknown" if node.tag else "a node needs a tag"
            raise node.fail(found + (did_you_mean(node.tag, _TAGS) if node.tag else f", one of {', '.join(_TAGS)}"))
        if node.tag in _BRANCHES:
            inner = without_ignored(node).mapping(known=("nodes",), required=("nodes",))["nodes"]
            if node.tag == "!Parallel":
                self.parallel(inner, branch_keeps)
            else:
                self.branch(inner, branch_keeps)
        elif node.tag == "!Container":
            self.container(node)
        elif node.tag == "!Component":
            self.component(node, branch_keeps)
        else:
            without_ignored(node).mapping(known=_COMPONENT_KEYS)

    def parallel(self, nodes: Node, branch_keeps: frozenset[str] | None) -> None:
        kept: dict[str, int] = {}
        keeps = []
        said = tuple(one for node in nodes.sequence() for _, own in self.leaves(node) for one in own.said)
        for place, node in enumerate(nodes.sequence()):
            if node.tag == "!Container":
                raise node.fail("a !Container cannot stand directly under a !Parallel")
            keeps.append(self.kept(node))
            for name in sorted(keeps[-1]):
                if kept.setdefault(name, place) != place:
                    raise node.fail(f"{name} is kept in two branches of a !Parallel; it can be in one only")
            if node.tag in ("!Component", "!Nothing") and self.fanout(node) != (1, 1):
                raise node.fail("a component with a fan-out cannot stand directly under a !Parallel")
        for node, mine in zip(nodes.sequence(), keeps, strict=True):
            before = len(self.levels)
            self.node(node, mine if branch_keeps is None else mine & branch_keeps)
            others = frozenset(kept) - mine
            where = tuple(one for one in said if one.name in others)
            self.levels[before:] = [_passing(level, others, where) for level in self.levels[before:]]

    def kept(self, node: Node) -> frozenset[str]:
        """Return the tensors that a branch of a !Parallel says it keeps."""
        names: frozenset[str] = frozenset()
        for leaf, constraints in self.leaves(node):
            if constraints.keep_all_but is not None:
                raise leaf.fail("under a !Parallel the tensors to keep must be listed; '*' and bypass_only cannot be")
            names |= constraints.keep
        return names

    def leaves(self, node: Node) -> Iterator[tuple[Node, Constraints]]:
        entries = node.mapping()
        if node.tag in _BRANCHES:
            for inner in entries["nodes"].sequence() if "nodes" in entries else ():
                yield from self.leaves(inner)
        elif node.tag in _TAGS:
            name = entries["name"].text() if "name" in entries else ""
            group = entries.get("constraints")
            tensors = None if group is None or group.value is None else group.mapping().get("dataspace")
            result = Constraints()
            if tensors is not None and tensors.value is not None:
                result = read_constraint("dataspace", tensors, self.inherited, result)
            for kind, constraint in self.targeted.get(name, ()):
                if kind == "dataspace":
                    result = read_constraint(kind, constraint, self.inherited, result)
            yield node, result

    def container(self, node: Node) -> None:
        entries = self.entries(node, (*_LEAF_KEYS, "networks"))
        if "networks" in entries and entries["networks"].value:
            raise entries["networks"].fail("networks are not supported yet")
        attributes = self.attributes(entries)
        constraints = self.constraints(entries)
        if (
            constraints.temporal != LoopConstraints()
            or replace(constraints, spatial=LoopConstraints()) != Constraints()
        ):
            raise entries["name"].fail("a container keeps nothing and has no loops over time; constrain a component")
        self.handed_down |= attributes
        self.spread(node, entries, constraints.spatial)
        self.inherited |= attributes

    def component(self, node: Node, branch_keeps: frozenset[str] | None) -> None:
        entries = self.entries(node, _COMPONENT_KEYS, required=("name", "class"))
        if "enabled" in entries and evaluate_node(entries["enabled"], self.inherited) is False:
            self.targets.append(entries["name"].text())
            return
        kind = _kind(entries["class"])
        constraints = self.constraints(entries)
        own = self.attributes(entries)
        self.spread(node, entries, constraints.spatial)
        stated, made = {**self.handed_down, **own}.get("instances"), self.mesh_x * self.mesh_y
        if stated is not None and stated != made:
            message = f"the fan-outs make {made} instances, not {stated}; write them as 'spatial: {{meshX: N}}'"
            raise _attribute_error(entries, "instances", message)
        constraints = replace(constraints, spatial=LoopConstraints())
        if branch_keeps is not None:
            both = branch_keeps if constraints.bypass_all_but is None else branch_keeps & constraints.bypass_all_but
            constraints = replace(constraints, bypass_all_but=both)
        subclass = entries.get("subclass")
        common: dict[str, Any] = {
            "name": entries["name"].text(),
            "component": (subclass if subclass is not None and subclass.value is not None else entries["class"]).text(),
            "mesh_x": self.mesh_x,
            "mesh_y": self.mesh_y,
        }
        build = self.storage if kind == "storage" else self.compute
        self.levels.append(build(entries, own, constraints, common))

    def storage(
        self, entries: Mapping[str, Node], own: dict[str, Any], constraints: Constraints, common: dict[str, Any]
    ) -> Level:
        inherited = {name: value for name, value in self.inherited.items() if name not in DEFAULTS}
        attributes = {**DEFAULTS, **inherited, **own}
        if "num_banks" in own:
            del attributes["n_banks"]
        is_dram = "DRAM" in entries["class"].text()
        fail = partial(_attribute_error, entries)
        fields = storage_fields(attributes, is_dram=is_dram, fail=fail)
        known = {**self.handed_down, **own}
        wires = wires_below(known, fields["datawidth"], fail)
        charges = storage_charges(known, fail)
        try:
            return Storage(**common, attributes=attributes, constraints=constraints, wires=wires, **fields, **charges)
        except InputError as error:  # a size is beyond what is counted
            raise _at_size(entries, error) from None

    def compute(
        self, entries: Mapping[str, Node], own: dict[str, Any], constraints: Constraints, common: dict[str, Any]
    ) -> Level:
        if replace(constraints, bypass_all_but=None) != Constraints():
            raise entries.get("constraints", entries["name"]).fail(
                "a compute component keeps nothing and has no loops of its own"
            )
        attributes = {**self.inherited, **own}
        datawidth = attributes.get("datawidth", 16)
        if isinstance(datawidth, bool) or not isinstance(datawidth, int | float) or datawidth < 1 or datawidth % 1:
            raise entries["name"].fail(f"the datawidth must be a whole number of bits, found {datawidth!r}")
        return Compute(**common, attributes=attributes, datawidth=int(datawidth))

    def spread(self, node: Node, entries: Mapping[str, Node], spatial: LoopConstraints) -> None:
        """Place the fan-out level that a node brings, and count its instances."""
        fanout_x, fanout_y = self.fanout(node)
        name = entries["name"].text()
        self.targets += [name, fanout_name(name)]
        if (fanout_x, fanout_y) == (1, 1):
            if spatial != LoopConstraints() and node.tag == "!Component":
                raise entries["name"].fail("there is no fan-out that spatial constraints could hold for")
            if spatial != LoopConstraints():
                said = f"{name} has no fan-out (meshX and meshY are 1): its spatial constraints say nothing"
                self.notes.append(f"{spatial.said[0].source}: {said}" if spatial.said else said)
            return
        try:
            fan_out = Spatial(
                name=fanout_name(name),
                component="fanout",
                mesh_x=self.mesh_x,
                mesh_y=self.mesh_y,
                constraints=Constraints(spatial=spatial),
                wires=wires_below(self.handed_down, 1, partial(_attribute_error, entries)),
                fanout_x=fanout_x,
                fanout_y=fanout_y,
            )
        except InputError as error:  # more instances than are counted
            raise entries["spatial"].fail(error.message) from None
        self.levels.append(fan_out)
        self.mesh_x *= fanout_x
        self.mesh_y *= fanout_y

    def fanout(self, node: Node) -> tuple[int, int]:
        spatial = node.mapping().get("spatial")
        if spatial is None or spatial.value is None:
            return 1, 1
        sizes = without_ignored(spatial).mapping(known=("meshX", "meshY"))
        x, y = (whole_number(sizes[a], self.inherited, 1) if a in sizes else 1 for a in ("meshX", "meshY"))
        return x, y

    def entries(self, node: Node, known: tuple[str, ...], required: tuple[str, ...] = ("name",)) -> dict[str, Node]:
        entries = without_ignored(node).mapping(known=known, required=required)
        if not re.fullmatch(r"[A-Za-z_][\w.-]*", entries["name"].text()):
            hint = "; for copies use 'spatial: {meshX: N}'" if "[" in entries["name"].text() else ""
            raise entries["name"].fail(f"'{entries['name'].text()[:60]}' cannot be a name{hint}")
        sparse = entries.get("sparse_optimizations")
        if sparse is not None and sparse.value:
            raise sparse.fail("sparse optimizations are not supported")
        if entries["name"].text() in self.targets:
            raise entries["name"].fail(f"a second node is named '{entries['name'].text()}'")
        return entries

    def attributes(self, entries: Mapping[str, Node]) -> dict[str, Any]:
        """Return a node's own evaluated attributes, ``-`` in their names written as ``_``."""
        node = entries.get("attributes")
        if node is None or node.value is None:
            result = {}
        else:
            own: dict[str, Node] = {}
            for name, value in without_ignored(node).mapping().items():
                if (plain := _plain_name(name)) in own:
                    raise value.fail(f"the attribute '{name}' is given twice")
                own[plain] = value
            values = evaluate_all(own, self.inherited)
            result = {name: value for name, value in values.items() if value is not None}
            check_names(result, partial(_attribute_error, entries))
        for name in ("area_scale", "energy_scale"):
            if name in entries and (scale := evaluate_node(entries[name], self.inherited)) is not None:
                result[name] = scale
        return result

    def constraints(self, entries: Mapping[str, Node]) -> Constraints:
        node = entries.get("constraints")
        result = Constraints()
        if node is not None and node.value is not None:
            result = read_group(node, self.inherited)
        name = entries["name"].text()
        for kind, constraint in self.targeted.get(fanout_name(name), ()):
            if kind != "spatial":
                raise constraint.fail(f"{fanout_name(name)} is a fan-out, which has spatial constraints only")
        for kind, constraint in (*self.targeted.get(name, ()), *self.targeted.get(fanout_name(name), ())):
            result = read_constraint(kind, constraint, self.inherited, result)
        return result


def _plain_name(name: str) -> str:
    """Return an attribute's name with ``_`` for ``-``, but for the one that the reference knows with hyphens only."""
    return name if name == "energy-per-ingress" else name.replace("-", "_")


def _passing(level: Level, tensors: frozenset[str], said: tuple[Said, ...]) -> Level:
    """Return the level with tensors that pass by as another branch keeps them, and where that is said."""
    if isinstance(level, Spatial):
        return level
    own = level.constraints
    return replace(level, constraints=replace(own, bypass=own.bypass | tensors, said=own.said + said))


def _attribute_error(entries: Mapping[str, Node], name: str, message: str) -> InputError:
    """Return the error about an attribute, placed at it, or at its component when it was inherited or is absent."""
    node = entries.get("attributes")
    if node is None or not isinstance(node.value, dict):
        return entries["name"].fail(f"{entries['name'].text()}: {message}")
    return node.value.get(name, node).fail(message)


def _at_size(entries: Mapping[str, Node], error: InputError) -> InputError:
    """Return the error about a component's size, placed at the attribute that it names, as nearly as can be told."""
    node = entries.get("attributes")
    sizes = node.value if node is not None and isinstance(node.value, dict) else {}
    named = (sizes[name] for name in sizes if name.replace("-", "_") in error.message.split())
    return next(named, node or entries["name"]).fail(error.message)


def _kind(node: Node) -> str:
    name = node.text()
    for kind, words in (("storage", _STORAGE), ("compute", _COMPUTE)):
        if any(word in name for word in words):
            return kind
    if any(word in name for word in _NETWORK):
        raise node.fail(f"network components such as '{name}' are not supported yet")
    known = ", ".join((*_STORAGE, *_COMPUTE))
    raise node.fail(f"unknown class '{name[:60]}'; a class is known by a part of its name, one of {known}")
