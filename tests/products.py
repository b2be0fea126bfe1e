"""Matrix products with names of their own, ``H M N K``, for what must hold whatever a problem's words are."""

from dovetail.workload.problem import Problem, Shape, Tensor, Term


def _axes(names: str) -> tuple[tuple[Term, ...], ...]:
    return tuple((Term(name),) for name in names)


#: ``Outputs[h, m, n] += Inputs[h, m, k] * Weights[h, k, n]``.
OWN_PRODUCT = Shape(
    "own-product",
    ("H", "M", "N", "K"),
    (
        Tensor("Weights", _axes("HKN")),
        Tensor("Inputs", _axes("HMK")),
        Tensor("Outputs", _axes("HMN"), is_output=True),
    ),
)


def own_product(*, M: int, N: int, K: int, H: int = 1, name: str = "matmul") -> Problem:
    """Build ``H`` products of an ``M x K`` by a ``K x N`` matrix."""
    return Problem(OWN_PRODUCT, (H, M, N, K), (), name)
