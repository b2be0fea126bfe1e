"""A language model on a design over phases, batches and contexts: every point mapped, what is common only once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import InputError
from dovetail.executors import Workers
from dovetail.fused.network import check_fusing, fuse_network
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.allowance import Limit
from dovetail.mapper.objective import Objective
from dovetail.mapper.search import SearchFunction
from dovetail.network.between import Between
from dovetail.network.costs import NetworkCost
from dovetail.network.map_network import Progress, map_networks
from dovetail.store import Store
from dovetail.tokens.curve import Bend, bends, straight
from dovetail.tokens.point import Point, fits
from dovetail.tokens.resident import Plan, Resident, plan_of
from dovetail.tokens.widths import with_widths
from dovetail.workload.language.experts import Routing
from dovetail.workload.language.layers import Asked, Phase, Step, network_of, step_of
from dovetail.workload.language.model import LanguageModel
from dovetail.workload.network import Network
from dovetail.workload.widths import LayerBits

#: Points of one study, at most.
MOST_POINTS = 512


@dataclass(frozen=True)
class TokenStudy:
    """A model's points on a design.

    Attributes:
        model: the model.
        architecture: the design.
        objective: what each layer's mapping minimises.
        points: in the order asked: phases, then batches, then lengths.
    """

    model: LanguageModel
    architecture: Architecture = field(repr=False)
    objective: Objective
    points: tuple[Point, ...] = field(repr=False)

    @property
    def bends(self) -> tuple[Bend, ...]:
        """Where the cost of a decode step bends with the context."""
        return bends(self._decoding)

    @property
    def straight(self) -> tuple[str, ...]:
        """For which batches it does not bend, and what one more position costs there, in words."""
        return straight(self._decoding)

    @property
    def _decoding(self) -> list[Point]:
        return [point for point in self.points if point.step.phase == "decode"]

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of the points, each once."""
        return tuple(dict.fromkeys(note for point in self.points for note in point.cost.notes))

    def to_json(self) -> dict[str, Any]:
        """Return plain data: what is the same of all points, then the points; a single one stands at the top, too."""
        points = [point.to_json() for point in self.points]
        for point, fields in zip(self.points, points, strict=True):
            fields["fits"] = {
                "weights": fits(self.architecture, point.weights, "weights"),
                "cache": fits(self.architecture, point.cache, "cache"),
            }
        return {
            **(points[0] if len(points) == 1 else {}),
            "model": self.model.name,
            "design": self.architecture.name,
            "objective": str(self.objective),
            "source": self.model.source,
            "parameters": self.model.parameters,
            "active_parameters": self.model.active_parameters,
            "points": points,
            "bends": [
                {
                    "batch": bend.batch,
                    "quantity": bend.quantity,
                    "context": bend.context,
                    "next_context": bend.following,
                    "before_per_position": bend.before,
                    "after_per_position": bend.after,
                    "reason": bend.reason,
                }
                for bend in self.bends
            ],
            "notes": list(self.notes),
        }


def _with_between(cost: NetworkCost, rule: Between | None, plan: Plan | None) -> NetworkCost:
    """Return a step with what lies between its products; where all activations stay, that works on them there."""
    if plan is not None and plan.whole and cost.architecture.vector_unit.level is None:
        unit = replace(cost.architecture.vector_unit, level=plan.level)
        cost = replace(cost, architecture=replace(cost.architecture, vector_unit=unit))
    return cost.with_between(rule)


def _fused(
    point: Point,
    network: Network,
    level: str,
    time_limit: Limit,
    store: Store | None,
    workers: Workers,
    progress: Callable[[Progress], None] | None,
) -> Point:
    """Return a point with its attention fused."""
    rule = None if point.cost.between is None else point.cost.between.rule
    cost, fused = fuse_network(
        network, point.cost, level, time_limit=time_limit, store=store, workers=workers, progress=progress
    )
    return replace(point, cost=cost.with_between(rule), fused=fused, unfused=point.cost)


def _check_fused(counting: Counting, searching: Searching, bits: Sequence[LayerBits]) -> None:
    """Refuse what is not counted together with fused attention."""
    if counting.resident:
        raise InputError("what stays on chip (--resident) is not counted together with fused attention; ask for either")
    if bits:
        raise InputError("fused attention is counted in the design's own words: leave out --bits")
    if searching.search is not None:
        raise InputError("fused attention is searched exactly: leave out --samples, --imperfect and --pad")


def reads_source(model: LanguageModel) -> bool:
    """Tell whether an encoder reads a text of any length, which decode steps look at, too."""
    return model.encodes and model.decodes and model.length is None


@dataclass(frozen=True)
class Questions:
    """Which steps of a model are asked for.

    Attributes:
        phases: each at every batch size.
        batches: sequences at once.
        tokens: lengths of prompts, for prefill, or of what an encoder reads, for both phases; empty: the usual one.
        contexts: positions that a decode step attends to; empty: the usual ones.
        routing: how a mixture's experts are loaded.
    """

    phases: Sequence[Phase]
    batches: Sequence[int] = (1,)
    tokens: Sequence[int] = ()
    contexts: Sequence[int] = ()
    routing: Routing | None = None

    def steps(self, model: LanguageModel) -> list[Step]:
        """Return the steps, in order: phases, then batches, then lengths.

        Raises:
            InputError: there are too many, or the model cannot do one.
        """
        if self.contexts and not model.decodes:
            raise InputError(f"{model.name} has no cache: leave out --context")
        asked = [
            (batch, Asked(phase, tokens, context, self.routing))
            for phase in self.phases
            for batch in self.batches
            for tokens in (phase == "prefill" or reads_source(model)) * tuple(self.tokens) or (None,)
            for context in (phase == "decode") * tuple(self.contexts) or (None,)
        ]
        if len(asked) > MOST_POINTS:
            raise InputError(f"{len(asked)} points are asked for; at most {MOST_POINTS} are mapped at once")
        return [step_of(model, each, batch) for batch, each in asked]


@dataclass(frozen=True)
class Counting:
    """What is counted beside the products, each read from and written to the outermost level.

    Attributes:
        between: how the time of what lies between products is counted; None: it costs nothing.
        resident: what stays on chip, as far as it fits; empty: nothing.
        fused: the memory that scores of fused attention do not leave; None: attention's two products run one after the
            other.
    """

    between: Between | None = None
    resident: Sequence[Resident] = ()
    fused: str | None = None


@dataclass(frozen=True)
class Searching:
    """How mappings are searched.

    Attributes:
        objective: what each layer minimises.
        time_limit: seconds per layer.
        search: what finds the best mapping; None: the exact mapper.
    """

    objective: Objective = Objective.EDP
    time_limit: Limit = None
    search: SearchFunction | None = None


def study_tokens(
    model: LanguageModel,
    architecture: Architecture,
    energies: EnergyTable,
    questions: Questions,
    *,
    bits: Sequence[LayerBits] = (),
    counting: Counting | None = None,
    searching: Searching | None = None,
    store: Store | None = None,
    workers: Workers = None,
    progress: Callable[[Progress], None] | None = None,
) -> TokenStudy:
    """Map a model's steps on a design.

    Args:
        model: the model.
        architecture: the design.
        energies: what its components cost.
        questions: which steps.
        bits: how wide values are, as `dovetail.tokens.widths` has it; empty: the design's own words.
        counting: what is counted beside their products.
        searching: how mappings are searched.
        store: where results are kept and found.
        workers: processes, or any executor. See `map_networks`.
        progress: called after every finished layer.

    Raises:
        InputError: the model cannot do what is asked.
        NoMappingError: a layer cannot be mapped.
    """
    counting, searching = counting or Counting(), searching or Searching()
    steps = questions.steps(model)
    networks = [with_widths(model, network_of(model, step), bits) for step in steps]
    if counting.fused is not None:
        _check_fused(counting, searching, bits)
        check_fusing(networks, architecture, energies, counting.fused)
    plans = [
        plan_of(model, step, network, architecture, counting.resident) if counting.resident else None
        for step, network in zip(steps, networks, strict=True)
    ]
    costs = map_networks(
        [(network, architecture, energies) for network in networks],
        designs=[None if plan is None else plan.design_of for plan in plans],
        objective=searching.objective,
        time_limit=searching.time_limit,
        store=store,
        workers=workers,
        progress=progress,
        search=searching.search,
    )
    points = [
        Point(model, step, network, _with_between(cost, counting.between, plan), plan)
        for step, network, cost, plan in zip(steps, networks, costs, plans, strict=True)
    ]
    if counting.fused is not None:
        given = counting.fused, searching.time_limit, store, workers, progress
        points = [_fused(point, network, *given) for point, network in zip(points, networks, strict=True)]
    return TokenStudy(model, architecture, searching.objective, tuple(points))
