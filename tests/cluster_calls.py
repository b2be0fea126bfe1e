"""What a cluster's workers do in tests: calls that leave a trace on disk each time they are begun and done."""

from __future__ import annotations

import os
import time
from pathlib import Path


def traced(folder: str, number: int, seconds: float) -> tuple[int, int]:
    """Take some time; return the number and the process that did it."""
    _note(folder, "begun", number)
    time.sleep(seconds)
    _note(folder, "done", number)
    return number, os.getpid()


def fail(number: int) -> int:
    """Go wrong."""
    return 1 // (number - number)


def _note(folder: str, what: str, number: int) -> None:
    descriptor = os.open(Path(folder) / what, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{number}\n".encode())
    os.close(descriptor)
