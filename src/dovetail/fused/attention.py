"""Attention's two products as one nest: blocks of queries, past which blocks of keys and values stream.

    for each block of groups (heads that share keys, of all sequences)
        for each block of queries                   queries on chip, outputs, running maximum and sum set to zero
            for each block of keys
                scores = queries x keys             from and to one memory; keys from the outermost level
                powers of the scores, maximum and sum
                outputs += scores x values          from and to that memory; values from the outermost level
            outputs off chip

Either product of a block is a problem of its own, mapped as any other on a design in which queries, scores and outputs
stay in that memory (`dovetail.network.resident`). As the two take turns, nothing further in outlasts a block's product.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dovetail.mapper.divisors import divisors_of
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import matrix_product

#: What the two products are called, behind what tells them from others.
SCORES, VALUES = "scores", "values"
#: What of either product stays in the memory, by the names that products of two activations come with.
OPERAND, RESULT = "Inputs", "Outputs"
#: Words per query that hold what its softmax has come to: the largest score so far, and the sum of powers.
STATE = 2


@dataclass(frozen=True)
class Attention:
    """The two products, as they came.

    Attributes:
        scores: queries by keys.
        values: what comes of that, by values.
        place: of the first of them among its network's layers; the other one follows it.
    """

    scores: Layer
    values: Layer
    place: int = 0

    @property
    def name(self) -> str:
        """What to call both."""
        return self.scores.name.rpartition(".")[0] or self.scores.name

    @property
    def groups(self) -> int:
        """Heads that share keys and values, of all sequences."""
        return self.scores.problem.bound("G")

    @property
    def queries(self) -> int:
        """Rows of a group: new tokens, of every head that shares its keys."""
        return self.scores.problem.bound("P")

    @property
    def keys(self) -> int:
        """Positions that each query attends to."""
        return self.scores.problem.bound("M")

    @property
    def size(self) -> int:
        """Channels of a query and of a key."""
        return self.scores.problem.bound("C")

    @property
    def value_size(self) -> int:
        """Channels of a value."""
        return self.values.problem.bound("M")

    @property
    def whole(self) -> Blocks:
        """All of it as one block."""
        return Blocks(self.groups, self.queries, self.keys)


@dataclass(frozen=True, order=True)
class Blocks:
    """How large the blocks of a nest are.

    Attributes:
        groups: of a block.
        queries: of each group.
        keys: of each group.
    """

    groups: int
    queries: int
    keys: int

    def count(self, attention: Attention) -> int:
        """Return how many blocks there are."""
        whole = attention.whole
        return whole.groups // self.groups * (whole.queries // self.queries) * (whole.keys // self.keys)

    def words(self, attention: Attention) -> dict[str, int]:
        """Return the words that stay in the memory while a block is worked on, by what they are."""
        rows = self.groups * self.queries
        return {
            "queries": rows * attention.size,
            "scores": rows * self.keys,
            "outputs": rows * attention.value_size,
            "maximum_and_sum": rows * STATE,
        }

    def products(self, attention: Attention) -> tuple[Layer, Layer]:
        """Return a block's two products, each as often as there are blocks."""
        scores = matrix_product(C=attention.size, M=self.keys, P=self.queries, G=self.groups)
        values = matrix_product(C=self.keys, M=attention.value_size, P=self.queries, G=self.groups)
        runs = self.count(attention)
        first, second = (
            replace(layer, problem=replace(problem, name=layer.problem.name), repeats=layer.repeats * runs)
            for layer, problem in ((attention.scores, scores), (attention.values, values))
        )
        return first, second


def attentions_of(network: Network) -> tuple[Attention, ...]:
    """Return the pairs of products of a network that are attention: scores, and then what is made of them."""
    found = []
    for place, (one, two) in enumerate(zip(network.layers, network.layers[1:], strict=False)):
        named = [each.name.partition(":")[0].rpartition(".")[2] for each in (one, two)]
        if named == [SCORES, VALUES] and all(each.kind == "matrix product" for each in (one, two)):
            found.append(Attention(one, two, place))
    return tuple(found)


def all_blocks(attention: Attention, room: int) -> list[Blocks]:
    """Return all sizes of blocks that divide the whole, and whose words fit."""
    found = []
    for groups in divisors_of(attention.groups):
        for queries in divisors_of(attention.queries):
            for keys in divisors_of(attention.keys):
                blocks = Blocks(groups, queries, keys)
                if sum(blocks.words(attention).values()) > room:
                    break
                found.append(blocks)
    return found
