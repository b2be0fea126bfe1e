"""One point of a language model's cost: a phase at a batch size and a length, and where its energy goes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from dovetail.fused.search import FusedAttention
from dovetail.hardware.architecture import Architecture, Storage
from dovetail.network.between import BETWEEN
from dovetail.network.costs import MappedLayer, NetworkCost, sum_of, totals_of
from dovetail.network.resident import passing
from dovetail.tokens.cache import cached_share, reads_cache
from dovetail.tokens.resident import Plan
from dovetail.tokens.widths import Stored, cache_of, weights_of
from dovetail.workload.language.experts import distinct
from dovetail.workload.language.layers import Step
from dovetail.workload.language.model import LanguageModel
from dovetail.workload.network import Network

#: Parts of a model that energy is counted under, by how layers' names begin; everything else is ``other``.
PARTS = {
    **dict.fromkeys(("attention", "cross"), "attention"),
    **dict.fromkeys(("mlp", "expert", "shared", "router"), "mlp"),
    **dict.fromkeys(("head", "pooler"), "head"),
    "ssm": "ssm",
}
CACHE, OTHER = "cache", "other"
#: Kinds of what a model holds -> the operands of products that it may be.
_OPERANDS = {"weights": ("Weights",), "cache": ("Weights", "Inputs")}


@dataclass(frozen=True)
class Point:
    """One step of a model, mapped.

    Attributes:
        model: the model.
        step: which phase, of how many tokens.
        asked: its layers, as they were before they were mapped.
        cost: of all of them.
        plan: what stays on chip; None: nothing.
        fused: its attention, where that is fused.
        unfused: what the step costs where it is not; None: nothing is fused.
    """

    model: LanguageModel
    step: Step
    asked: Network = field(repr=False)
    cost: NetworkCost = field(repr=False)
    plan: Plan | None = field(default=None, repr=False)
    fused: tuple[FusedAttention, ...] = field(default=(), repr=False)
    unfused: NetworkCost | None = field(default=None, repr=False)

    @property
    def tokens(self) -> int:
        """New tokens of all sequences."""
        return self.step.new_tokens(self.model)

    @property
    def length(self) -> int:
        """What people call its length: positions attended to in decode, tokens of the prompt or the source else."""
        if self.step.phase == "decode":
            return self.step.attended
        return self.step.source if self.model.encodes else self.step.rows

    @property
    def source_tokens(self) -> int | None:
        """Tokens per sequence that an encoder reads, or read before a decode step; None where there is none."""
        return self.step.source if self.model.encodes else None

    @property
    def energy_J(self) -> float:
        """Of the whole step."""
        return self.cost.energy_pJ * 1e-12

    @property
    def energy_J_per_token(self) -> float:
        """Of one new token."""
        return self.energy_J / self.tokens

    @property
    def ms(self) -> float:
        """How long the step takes: a decode step is what every sequence waits for its next token."""
        return self.cost.seconds * 1e3

    @property
    def ms_per_token(self) -> float:
        """Time of the step over its new tokens, those of all sequences."""
        return self.ms / self.tokens

    @property
    def tokens_per_second(self) -> float:
        """Of all sequences together."""
        return self.tokens / self.cost.seconds

    @property
    def weights_bytes(self) -> float:
        """Of all parameters, as the outermost level holds them."""
        return self._outermost_bytes(self.weights)

    @property
    def cache_bytes(self) -> float:
        """Of all sequences' caches behind the step, as the outermost level holds them."""
        return self._outermost_bytes(self.cache)

    @property
    def bits_per_weight(self) -> float:
        """Of the outermost level, that a parameter takes on average, its share of a scale included."""
        return self.weights_bytes * 8 / self.model.parameters

    @property
    def bits_per_cached(self) -> float | None:
        """Likewise of a word of the cache; None: there is none."""
        count = sum(count for _, count in self.cache.values)
        return self.cache_bytes * 8 / count if count else None

    @property
    def weights(self) -> Stored:
        """All parameters, by how wide they are."""
        return weights_of(self.model, self.asked)

    @property
    def cache(self) -> Stored:
        """What all sequences' caches hold behind the step, likewise."""
        return cache_of(self.model, self.step, self.asked)

    def _outermost_bytes(self, stored: Stored) -> float:
        level = outermost(self.cost.architecture)
        return stored.bytes_in(level, level)

    @cached_property
    def parts(self) -> Mapping[str, float]:
        """Joules per new token by part; reading and writing the cache at the outermost level is a part of its own."""
        found: dict[str, float] = {}
        for each in self.cost.layers:
            cached = cache_pJ(self.model, each) * each.layer.repeats
            part = part_of(each.name)
            found[part] = found.get(part, 0.0) + each.totals.energy_pJ - cached
            found[CACHE] = found.get(CACHE, 0.0) + cached
        if self.cost.carried is not None:
            found["attention"] = found.get("attention", 0.0) + self.cost.carried.energy_pJ
        if self.cost.between is not None:
            found[BETWEEN] = self.cost.between.energy_pJ
        return {part: energy * 1e-12 / self.tokens for part, energy in found.items() if energy}

    @property
    def experts(self) -> dict[str, float] | None:
        """Of a mixture's block: experts expected to get a token, and tokens that each of these gets; or None."""
        block = next((each for each in self.model.blocks if each.experts is not None), None)
        if block is None or block.experts is None:
            return None
        tokens = self.step.batch * self.step.rows
        awake = distinct(block.experts, tokens, self.step.routing)
        return {"expected_distinct": awake, "tokens_per_expert": tokens * block.experts.chosen / awake}

    def to_json(self) -> dict[str, Any]:
        """Return plain data, for one new token where it says so."""
        step = self.step
        return {
            "model": self.model.name,
            "design": self.cost.architecture.name,
            "phase": step.phase,
            "batch": step.batch,
            "tokens": step.rows if self.model.decodes else step.source,
            "context": step.attended if self.model.decodes else step.source,
            "source_tokens": self.source_tokens,
            "parameters": self.model.parameters,
            "active_parameters": self.model.active_parameters,
            "macs_per_token": self.cost.network.known_macs / self.tokens,
            "energy_J_per_token": self.energy_J_per_token,
            "ms_per_token": self.ms_per_token,
            "ms_per_step": self.ms,
            "tokens_per_second": self.tokens_per_second,
            "utilization": self.cost.utilization,
            "weights_bytes": self.weights_bytes,
            "cache_bytes": self.cache_bytes,
            "bits_per_weight": self.bits_per_weight,
            "bits_per_cached": self.bits_per_cached,
            "outermost_bytes_per_token": self.cost.dram_bytes / self.tokens,
            "parts": dict(self.parts),
            "experts": self.experts,
            **({} if self.plan is None else {"resident": self.plan.to_json()}),
            **({} if self.cost.between is None else {"between": self.cost.between.to_json()}),
            **({} if self.unfused is None else {"fused": self._fused_json(self.unfused)}),
            "exact": self.exact,
        }

    @property
    def exact(self) -> bool:
        """Whether every layer's mapping, and every nest of fused attention, is proven the best."""
        return self.cost.exact and all(each.exact for each in self.fused)

    def _fused_json(self, unfused: NetworkCost) -> dict[str, Any]:
        return {
            "level": self.fused[0].level,
            "attention": [self._nest_json(each, unfused) for each in self.fused],
            "unfused": {
                "energy_J_per_token": unfused.energy_pJ * 1e-12 / self.tokens,
                "ms_per_step": unfused.seconds * 1e3,
                "outermost_bytes_per_token": unfused.dram_bytes / self.tokens,
            },
        }

    def _nest_json(self, fused: FusedAttention, unfused: NetworkCost) -> dict[str, Any]:
        place, second = fused.attention.place, self.cost.architecture.cycle_seconds
        apart = sum_of((each.totals, 1) for each in unfused.layers[place : place + 2])
        return {
            "name": fused.attention.name,
            "blocks": {
                "groups": fused.blocks.groups,
                "queries": fused.blocks.queries,
                "keys": fused.blocks.keys,
                "count": fused.blocks.count(fused.attention),
            },
            "words": fused.words,
            "energy_J_per_token": fused.totals.energy_pJ * 1e-12 / self.tokens,
            "unfused_energy_J_per_token": apart.energy_pJ * 1e-12 / self.tokens,
            "ms_per_step": fused.totals.cycles * second * 1e3,
            "unfused_ms_per_step": apart.cycles * second * 1e3,
            "sizes_that_fit": fused.possible,
            "sizes_searched": fused.searched,
            "gap": fused.gap,
            "exact": fused.exact,
        }


def part_of(name: str) -> str:
    """Return the part of the model that a layer belongs to; a block's own name may stand before it."""
    return next((PARTS[word] for word in name.split(".") if word in PARTS), OTHER)


def cache_pJ(model: LanguageModel, each: MappedLayer) -> float:
    """Return what one run of a layer costs at the outermost level, or where it stays, for reading or writing the cache.

    Of products of attention that is the operand that is keys or values; of the products that make those, what they put
    out (of one that makes queries, too, their share).
    """
    if reads_cache(model, each.layer):
        return _outermost_pJ(each, each.layer.word("Weights"))
    share = cached_share(model, each.name.partition(":")[0])
    return _outermost_pJ(each, "Outputs") * share if share else 0.0


def _outermost_pJ(each: MappedLayer, tensor: str) -> float:
    """Return what one run's accesses to a tensor cost at the outermost level that it is read from or written to."""
    return next(level.tensors[tensor].energy_pJ for level in each.cost.levels if tensor in level.tensors)


def fits(architecture: Architecture, stored: Stored, kind: Literal["weights", "cache"]) -> str:
    """Return the innermost level that holds such values, all its instances together; the outermost holds all.

    Only levels count that the design lets hold such a thing: that do not let it pass by.
    """
    held = architecture.levels[0].name
    for level in architecture.levels:
        if not isinstance(level, Storage) or len(passing(level, set(_OPERANDS[kind]))) == len(_OPERANDS[kind]):
            continue
        taken = stored.bytes_in(level, outermost(architecture))
        if level.words is None or level.words * level.datawidth / 8 * level.instances >= taken:
            held = level.name
    return held


def outermost(architecture: Architecture) -> Storage:
    """Return the level that all comes from."""
    level = architecture.levels[0]
    assert isinstance(level, Storage)
    return level


def levels_of(each: MappedLayer) -> dict[tuple[str, str], float]:
    """Return a layer's pJ, all its runs, by level and tensor; what is no tensor's under its own name."""
    found: dict[tuple[str, str], float] = {}
    for level in each.cost.levels:
        parts = {name: tensor.energy_pJ for name, tensor in level.tensors.items()} | dict(level.apart_pJ)
        for name, energy in parts.items():
            found[level.name, name] = energy * each.layer.repeats
    total = math.fsum(found.values())
    rest = totals_of(each.cost).energy_pJ * each.layer.repeats - total
    return found if abs(rest) <= 1e-6 * abs(total) else found | {("", "rest"): rest}
