"""Sorts a design's document into its sections: nodes, variables, constraints by target, component classes.

Everything about a design passes through here, whatever its form: behind stands v0.4, as `Sections` has it (older forms
become v0.4 in `dovetail.hardware.subtree`). Sections
that are not about hardware (problem, mapping, mapper, ERT, ART) are left to their own readers. Nothing is evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dovetail.document import Node
from dovetail.hardware.section_names import COMPONENTS, CONSTRAINTS, SECTIONS, with_known_sections
from dovetail.hardware.subtree import VERSIONS as OLDER_VERSIONS
from dovetail.hardware.subtree import is_older, read_subtree
from dovetail.hardware.values import without_ignored

#: Keys of other programs' documents that also have an architecture -> what such a document is.
_FOREIGN = {
    "einsum": "is a specification of TeAAL, whose architectures and mappings have no equal here",
    "network": "describes a network; its layers are the problems beside it: give their folder as the network",
    "workload": "is a specification of AccelForge; give its architecture ('arch') alone",
}
#: What `globals` names of other programs' code, which is never run -> what that means for the design.
_PYTHON = {
    "expression_custom_functions": "Python code is not run; give the names that call it a value with --set NAME=VALUE",
    "accelergy_plug_ins": "estimators of Accelergy are not run; 'dovetail components' says what stands in for them",
}
#: Kinds of constraints that only spare the reference's search some mappings: a least share of the units in use.
_LEAST_USE = ("utilization", "parallelism")
#: Where the first versions have the constraints.
_MAPSPACE = ("constraints", "targets")


@dataclass(frozen=True)
class Sections:
    """What a document says of a design, sorted by what it is about.

    Attributes:
        architecture: the value under ``architecture``; what is wrong with the whole design is said of it.
        nodes: the list of nodes in it, outer to inner.
        variables: names that expressions know, with their values as written.
        targeted: constraints that stand outside of the nodes, by the name of the node they are for, in order.
        component_classes: the compound component classes as they stand, for ``dovetail.components``.
        sparse: what a section of its own says about zeros, by the name of the level it is for.
        notes: what is passed over, a sentence each.
        vector_unit: the unit that does what lies between products, where it is declared.
    """

    architecture: Node
    nodes: Node
    variables: Mapping[str, Node]
    targeted: Mapping[str, tuple[Node, ...]]
    component_classes: tuple[Node, ...]
    sparse: Mapping[str, tuple[Node, ...]]
    notes: tuple[str, ...] = ()
    vector_unit: Node | None = None


def read_sections(document: Node) -> Sections:
    """Sort a document; the version of each section and what it may hold are checked.

    Raises:
        InputError: a section or a key in it is unknown, not supported, or missing.
    """
    whole = without_ignored(with_known_sections(document))
    for key, what in _FOREIGN.items():
        if key in whole.mapping():
            raise whole.mapping()[key].fail(what)
    sections = whole.mapping(known=SECTIONS, required=("architecture",))
    architecture = without_ignored(sections["architecture"])
    versions = OLDER_VERSIONS if is_older(architecture) else ("0.4",)
    notes = tuple(_check_the_rest(sections, versions))
    variables = _entries(sections, "variables", versions)
    classes = _component_classes(sections, versions)
    targets, least = _without_least_use(tuple(_targets(sections, versions)))
    notes += least
    sparse = _sparse(sections, versions)
    unit = sections.get("vector_unit")
    if is_older(architecture):
        _check_version(architecture.mapping(), versions)
        design = read_subtree(architecture, variables)
        notes += design.notes
        return Sections(architecture, design.nodes, variables, design.targeted(targets), classes, sparse, notes, unit)
    parts = architecture.mapping(known=("version", "nodes"), required=("nodes",))
    _check_version(parts, versions)
    return Sections(architecture, parts["nodes"], variables, _by_target(targets), classes, sparse, notes, unit)


def _check_version(parts: Mapping[str, Node], known: tuple[str, ...]) -> None:
    version = parts.get("version")
    if version is not None and str(version.value) not in known:
        if known == ("0.4",):
            raise version.fail(f"only Timeloop version 0.4 is read, found {version.kind}")
        raise version.fail(f"version {version.value} is not read; known: {', '.join(known)}")


def _entries(
    sections: Mapping[str, Node], name: str, versions: tuple[str, ...], known: tuple[str, ...] | None = None
) -> dict[str, Node]:
    """Return what a section holds beside its version, which is checked; nothing where there is no such section."""
    if name not in sections or sections[name].value is None:
        return {}
    section = sections[name]
    parts = _flat(section) if isinstance(section.value, list) else [section]
    entries: dict[str, Node] = {}
    for part in parts:  # a list of mappings means what they say together
        for key, node in without_ignored(part).mapping(known=None if known is None else ("version", *known)).items():
            if key in entries and entries[key].plain() != node.plain():
                raise node.fail(f"has another value already, in line {entries[key].line} of {entries[key].file}")
            entries[key] = node
    _check_version(entries, versions)
    entries.pop("version", None)
    return entries


def _check_the_rest(sections: Mapping[str, Node], versions: tuple[str, ...]) -> Iterator[str]:
    """Refuse what would change the meaning and is not supported; yield notes on what a command must be told."""
    mapper = sections.get("mapper")
    if mapper is not None and mapper.value is not None:
        yield f"{mapper.file}:{mapper.line}: 'mapper' is passed over: the search here needs no such options"
    if "read_from" in sections:  # what a neighbour's design says that has no equal here
        origin = sections["read_from"].mapping(known=("tool", "passed_over"), required=("tool", "passed_over"))
        for each in origin["passed_over"].sequence():
            yield f"{each.file}:{each.line}: read from {origin['tool'].text()}: {each.text()}"
    for name, keys in (
        ("globals", ("environment_variables", *_PYTHON)),
        ("mapspace", ("template", *_MAPSPACE)),
    ):
        entries = _entries(sections, name, versions, keys)
        for key, why in _PYTHON.items():
            if key in entries and entries[key].value:
                yield f"{entries[key].file}:{entries[key].line}: '{key}' is passed over: {why}"
        template = entries.get("template")
        if template is not None and template.value not in ("uber", "ruby"):
            raise template.fail("unknown mapspace template; known: uber (factors that divide), ruby (any factors)")
        if template is not None and template.value == "ruby":
            said = "the mapspace 'ruby' has factors that do not divide; 'dovetail map --imperfect' tries them"
            yield f"{template.file}:{template.line}: {said}"


def _targets(sections: Mapping[str, Node], versions: tuple[str, ...]) -> Iterator[Node]:
    for name in CONSTRAINTS:
        entries = _entries(sections, name, versions, ("targets",))
        yield from (_named(target) for target in entries["targets"].sequence()) if "targets" in entries else ()
    mapspace = _entries(sections, "mapspace", versions, ("template", *_MAPSPACE))
    yield from (_named(target) for target in mapspace["constraints"].sequence()) if "constraints" in mapspace else ()
    for level in mapspace["targets"].sequence() if "targets" in mapspace else ():
        yield from _of_level(level)


def _without_least_use(targets: tuple[Node, ...]) -> tuple[tuple[Node, ...], tuple[str, ...]]:
    """Return constraints without those on how many units are in use, and a note on each of these."""
    kept: list[Node] = []
    notes: list[str] = []
    for target in targets:
        kind = target.mapping().get("type")
        if kind is None or kind.value not in _LEAST_USE:
            kept.append(target)
            continue
        parts = target.mapping(known=("target", "type", "min"), required=("target", "min"))
        why = "mappings that leave units idle are compared by what they cost"
        least = parts["min"].number(0)
        notes.append(f"{kind.file}:{kind.line}: '{kind.value}' (at least {least:g}) is passed over: {why}")
    return tuple(kept), tuple(notes)


def _of_level(level: Node) -> Iterator[Node]:
    """Yield the constraints on one level as the oldest form has them: under its name, their entries as attributes.

    Those of other forms stand there, too, as they are.
    """
    if "type" in level.mapping():
        yield _named(level)
        return
    parts = level.mapping(known=("name", "constraints"), required=("name", "constraints"))
    for node in parts["constraints"].sequence():
        entries = node.mapping(known=("type", "attributes"), required=("type", "attributes"))
        inner = entries["attributes"]
        yield replace(inner, value={"target": parts["name"], "type": entries["type"], **inner.mapping()})


def _named(target: Node) -> Node:
    """Return a constraint that says under ``target`` what it is for, where some write ``name``."""
    parts = target.mapping()
    if "target" in parts or "name" not in parts:
        return target
    return replace(target, value={("target" if key == "name" else key): node for key, node in parts.items()})


def _by_target(targets: Sequence[Node]) -> dict[str, tuple[Node, ...]]:
    result: dict[str, tuple[Node, ...]] = {}
    for target in targets:
        whose = target.mapping(required=("target", "type"))["target"].text()
        result[whose] = (*result.get(whose, ()), target)
    return result


def _sparse(sections: Mapping[str, Node], versions: tuple[str, ...]) -> dict[str, tuple[Node, ...]]:
    """Return what the document's own section says about zeros; a level is its ``name``, or ``target`` in v0.4."""
    result: dict[str, tuple[Node, ...]] = {}
    entries = _entries(sections, "sparse_optimizations", versions, ("targets",))
    targets = entries.get("targets")
    for one in targets.sequence() if targets is not None and targets.value is not None else ():
        parts = one.mapping()
        if "name" not in parts and "target" not in parts:
            raise one.fail("the key 'name' is missing: of which level?")
        whose = parts["name" if "name" in parts else "target"].text()
        result[whose] = (*result.get(whose, ()), one)
    return result


def _component_classes(sections: Mapping[str, Node], versions: tuple[str, ...]) -> tuple[Node, ...]:
    result: list[Node] = []
    for name in COMPONENTS:
        classes = _entries(sections, name, versions, ("classes",)).get("classes")
        if classes is not None and classes.value is not None:
            version = _version_of(sections[name])
            result += [_versioned(each, version) for each in _flat(classes)]
    return tuple(result)


def _version_of(section: Node) -> Node | None:
    parts = _flat(section) if isinstance(section.value, list) else [section]
    return next((part.mapping()["version"] for part in parts if "version" in part.mapping()), None)


def _versioned(definition: Node, version: Node | None) -> Node:
    """Return a component class with the version of the section that it stands in, which says what its words mean."""
    if version is None or not isinstance(definition.value, dict):
        return definition
    return replace(definition, value={"version": version, **definition.value})


def _flat(node: Node) -> list[Node]:
    """Return the items of a list, lists among them (as ``include_all`` makes them) taken apart."""
    return [leaf for item in node.sequence() for leaf in (_flat(item) if isinstance(item.value, list) else [item])]
