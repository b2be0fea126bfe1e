"""Notes: what a person should know about an answer that is right all the same. One line each, on stderr, said once."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dovetail.store import cache_folder
from dovetail.text import shown
from dovetail.workload.describe import unknown_text
from dovetail.workload.network import Network

if TYPE_CHECKING:  # `layers` does without costs
    from dovetail.mapper.result import SearchResult
    from dovetail.network.costs import NetworkCost


def print_notes(notes: Iterable[str]) -> None:
    """Print each different note once, in the order given; stdout stays what it is, for tables and JSON."""
    for note in dict.fromkeys(notes):
        print(f"dovetail: note: {shown(note)}", file=sys.stderr)


def notes_of(costs: Iterable[NetworkCost]) -> list[str]:
    """Return the notes on networks on designs, each different one once."""
    return [*dict.fromkeys(note for cost in costs for note in cost.notes), *compiling_notes()]


def limited_of(costs: Iterable[NetworkCost]) -> list[str]:
    """Return a note where a time limit ended searches of layers of networks."""
    return limited_notes(layer.result for cost in costs for layer in cost.distinct)


def limited_notes(results: Iterable[SearchResult]) -> list[str]:
    """Return a note where a time limit ended exact searches: how many, and what is kept of the others."""
    found = list(results)
    ended = sum(not result.certificate.exact for result in found)
    if not ended:
        return []
    kept = "what is proven is in the store" if cache_folder() is not None else "nothing is kept"
    again = ": with a longer --time-limit only the rest is searched again" if cache_folder() is not None else ""
    return [f"the time limit ended {ended} of {len(found)} searches at the best found so far; {kept}{again}"]


def compiling_notes() -> list[str]:
    """Return a note where code was compiled, or looked for, and cannot be kept."""
    compiling = sys.modules.get("dovetail.model.compile")  # not imported: nothing was compiled
    note = "" if compiling is None else compiling.unkept_note()
    return [note] if note else []


def print_unknown(networks: Iterable[Network]) -> None:
    """Print on stdout, before anything else, what is not known of networks; once for each."""
    for line in unknown_of(networks):
        print(f"{line}\n")


def unknown_of(networks: Iterable[Network]) -> list[str]:
    """Return what is not known of networks, a line for each of which something is not."""
    return list(dict.fromkeys(line for network in networks for line in unknown_text(network)))
