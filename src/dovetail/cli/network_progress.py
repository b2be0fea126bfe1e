"""Progress of mapping networks, on a terminal only: layers done, time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dovetail.cli.progress import progress
from dovetail.network.map_network import Progress


@contextmanager
def network_progress() -> Iterator[Callable[[Progress], None]]:
    """Show a bar on stderr once two seconds have passed; the body hands what it is given to `map_network`."""
    with progress() as report:
        report(0, 1, "mapping layers")
        yield lambda state: report(state.done, state.total, f"mapped {state.layer}")
