"""What a search over network and hardware came to: networks, each with its design, as values, a table and notes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from dovetail.codesign.designs import Designs
from dovetail.codesign.front import Front, Spot
from dovetail.shrink.channels import ChannelGraph
from dovetail.shrink.finalists import means_of
from dovetail.shrink.request import Request
from dovetail.shrink.result import Outcome, left_text
from dovetail.shrink.searches import PROOF
from dovetail.shrink.supernet import Measurement
from dovetail.shrink.target import metric_of
from dovetail.workload.describe import unknown_text


@dataclass(frozen=True)
class Pair:
    """A network and the design that it is for.

    Attributes:
        spot: where they lie on the front that was predicted.
        design: name of the design.
        outcome: the network, trained, with its cost on the design.
        file: of the design; ``--on`` takes it.
        beaten: whether another pair is no larger, no dearer and no less accurate on validation images; better in one.
    """

    spot: Spot
    design: str
    outcome: Outcome
    file: Path
    beaten: bool = False


def with_beaten(pairs: Sequence[Pair], metric: str) -> tuple[Pair, ...]:
    """Return pairs, those marked that another beats by what was measured."""
    at = [
        (pair.spot.area_um2, metric_of(pair.outcome.figures, metric), -(means_of(pair.outcome.accuracy)[0] or 0.0))
        for pair in pairs
    ]
    return tuple(
        replace(pair, beaten=any(other != own and all(a <= b for a, b in zip(other, own, strict=True)) for other in at))
        for pair, own in zip(pairs, at, strict=True)
    )


@dataclass(frozen=True)
class CodesignResult:
    """What a run came to.

    Attributes:
        request: what was asked for.
        designs: of the family.
        graph: what of the network may go.
        original: the network as given on the family's first design.
        as_given: its accuracy on validation images before anything.
        pairs: by falling limit, then rising area.
        front: what was predicted.
    """

    request: Request
    designs: Designs
    graph: ChannelGraph
    original: Outcome
    as_given: Measurement
    pairs: tuple[Pair, ...]
    front: Front = field(repr=False)

    @property
    def title(self) -> str:
        """What to call it."""
        return f"{self.request.model.label} on the family {self.designs.family.name}"

    def notes(self) -> Iterator[str]:
        """Yield what a person should know of it."""
        yield from unknown_text(self.original.cost.network)
        yield from self.original.cost.network.notes
        yield from left_text(self.graph)
        yield from (f"{count:,} designs left out: {reason}" for reason, count in self.designs.skipped.items())
        yield from (
            f"{count:,} designs left out, a layer has no mapping: {reason}"
            for reason, count in self.front.unmappable.items()
        )
        if self.request.narrows:
            yield "shares are of the original's cost at the most bits to choose from, not at the design's own words"
        for target, proven in self.front.proven.items():
            if not proven:
                yield (
                    f"{target}: its part of the front is what was found; a proof was given up after {PROOF:,} choices, "
                    "or a layer's search ended early"
                )
        kept = {pair.spot.target for pair in self.pairs}
        for target in self.request.targets:
            if target not in kept:
                yield f"{target}: a tighter target has as good a network on every design, by what is predicted"
        if (more := len(self.front.spots) - len(self.pairs)) > 0:
            yield f"{more} more points of the front were not trained: these are spread over the areas"
        for pair in self.pairs:
            if pair.outcome.exported is not None:
                yield from (f"{pair.outcome.name}: {note}" for note in pair.outcome.exported.notes)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        family, front = self.designs.family, self.front
        return {
            "network": self.request.model.label,
            "family": family.name,
            "data": self.request.data.name,
            "recipe": self.request.recipe.to_dict(),
            "start": "scratch" if self.request.scratch else "trained",
            "parameters": {each.name: list(each.labels) for each in family.parameters},
            "budgets": [str(each) for each in family.budgets],
            "designs": self.designs.count,
            "mapped": len(front.mapped),
            "bounded": front.bounded,
            "unmappable": dict(front.unmappable),
            "skipped": dict(self.designs.skipped),
            "groups": [group.name for group in self.graph.groups],
            "blocks": list(self.graph.blocks),
            "left": dict(self.graph.left),
            "unset": dict(self.graph.unset),
            "as_given": asdict(self.as_given),
            "proven": {str(target): proven for target, proven in front.proven.items()},
            "points": len(front.spots),
            "notes": list(self.notes()),
            "original": self.original.to_json(self.graph),
            "front": [self._pair_json(pair) for pair in self.pairs],
        }

    def _pair_json(self, pair: Pair) -> dict[str, Any]:
        return {
            "design": pair.design,
            "parameters": self.designs.family.values(pair.spot.member),
            "area_um2": pair.spot.area_um2,
            "predicted_loss": pair.spot.loss,
            "beaten": pair.beaten,
            "design_file": str(pair.file),
            **pair.outcome.to_json(self.graph),
        }


__all__ = ["CodesignResult", "Pair", "with_beaten"]
