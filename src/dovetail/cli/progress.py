"""Progress of long work, on a terminal only, and only once two seconds have passed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from dovetail.text import printable

#: Work shorter than this many seconds shows nothing.
PATIENCE = 2.0

#: Takes the steps done so far, the steps in all, and a few words on how it stands.
Report = Callable[[int, int, str], None]


@contextmanager
def progress(console: Console | None = None) -> Iterator[Report]:
    """Show a bar on stderr while the body runs; the body calls what it is given, and that draws.

    Args:
        console: where to draw; by default stderr. Nothing is drawn unless it is a terminal.
    """
    console = Console(file=sys.stderr) if console is None else console
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True)
    task = bar.add_task("", total=None)
    begin = threading.Timer(PATIENCE, bar.start)  # on its own: what is waited for may report but once, or never
    begin.daemon = True
    if console.is_terminal:
        begin.start()
    try:
        yield lambda done, total, words: bar.update(task, completed=done, total=total, description=printable(words))
    finally:
        begin.cancel()
        if console.is_terminal:
            begin.join()
        if bar.live.is_started:
            bar.stop()


__all__ = ["PATIENCE", "Report", "progress"]
