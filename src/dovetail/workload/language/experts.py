"""How many experts a step wakes, and how many tokens each of them gets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dovetail.errors import InputError
from dovetail.workload.language.model import Experts

#: Loads that differ, at most, where loads are spread: each is a layer to map.
GROUPS = 8
#: Experts of a block, and experts with a load of their own in all blocks: no model comes near.
MOST_EXPERTS, MOST_LOADS = 1 << 16, 1 << 22


@dataclass(frozen=True)
class Routing:
    """Who gets which share of the tokens.

    Attributes:
        frequencies: how often a token takes each expert, relative to the others; None: all as often.
        spread: whether experts get as many tokens as chance gives them; else those that get any get as many each.
    """

    frequencies: tuple[float, ...] | None = None
    spread: bool = False

    def chances(self, experts: Experts) -> tuple[float, ...]:
        """Return the chance that a token takes each expert; they sum up to how many it takes.

        Raises:
            InputError: there are far too many experts, or not as many frequencies as experts; or one expert would be
                taken more than once.
        """
        if experts.count > MOST_EXPERTS:
            raise InputError(f"a mixture of {experts.count:,} experts; at most {MOST_EXPERTS:,} are counted")
        if self.frequencies is None:
            return (experts.chosen / experts.count,) * experts.count
        if len(self.frequencies) != experts.count:
            raise InputError(f"{len(self.frequencies)} frequencies for {experts.count} experts")
        most = max(self.frequencies)
        if not most > 0 or min(self.frequencies) < 0:
            raise InputError("frequencies of experts must not be negative, and not all be 0")
        shares = [each / most for each in self.frequencies]  # their sum is finite, whatever they are
        total = math.fsum(shares)
        chances = tuple(experts.chosen * each / total for each in shares)
        if max(chances) > 1 + 1e-9:
            raise InputError(
                f"a token takes {experts.chosen} different experts, so that none can have more than "
                f"1/{experts.chosen} of all; one has {max(chances) / experts.chosen:.3g}"
            )
        return chances


@dataclass(frozen=True)
class Mixed:
    """How runs and rows of a mixture's products follow the batch.

    Attributes:
        experts: the mixture.
        rows: tokens per sequence.
        blocks: blocks with such a mixture.
        routing: who gets which share.
    """

    experts: Experts
    rows: int
    blocks: int
    routing: Routing

    def loads(self, batch: int) -> tuple[tuple[int, int], ...]:
        """Return the rows of a run, each with how many runs have as many, at a batch size."""
        return loads(self.experts, batch * self.rows, self.blocks, self.routing)


def distinct(experts: Experts, tokens: int, routing: Routing | None = None) -> float:
    """Return the expected number of experts that get a token: sum of ``1 - (1 - chance) ** tokens``."""
    return math.fsum(_taken(chance, tokens) for chance in (routing or Routing()).chances(experts))


def _taken(chance: float, tokens: int) -> float:
    return 1.0 if chance >= 1 else -math.expm1(tokens * math.log1p(-chance))


def loads(experts: Experts, tokens: int, blocks: int, routing: Routing | None = None) -> tuple[tuple[int, int], ...]:
    """Return how many tokens experts get, each with how many do, in all blocks together; larger loads first.

    The number of experts that get any is the expected one, rounded once for all blocks; the tokens are all handed out.

    Args:
        experts: the mixture.
        tokens: tokens of a step, of all sequences.
        blocks: blocks with such a mixture.
        routing: who gets which share.
    """
    routing = routing or Routing()
    total = blocks * tokens * experts.chosen
    runs = min(total, max(1, round(blocks * distinct(experts, tokens, routing))))
    if not routing.spread and routing.frequencies is None:
        return _evenly(total, runs)
    if runs > MOST_LOADS:
        raise InputError(f"{runs:,} experts with a load of their own; at most {MOST_LOADS:,} are told apart")
    wanted = _quantiles(_distribution(experts, tokens, routing), runs)
    scale = total / math.fsum(wanted)
    groups = [wanted[runs * part // GROUPS : runs * (part + 1) // GROUPS] for part in range(GROUPS)]
    found: dict[int, int] = {}
    handed, exact = 0, 0.0
    for group in groups:
        exact += scale * math.fsum(group)
        upto = total if group is groups[-1] else max(handed + len(group), round(exact))
        for rows, count in _evenly(upto - handed, len(group)) if group else ():
            found[rows] = found.get(rows, 0) + count
        handed = upto if group else handed
    return tuple(sorted(found.items(), reverse=True))


def _evenly(total: int, runs: int) -> tuple[tuple[int, int], ...]:
    rows, more = divmod(total, runs)
    return tuple((size, count) for size, count in ((rows + 1, more), (rows, runs - more)) if count and size)


def _distribution(experts: Experts, tokens: int, routing: Routing) -> list[tuple[float, float]]:
    """Return (load, weight) of the experts that get any, by rising load."""
    weights: dict[float, float] = {}
    for chance, count in _counted(routing.chances(experts)):
        if not routing.spread:
            taken = _taken(chance, tokens)
            if taken > 0:
                load = tokens * chance / taken
                weights[load] = weights.get(load, 0.0) + count * taken
            continue
        for load, weight in _binomial(chance, tokens):
            weights[load] = weights.get(load, 0.0) + count * weight
    return sorted(weights.items())


def _counted(values: Sequence[float]) -> list[tuple[float, int]]:
    found: dict[float, int] = {}
    for value in values:
        found[value] = found.get(value, 0) + 1
    return list(found.items())


def _binomial(chance: float, tokens: int) -> list[tuple[float, float]]:
    """Return the loads above 0 that are likelier than a billionth, each with its chance."""
    if chance <= 0:
        return []
    if chance >= 1:
        return [(float(tokens), 1.0)]
    mean, reach = tokens * chance, 8 * math.sqrt(tokens * chance * (1 - chance)) + 30
    low, high = max(1, math.floor(mean - reach)), min(tokens, math.ceil(mean + reach))
    found = []
    for load in range(low, high + 1):
        ways = math.lgamma(tokens + 1) - math.lgamma(load + 1) - math.lgamma(tokens - load + 1)
        weight = math.exp(ways + load * math.log(chance) + (tokens - load) * math.log1p(-chance))
        if weight > 1e-9:
            found.append((float(load), weight))
    return found


def _quantiles(distribution: Sequence[tuple[float, float]], runs: int) -> list[float]:
    """Return so many loads, rising, that are spread as the distribution is."""
    total = math.fsum(weight for _, weight in distribution)
    result: list[float] = []
    reached = 0.0
    for load, weight in distribution:
        reached += weight
        upto = min(runs, round(runs * reached / total))
        result += [load] * (upto - len(result))
    return result + [distribution[-1][0]] * (runs - len(result))
