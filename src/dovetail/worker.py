"""What runs in a worker process of `dovetail.workers`: it reads pickled calls and writes pickled answers.

It is run with ``-m``, imports next to nothing before the first call, and ends at once when its input is closed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import queue
import sys
import threading
import traceback
from typing import IO

from dovetail.errors import DovetailError

#: What cannot be had any more where memory is lacking.
_SPARE_BYTES = 64 << 20


def write(stream: IO[bytes], data: bytes) -> None:
    """Write one message, its length before it."""
    stream.write(len(data).to_bytes(8, "little") + data)
    stream.flush()


def read(stream: IO[bytes]) -> bytes:
    """Read one message; raises EOFError where there is no whole one any more."""
    length = stream.read(8)
    data = stream.read(int.from_bytes(length, "little")) if len(length) == 8 else b""
    if len(length) < 8 or len(data) < int.from_bytes(length, "little"):
        raise EOFError
    return data


def _serve(calls: IO[bytes], answers: IO[bytes]) -> None:
    """Answer calls until there are no more, and end at once when there will be none: the parent is gone."""
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def listen() -> None:
        try:
            while True:
                waiting.put(read(calls))
        except (EOFError, OSError):
            os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            write(answers, answer(waiting.get()))


def answer(call: bytes) -> bytes:
    """Return what became of a call, pickled: "result", "error", "memory" or "bug", and its value."""
    try:
        function, arguments, keywords = pickle.loads(call)  # noqa: S301 - our own parent wrote it
        return pickle.dumps(("result", function(*arguments, **keywords)))
    except DovetailError as error:
        return pickle.dumps(("error", error))
    except Exception as error:
        if lacks_memory(error):
            return pickle.dumps(("memory", "out of memory"))
        return pickle.dumps(("bug", traceback.format_exc()))


def lacks_memory(error: BaseException) -> bool:
    """Return whether a lack of memory is behind an exception: it may show as a library that cannot be loaded."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) or (isinstance(cause, OSError) and cause.errno == errno.ENOMEM):
            return True
        cause = cause.__cause__ or cause.__context__
    try:
        bytearray(_SPARE_BYTES)
    except MemoryError:
        return True
    return False


def _main(mark: bytes) -> None:
    """Take standard input and output for calls and answers, and leave others in their place."""
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    try:
        answers.write(mark)
        answers.flush()
        _serve(calls, answers)
    except BrokenPipeError:  # the parent is gone; what is left in the buffer would be written, and fail, once more
        os._exit(1)


if __name__ == "__main__":
    _main(bytes.fromhex(sys.argv[1]))
