"""A whole run over network and hardware: the front is found, its networks trained, and both written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

import numpy as np

from dovetail.accuracy import checkpoint
from dovetail.accuracy.quantised import import_brevitas
from dovetail.accuracy.runs import Report, silent
from dovetail.codesign.designs import Designs
from dovetail.codesign.front import Front, Spot, front
from dovetail.codesign.result import CodesignResult, Pair, with_beaten
from dovetail.errors import InputError, NoMappingError
from dovetail.family.front import Choice as Member
from dovetail.family.saved import member_text
from dovetail.files import write_text
from dovetail.json_text import json_document
from dovetail.shrink.channels import Widths
from dovetail.shrink.exact import ExactSearch
from dovetail.shrink.finalists import train_and_choose
from dovetail.shrink.request import Request
from dovetail.shrink.run import Place, Run
from dovetail.shrink.searches import (
    PROOF,
    ROUNDS,
    Task,
    explored,
    finalists_of,
    measure_all,
    predicted,
    shares_around,
)
from dovetail.shrink.space import SearchSpace
from dovetail.text import file_name

#: Networks that are trained, at most: of a front of more spots, those spread over the areas of each target.
MOST_TRAINED = 24
#: What the file of a design is called, beside its network.
DESIGN = "design.yaml"


def codesign(request: Request, designs: Designs, report: Report = silent) -> CodesignResult:
    """Find the networks and designs that no others beat in accuracy, cost and area; train and write the networks.

    Shares are of what the network costs on the family's first design. Whatever is finished is on disk, as `shrink` has
    it, so the same call goes on after an interruption, to the same result.

    Raises:
        InputError: the network, data or targets are wrong.
        UnreachableError: no choice on any design meets a target; said before a supernet is trained.
        NoMappingError: the network as given cannot be mapped on the first design.
    """
    request.execution.torch_device  # noqa: B018  says now if it is not there
    if request.targets[0].metric == "macs":
        raise InputError("MACs are the same on every design: with --family a target bounds edp, energy or cycles")
    if request.narrows:
        import_brevitas("choosing bits")
    with checkpoint.sole_writer(request.out), request.execution.applied():
        run = Run(request, designs.oracle(designs.first), report)
        run.graph  # noqa: B018  says now if there is nothing to turn
        run.check_start()
        seeds = designs.seeds(run.shapes)
        run.alike = tuple(designs.oracle(seed) for seed in seeds if seed != designs.first)
        task = run.task()
        designs.begin(run.space)
        _check_reached(task, designs, seeds)
        found, networks = _search(task, designs, seeds)
        pairs = _pairs(run, designs, networks, report)
        result = CodesignResult(request, designs, run.graph, run.reference(), run.as_given, pairs, found)
        checkpoint.write_json(request.out / "result-family.json", json_document("codesign", result.to_json()))
    return result


def _search(task: Task, designs: Designs, seeds: Sequence[Member]) -> tuple[Front, dict[Spot, list[Widths]]]:
    """Return the front at the losses predicted last, and by spot the networks worth training."""
    metric, limits = task.metric, task.limits()
    known = explored(task, shares_around(task, ExactSearch(task.space, metric)))
    share = max(1, (task.budget - len(known)) // ROUNDS)
    for _ in range(ROUNDS - 1):
        losses = predicted(task.space, known)
        proposed = [
            ExactSearch(space, metric).within(losses, limit, count=4)
            for limit in limits.values()
            for space in _mapped(designs, seeds)
        ]
        turns = (choice for some in zip_longest(*proposed) for choice in some if choice is not None)
        measure_all(task, known, [choice for choice in dict.fromkeys(turns) if choice not in known][:share])
    losses = predicted(task.space, known)
    found = front(designs, metric, losses, limits, PROOF, seeds)
    measure_all(task, known, [choice for choice in dict.fromkeys(s.choice for s in found.spots) if choice not in known])
    networks: dict[Spot, list[Widths]] = {}
    for spot in few_spots(found.spots, MOST_TRAINED):
        search = ExactSearch(_space(designs, spot.member), metric)
        fitting = {choice: loss for choice, loss in known.items() if search.cost(choice) <= spot.limit}
        on_it = replace(task, space=_space(designs, spot.member))
        networks[spot] = (
            finalists_of(on_it, known, search, {spot.target: spot.limit}, losses)[spot.target]
            if fitting
            else [task.space.widths(spot.choice)]
        )
    return found, networks


def few_spots(spots: Sequence[Spot], most: int) -> list[Spot]:
    """Return at most so many spots: of each target the smallest and the largest design, and between them evenly."""
    targets = list(dict.fromkeys(spot.target for spot in spots))
    each = max(2, most // max(1, len(targets)))
    kept: list[Spot] = []
    for target in targets:
        own = [spot for spot in spots if spot.target == target]
        places = np.linspace(0, len(own) - 1, min(each, len(own))).round().astype(int).tolist()
        kept += [own[place] for place in dict.fromkeys(places)]
    return kept


def _check_reached(task: Task, designs: Designs, seeds: Sequence[Member]) -> None:
    """Check that the tightest target is met somewhere; where it is, the looser ones are met.

    Nothing is mapped for it alone: the smallest design that meets the tightest target is on the front anyway.

    Raises:
        NoMappingError: no design runs the network.
        UnreachableError: none meets a target.
    """
    target, limit = min(task.limits().items(), key=lambda each: each[1])
    nothing = [np.zeros(len(knob.options)) for knob in task.space.knobs]
    found = front(designs, task.metric, nothing, {target: limit}, PROOF, seeds)
    if found.spots:
        return
    if not found.mapped:
        raise NoMappingError(next(iter(found.unmappable), "no design of the family runs the network"))
    searches = {member: ExactSearch(_space(designs, member), task.metric) for member in found.mapped}
    nearest = min(searches, key=lambda member: searches[member].cost(searches[member].cheapest()))
    on_it = replace(task, space=_space(designs, nearest))
    where = f" on {designs.family.member_name(nearest)}, of {designs.count:,} designs"
    raise on_it.unreachable(target, on_it.space.widths(searches[nearest].cheapest()), where)


def _pairs(
    run: Run, designs: Designs, networks: Mapping[Spot, Sequence[Widths]], report: Report
) -> tuple[Pair, ...]:  # fmt: skip
    """Train the networks, choose by spot on validation images, and write each down beside its design."""
    starts = {widths: run.start(widths) for several in networks.values() for widths in several}
    chosen, runs = train_and_choose(run.training, networks, starts, report)
    pairs = []
    for spot, widths in chosen.items():
        name = designs.family.member_name(spot.member)
        folder = run.request.out / f"family-{str(spot.target).replace('=', '-')}-{file_name(name)}"
        outcome = run.outcome(
            spot.target, widths, runs[widths], Place(designs.oracle(spot.member), folder, f" on {name}")
        )
        write_text(folder / DESIGN, member_text(designs.family, spot.member))
        pairs.append(Pair(spot, name, outcome, folder / DESIGN))
    return with_beaten(pairs, run.request.targets[0].metric)


def _mapped(designs: Designs, members: Sequence[Member]) -> list[SearchSpace]:
    return [each for member in members if isinstance(each := designs.space(_single(member)), SearchSpace)]


def _space(designs: Designs, member: Member) -> SearchSpace:
    space = designs.space(_single(member))
    assert isinstance(space, SearchSpace)  # it has a spot
    return space


def _single(member: Member) -> tuple[tuple[int, int], ...]:
    return tuple((at, at + 1) for at in member)


__all__ = ["DESIGN", "MOST_TRAINED", "codesign", "few_spots"]
