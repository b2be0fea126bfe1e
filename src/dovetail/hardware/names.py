"""The names in an architecture's constraints: none may name a tensor or dimension that no layer at hand has.

A typo, or a problem with words of its own, would otherwise leave a design without the constraint that it states. One
thing is no mistake. Designs speak of convolutions, and layers of the field leave out what has one iteration: a matrix
product has `C`, `M` and `P`, and neither kernel nor columns. So a dimension of `VOCABULARY` that a layer lacks has one
iteration there, provided that the layer's tensors are Weights, Inputs and Outputs and none of its dimensions has a
name of its own under which the missing one could go: one that touches the same tensors.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dovetail.errors import InputError, did_you_mean
from dovetail.hardware.architecture import Architecture, Constraints, LoopConstraints, Said, Source

_KERNEL, _POSITION = frozenset({"Weights", "Inputs"}), frozenset({"Inputs", "Outputs"})

#: The dimensions of convolutions, as the reference's layer files name them, with the tensors that each touches.
VOCABULARY: Mapping[str, frozenset[str]] = {
    "C": _KERNEL,
    "M": frozenset({"Weights", "Outputs"}),
    **dict.fromkeys("TRS", _KERNEL),
    **dict.fromkeys("NDPQ", _POSITION),
    "G": _KERNEL | _POSITION,
}
_TENSORS = _KERNEL | _POSITION


@dataclass(frozen=True)
class Names:
    """The names that one layer has.

    Attributes:
        layer: what it is called.
        bounds: iterations per dimension, in the layer's order.
        tensors: the dimensions that each tensor depends on.
    """

    layer: str
    bounds: Mapping[str, int]
    tensors: Mapping[str, Collection[str]]

    def of(self, what: str) -> Collection[str]:
        """Return the names of its tensors or of its dimensions (``tensor``, ``dimension``)."""
        return self.tensors.keys() if what == "tensor" else self.bounds.keys()

    def touched(self, dimension: str) -> frozenset[str]:
        """Return the tensors that depend on a dimension."""
        return frozenset(name for name, dimensions in self.tensors.items() if dimension in dimensions)

    def candidates(self, dimension: str) -> tuple[str, ...]:
        """Return the dimensions with names of the layer's own under which a missing one of `VOCABULARY` could go."""
        return tuple(
            name
            for name, bound in self.bounds.items()
            if bound > 1 and name not in VOCABULARY and self.touched(name) == VOCABULARY.get(dimension)
        )

    def has_one_iteration_of(self, dimension: str) -> bool:
        """Tell whether a dimension that the layer lacks has one iteration there; see the module."""
        return dimension in VOCABULARY and self.tensors.keys() <= _TENSORS and not self.candidates(dimension)


def check_names(architecture: Architecture, layers: Sequence[Names]) -> Architecture:
    """Check that every name in the constraints is one of the layers'; return the architecture, its names known.

    Args:
        architecture: whose constraints are meant.
        layers: all layers at hand.

    Raises:
        InputError: no layer has such a tensor or dimension; with file, line, key and the nearest name.
    """
    listed = list(mentions(architecture))
    missing = [mention for mention in listed if not _is_known(mention, architecture, layers)]
    if missing:
        raise _failure(next((one for one in missing if one.source), missing[0]), missing, layers)
    known = frozenset((mention.what, mention.name) for mention in listed)
    return replace(architecture, elsewhere=architecture.elsewhere | known)


def _is_known(mention: Mention, architecture: Architecture, layers: Sequence[Names]) -> bool:
    if (mention.what, mention.name) in architecture.elsewhere or any(
        mention.name in one.of(mention.what) for one in layers
    ):
        return True
    return mention.what == "dimension" and all(one.has_one_iteration_of(mention.name) for one in layers)


@dataclass(frozen=True)
class Mention:
    """A tensor or dimension that a level's constraints name.

    Attributes:
        what: ``tensor`` or ``dimension``.
        name: as the constraint has it.
        level: which level's constraints.
        source: where a file says so; None for what no file says.
    """

    what: str
    name: str
    level: str
    source: Source | None


def mentions(architecture: Architecture) -> Iterator[Mention]:
    """Yield the names in an architecture's constraints, each with all its places, levels outer to inner."""
    for level in architecture.levels:
        own = level.constraints
        placed = [said for said in (*own.said, *own.temporal.said, *own.spatial.said) if said.what != "key"]
        yield from (Mention(said.what, said.name, level.name, said.source) for said in placed)
        known = {(said.what, said.name) for said in placed}
        tensors, dimensions = _tensors(own), _dimensions(own)
        tensors += [name for name in level.sparse.tensors if name not in tensors]
        dimensions += [name for name in level.sparse.dimensions if name not in dimensions]
        for what, names in (("tensor", tensors), ("dimension", dimensions)):
            yield from (Mention(what, name, level.name, None) for name in names if (what, name) not in known)


def only_in_formats(architecture: Architecture) -> frozenset[str]:
    """Return the dimensions that only formats name: a rank lists loops that it would take, and misses none."""
    listed = {name for level in architecture.levels for name in level.sparse.dimensions}
    return frozenset(listed.difference(*(_dimensions(level.constraints) for level in architecture.levels)))


def named(architecture: Architecture, what: str) -> frozenset[str]:
    """Return the tensors or the dimensions (``tensor``, ``dimension``) that the constraints name."""
    known = _NAMED.get(id(architecture))
    if known is None or known[0] is not architecture:  # equal ones may say other words, which come to the same
        if len(_NAMED) >= MOST_NAMED:
            _NAMED.clear()
        every = [(mention.what, mention.name) for mention in mentions(architecture)]
        words = {kind: frozenset(name for of, name in every if of == kind) for kind in ("tensor", "dimension")}
        _NAMED[id(architecture)] = known = architecture, words
    return known[1][what]


#: What architectures name, by their identity, and for how many at a time: every layer asks again.
_NAMED: dict[int, tuple[Architecture, dict[str, frozenset[str]]]] = {}
MOST_NAMED = 16


def source_of(said: Sequence[Said], what: str, name: str) -> Source | None:
    """Return where a word stands first; None when no file says it."""
    return next((one.source for one in said if one.what == what and one.name == name), None)


def _tensors(constraints: Constraints) -> list[str]:
    sets = [constraints.keep, constraints.bypass, constraints.keep_all_but, constraints.bypass_all_but]
    for loops in (constraints.temporal, constraints.spatial):
        sets += [loops.no_reuse, loops.no_link_transfer, loops.rmw_first_update]
        sets += [loops.no_iteration_over, loops.iteration_over]
    return sorted({name for names in sets for name in names or ()} - {"*"})


def _dimensions(constraints: Constraints) -> list[str]:
    return sorted({name for loops in (constraints.temporal, constraints.spatial) for name in dimensions_named(loops)})


def dimensions_named(loops: LoopConstraints) -> tuple[str, ...]:
    """Return the dimensions that constraints on loops name, each once."""
    groups = (tuple(factor.dimension for factor in loops.factors), loops.inner, loops.outer, *loops.maximize)
    return tuple(dict.fromkeys(name for group in groups for name in group))


def _failure(first: Mention, missing: Sequence[Mention], layers: Sequence[Names]) -> InputError:
    """Return the error about a name that no layer has: the nearest name, or what the layers have and the way out."""
    what, name = first.what, first.name
    known = dict.fromkeys(each for layer in layers for each in layer.of(what))
    near = did_you_mean(name, known)
    message = f"{layers[0].layer} has no" if len(layers) == 1 else "no layer at hand has a"
    message += f" {what} '{name}'" + (near if near.startswith(", did") else f"; the {what}s are {', '.join(known)}")
    candidates = [each for layer in layers for each in layer.candidates(name) if what == "dimension"]
    others = dict.fromkeys(mention.name for mention in missing if mention.name != name)
    if candidates or not near.startswith(", did"):
        message += f" (the design also speaks of {', '.join(others)})" if others else ""
        pair = f"{candidates[0] if candidates else 'OLD'}={name}"
        message += f"; correct the design, or say which of the problem's names are the design's: --rename {pair},..."
    if first.source is None:
        return InputError(f"a constraint of {first.level} names '{name}': {message}")
    return InputError(message, file=first.source.file, line=first.source.line, key=first.source.key)
