"""A mapped network with its attention fused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import InputError
from dovetail.executors import Workers
from dovetail.fused.attention import Attention, attentions_of
from dovetail.fused.nest import site_of
from dovetail.fused.search import FusedAttention, fuse_attention
from dovetail.fused.softmax import softmax_of, without_softmax
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.allowance import Limit
from dovetail.network.carried import sum_carried
from dovetail.network.costs import NetworkCost
from dovetail.network.map_network import Progress
from dovetail.store import Store
from dovetail.workload.network import Network, problem_key


def check_fusing(networks: Sequence[Network], architecture: Architecture, energies: EnergyTable, level: str) -> None:
    """Refuse what cannot be fused before anything is mapped.

    Raises:
        InputError: a network has no attention, or scores cannot stay in that level.
    """
    site_of(architecture, energies, level)
    for network in networks:
        if not attentions_of(network):
            raise InputError(f"{network.name} has no attention, so there is nothing to fuse")


def fuse_network(
    network: Network,
    cost: NetworkCost,
    level: str,
    *,
    time_limit: Limit = None,
    store: Store | None = None,
    workers: Workers = None,
    progress: Callable[[Progress], None] | None = None,
) -> tuple[NetworkCost, tuple[FusedAttention, ...]]:
    """Return what a network costs with its attention fused, and how.

    Args:
        network: as it came.
        cost: what it costs without that.
        level: the memory that scores do not leave.
        time_limit: as of `fuse_attention`, and so are the following.
        store: likewise.
        workers: likewise.
        progress: likewise.

    Raises:
        InputError: it has no attention, or scores cannot stay in that level.
        NoMappingError: no block of it fits, or none has a mapping.
    """
    check_fusing([network], cost.architecture, cost.energies, level)
    attentions, site = attentions_of(network), site_of(cost.architecture, cost.energies, level)
    known: dict[object, FusedAttention] = {}
    for each in attentions:
        if _key(each) not in known:
            known[_key(each)] = fuse_attention(
                each,
                site,
                objective=cost.objective,
                time_limit=time_limit,
                store=store,
                workers=workers,
                progress=progress,
            )
    found = tuple(replace(known[_key(each)], attention=each) for each in attentions)
    layers = list(cost.layers)
    for fused in found:
        place, name = fused.attention.place, fused.attention
        for at, mapped, own in ((place, fused.scores, name.scores), (place + 1, fused.values, name.values)):
            layers[at] = replace(mapped, layer=replace(mapped.layer, name=own.name, modules=own.modules))
    left = without_softmax(cost.network, attentions)
    made = replace(
        cost,
        network=replace(left, layers=tuple(each.layer for each in layers)),
        layers=tuple(layers),
        carried=sum_carried(fused.carried for fused in found),
        placed=tuple((level, each) for fused in found for each in softmax_of(fused.attention, fused.blocks)),
    )
    return made, found


def _key(attention: Attention) -> object:
    return problem_key(attention.scores), problem_key(attention.values), attention.scores.repeats
