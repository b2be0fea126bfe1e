"""Roles in matrix products: which operand is held and which moves; problems renamed, or read in other words."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dovetail.errors import InputError, did_you_mean
from dovetail.workload.problem import GROUPED_CONVOLUTION, MATRIX_PRODUCT, Problem, Shape, Tensor, Term, check_name

#: What designs call the tensors of a layer: the held operand, the moving one, the result.
WEIGHTS, INPUTS, OUTPUTS = "Weights", "Inputs", "Outputs"
_DIMENSIONS = frozenset("CMRSTNDPQG")
_TENSORS = frozenset((WEIGHTS, INPUTS, OUTPUTS))


@dataclass(frozen=True)
class Roles:
    """A batch of matrix products: what its dimensions and tensors do, by the problem's own names.

    Attributes:
        left: the operand that moves unless said otherwise.
        right: the operand that is held unless said otherwise.
        output: the result.
        reduction: the dimension that is summed; all dimensions are None where there is none.
        rows: of the left operand and the result.
        columns: of the right operand and the result.
        groups: of all three.
        free: whether the names leave open which operand is held.
    """

    left: str
    right: str
    output: str
    reduction: str | None
    rows: str | None
    columns: str | None
    groups: str | None
    free: bool

    def exchanged(self) -> Roles:
        """Return the same product with its operands exchanged."""
        return replace(self, left=self.right, right=self.left, rows=self.columns, columns=self.rows)


@dataclass(frozen=True)
class Reading:
    """A problem as a design is to see it.

    Attributes:
        problem: in the words that the design speaks.
        text: what was read as what, for a person; empty where the problem stands as it was.
        names: the problem's own name -> the word it goes by, for every dimension and tensor that the problem has; a
            name that both have is the dimension's.
        padded_from: the sizes that the problem has without padding; empty where nothing is padded.
    """

    problem: Problem
    text: str = ""
    names: Mapping[str, str] | None = None
    padded_from: tuple[int, ...] = ()

    def word(self, name: str) -> str:
        """Return the word that one of the problem's own names goes by."""
        return name if self.names is None else self.names.get(name, name)


def matrix_roles(problem: Problem) -> Roles | None:
    """Return the roles of a batch of matrix products; None when the problem is anything else.

    Dimensions of size 1 do not count where they are one too many, so a 1x1 convolution over one column is a product.
    """
    operands = [tensor for tensor in problem.shape.tensors if not tensor.is_output]
    results = [tensor for tensor in problem.shape.tensors if tensor.is_output]
    if len(operands) != 2 or len(results) != 1:
        return None
    touched = [_points(problem, tensor) for tensor in (*operands, *results)]
    classes: dict[tuple[bool, ...], list[str]] = {}
    for dimension in problem.shape.dimensions:
        classes.setdefault(tuple(points is not None and dimension in points for points in touched), []).append(
            dimension
        )
    found: dict[tuple[bool, ...], str | None] = {}
    for place, names in classes.items():
        large = [name for name in names if problem.bound(name) > 1]
        if len(large) > 1 or (large and place not in _PLACES) or None in touched:
            return None
        found[place] = large[0] if large else names[0] if len(names) == 1 else None
    reduction, rows, columns, groups = (found.get(place) for place in _PLACES)
    roles = Roles(operands[0].name, operands[1].name, results[0].name, reduction, rows, columns, groups, free=True)
    if roles.left == WEIGHTS or roles.right == INPUTS:
        roles = roles.exchanged()
    named = roles.right == WEIGHTS or roles.left == INPUTS
    return replace(roles, free=problem.shape == MATRIX_PRODUCT or not named)


#: In which of (left operand, right operand, result) the reduction, rows, columns and groups occur.
_PLACES = ((True, True, False), (True, False, True), (False, True, True), (True, True, True))


def _points(problem: Problem, tensor: Tensor) -> frozenset[str] | None:
    """Return the dimensions of a tensor whose every axis is one dimension; None when an axis is more than that."""
    dimensions: set[str] = set()
    for axis in tensor.projection:
        terms = axis if len(axis) == 1 else [term for term in axis if problem.bound(term.dimension) > 1] or axis[:1]
        if len(terms) > 1 or terms[0].dimension in dimensions:
            return None
        if problem.coefficient(terms[0]) != 1 and problem.bound(terms[0].dimension) > 1:
            return None
        dimensions.add(terms[0].dimension)
    return frozenset(dimensions)


def readings(
    problem: Problem, dimensions: Collection[str], tensors: Collection[str], *, of_roles: bool = False
) -> tuple[Reading, ...]:
    """Return the ways to read a problem on a design; the best of them is to be taken.

    A product of two activations (`MATRIX_PRODUCT`) can hold either operand, and its rows can be ``P``, as the field's
    files have them, or ``N``, as a batch has them. A product with names of its own is read like that, too, where the
    design speaks of convolutions and of none of its names. Everything else stands as it is.

    Args:
        problem: the problem.
        dimensions: dimensions that the design's constraints name.
        tensors: tensors that they name.
        of_roles: whether it matters by which word a tensor of the problem goes, as where one of its operands is to stay
            in a memory: then two readings differ that make one problem of it, as of a product as wide as it is high.
    """
    spoken = frozenset(dimensions) | frozenset(tensors)
    own = frozenset(problem.shape.dimensions) | {tensor.name for tensor in problem.shape.tensors}
    if problem.shape == MATRIX_PRODUCT:
        roles = matrix_roles(problem)
        return _different(_product_readings(problem, roles), of_roles) if roles and spoken else (Reading(problem),)
    missing = spoken - own
    roles = matrix_roles(problem)
    meant = roles is not None and _may_be_meant(roles, missing)
    if spoken & (own - _DIMENSIONS - _TENSORS) or not (missing & (_TENSORS | {"C", "M"}) or meant):
        return (Reading(problem),)
    if roles is not None and (meant or not _speaks(roles)):
        return _different(_product_readings(problem, roles), of_roles)
    if _is_output_channels(problem, "K") and "M" not in own:
        return (Reading(renamed(problem, {"K": "M"}), "K is M; --rename says otherwise", {"K": "M"}),)
    return (Reading(problem),)


def _speaks(roles: Roles) -> bool:
    """Tell whether a product speaks of its reduction, its held side and its tensors as convolutions do."""
    names = (roles.reduction or "C", roles.columns or "M", roles.right, roles.left, roles.output)
    return names == ("C", "M", WEIGHTS, INPUTS, OUTPUTS)


def _may_be_meant(roles: Roles, missing: Collection[str]) -> bool:
    """Tell whether rows or groups with a name of their own may be what the design calls by a word that is missing."""
    sides = ((roles.rows, "NPQ"), (roles.groups, "G"))
    return any(
        name is not None and name not in _DIMENSIONS and not set(words).isdisjoint(missing) for name, words in sides
    )


def _is_output_channels(problem: Problem, dimension: str) -> bool:
    """Tell whether a dimension is that of a convolution's output channels, whatever it is called."""
    touching = {tensor.name for tensor in problem.shape.tensors if dimension in tensor.dimensions}
    return touching == {WEIGHTS, OUTPUTS} and {tensor.name for tensor in problem.shape.tensors} == _TENSORS


def _different(made: Iterator[Reading], of_roles: bool) -> tuple[Reading, ...]:
    """Return the readings whose problems differ, or also the words of their tensors, the first of equal ones."""

    def apart(reading: Reading) -> tuple[Problem, frozenset[tuple[str, str]]]:
        words = (reading.names or {}).items() if of_roles else ()
        return reading.problem, frozenset((name, word) for name, word in words if word in _TENSORS)

    return tuple({apart(reading): reading for reading in reversed(list(made))}.values())[::-1]


def _product_readings(problem: Problem, roles: Roles) -> Iterator[Reading]:
    for each in (roles, roles.exchanged()) if roles.free else (roles,):
        for rows in ("P", "N"):
            yield _reading(problem, each, rows, "left" if each.right == roles.left else "right")


def _reading(problem: Problem, roles: Roles, rows: str, held: str) -> Reading:
    """Read a product with its rows in one dimension; ``held`` tells which operand is."""
    sides = ((roles.reduction, "C"), (roles.columns, "M"), (roles.rows, rows), (roles.groups, "G"))
    sizes = {word: 1 if name is None else problem.bound(name) for name, word in sides}
    kinds = ((roles.right, WEIGHTS), (roles.left, INPUTS), (roles.output, OUTPUTS))
    names = {name: word for name, word in (*kinds, *sides) if name is not None}
    if rows == "N":
        read = _in_rows(sizes, problem.name, grouped=roles.groups is not None)
    else:
        shape = MATRIX_PRODUCT if roles.free else GROUPED_CONVOLUTION
        bounds = tuple(sizes.get(dimension, 1) for dimension in shape.dimensions)
        read = Problem(shape, bounds, (1,) * len(shape.coefficients), problem.name)
    if problem.widths:
        own = dict(zip((tensor.name for tensor in problem.shape.tensors), problem.widths, strict=True))
        wide = {word: own[name] for name, word in kinds}
        read = replace(read, widths=tuple(wide[tensor.name] for tensor in read.shape.tensors))
    read = replace(read, sum_bits=problem.sum_bits)
    if problem.shape == MATRIX_PRODUCT:
        text = f"its {held} operand is held as {WEIGHTS}" + (", its rows are N" if rows == "N" else "")
    else:
        listed = (
            ", ".join(f"{name} is {word}" for name, word in of if name not in (None, word)) for of in (sides, kinds)
        )
        text = f"read as a matrix product ({'; '.join(filter(None, listed))}); --rename says otherwise"
    return Reading(read, text, names)


def _in_rows(sizes: Mapping[str, int], name: str, *, grouped: bool) -> Problem:
    """Return the bare product of rows ``N``: a design that ties ``P`` or counts it on an axis has no say in them."""
    dimensions = ("C", "M", "N", "G") if grouped else ("C", "M", "N")

    def tensor(name: str, of: str, *, is_output: bool = False) -> Tensor:
        return Tensor(name, tuple((Term(each),) for each in of if each in dimensions), is_output)

    tensors = (tensor(WEIGHTS, "GCM"), tensor(INPUTS, "GNC"), tensor(OUTPUTS, "GNM", is_output=True))
    return Problem(Shape("product-of-rows", dimensions, tensors), tuple(sizes[d] for d in dimensions), (), name)


def renamed(problem: Problem, names: Mapping[str, str]) -> Problem:
    """Return the problem with dimensions and tensors renamed, all at once.

    A new name that something else of the same kind has, and keeps, is exchanged: ``K=C, N=M`` of a problem with ``M``
    makes that ``N``. Where a dimension and a tensor have one name (``B`` for batch, and for the second operand), a new
    name from a convolution's words tells which of them is meant; any other is for both.

    Raises:
        InputError: the problem has no such name, or two would get the same one.
    """
    shape = problem.shape
    dimensions, tensors = shape.dimensions, tuple(tensor.name for tensor in shape.tensors)
    for old, new in names.items():
        if old not in (*dimensions, *tensors):
            near = did_you_mean(old, (*dimensions, *tensors))
            raise InputError(f"{problem.name} has no dimension or tensor '{old}' to rename{near}")
        if check_name(new) in shape.coefficients:
            raise InputError(f"{problem.name}: '{old}' cannot be called '{new}', a coefficient is called so")
    both = frozenset(dimensions) & frozenset(tensors)
    of_dimension = _exchanged(dimensions, _without(names, both, _TENSORS), problem.name)
    of_tensor = _exchanged(tensors, _without(names, both, _DIMENSIONS), problem.name)
    made = tuple(
        Tensor(
            of_tensor[tensor.name],
            tuple(
                tuple(replace(term, dimension=of_dimension[term.dimension]) for term in axis)
                for axis in tensor.projection
            ),
            tensor.is_output,
        )
        for tensor in shape.tensors
    )
    return replace(
        problem, shape=replace(shape, dimensions=tuple(map(of_dimension.__getitem__, dimensions)), tensors=made)
    )


def made_room(problem: Problem, names: Mapping[str, str]) -> list[str]:
    """Return a clause for each dimension or tensor that `renamed` calls otherwise though nobody named it."""
    before, after = problem.shape, renamed(problem, names).shape
    pairs = [
        *zip(before.dimensions, after.dimensions, strict=True),
        *((one.name, two.name) for one, two in zip(before.tensors, after.tensors, strict=True)),
    ]
    return [
        f"{old} is called {new}, to make room for what is called {old} now"
        for old, new in dict.fromkeys(pairs)
        if old != new and old not in names
    ]


def _without(names: Mapping[str, str], shared: Collection[str], words: Collection[str]) -> dict[str, str]:
    """Return the names less those of a dimension and a tensor at once whose new name is one of the words."""
    return {old: new for old, new in names.items() if not (old in shared and new in words)}


def _exchanged(own: Sequence[str], names: Mapping[str, str], where: str) -> dict[str, str]:
    """Return the new name of each, those that must make room included."""
    result = {name: names.get(name, name) for name in own}
    for old in own:
        new = result[old]
        if old in names and new in own and new not in names and new != old:
            result[new] = old
    for place, name in enumerate(own):
        for other in own[:place]:
            if result[other] == result[name]:
                raise InputError(f"{where}: '{other}' and '{name}' cannot both be called '{result[name]}'")
    return result


def parse_renaming(text: str) -> dict[str, str]:
    """Read ``K=C,N=M,B=Weights`` (old name, new name).

    Raises:
        InputError: the text is none of that form, or renames one thing twice.
    """
    names: dict[str, str] = {}
    for part in text.split(","):
        old, sign, new = (piece.strip() for piece in part.partition("="))
        if not (old and sign and new):
            raise InputError(
                f"'{part}' is no renaming: write OLD=NEW, several with commas between, as K=C,N=M,B=Weights"
            )
        if old in names:
            raise InputError(f"'{old}' is renamed twice")
        names[old] = new
    return names
