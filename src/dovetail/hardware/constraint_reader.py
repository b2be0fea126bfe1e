"""Reads the constraints of Timeloop v0.4 nodes: what to keep, which factors, which order, which axis.

What a constraint means for one problem (all tensors, every dimension not named, the largest factor that fits) is left
in the result; :mod:`dovetail.hardware.binding` resolves it. What the reference knows and we do not is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from dovetail.document import Node
from dovetail.errors import InputError
from dovetail.expression import evaluate
from dovetail.hardware.architecture import Constraints, FactorConstraint, LoopConstraints, Relation, Said
from dovetail.hardware.values import LISTED_FIRST, Scope, listed, place_of, whole_number, without_ignored

_LOOP_KEYS = (
    "type", "target", "factors", "factors_only", "permutation", "no_reuse", "default_max_factor",
    "default_min_factor", "no_iteration_over_dataspaces", "must_iterate_over_dataspaces", "maximize_dims",
    "maximize_dims_capacity",
)  # fmt: skip
_TEMPORAL_KEYS = (*_LOOP_KEYS, "rmw_first_update")
_SPATIAL_KEYS = (*_LOOP_KEYS, "split", "no_link_transfer")
_TENSOR_KEYS = (
    "no_reuse", "no_link_transfer", "rmw_first_update", "no_iteration_over_dataspaces", "must_iterate_over_dataspaces",
)  # fmt: skip
_DATASPACE_KEYS = ("type", "target", "keep", "bypass", "keep_only", "bypass_only")
_GROUP_KEYS = ("temporal", "spatial", "dataspace")

#: What the reference knows and we do not: key -> what to say.
_REFUSED = {
    "remainders": "factors that do not divide (remainders) cannot be constrained yet",
    "no_coalesce": "coalescing is not modelled",
    "max_overbooked_proportion": "overbooked buffers are not modelled",
}

_FACTOR = re.compile(r"(\w+)\s*+(<=|>=|==|=|<|>)\s*+(.+)")
#: A sign between a dimension and its factor, with the space around it.
_SIGN = re.compile(r"(?<!\s)\s*+(<=|>=|==|=|<|>)\s*+")
#: The factor of old, as in ``R3``.
_WITHOUT_SIGN = re.compile(r"\s*([A-Za-z_]+)(\d{1,18})\s*")
_WHOLE_PROBLEM = re.compile(r"len\(\s*spec\.problem\.(instance|shape\.dimensions)\s*\)")
#: A split that puts every dimension on X, however many a problem has.
ALL_ON_X = 999


def read_group(node: Node, scope: Scope) -> Constraints:
    """Read a node's ``constraints``.

    Args:
        node: the mapping under the key.
        scope: names for expressions.

    Raises:
        InputError: a key is unknown or not supported, or a value is wrong.
    """
    return read_loops(node, (), scope, read_tensors(node, (), scope))


def read_tensors(node: Node | None, targeted: Iterable[Node], scope: Scope) -> Constraints:
    """Read which tensors a node keeps and lets pass by, of all that constrains it.

    Args:
        node: the mapping under the node's ``constraints``; None without one.
        targeted: constraints from elsewhere that are meant for the node.
        scope: names that lists of tensors may have.

    Raises:
        InputError: a key is unknown or not supported, or two contradict each other.
    """
    own = None if node is None or node.value is None else node.mapping().get("dataspace")
    parts = [] if own is None or own.value is None else [own]
    parts += [target for target in targeted if target_kind(target) == "dataspace"]
    result = Constraints()
    for part in parts:
        result = _joined_tensors(result, _read_tensors(part, scope), part)
    return result


def read_loops(node: Node | None, targeted: Iterable[Node], scope: Scope, onto: Constraints) -> Constraints:
    """Read what a node's loops must look like, of all that constrains it.

    Args:
        node: the mapping under the node's ``constraints``; None without one.
        targeted: constraints from elsewhere that are meant for the node.
        scope: names for expressions.
        onto: the node's constraints on tensors, which the result has, too.

    Raises:
        InputError: a key is unknown or not supported, a value is wrong, or two contradict each other.
    """
    own = {} if node is None or node.value is None else _known(node, _GROUP_KEYS, scope)
    result = onto
    for kind, part in (*own.items(), *((target_kind(target), target) for target in targeted)):
        if kind == "temporal":
            result = replace(result, temporal=_joined(result.temporal, _read_loops(part, _TEMPORAL_KEYS, scope), part))
        elif kind == "spatial":
            result = replace(result, spatial=_joined(result.spatial, _read_loops(part, _SPATIAL_KEYS, scope), part))
    return result


def target_kind(node: Node) -> str:
    """Return what a constraint with a ``target`` constrains, in a node's own words; raises InputError otherwise."""
    kind = node.mapping(required=("type",))["type"]
    if kind.text() in _REFUSED:
        raise kind.fail(f"not supported: {_REFUSED[kind.text()]}")
    known = {"temporal": "temporal", "spatial": "spatial", "dataspace": "dataspace"}
    known |= dict.fromkeys(("bypass", "bypassing", "datatype"), "dataspace")
    if kind.text() not in known:
        raise kind.fail(f"unknown type '{kind.text()}'; known: {', '.join(known)}")
    return known[kind.text()]


def _known(node: Node, keys: tuple[str, ...], scope: Scope) -> dict[str, Node]:
    plain = without_ignored(node)
    for name, part in plain.mapping().items():
        if name in _REFUSED:
            raise part.fail(f"not supported: {_REFUSED[name]}")
    return {name: _meant(part, scope) for name, part in plain.mapping(known=keys).items() if part.value is not None}


def _meant(part: Node, scope: Scope) -> Node:
    """Return the list or text that a value is the name of; the value itself where it is none."""
    if not isinstance(part.value, str) or part.quoted or part.value.strip() not in scope:
        return part
    value = scope[part.value.strip()]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return replace(part, value=[replace(part, value=item.strip("\"'")) for item in value])
    return replace(part, value=value.strip("\"'"), quoted=True) if isinstance(value, str) else part


def _read_tensors(node: Node, scope: Scope) -> Constraints:
    parts = _known(node, _DATASPACE_KEYS, scope)
    sets = {name: _names(part) for name, part in parts.items() if name not in ("type", "target")}
    keep, bypass = sets.get("keep", frozenset()), sets.get("bypass", frozenset())
    said = tuple(one for name in sets for one in _said("tensor", listed(parts[name])))
    result = Constraints(keep - {"*"}, bypass - {"*"}, said=said)
    if "*" in keep:
        result = replace(result, keep_all_but=frozenset())
    if "*" in bypass:
        result = replace(result, bypass_all_but=frozenset())
    if "keep_only" in sets:
        only = Constraints(sets["keep_only"] - {"*"}, bypass_all_but=sets["keep_only"] - {"*"})
        if "*" in sets["keep_only"]:
            only = Constraints(keep_all_but=frozenset())
        result = _joined_tensors(result, only, parts["keep_only"])
    if "bypass_only" in sets:
        only = Constraints(bypass=sets["bypass_only"] - {"*"}, keep_all_but=sets["bypass_only"] - {"*"})
        if "*" in sets["bypass_only"]:
            only = Constraints(bypass_all_but=frozenset())
        result = _joined_tensors(result, only, parts["bypass_only"])
    return _joined_tensors(result, Constraints(), node)


def _names(node: Node) -> frozenset[str]:
    return frozenset(item.text() for item in listed(node))


def _said(what: str, nodes: Iterable[Node]) -> list[Said]:
    return [Said(what, node.text(), place_of(node)) for node in nodes if node.text() not in ("*", "_")]


def _joined_tensors(one: Constraints, other: Constraints, node: Node) -> Constraints:
    joined = replace(
        one,
        keep=one.keep | other.keep,
        bypass=one.bypass | other.bypass,
        bypass_all_but=_intersection(one.bypass_all_but, other.bypass_all_but),
        keep_all_but=_intersection(one.keep_all_but, other.keep_all_but),
        said=one.said + other.said,
    )
    both = joined.keep & joined.bypass
    if joined.bypass_all_but is not None:
        both |= joined.keep - joined.bypass_all_but
    if joined.keep_all_but is not None:
        both |= joined.bypass - joined.keep_all_but
    if both:
        raise node.fail(f"{', '.join(sorted(both))} can not both be kept and pass by")
    return joined


def _intersection(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _read_loops(node: Node, keys: tuple[str, ...], scope: Scope) -> LoopConstraints:
    parts = _known(node, keys, scope)

    def read(name: str, reader: Callable[[Node], Any], default: Any) -> Any:
        return reader(parts[name]) if name in parts else default

    def number(part: Node) -> int:
        return whole_number(part, scope, minimum=1)

    factors: tuple[FactorConstraint, ...] = ()
    for name in ("factors", "factors_only"):
        if name in parts:
            factors = _checked_factors(factors + _read_factors(parts[name], scope), parts[name])
    inner, outer = read("permutation", _read_permutation, ((), ()))
    return LoopConstraints(
        factors=factors,
        inner=inner,
        outer=outer,
        split=read("split", lambda part: _read_split(part, scope), None),
        listed_first=any(parts[name].tag == LISTED_FIRST for name in ("permutation", "split") if name in parts),
        no_reuse=read("no_reuse", _names, frozenset()),
        no_link_transfer=read("no_link_transfer", _names, frozenset()),
        rmw_first_update=read("rmw_first_update", _names, frozenset()),
        only_listed="factors_only" in parts,
        no_iteration_over=read("no_iteration_over_dataspaces", _names, frozenset()),
        iteration_over=read("must_iterate_over_dataspaces", _names, None),
        maximize=read("maximize_dims", _read_maximize, ()),
        maximize_capacity=read("maximize_dims_capacity", number, None),
        default_max=read("default_max_factor", number, None),
        default_min=read("default_min_factor", number, None),
        said=tuple(_said_of_loops(parts, factors)),
    )


def _said_of_loops(parts: Mapping[str, Node], factors: Iterable[FactorConstraint]) -> Iterator[Said]:
    """Yield every name and key of a constraint on loops, with its place."""
    for key, node in parts.items():
        yield Said("key", key, place_of(node))
        if key in _TENSOR_KEYS:
            yield from _said("tensor", listed(node))
        elif key == "permutation":
            yield from _said("dimension", _listed_dimensions(node))
        elif key == "maximize_dims":
            groups = (listed(item) if isinstance(item.value, list) else [item] for item in node.sequence())
            yield from _said("dimension", (name for group in groups for name in group))
    for factor in factors:
        if factor.source is not None:
            yield Said("dimension", factor.dimension, factor.source)


def _read_split(node: Node, scope: Scope) -> int:
    if isinstance(node.value, str) and _WHOLE_PROBLEM.fullmatch(node.value.strip()):
        return ALL_ON_X  # the tutorial's way to say "more than any problem has dimensions"
    return whole_number(node, scope, minimum=0)


def _read_factors(node: Node, scope: Scope) -> tuple[FactorConstraint, ...]:
    if isinstance(node.value, str):
        tight = _SIGN.sub(r"\1", node.value.strip())
        items = [replace(node, value=text) for text in re.split(r"[,\s]+", tight) if text]
    else:
        items = node.sequence()
    return tuple(_read_factor(item, scope) for item in items)


def _read_factor(node: Node, scope: Scope) -> FactorConstraint:
    old = _WITHOUT_SIGN.fullmatch(node.text())
    match = _FACTOR.fullmatch(f"{old[1]}={old[2]}" if old else node.text().strip())
    if match is None:
        raise node.fail(f"'{node.text()[:60]}' is no factor; write it as 'C=4', 'C<=4' or 'C>=4'")
    dimension, sign, text = match.groups()
    try:
        value = replace(node, value=evaluate(text, scope)).integer(minimum=0)
    except InputError as error:
        raise node.fail(f"'{node.text()[:60]}': {error.message}") from None
    if sign in ("=", "=="):
        return FactorConstraint(dimension, Relation.EQ, value, place_of(node))
    value += {"<": -1, ">": 1}.get(sign, 0)
    if value < 1:
        raise node.fail(f"'{node.text()[:60]}' leaves no factor; factors are at least 1")
    return FactorConstraint(dimension, Relation.LE if sign[0] == "<" else Relation.GE, value, place_of(node))


def _checked_factors(factors: tuple[FactorConstraint, ...], node: Node) -> tuple[FactorConstraint, ...]:
    """Drop repeats; refuse what contradicts itself."""
    unique = tuple(dict.fromkeys(factors))
    for dimension in dict.fromkeys(factor.dimension for factor in unique):
        mine = [factor for factor in unique if factor.dimension == dimension]
        relations = [factor.relation for factor in mine]
        low = max((f.value for f in mine if f.relation is not Relation.LE), default=1)
        high = min((f.value for f in mine if f.relation is not Relation.GE), default=low)
        if len(set(relations)) < len(relations) or (0 not in [f.value for f in mine] and low > high):
            said = ", ".join(map(str, mine))
            raise node.fail(f"the factors {said} contradict each other")
    return unique


def _read_permutation(node: Node) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (inner, outer), outer to inner; the file lists the innermost first and may part the two by ``_``."""
    names = [item.text() for item in _listed_dimensions(node)]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise node.fail(f"the permutation names {doubled[0]} twice")
    at = names.index("_") if "_" in names else len(names)
    return tuple(reversed(names[:at])), tuple(reversed(names[at + 1 :]))


def _listed_dimensions(node: Node) -> list[Node]:
    """Return the items of a permutation; a text without commas stands for its letters, as in ``NCRS KQP``."""
    if not isinstance(node.value, str):
        return listed(node)
    text = node.value.partition("#")[0].strip()
    if re.fullmatch(r"\S+|[A-Z_\s]+", text) and "," not in text:
        return [replace(node, value=letter) for letter in text if letter.strip()]
    return listed(replace(node, value=text))


def _read_maximize(node: Node) -> tuple[tuple[str, ...], ...]:
    items = node.sequence()
    if any(isinstance(item.value, str) for item in items):
        return (tuple(item.text() for item in items),)
    return tuple(tuple(name.text() for name in item.sequence()) for item in items)


def _joined(one: LoopConstraints, other: LoopConstraints, node: Node) -> LoopConstraints:
    """Join two constraints on the same loops: lists add up, everything else may be said once."""
    empty = LoopConstraints()
    changes: dict[str, Any] = {}
    for name in LoopConstraints.__dataclass_fields__:
        mine, theirs = getattr(one, name), getattr(other, name)
        if name == "said":
            changes[name] = mine + theirs
            continue
        if theirs == getattr(empty, name):
            continue
        if name == "factors":
            changes[name] = _checked_factors(mine + theirs, node)
        elif isinstance(theirs, frozenset) and isinstance(mine, frozenset):
            changes[name] = mine | theirs
        elif mine in (getattr(empty, name), theirs):
            changes[name] = theirs
        else:
            raise node.fail(f"{name} is constrained twice: {mine} and {theirs}")
    return replace(one, **changes)
