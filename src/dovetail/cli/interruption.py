"""What Ctrl-C, SIGTERM and SIGHUP do to a command: one line, what is kept, no process left behind, the exit code.

The library itself unwinds from a KeyboardInterrupt as any Python code does. A command has more to promise: an end at
any moment, in the middle of an import, of compiled code, or while workers are at work. So a thread of its own listens
for signals (Python's handlers run only between two steps of the main thread, which may be far apart) and ends the
process: workers are killed, what is half written is removed, the terminal's cursor is shown again. That loses nothing,
as all that a command keeps (store, checkpoints, outputs) bears a ``kill -9``.

Only where a command has something better to do with a Ctrl-C, it says so (`Gracefully`): then the first one raises
KeyboardInterrupt in the main thread, and a second one ends the process.

This module is imported before anything else, so it imports next to nothing.
"""

# ruff: noqa: SIM105 - contextlib is slow to import, too

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # the module around it is slow to import
import _thread
import os
import sys
import time

TYPE_CHECKING = False  # typing is slow to import, too
if TYPE_CHECKING:
    from typing import Any

#: Exit code of a command that a Ctrl-C ended.
INTERRUPTED = 130
_EXIT_CODES = {"SIGINT": INTERRUPTED, "SIGTERM": 143, "SIGHUP": 129}
_WORDS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "the terminal is gone"}


class _State:
    """What the listening thread goes by.

    Attributes:
        kept: what is kept when the command ends now, in words; empty where there is nothing.
        graceful: how many Ctrl-C the main thread still is to deal with itself.
        listening: whether signals are listened for.
        ending: whether the process is ending already.
    """

    kept = ""
    graceful = 0
    listening = False
    ending = False


def listen() -> None:
    """Begin to listen; what the process was started to ignore (as under ``nohup``) stays ignored."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    names: dict[int, str] = {}
    for name in _EXIT_CODES:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _handle)
            names[int(number)] = name
    _State.listening = True
    _thread.start_new_thread(_listen, (read, names))


def keeping(words: str) -> None:
    """Say what is kept from now on, should the command be ended: one clause, for behind a semicolon."""
    _State.kept = words


class Gracefully:
    """While it is entered, the first Ctrl-C raises KeyboardInterrupt in the main thread.

    Attributes:
        interrupted: whether that happened.
    """

    interrupted = False

    def __enter__(self) -> Gracefully:
        """Begin."""
        self._hook, sys.unraisablehook = sys.unraisablehook, self._lost
        _State.graceful = 1
        _current.append(self)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """End."""
        _State.graceful = 0
        _current.remove(self)
        sys.unraisablehook = self._hook

    def _lost(self, lost: Any) -> None:
        """Raise once more what struck where nothing can be raised, such as in the middle of a destructor."""
        if issubclass(lost.exc_type, KeyboardInterrupt) and _State.listening:
            self.interrupted = False
            _State.graceful += 1
            _thread.start_new_thread(_strike_again, ())
        elif not issubclass(lost.exc_type, KeyboardInterrupt):
            self._hook(lost)


def _strike_again() -> None:
    time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)


_current: list[Gracefully] = []


def end(name: str, words: str = "") -> None:
    """End the process as a signal asks: with one line, no worker left, nothing half written, and the terminal whole."""
    if _State.ending:
        return
    _State.ending = True
    for step in (_kill_workers, _kill_children, _discard_unfinished):
        try:
            step()
        except Exception:  # noqa: S110 - whatever is wrong, the process is to end
            pass
    line = f"dovetail: {_WORDS[name]}{'; ' if words or _State.kept else ''}{words or _State.kept}\n"
    if os.isatty(2):
        line = "\r\x1b[K\x1b[?25h" + line  # off the line of a progress bar, and the cursor back
    try:
        os.write(2, line.encode())
    except OSError:  # nobody reads it any more
        pass
    os._exit(_EXIT_CODES[name])


def _of(module: str, name: str) -> Any:
    """Return what a module holds if it is there, and imported so far: a signal may strike in the middle of that."""
    return getattr(sys.modules.get(module), name, None)


def _kill_workers() -> None:
    if kill := _of("dovetail.workers", "kill_running"):
        kill()


def _kill_children() -> None:
    if children := _of("multiprocessing", "active_children"):
        for child in children():
            child.kill()


def _discard_unfinished() -> None:
    if discard := _of("dovetail.files", "discard_unfinished"):
        discard()


def _handle(_number: int, _frame: object) -> None:
    """In the main thread: raise where the command wants to know, and leave all else to the listening thread."""
    if _number == signal.SIGINT and _current and not _current[-1].interrupted:
        _current[-1].interrupted = True
        raise KeyboardInterrupt


def _listen(read: int, names: dict[int, str]) -> None:
    """End the process at a signal, unless the main thread deals with it."""
    while True:
        for number in os.read(read, 1):
            name = names.get(number)
            if name == "SIGINT" and _State.graceful > 0:
                _State.graceful -= 1
            elif name is not None:
                end(name)
