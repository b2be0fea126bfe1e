"""What Ctrl-C, SIGTERM and SIGHUP do to a command: one line, what is kept, no process left behind, the exit code.

The library itself unwinds from a KeyboardInterrupt as any Python code does. A command has more to promise: an end at
any moment, in the middle of an import, of compiled code, or while workers are at work. So a thread of its own listens
for signals (Python's handlers run only between two steps of the main thread, which may be far apart) and ends the
process: workers are killed, what is half written is removed, the terminal's cursor is shown again. That loses nothing,
as all that a command keeps (store, checkpoints, outputs) bears a ``kill -9``.

Only where a command has something better to do with a Ctrl-C, it says so (`Gracefully`): then the first one is noted,
or raises KeyboardInterrupt in the main thread, and a second one ends the process.

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
    from collections.abc import Callable
    from typing import Any

#: Exit code of a command that a Ctrl-C ended.
INTERRUPTED = 130
_EXIT_CODES = {"SIGINT": INTERRUPTED, "SIGTERM": 143, "SIGHUP": 129}
_WORDS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "the terminal is gone"}

#: What is said where a Ctrl-C finds code that is compiled, once for a version, before there is any answer.
COMPILING = "the code for it was being compiled, and it has no answer yet"

#: How often, a hundred times a second, it is looked whether an import has ended.
_IMPORT_CHECKS = 1_000


class _State:
    """What the listening thread goes by.

    Attributes:
        kept: what is kept when the command ends now, in words; empty where there is nothing.
        waiting: what the main thread does about a Ctrl-C itself; None where that ends the process.
        listening: whether signals are listened for.
        main: the number of the main thread.
        ending: held by the thread that ends the process, for good.
        decided: let go once for every Ctrl-C that the main thread is to deal with.
    """

    kept = ""
    waiting: Gracefully | None = None
    listening = False
    main = 0
    ending = _thread.allocate_lock()
    decided = _thread.allocate_lock()


def listen() -> None:
    """Begin to listen; what the process was started to ignore (as under ``nohup``) stays ignored."""
    if _State.listening:
        return
    _State.decided.acquire()
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    names: dict[int, str] = {}
    for name in _EXIT_CODES:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _handle)
            names[int(number)] = name
    _State.listening, _State.main = True, _thread.get_ident()
    _thread.start_new_thread(_listen, (read, names))


def run(main: Callable[[], int]) -> int:
    """Listen while a command runs; its exit code stands, whatever strikes while Python takes its leave."""
    listen()
    try:
        return main()
    finally:
        for name in _EXIT_CODES:
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)


def is_listening() -> bool:
    """Whether signals are listened for, as they are in a process that is a command."""
    return _State.listening


def keeping(words: str) -> None:
    """Say what is kept from now on, should the command be ended: one clause, for behind a semicolon."""
    _State.kept = words


class Gracefully:
    """While it is entered, the first Ctrl-C does not end the process: it is noted, and within `raising` raised.

    Args:
        compiling: whether it can do something about a Ctrl-C while code is compiled, which may take seconds before it
            hears of it; otherwise that ends the process.

    Attributes:
        interrupted: whether a Ctrl-C came.
    """

    interrupted = False
    _put_off = 0  # how often in the middle of an import
    _raises = False
    _is_owed = False  # whether the main thread has not been told of it yet

    def __init__(self, *, compiling: bool = True) -> None:
        self._compiling = compiling

    def __enter__(self) -> Gracefully:
        """Begin."""
        _State.waiting = self
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """End."""
        _State.waiting = None

    def raising(self) -> _Raising:
        """While what this returns is entered, a Ctrl-C raises KeyboardInterrupt in the main thread, once."""
        return _Raising(self)

    def take(self) -> bool:
        """In the listening thread: take a Ctrl-C, unless one came before."""
        if self.interrupted:
            return False
        self._is_owed = self.interrupted = True
        return True

    def is_compiling(self) -> bool:
        """In the listening thread: whether a Ctrl-C would be raised in the midst of code that is compiled, to no end.

        As `dovetail.model.compile.was_compiling` says of it afterwards.
        """
        frame = sys._current_frames().get(_State.main)
        return not self._compiling and self._raises and not _is_importing(frame) and _is_in_numba(frame)

    def tell(self, frame: Any) -> None:
        """In the main thread: raise what is owed, where that is wanted; not in the middle of an import, but after it.

        A module that is interrupted is there by half for whoever imports it next, and those written in C turn the
        KeyboardInterrupt into an ImportError.
        """
        if not (self._is_owed and self._raises):
            return
        if self._put_off < _IMPORT_CHECKS and _is_importing(frame):
            self._put_off += 1
            self.repeat()
            return
        self._is_owed = False
        raise KeyboardInterrupt

    def repeat(self) -> None:
        """Have it strike once more, soon."""
        self.interrupted = False
        _thread.start_new_thread(_strike_again, ())


class _Raising:
    """See `Gracefully.raising`."""

    def __init__(self, of: Gracefully) -> None:
        self._of = of

    def __enter__(self) -> None:
        """Begin."""
        self._hook, sys.unraisablehook = sys.unraisablehook, self._lost
        self._of._raises = True

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """End."""
        self._of._raises = False
        sys.unraisablehook = self._hook

    def _lost(self, lost: Any) -> None:
        """Raise once more what struck where nothing can be raised, such as in the middle of a destructor."""
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            self._hook(lost)
        elif _State.listening:
            self._of.repeat()


def _is_importing(frame: Any) -> bool:
    """Whether a module's body, or what finds it, runs in a frame or in whoever called it."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _is_in_numba(frame: Any) -> bool:
    """Whether Numba or its compiler runs in a frame or in whoever called it."""
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(("numba", "llvmlite")):
            return True
        frame = frame.f_back
    return False


def _strike_again() -> None:
    time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)


def end(name: str, words: str = "") -> None:
    """End the process as a signal asks: with one line, no worker left, nothing half written, and the terminal whole.

    Never returns; whichever thread comes second waits for the first to end the process.
    """
    _State.ending.acquire()
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
    """In the main thread: wait for what the listening thread makes of a Ctrl-C, and leave all else to that thread.

    So there is one that decides, and none is lost or taken twice where the command begins or ends to wait for one.
    """
    if _number == signal.SIGINT and not _State.ending.locked():
        _State.decided.acquire()
        if _State.waiting is not None:
            _State.waiting.tell(_frame)


def _listen(read: int, names: dict[int, str]) -> None:
    """End the process at a signal, unless the main thread deals with it."""
    while True:
        for number in os.read(read, 1):
            name, waiting = names.get(number), _State.waiting
            if name == "SIGINT" and waiting is not None and waiting.take():
                if waiting.is_compiling():
                    end(name, COMPILING)
                _let_go(_State.decided)
            elif name is not None:
                end(name)


def _let_go(lock: Any) -> None:
    if lock.locked():
        lock.release()
