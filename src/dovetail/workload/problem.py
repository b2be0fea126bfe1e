"""A problem: a perfectly nested loop over dimensions, and the tensors it touches through affine projections."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from numbers import Integral

from dovetail.errors import InputError, did_you_mean
from dovetail.text import clean
from dovetail.workload.densities import DENSE, Density, check_pattern
from dovetail.workload.widths import SUMS, Named, Width, unknown_tensor, widths_text

#: What is counted in 64 bits with room to spare: one dimension or coefficient, and the words that any mapping moves.
MOST_ITERATIONS, MOST_WORDS = 2**31, 2**60
#: Signs that the name of a dimension, a coefficient or a tensor has at most.
LONGEST_NAME = 200
#: Places on an axis that are looked at one by one to tell which of them are touched.
_LISTED = 1 << 22


@dataclass(frozen=True)
class Term:
    """One summand of a projection: ``coefficient * index of dimension``; the coefficient by name, or 1."""

    dimension: str
    coefficient: str | None = None


def check_name(text: str) -> str:
    """Return what can be the name of a dimension, a coefficient or a tensor; raises InputError otherwise."""
    if not text.isidentifier():
        raise InputError(f"'{text}' is no name: letters, digits and underscores, not beginning with a digit")
    if len(text) > LONGEST_NAME:
        raise InputError(f"the name '{text[:40]}...' has {len(text)} signs; at most {LONGEST_NAME} are read")
    return text


@dataclass(frozen=True)
class Tensor:
    """A tensor of a problem.

    Attributes:
        name: ``Weights``, ``Inputs``, ``Outputs`` for convolutions; any name else.
        projection: per axis of the tensor, the terms whose sum is the index on that axis.
        is_output: whether the loop body writes it (read, add, write) or only reads it.
    """

    name: str
    projection: tuple[tuple[Term, ...], ...]
    is_output: bool = False

    def __post_init__(self) -> None:
        """Keep the name fit to be shown."""
        clean(self, "name")

    @property
    def dimensions(self) -> frozenset[str]:
        """The loop dimensions that the tensor depends on."""
        return frozenset(term.dimension for axis in self.projection for term in axis)


@dataclass(frozen=True)
class Shape:
    """What problems of one kind share: their dimensions in order, and their tensors in order."""

    name: str
    dimensions: tuple[str, ...]
    tensors: tuple[Tensor, ...]
    coefficients: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Keep names fit to be shown."""
        clean(self, "name", "dimensions", "coefficients")

    def tensor(self, name: str) -> Tensor:
        """Return the tensor of that name; raises InputError with the nearest name when there is none."""
        for tensor in self.tensors:
            if tensor.name == name:
                return tensor
        raise InputError(f"unknown tensor '{name}'{did_you_mean(name, [t.name for t in self.tensors])}")


@dataclass(frozen=True, repr=False)
class Problem:
    """A shape with its sizes.

    Attributes:
        shape: dimensions and tensors.
        bounds: iterations per dimension, in the shape's order of dimensions, each at least 1.
        coefficients: value per coefficient, in the shape's order of coefficients, each at least 1.
        name: what to call it in tables.
        densities: where each tensor's zeros are, in the shape's order of tensors; empty where all are dense.
        widths: how wide values are, in the shape's order of tensors, or empty; None: as wide as the design's words.
        sum_bits: bits of a partial sum; None: as many as it must have, and no more than the design's words.
    """

    shape: Shape
    bounds: tuple[int, ...]
    coefficients: tuple[int, ...] = ()
    name: str = "problem"
    densities: tuple[Density, ...] = ()
    widths: tuple[Width | None, ...] = ()
    sum_bits: int | None = None

    def __post_init__(self) -> None:
        """Keep the name fit to be shown, and check sizes once, so that nothing behind needs to."""
        clean(self, "name")
        for what, names, values in (
            ("dimension", self.shape.dimensions, self.bounds),
            ("coefficient", self.shape.coefficients, self.coefficients),
        ):
            if len(names) != len(values):
                raise InputError(f"{self.name}: {len(names)} {what}s {names} but {len(values)} values {values}")
            for name, value in zip(names, values, strict=True):
                if not isinstance(value, Integral):
                    raise InputError(f"{self.name}: {what} {name} is {value!r}; it must be a whole number")
                if value < 1:
                    raise InputError(f"{self.name}: {what} {name} is {value}; it must be at least 1")
                if value > MOST_ITERATIONS:
                    raise InputError(f"{self.name}: {what} {name} is {value}; at most {MOST_ITERATIONS} is counted")
        if self.widths and len(self.widths) != len(self.shape.tensors):
            raise InputError(f"{self.name}: {len(self.shape.tensors)} tensors but {len(self.widths)} widths")
        if self.widths and not any(self.widths):
            object.__setattr__(self, "widths", ())
        self.check_counts(self.macs)
        if self.densities and len(self.densities) != len(self.shape.tensors):
            raise InputError(f"{self.name}: {len(self.shape.tensors)} tensors but {len(self.densities)} densities")
        if all(density == DENSE for density in self.densities):
            object.__setattr__(self, "densities", ())
        for tensor, density in zip(self.shape.tensors, self.densities, strict=False):
            check_pattern(density, self.extent(tensor), tensor.name)

    def __repr__(self) -> str:
        sizes = zip(self.shape.dimensions, self.bounds, strict=True)
        shown = " ".join(f"{dimension}{bound}" for dimension, bound in sizes if bound > 1)
        return f"<Problem {self.name}: {shown or 'every size 1'}>"

    def density(self, tensor: str) -> Density:
        """Return where the zeros of the tensor of that name are."""
        names = [one.name for one in self.shape.tensors]
        return self.densities[names.index(tensor)] if self.densities else DENSE

    @property
    def bits_text(self) -> str:
        """The widths that are given, in words; empty where the design's words are all."""
        return widths_text([tensor.name for tensor in self.shape.tensors], self.widths, self.sum_bits)

    def with_widths(self, named: Named) -> Problem:
        """Return the problem with widths by the tensors' names, in capitals or not; others stay as they are.

        ``*`` stands for all tensors, ``sums`` for partial sums.

        Raises:
            InputError: it has no tensor of a name, or the sums' width has a scale.
        """
        names = [tensor.name for tensor in self.shape.tensors]
        widths: list[Width | None] = list(self.widths or (None,) * len(names))
        sum_bits = self.sum_bits
        for name, width in named.items():
            places = [place for place, own in enumerate(names) if own.lower() == name.lower()]
            if name == "*":
                widths = [width] * len(names)
            elif places:
                widths[places[0]] = width
            elif name.lower() != SUMS:
                raise unknown_tensor(name, names, self.name)
            elif width.scale_bits:
                raise InputError(f"{SUMS}={width}: partial sums share no scale")
            else:
                sum_bits = width.bits
        return replace(self, widths=tuple(widths), sum_bits=sum_bits)

    def width_of(self, name: str) -> Width | None:
        """Return the width of a tensor; None where it has none or there is no such tensor."""
        for tensor, width in zip(self.shape.tensors, self.widths, strict=False):
            if tensor.name == name:
                return width
        return None

    @property
    def reduction(self) -> int:
        """Products that are added up into one output value."""
        kept = frozenset[str]().union(*(tensor.dimensions for tensor in self.shape.tensors if tensor.is_output))
        sizes = zip(self.shape.dimensions, self.bounds, strict=True)
        return math.prod(bound for dimension, bound in sizes if dimension not in kept)

    def check_counts(self, iterations: int) -> None:
        """Check that no count of any mapping that runs the loop body so often can exceed 63 bits.

        A tile has at most as many words as the iterations inside it, times the largest coefficient of every axis,
        and again times the bound of a dimension for every further axis that it lies on. No step moves more than the
        tile, so that, over all iterations, bounds the words that a tensor moves anywhere.

        Raises:
            InputError: some can.
        """
        if iterations > MOST_WORDS:
            sizes = zip(self.shape.dimensions, self.bounds, strict=True)
            product = " x ".join(f"{dimension}={bound}" for dimension, bound in sizes if bound > 1)
            raise InputError(
                f"{self.name}: {iterations:.3g} multiply-accumulates ({product}); at most {MOST_WORDS:.3g} are counted"
            )
        for tensor in self.shape.tensors:
            most = self._most_words(tensor, iterations)
            if most > MOST_WORDS or self.words(tensor) > MOST_WORDS:
                raise InputError(
                    f"{self.name}: mappings can move {most:.3g} words of {tensor.name}; at most {MOST_WORDS:.3g} are "
                    f"counted (make sizes{', strides or dilations' if self.coefficients else ''} smaller)"
                )

    def _most_words(self, tensor: Tensor, iterations: int) -> int:
        most = iterations
        for axis in tensor.projection:
            most *= max(1, sum(self.coefficient(term) for term in axis))
        axes = [{term.dimension for term in axis} for axis in tensor.projection]
        for dimension in tensor.dimensions:
            most *= self.bound(dimension) ** (sum(dimension in axis for axis in axes) - 1)
        return most

    def most_words(self) -> int:
        """Return what no count of words, of any mapping whose factors divide, exceeds (see `check_counts`)."""
        return max(max(self._most_words(tensor, self.macs), self.words(tensor)) for tensor in self.shape.tensors)

    def bound(self, dimension: str) -> int:
        """Return the iterations of one dimension."""
        return self.bounds[self.shape.dimensions.index(dimension)]

    def coefficient(self, term: Term) -> int:
        """Return the factor of a projection's term."""
        if term.coefficient is None:
            return 1
        return self.coefficients[self.shape.coefficients.index(term.coefficient)]

    @property
    def macs(self) -> int:
        """Executions of the loop body: multiply-accumulates."""
        return math.prod(self.bounds)

    def extent(self, tensor: Tensor) -> tuple[int, ...]:
        """Return the tensor's size along each of its axes, in words."""
        return tuple(
            1 + sum(self.coefficient(term) * (self.bound(term.dimension) - 1) for term in axis)
            for axis in tensor.projection
        )

    def words(self, tensor: Tensor) -> int:
        """Return the tensor's size in words (the bounding box of what the loops touch)."""
        return math.prod(self.extent(tensor))

    def touched(self, tensor: Tensor) -> int:
        """Return how many of the tensor's words the loops touch: its size less the holes.

        Exact but where a dimension lies on several axes, or an axis of many places sums up several dimensions with
        gaps; there it is as many as there can be at most.
        """
        return min(
            math.prod(map(self._places, tensor.projection)),
            math.prod(self.bound(dimension) for dimension in tensor.dimensions),
        )

    def _places(self, axis: tuple[Term, ...]) -> int:
        """Return how many places on an axis are touched."""
        steps: dict[str, int] = {}
        for term in axis:
            steps[term.dimension] = steps.get(term.dimension, 0) + self.coefficient(term)
        loops = sorted((step, self.bound(dimension)) for dimension, step in steps.items() if self.bound(dimension) > 1)
        divisor = math.gcd(*(step for step, _ in loops)) if loops else 1
        reach, gap = 1, False
        for step, bound in loops:
            gap = gap or step // divisor > reach
            reach += step // divisor * (bound - 1)
        if not gap:
            return reach
        if len(loops) == 2:  # sums a*i + b*j, a and b coprime, are the same for pairs that are (b, -a) apart
            (a, first), (b, second) = ((step // divisor, bound) for step, bound in loops)
            return first * second - max(0, first - b) * max(0, second - a)
        most = min(reach, math.prod(bound for _, bound in loops))
        if reach > _LISTED:
            return most
        touched = 1  # bit i: place i
        for step, bound in loops:
            touched = _moved(touched, step // divisor, bound)
        return touched.bit_count()


def _moved(bits: int, step: int, times: int) -> int:
    """Return the union of a set of places (its bits) with itself moved by 0, 1, ... ``times - 1`` steps."""
    found, have = bits, 1
    while have < times:
        more = min(have, times - have)
        found |= found << step * more
        have += more
    return found


def _terms(*names: str) -> tuple[Term, ...]:
    return tuple(Term(*name.split("*")) for name in names)


def _axes(*names: str) -> tuple[tuple[Term, ...], ...]:
    return tuple(_terms(name) for name in names)


_CONV_COEFFICIENTS = ("Wstride", "Hstride", "Wdilation", "Hdilation")
_ROW, _COLUMN = _terms("P*Wstride", "R*Wdilation"), _terms("Q*Hstride", "S*Hdilation")

#: Convolution as the reference has it: input row ``P*Wstride + R*Wdilation``, column ``Q*Hstride + S*Hdilation``
#: (the names are paired that way round there; we keep its names).
CONVOLUTION = Shape(
    "cnn-layer",
    ("C", "M", "R", "S", "N", "P", "Q"),
    (
        Tensor("Weights", _axes("C", "M", "R", "S")),
        Tensor("Inputs", (*_axes("N", "C"), _ROW, _COLUMN)),
        Tensor("Outputs", _axes("N", "M", "P", "Q"), is_output=True),
    ),
    _CONV_COEFFICIENTS,
)

#: Grouped convolution: ``G`` indexes all three tensors, ``C`` and ``M`` count channels of one group.
GROUPED_CONVOLUTION = Shape(
    "grouped-cnn-layer",
    ("C", "M", "R", "S", "N", "P", "Q", "G"),
    (
        Tensor("Weights", _axes("G", "C", "M", "R", "S")),
        Tensor("Inputs", (*_axes("N", "G", "C"), _ROW, _COLUMN)),
        Tensor("Outputs", _axes("N", "G", "M", "P", "Q"), is_output=True),
    ),
    _CONV_COEFFICIENTS,
)

#: Product of two activations, in the words of the grouped convolution, as the field's layer files write it: ``C`` is
#: the reduction, ``M`` the held operand's outputs, ``P`` the moving operand's rows, ``G`` counts independent products
#: (heads, images), all else is 1. As imported, ``Weights`` is the right operand and ``Inputs`` the left one, but either
#: may be held: `dovetail.workload.roles`.
MATRIX_PRODUCT = replace(GROUPED_CONVOLUTION, name="product-layer")


def convolution(
    *,
    C: int,
    M: int,
    P: int,
    Q: int,
    R: int = 1,
    S: int = 1,
    N: int = 1,
    G: int = 1,
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    name: str = "convolution",
) -> Problem:
    """Build a convolution in output form (padding never enters: ``P`` x ``Q`` is the output).

    Args:
        C: input channels of one group.
        M: output channels of one group.
        P: output rows.
        Q: output columns.
        R: kernel rows.
        S: kernel columns.
        N: batch.
        G: groups; 1 gives the ungrouped shape.
        stride: (rows, columns).
        dilation: (rows, columns).
        name: what to call it.
    """
    coefficients = (stride[0], stride[1], dilation[0], dilation[1])
    bounds = (C, M, R, S, N, P, Q)
    if G == 1:
        return Problem(CONVOLUTION, bounds, coefficients, name)
    return Problem(GROUPED_CONVOLUTION, (*bounds, G), coefficients, name)


def linear(*, C: int, M: int, N: int = 1, P: int = 1, name: str = "linear") -> Problem:
    """Build a fully connected layer of ``N`` times ``P`` vectors (images, tokens) as the field's 1x1 convolution."""
    return convolution(C=C, M=M, P=P, Q=1, N=N, name=name)


def matrix_product(*, C: int, M: int, P: int, G: int = 1, name: str = "matmul") -> Problem:
    """Build ``G`` independent products of a moving ``P x C`` by a held ``C x M`` matrix."""
    return Problem(MATRIX_PRODUCT, (C, M, 1, 1, 1, P, 1, G), (1, 1, 1, 1), name)
