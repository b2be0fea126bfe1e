"""A mapping as Timeloop's directives, as plain data: one temporal, spatial and bypass directive per target.

The form, with what the reference fills in where a directive is silent (its ``mapping/parser.cpp``): a dimension
that is not listed has factor 1; factor 0 stands for the dimension's whole bound; ``P=5,3`` runs 5 times, the last
time 3; permutations are innermost first, and dimensions they leave out follow in the problem's order; the first
``split`` dimensions of a spatial permutation lie on X, the rest on Y, all on X without ``split``; a tensor that is
neither kept nor bypassed is kept, unless the architecture's constraints make it pass by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import replace
from typing import Any

from dovetail.errors import InputError, did_you_mean
from dovetail.hardware.architecture import Architecture, Level, LoopConstraints, Spatial, Storage
from dovetail.mapping.constraints import bound_to
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.workload.problem import Problem

_KIND_OF_TYPE = {
    "temporal": "temporal",
    "spatial": "spatial",
    "bypass": "bypass",
    "bypassing": "bypass",
    "datatype": "bypass",
    "dataspace": "bypass",
    "data_space": "bypass",
}
_KEYS = {
    "temporal": {"factors", "factors_only", "permutation"},
    "spatial": {"factors", "factors_only", "permutation", "split"},
    "bypass": {"keep", "bypass", "keep_only", "bypass_only"},
}
#: What a directive of a kind may say of its level's hardware -> its name in the architecture's constraints.
_OF_HARDWARE = {
    "temporal": {"no_reuse": "no_reuse", "no_temporal_reuse": "no_reuse", "rmw_first_update": "rmw_first_update"},
    "spatial": {
        "no_reuse": "no_reuse",
        "no_multicast_no_reduction": "no_reuse",
        "no_link_transfer": "no_link_transfer",
    },
    "bypass": {},
}
#: What the reference knows and a mapping of ours cannot say; refused by name unless empty.
_UNSUPPORTED = {"no_coalesce": "accesses are always coalesced here"}
#: What the reference does not read -> the kind of directive of which it does: older versions wrote ``stream``.
PASSED_OVER = {"stream": "", "split": "spatial"}
_FACTOR = re.compile(r"\s*+,?\s*+(?:([A-Za-z_]\w*)\s*=+\s*|([A-Za-z_]+)\s*)([0-9]{1,18})(?:,([0-9]{1,18}))?(?![\w=])")
_REST = re.compile(r"[\s,]*")


def mapping_from_directives(directives: Any, architecture: Architecture, problem: Problem) -> Mapping:
    """Build the mapping that a list of directives describes, completed for this architecture and problem.

    Args:
        directives: a sequence of mappings with the keys ``target``, ``type`` and those of their type; ``factors`` as
            ``"C=4 P=5,3"``, as a list of such, or as ``{"C": 4, "P": [5, 3]}``; ``permutation`` as a list or a string.
        architecture: what the targets name.
        problem: whose dimensions and tensors the directives name.

    Returns:
        The mapping, without loops of one iteration unless the design is sparse: there the place of every loop counts,
        as it says which rank of a format it belongs to. Whether it fits is for ``check_mapping`` to say.

    Raises:
        InputError: with the key ``mapping[i].…`` of what is wrong.
    """
    said: dict[tuple[str, str], _Directive] = {}
    for directive in _read_directives(directives, architecture, problem):
        directive.refuse_other_hardware()
        place = (directive.level.name, directive.kind)
        if place in said and said[place].keeps_the_same(directive):
            continue
        if place in said:
            raise InputError(
                f"a second {directive.kind} directive for '{directive.level.name}'; the first is {said[place].key}",
                key=directive.key,
            )
        said[place] = directive
    levels = (level for level in bound_to(architecture, problem).levels if isinstance(level, Storage | Spatial))
    mapping = Mapping(tuple(_complete(level, said, problem) for level in levels))
    return mapping if architecture.is_sparse else mapping.normalized()


def hardware_from_directives(directives: Any, architecture: Architecture, problem: Problem) -> Architecture:
    """Return the architecture with what directives say of its hardware: ``no_link_transfer``, ``no_reuse`` and such.

    Mappings that the reference's tools write repeat there what the architecture's constraints say; those written by
    hand may be the only place that says it.

    Raises:
        InputError: as `mapping_from_directives`.
    """
    levels = {level.name: level for level in architecture.levels}
    for directive in _read_directives(directives, architecture, problem):
        level = levels[directive.level.name]
        for _, ours, tensors in directive.hardware():
            own = level.constraints
            if directive.kind == "temporal":
                own = replace(own, temporal=_with_tensors(own.temporal, ours, tensors))
            else:
                own = replace(own, spatial=_with_tensors(own.spatial, ours, tensors))
            level = replace(level, constraints=own)
        levels[level.name] = level
    return replace(architecture, levels=tuple(levels.values()))


def _with_tensors(loops: LoopConstraints, word: str, tensors: frozenset[str]) -> LoopConstraints:
    more: dict[str, Any] = {word: getattr(loops, word) | tensors}
    return replace(loops, **more)


def _read_directives(directives: Any, architecture: Architecture, problem: Problem) -> list[_Directive]:
    if not isinstance(directives, Sequence) or isinstance(directives, str):
        raise InputError(f"a mapping is a list of directives, not {_shown(directives)}", key="mapping")
    return [_Directive(raw, f"mapping[{at}]", architecture, problem) for at, raw in enumerate(directives)]


def mapping_to_directives(mapping: Mapping, architecture: Architecture, problem: Problem) -> list[dict[str, Any]]:
    """Write a mapping as directives, every factor and every tensor spelled out, levels outer to inner.

    Returns:
        Directives that ``mapping_from_directives`` turns back into ``mapping.normalized()``, or on a sparse design into
        the mapping with every loop of one iteration (those it lacks outermost); factors are integers, or
        ``[factor, residual]`` where the last pass is shorter.
    """
    tensors = [tensor.name for tensor in problem.shape.tensors]
    directives: list[dict[str, Any]] = []
    for entry in (mapping if architecture.is_sparse else mapping.normalized()).levels:
        if isinstance(architecture.level(entry.level), Spatial):
            inner_first = (*reversed(entry.spatial_x), *reversed(entry.spatial_y))
            directive = _loop_directive(entry.level, "spatial", inner_first, problem)
            directives.append({**directive, "split": len(entry.spatial_x)})
        else:
            directives.append(_loop_directive(entry.level, "temporal", tuple(reversed(entry.temporal)), problem))
        keep = [name for name in tensors if name in entry.keep]
        passed = [name for name in tensors if name not in entry.keep]
        directives.append({"target": entry.level, "type": "bypass", "keep": keep, "bypass": passed})
    return directives


def parse_factors(found: Any, problem: Problem, key: str) -> list[Loop]:
    """Read loop factors in any of their forms, in the order in which they stand.

    Args:
        found: ``"C=4 Q3 P=5,3"``, a list of such strings, or ``{"C": 4, "P": [5, 3]}``.
        problem: whose dimensions are meant; factor 0 becomes a dimension's whole bound.
        key: where it stands, for messages.
    """
    loops: list[Loop] = []
    for dimension, factor, residual in _stated_factors(found, key):
        if dimension not in problem.shape.dimensions:
            raise InputError(
                f"unknown dimension '{dimension}'{did_you_mean(dimension, problem.shape.dimensions)}", key=key
            )
        if any(loop.dimension == dimension for loop in loops):
            raise InputError(f"dimension {dimension} has two factors", key=key)
        whole = factor or problem.bound(dimension)
        if residual is not None and not 1 <= residual <= whole:
            raise InputError(
                f"the last pass of {dimension} makes {residual} of {whole} iterations; it must make 1 to {whole}",
                key=key,
            )
        loops.append(Loop(dimension, whole, None if residual == whole else residual))
    return loops


class _Directive:
    """One directive: what it says, checked as it is asked for."""

    def __init__(self, raw: Any, key: str, architecture: Architecture, problem: Problem) -> None:
        if not isinstance(raw, MappingOf):
            raise InputError(f"a directive is a mapping with 'target' and 'type', not {_shown(raw)}", key=key)
        self.key, self.problem = key, problem
        self.values = {str(name).replace("-", "_"): value for name, value in raw.items()}
        self.kind = self._kind()
        self.level = self._target(architecture)
        self._refuse_unknown()

    def _kind(self) -> str:
        if "type" not in self.values:
            raise InputError("missing key 'type': temporal, spatial or bypass", key=self.key)
        found = self.values["type"]
        kind = _KIND_OF_TYPE.get(found.replace("-", "_")) if isinstance(found, str) else None
        if kind is None:
            suggestion = did_you_mean(str(found), ["temporal", "spatial", "bypass", "datatype", "dataspace"])
            raise InputError(f"unknown type of directive {_shown(found)}{suggestion}", key=f"{self.key}.type")
        return kind

    def _target(self, architecture: Architecture) -> Level:
        if "target" not in self.values:
            raise InputError("missing key 'target': the name of a level", key=self.key)
        try:
            return target_level(self.values["target"], self.kind, architecture)
        except InputError as error:
            raise InputError(error.message, key=f"{self.key}.target") from None

    def _refuse_unknown(self) -> None:
        known = _KEYS[self.kind]
        for name, value in self.values.items():
            if name in _UNSUPPORTED and value:
                raise InputError(f"'{name}' is not supported in a mapping: {_UNSUPPORTED[name]}", key=self.key)
            if name not in known | {"target", "type", *_UNSUPPORTED, *_OF_HARDWARE[self.kind], *PASSED_OVER}:
                raise InputError(f"unknown key '{name}'{did_you_mean(name, known)}", key=self.key)
        for one, other in (("factors", "factors_only"), ("keep", "keep_only"), ("bypass", "bypass_only")):
            if one in self.values and other in self.values:
                raise InputError(f"'{one}' and '{other}' at once; give one", key=self.key)

    def keeps_the_same(self, other: _Directive) -> bool:
        """Say whether both say of the same tensors that they are kept, or pass by."""
        mine, theirs = (
            {word: frozenset(map(str, one.values.get(word) or ())) for word in _KEYS["bypass"]} for one in (self, other)
        )
        return self.kind == other.kind == "bypass" and mine == theirs

    def hardware(self) -> Iterator[tuple[str, str, frozenset[str]]]:
        """What it says of the level's hardware: its word, our word, and the tensors it holds for."""
        for name, ours in _OF_HARDWARE[self.kind].items():
            if self.values.get(name):
                yield name, ours, self._tensors(name)

    def refuse_other_hardware(self) -> None:
        """Refuse what contradicts the architecture: a mapping cannot carry it."""
        for name, ours, tensors in self.hardware():
            if not tensors <= getattr(getattr(self.level.constraints, self.kind), ours):
                raise InputError(
                    f"'{name}' is said of {', '.join(sorted(tensors))}, and the architecture does not say it; give it "
                    f"as {ours} in the architecture's constraints",
                    key=self.key,
                )

    def loops(self) -> list[Loop]:
        """All loops, innermost first, with the permutation completed."""
        name = "factors_only" if "factors_only" in self.values else "factors"
        found = self.values.get(name)
        loops = (
            {}
            if found is None
            else {loop.dimension: loop for loop in parse_factors(found, self.problem, f"{self.key}.{name}")}
        )
        return [loops.get(name, Loop(name, 1)) for name in self.permutation()]

    def permutation(self) -> list[str]:
        """All dimensions, innermost first."""
        key, dimensions = f"{self.key}.permutation", self.problem.shape.dimensions
        stated = _stated_permutation(self.values.get("permutation"), dimensions, key)
        for name in stated:
            if name not in dimensions:
                raise InputError(f"unknown dimension '{name}'{did_you_mean(name, dimensions)}", key=key)
            if stated.count(name) > 1:
                raise InputError(f"dimension {name} stands in the permutation twice", key=key)
        return stated + [name for name in dimensions if name not in stated]

    def split(self) -> int:
        """How many dimensions of the permutation lie on X."""
        found, most = self.values.get("split"), len(self.problem.shape.dimensions)
        if found is None:
            return most
        if isinstance(found, bool) or not isinstance(found, int) or found < 0:
            raise InputError(
                f"split is {_shown(found)}; it must be a whole number from 0 (all on Y) to {most} (all on X)",
                key=f"{self.key}.split",
            )
        return found

    def kept(self, default: frozenset[str]) -> frozenset[str]:
        """The tensors kept, given those kept when nothing is said."""
        everything = frozenset(tensor.name for tensor in self.problem.shape.tensors)
        if "keep_only" in self.values:
            return self._tensors("keep_only")
        if "bypass_only" in self.values:
            return everything - self._tensors("bypass_only")
        keep, bypass = self._tensors("keep"), self._tensors("bypass")
        if keep & bypass:
            raise InputError(f"{sorted(keep & bypass)[0]} is both kept and bypassed", key=self.key)
        return (default | keep) - bypass

    def _tensors(self, name: str) -> frozenset[str]:
        key, found = f"{self.key}.{name}", self.values.get(name)
        listed = [] if found is None else [found] if isinstance(found, str) else found
        known = [tensor.name for tensor in self.problem.shape.tensors]
        if not isinstance(listed, Sequence) or not all(isinstance(item, str) for item in listed):
            raise InputError(f"a list of tensors is needed, not {_shown(found)}", key=key)
        for item in listed:
            if item not in known and item != "*":
                raise InputError(f"unknown tensor '{item}'{did_you_mean(item, known)}", key=key)
        return frozenset(known if "*" in listed else listed)


def target_level(target: Any, kind: str, architecture: Architecture) -> Level:
    """Find the level that a directive or constraint is about.

    A target is a level's name, or its number counted from the innermost storage as the reference counts. A spatial
    directive may also name the container whose instances it fans out to (``PE`` for ``inter_PE_spatial``), or the
    storage right outside of the fan-out, as older files do.

    Args:
        target: name or number.
        kind: ``temporal``, ``spatial`` or ``bypass``.
        architecture: where to look.
    """
    levels = [level for level in architecture.levels if isinstance(level, Storage | Spatial)]
    if isinstance(target, int) and not isinstance(target, bool):
        if not 0 <= target < len(levels):
            raise InputError(f"level {target} of {len(levels)}; levels count from 0, the innermost")
        found: Level = levels[-1 - target]
    elif isinstance(target, str):
        names = [level.name for level in levels]
        if target not in names and f"inter_{target}_spatial" in names and kind == "spatial":
            target = f"inter_{target}_spatial"
        if target not in names and target.removesuffix("_dummy") in names:  # as the front end's first releases wrote it
            target = target.removesuffix("_dummy")
        if target not in names:
            raise InputError(f"{architecture.name} has no level '{target}'{did_you_mean(target, names)}")
        found = architecture.level(target)
    else:
        raise InputError(f"a target is the name of a level, not {_shown(target)}")
    if kind == "spatial" and not isinstance(found, Spatial):
        inside = architecture.levels[architecture.levels.index(found) + 1]
        if not isinstance(inside, Spatial):
            raise InputError(f"'{found.name}' has no fan-out below it, so it can have no spatial loops")
        return inside
    return found


def _complete(level: Level, said: dict[tuple[str, str], _Directive], problem: Problem) -> LevelMapping:
    temporal = said.get((level.name, "temporal"))
    time_loops = tuple(reversed(temporal.loops())) if temporal else ()
    everything = frozenset(tensor.name for tensor in problem.shape.tensors)
    bypass = said.get((level.name, "bypass"))
    if isinstance(level, Storage):
        default = everything - level.constraints.bypass
        return LevelMapping(level.name, temporal=time_loops, keep=bypass.kept(default) if bypass else default)
    if any(loop.factor > 1 for loop in time_loops):
        assert temporal is not None
        raise InputError(
            f"'{level.name}' is a fan-out, which has no loops over time; give them to the storage around it",
            key=f"{temporal.key}.factors",
        )
    if bypass and bypass.kept(frozenset()):
        raise InputError(f"'{level.name}' is a fan-out, which can keep nothing", key=f"{bypass.key}.keep")
    spatial = said.get((level.name, "spatial"))
    if spatial is None:
        return LevelMapping(level.name)
    on_x = set(spatial.permutation()[: spatial.split()])
    loops = spatial.loops()[::-1]
    return LevelMapping(
        level.name,
        spatial_x=tuple(loop for loop in loops if loop.dimension in on_x),
        spatial_y=tuple(loop for loop in loops if loop.dimension not in on_x),
    )


def _loop_directive(target: str, kind: str, inner_first: tuple[Loop, ...], problem: Problem) -> dict[str, Any]:
    loops = {loop.dimension: loop for loop in inner_first}
    dimensions = problem.shape.dimensions
    factors: dict[str, int | list[int]] = {}
    for name in dimensions:
        loop = loops.get(name, Loop(name, 1))
        factors[name] = loop.factor if loop.residual is None else [loop.factor, loop.residual]
    permutation = [*loops, *(name for name in dimensions if name not in loops)]
    return {"target": target, "type": kind, "factors": factors, "permutation": permutation}


def _stated_factors(found: Any, key: str) -> Iterator[tuple[str, int, int | None]]:
    """Yield (dimension, factor, residual) of each factor that is stated."""
    if isinstance(found, str):
        yield from _factors_of_text(found, key)
    elif isinstance(found, MappingOf):
        for name, value in found.items():
            pair = list(value) if isinstance(value, list | tuple) else [value]
            if not 1 <= len(pair) <= 2 or not all(type(item) is int and item >= 0 for item in pair):
                raise InputError(
                    f"the factor of {name} is {_shown(value)}; a whole number or [factor, residual]", key=key
                )
            yield str(name), pair[0], pair[1] if len(pair) == 2 else None
    elif isinstance(found, Sequence):
        for item in found:
            if not isinstance(item, str):
                raise InputError(f"a factor is written 'C=4', not {_shown(item)}", key=key)
            yield from _factors_of_text(item, key)
    else:
        raise InputError(f"factors are written 'C=4 Q=3', not {_shown(found)}", key=key)


def _factors_of_text(text: str, key: str) -> Iterator[tuple[str, int, int | None]]:
    text, at = text.split("#", 1)[0], 0
    while match := _FACTOR.match(text, at):
        with_sign, without, factor, residual = match.groups()
        yield with_sign or without, int(factor), None if residual is None else int(residual)
        at = match.end()
    rest = text[at:]
    if _REST.fullmatch(rest) is None:
        hint = "; a mapping states factors with '='" if "<" in rest or ">" in rest else ", such as 'C=4 Q=3 P=5,3'"
        raise InputError(f"cannot read {_shown(rest.strip())} as a loop factor{hint}", key=key)


def _stated_permutation(found: Any, dimensions: tuple[str, ...], key: str) -> list[str]:
    if found is None:
        return []
    if isinstance(found, str):
        pieces = re.split(r"[\s,]+", found.split("#", 1)[0].strip())
    elif isinstance(found, Sequence) and all(isinstance(item, str) for item in found):
        pieces = list(found)
    else:
        raise InputError(
            f"a permutation is a list of dimensions or a string such as 'CMRS', not {_shown(found)}", key=key
        )
    names: list[str] = []
    for piece in filter(None, pieces):
        names += [piece] if piece in dimensions or not isinstance(found, str) else list(piece)
    return names


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
