"""Notes: what a person should know about an answer that is right all the same. One line each, on stderr, said once."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dovetail.mapper.allowance import Allowance, Limit, allowance_of
from dovetail.store import cache_folder
from dovetail.text import shown
from dovetail.units import percent
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


def limited_of(costs: Iterable[NetworkCost], limit: Limit) -> list[str]:
    """Return a note where searches of layers of networks ended before their proof."""
    return limited_notes((layer.result for cost in costs for layer in cost.distinct), limit)


def limited_notes(results: Iterable[SearchResult], limit: Limit) -> list[str]:
    """Return a note where exact searches ended before their proof: how many, by what, what is kept of the others.

    Args:
        results: of the searches.
        limit: what each was given.
    """
    found = list(results)
    unproven = [result for result in found if not result.certificate.exact]
    limited = allowance_of(limit) != Allowance()
    gaps = [result.certificate.gap for result in unproven if result.ended_by_itself or not limited]
    ended = len(unproven) - len(gaps)
    notes = []
    if gaps:
        notes.append(
            f"{len(gaps)} of {len(found)} searches came to their end without a proof, their answers at most "
            f"{percent(max(gaps))} above the optimum"
        )
    if not ended:
        return notes
    kept = "what is proven is in the store" if cache_folder() is not None else "nothing is kept"
    again = ": with a longer --time-limit only the rest is searched again" if cache_folder() is not None else ""
    return [*notes, f"the time limit ended {ended} of {len(found)} searches at the best found so far; {kept}{again}"]


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
