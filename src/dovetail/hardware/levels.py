"""Lays the nodes of a design out as levels, outer to inner.

As the reference's front end does it: containers hand their attributes to everything after them; whatever has a
``spatial`` fan-out gets a fan-out level before it, ``inter_NAME_spatial``, which takes its spatial constraints; the
branches of a ``!Parallel`` become levels one after the other, each letting pass what another branch keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from dovetail.document import Node
from dovetail.errors import InputError, did_you_mean
from dovetail.expression import evaluate_node
from dovetail.hardware.architecture import Compute, Constraints, Level, LoopConstraints, Said, Spatial, Storage
from dovetail.hardware.attribute_list import Fail
from dovetail.hardware.attributes import Entries, attribute_error, own_attributes, size_error
from dovetail.hardware.constraint_reader import read_loops, read_tensors, target_kind
from dovetail.hardware.energy_attributes import storage_charges, wires_below
from dovetail.hardware.networks import NETWORK_CLASSES, Networks, named_networks
from dovetail.hardware.node_reader import Leaf, Part, leaves, read_nodes
from dovetail.hardware.product_attributes import product_fields
from dovetail.hardware.sparse_reader import metadata_store, read_sparse
from dovetail.hardware.storage_attributes import DEFAULTS, storage_fields, value_widths
from dovetail.hardware.values import whole_number, without_ignored

_STORAGE = ("DRAM", "SRAM", "regfile", "smartbuffer", "storage")
_COMPUTE = ("mac", "intmac", "fpmac", "compute")

#: Constraints that stand elsewhere in the document, by the name of the node they are for.
Targeted = Mapping[str, Sequence[Node]]


def fanout_name(name: str) -> str:
    """Return the name of the fan-out level that a container or component of this name brings."""
    return f"inter_{name}_spatial"


def products_name(name: str) -> str:
    """Return the name of the fan-out from a compute component's unit to the products that it does at once."""
    return f"{name}_products"


def lay_out(
    nodes: Node, variables: Mapping[str, Any], targeted: Targeted, sparse: Mapping[str, Sequence[Node]]
) -> tuple[tuple[Level, ...], tuple[str, ...]]:
    """Return a list of nodes as levels, and what was found to be without effect, a sentence each.

    Args:
        nodes: the list, as `dovetail.hardware.sections` has it.
        variables: evaluated names that expressions know and every level inherits.
        targeted: constraints from other sections of the document; each must find its level.
        sparse: what a section of its own says about zeros, by the name of the level; likewise.

    Raises:
        InputError: a node is wrong, or what is targeted names no node.
    """
    for constraint in (one for constraints in targeted.values() for one in constraints):
        target_kind(constraint)
    parts = read_nodes(nodes)
    walk = _Walk(dict(variables), targeted, sparse, networks=named_networks(parts))
    walk.place_all(parts, None)
    about_zeros = [level.name for level in walk.levels if not isinstance(level, Spatial)]
    for sections, known in ((targeted, walk.targets), (sparse, about_zeros)):
        for name, said in sections.items():
            if name not in known:
                raise said[0].fail(f"unknown target '{name}'{did_you_mean(name, known)}")
    for name, error in walk.gates.named:
        if name not in walk.targets:
            raise error
    return tuple(walk.levels), tuple(walk.notes)


@dataclass
class _Gates:
    """Where leakage is switched off, as the reference's front end finds it, level by level.

    Attributes:
        gater: the level that does it for all that lie inside; empty: every level for itself.
        is_next: whether the next level takes that over.
        named: levels that say themselves at which one they are, with the error where there is none.
    """

    gater: str = ""
    is_next: bool = False
    named: list[tuple[str, InputError]] = field(default_factory=list)

    def passed(self, name: str, *, has_gating: bool) -> None:
        """Pass a level, and what its node says of gating."""
        if self.is_next:
            self.gater = name
        self.is_next = has_gating


@dataclass
class _Walk:
    """Where the walk over the nodes stands: what later nodes inherit, and the levels so far."""

    inherited: dict[str, Any]
    targeted: Targeted
    sparse: Mapping[str, Sequence[Node]] = field(default_factory=dict)
    handed_down: dict[str, Any] = field(default_factory=dict)  # by containers; the reference's model knows no variables
    mesh_x: int = 1
    mesh_y: int = 1
    levels: list[Level] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    networks: Networks = field(default_factory=Networks)
    gates: _Gates = field(default_factory=_Gates)
    tensors: dict[Leaf, Constraints] = field(default_factory=dict)  # as far as they are read

    def place_all(self, parts: Iterable[Part], branch_keeps: frozenset[str] | None) -> None:
        """Place parts one inside the other; ``branch_keeps`` are the tensors of their branch of a !Parallel, if any."""
        for part in parts:
            self.place(part, branch_keeps)

    def place(self, part: Part, branch_keeps: frozenset[str] | None) -> None:
        if not isinstance(part, Leaf):
            place_parts = self.beside_each_other if part.tag == "!Parallel" else self.place_all
            place_parts(part.parts, branch_keeps)
        elif part.tag == "!Container":
            self.container(part)
        elif part.tag == "!Component":
            self.component(part, branch_keeps)

    def beside_each_other(self, parts: Sequence[Part], branch_keeps: frozenset[str] | None) -> None:
        """Place the branches of a !Parallel."""
        kept: dict[str, int] = {}
        keeps = []
        for place, part in enumerate(parts):
            keeps.append(self.kept(part))
            for name in sorted(keeps[-1]):
                if kept.setdefault(name, place) != place:
                    raise part.node.fail(f"{name} is kept in two branches of a !Parallel; it can be in one only")
            if isinstance(part, Leaf) and self.fanout(part) != (1, 1):
                raise part.node.fail("a component with a fan-out cannot stand directly under a !Parallel")
        said = tuple(one for part in parts for leaf in leaves(part) for one in self.tensors_of(leaf).said)
        for part, mine in zip(parts, keeps, strict=True):
            before = len(self.levels)
            self.place(part, mine if branch_keeps is None else mine & branch_keeps)
            others = frozenset(kept) - mine
            where = tuple(one for one in said if one.name in others)
            self.levels[before:] = [_passing(level, others, where) for level in self.levels[before:]]

    def kept(self, part: Part) -> frozenset[str]:
        """Return the tensors that a branch of a !Parallel says it keeps."""
        names: frozenset[str] = frozenset()
        for leaf in leaves(part):
            constraints = self.tensors_of(leaf)
            if constraints.keep_all_but is not None:
                raise leaf.node.fail(
                    "under a !Parallel the tensors to keep must be listed; '*' and bypass_only cannot be"
                )
            names |= constraints.keep
        return names

    def tensors_of(self, leaf: Leaf) -> Constraints:
        if leaf not in self.tensors:
            self.tensors[leaf] = read_tensors(
                leaf.entries.get("constraints"), self.targeted.get(leaf.name, ()), self.inherited
            )
        return self.tensors[leaf]

    def constraints_of(self, leaf: Leaf) -> Constraints:
        fan_out = self.targeted.get(fanout_name(leaf.name), ())
        for constraint in fan_out:
            if target_kind(constraint) != "spatial":
                raise constraint.fail(f"{fanout_name(leaf.name)} is a fan-out, which has spatial constraints only")
        targeted = (*self.targeted.get(leaf.name, ()), *fan_out)
        return read_loops(leaf.entries.get("constraints"), targeted, self.inherited, self.tensors_of(leaf))

    def container(self, leaf: Leaf) -> None:
        self.check_name(leaf)
        attributes = own_attributes(leaf.entries, self.inherited)
        gating = _is_gating(leaf.entries, attributes)
        constraints = self.constraints_of(leaf)
        if replace(constraints, spatial=LoopConstraints()) != Constraints():
            node = leaf.entries.get("constraints", leaf.entries["name"])
            said = f"{leaf.name} is a container, which keeps nothing and has no loops over time: only its constraints "
            self.notes.append(f"{node.file}:{node.line}: {said}in space say something")
        for node in self.zeros_of(leaf):
            raise node.fail("a container keeps nothing, so it can do nothing about zeros; say it of a component")
        self.handed_down |= attributes
        self.spread(leaf, constraints.spatial, has_gating=gating)
        self.inherited |= attributes

    def zeros_of(self, leaf: Leaf) -> list[Node]:
        """Return what is said of a node about zeros."""
        own = leaf.entries.get("sparse_optimizations")
        return [*([own] if own is not None and own.value else []), *self.sparse.get(leaf.name, ())]

    def component(self, leaf: Leaf, branch_keeps: frozenset[str] | None) -> None:
        self.check_name(leaf)
        entries = leaf.entries
        if "enabled" in entries and evaluate_node(entries["enabled"], self.inherited) is False:
            self.targets.append(leaf.name)
            return
        kind = _kind(entries["class"])
        if kind == "network":  # one that no storage names is idle; the ones between levels are inferred
            self.targets.append(leaf.name)
            self.notes.append(self.networks.note(leaf))
            return
        constraints = self.constraints_of(leaf)
        own = own_attributes(entries, self.inherited)
        gating = _is_gating(entries, own)
        self.spread(leaf, constraints.spatial, has_gating=gating)
        self.gates.passed(leaf.name, has_gating=gating)
        stated, made = {**self.handed_down, **own}.get("instances"), self.mesh_x * self.mesh_y
        if stated is not None and stated != made:
            message = f"the fan-outs make {made} instances, not {stated}; write them as 'spatial: {{meshX: N}}'"
            raise attribute_error(entries, "instances", message)
        constraints = replace(constraints, spatial=LoopConstraints())
        if branch_keeps is not None:
            both = branch_keeps if constraints.bypass_all_but is None else branch_keeps & constraints.bypass_all_but
            constraints = replace(constraints, bypass_all_but=both)
        zeros, names = read_sparse(self.zeros_of(leaf), self.inherited, leaf.name, computes=kind == "compute")
        constraints = replace(constraints, said=constraints.said + names)
        subclass = entries.get("subclass")
        common: dict[str, Any] = {
            "name": leaf.name,
            "component": (subclass if subclass is not None and subclass.value is not None else entries["class"]).text(),
            "mesh_x": self.mesh_x,
            "mesh_y": self.mesh_y,
            "sparse": zeros,
        }
        build = self.storage if kind == "storage" else self.compute
        self.levels.append(build(entries, own, constraints, common))

    def storage(self, entries: Entries, own: dict[str, Any], constraints: Constraints, common: dict[str, Any]) -> Level:
        inherited = {name: value for name, value in self.inherited.items() if name not in DEFAULTS}
        attributes = {**DEFAULTS, **inherited, **own}
        if "num_banks" in own:
            del attributes["n_banks"]
        is_dram = "DRAM" in entries["class"].text()
        fail = partial(attribute_error, entries)
        fields = storage_fields(attributes, is_dram=is_dram, fail=fail)
        instances, cluster = common["mesh_x"] * common["mesh_y"], fields["cluster_size"]
        if instances % cluster:  # as in the reference, which stops (``model/buffer.cpp``)
            word = "cluster_size" if "cluster_size" in own else "block_size" if "block_size" in own else "width"
            raise fail(word, f"lines shared by {cluster} instances each, and there are {instances}")
        known = {**self.handed_down, **self.networks.energies(own, self.inherited, fail), **own}
        wires = wires_below(known, fields["datawidth"], fail)
        charges = storage_charges(known, fail)
        charges["metadata"] = metadata_store(known, fail)
        charges["gated_at"] = self.gated_at(common["name"], known, fail)
        try:
            return Storage(**common, attributes=attributes, constraints=constraints, wires=wires, **fields, **charges)
        except InputError as error:  # a size is beyond what is counted
            raise size_error(entries, error) from None

    def gated_at(self, name: str, known: Mapping[str, Any], fail: Fail) -> str:
        """Return at which other level a storage is switched off; empty where it is by itself."""
        said = known.get("power_gated_at")
        if said is None:
            return "" if self.gates.gater == name else self.gates.gater
        if not isinstance(said, str):
            raise fail("power_gated_at", f"must be the name of a level, found {str(said)[:40]!r}")
        self.gates.named.append((said, fail("power_gated_at", f"no level is named '{said[:60]}'")))
        return "" if said == name else said

    def compute(self, entries: Entries, own: dict[str, Any], constraints: Constraints, common: dict[str, Any]) -> Level:
        if replace(constraints, bypass_all_but=None) != Constraints():
            raise entries.get("constraints", entries["name"]).fail(
                "a compute component keeps nothing and has no loops of its own"
            )
        attributes = {**self.inherited, **own}
        datawidth = attributes.get("datawidth", 16)
        if isinstance(datawidth, bool) or not isinstance(datawidth, int | float) or datawidth < 1 or datawidth % 1:
            raise entries["name"].fail(f"the datawidth must be a whole number of bits, found {datawidth!r}")
        fail = partial(attribute_error, entries)
        widths, packing = value_widths(attributes, fail), product_fields(attributes, int(datawidth), fail)
        if packing["products"]:
            self.pack(entries)
        return Compute(**common, attributes=attributes, datawidth=int(datawidth), value_widths=widths, **packing)

    def pack(self, entries: Entries) -> None:
        """Place the fan-out to the products that one unit does at once."""
        name = products_name(entries["name"].text())
        if name in self.targets:
            raise entries["name"].fail(f"its products at once make a level '{name}', and a second node is named so")
        x, y = self.mesh_x, self.mesh_y
        one = Spatial(name=name, component="fanout", mesh_x=x, mesh_y=y, fanout_x=1, fanout_y=1, packs=True)
        self.levels.append(one)

    def spread(self, leaf: Leaf, spatial: LoopConstraints, *, has_gating: bool) -> None:
        """Place the fan-out level that a node brings, and count its instances."""
        fanout_x, fanout_y = self.fanout(leaf)
        name, entries = leaf.name, leaf.entries
        self.targets += [name, fanout_name(name)]
        if (fanout_x, fanout_y) == (1, 1):
            if spatial != LoopConstraints() and leaf.tag == "!Component":
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
                wires=wires_below(self.handed_down, 1, partial(attribute_error, entries)),
                fanout_x=fanout_x,
                fanout_y=fanout_y,
            )
        except InputError as error:  # more instances than are counted
            raise entries["spatial"].fail(error.message) from None
        self.levels.append(fan_out)
        self.gates.passed(fan_out.name, has_gating=has_gating)
        self.mesh_x *= fanout_x
        self.mesh_y *= fanout_y

    def fanout(self, leaf: Leaf) -> tuple[int, int]:
        spatial = leaf.entries.get("spatial")
        if spatial is None or spatial.value is None:
            return 1, 1
        sizes = without_ignored(spatial).mapping(known=("meshX", "meshY"))
        x, y = (whole_number(sizes[a], self.inherited, 1) if a in sizes else 1 for a in ("meshX", "meshY"))
        return x, y

    def check_name(self, leaf: Leaf) -> None:
        if leaf.name in self.targets:
            raise leaf.entries["name"].fail(f"a second node is named '{leaf.name}'")


def _passing(level: Level, tensors: frozenset[str], said: tuple[Said, ...]) -> Level:
    """Return the level with tensors that pass by as another branch keeps them, and where that is said."""
    if isinstance(level, Spatial):
        return level
    own = level.constraints
    return replace(level, constraints=replace(own, bypass=own.bypass | tensors, said=own.said + said))


def _is_gating(entries: Entries, attributes: dict[str, Any]) -> bool:
    """Take ``has_power_gating`` out of a node's attributes, which do not hand it down, and return what it says."""
    said = attributes.pop("has_power_gating", False)
    if not isinstance(said, bool):
        raise attribute_error(entries, "has_power_gating", f"must be true or false, found {str(said)[:40]!r}")
    return said


def _kind(node: Node) -> str:
    name = node.text()
    for kind, words in (("storage", _STORAGE), ("compute", _COMPUTE), ("network", NETWORK_CLASSES)):
        if any(word in name for word in words):
            return kind
    known = ", ".join((*_STORAGE, *_COMPUTE))
    raise node.fail(f"unknown class '{name[:60]}'; a class is known by a part of its name, one of {known}")
