"""Several networks as one: what runs one after the other, each so many times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dovetail.errors import InputError
from dovetail.workload.network import Network


def together(networks: Sequence[Network], weights: Sequence[int] | None = None) -> Network:
    """Return the networks as one whose layers run as often as all of theirs together.

    Args:
        networks: at least one.
        weights: how often each runs; once without.

    Raises:
        InputError: there are not as many weights as networks, or one is not above 0.
    """
    times = [1] * len(networks) if weights is None else list(weights)
    if len(times) != len(networks):
        raise InputError(f"{len(networks)} networks have {len(times)} weights; give one for each")
    if any(weight < 1 for weight in times):
        raise InputError(f"a weight is a whole number above 0, found {min(times)}")
    if len(networks) == 1 and times == [1]:
        return networks[0]
    single = len(networks) == 1
    layers = [
        replace(layer, name=layer.name if single else f"{at}:{layer.name}", repeats=layer.repeats * weight)
        for at, (network, weight) in enumerate(zip(networks, times, strict=True), 1)
        for layer in network.layers
    ]
    name = " + ".join(
        f"{weight} x {one.name}" if weight > 1 else one.name for one, weight in zip(networks, times, strict=True)
    )
    notes = tuple(dict.fromkeys(note for network in networks for note in network.notes))
    unmapped = tuple(each for network in networks for each in network.unmapped)
    return Network(name, tuple(layers), unmapped=unmapped, batch=networks[0].batch, notes=notes)
