"""Writes files: regular ones are replaced whole or not at all; devices, pipes and ``-`` are written into, as they are.

Where a path leads decides (`target_of`):

- ``-``, and whatever is this process's own standard output (``/dev/stdout``, ``/dev/fd/1``): the stream itself;
- a device, a pipe: it is opened and written into, as a shell's ``>`` does;
- a symbolic link: what it points to, by these same rules; the link stays;
- anything else: a new file beside it, synchronised to the disk, takes its name in one move. Its permissions are those
  of the file it replaces. Whoever reads sees the old content or all of the new, also after ``kill -9`` or a full disk.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from dovetail import inputs
from dovetail.errors import WriteError

try:
    import fcntl
except ImportError:  # no such locks on Windows
    fcntl = None  # type: ignore[assignment]

#: How the name of a file ends that has not taken its place yet, and seconds after which its writer has locked it.
_UNFINISHED, _LOCKED_BY_THEN = ".partial", 10.0

#: Files that are being written and have not taken their place yet; who ends the process in haste removes them.
_unfinished: set[str] = set()


@dataclass(frozen=True)
class Target:
    """Where a path leads.

    Attributes:
        path: the file, device or pipe behind all links; None for standard output.
        replaced: whether a new file takes its place; otherwise it is written into.
    """

    path: Path | None
    replaced: bool


class _Standard:
    """Standard output, while `for_files_alone` is entered."""

    output: TextIO | None = None


@contextlib.contextmanager
def for_files_alone() -> Iterator[None]:
    """While this is entered, standard output takes only what is written as a file; what is printed goes to stderr."""
    _Standard.output = sys.stdout
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _Standard.output = None


def target_of(path: Path) -> Target:
    """Return where writing to a path leads.

    Raises:
        WriteError: to a folder, a socket, or in a circle.
    """
    if str(path) == "-" or _is_stream(path, _Standard.output or sys.stdout):
        return Target(None, False)
    try:
        # Links to what a process has open (/dev/fd/3) lead to the open file itself, not to a name to be replaced.
        real = Path(os.path.realpath(path))
        status = path.stat()
    except FileNotFoundError:
        return Target(real, True)
    except OSError as error:
        raise _failure(error, path) from None
    if stat.S_ISDIR(status.st_mode):
        raise WriteError("is a folder; name a file", file=path)
    if stat.S_ISSOCK(status.st_mode):
        raise WriteError("is a socket; name a file", file=path)
    if not stat.S_ISREG(status.st_mode) or _is_open_file(path):
        return Target(path, False)
    return Target(real, True)


def prepare(path: Path) -> Target:
    """See to it, before long work begins, that a file can be written when it ends: its folder is made when missing.

    Returns where the path leads.

    Raises:
        WriteError: it can't be written where it is to stand.
    """
    target = target_of(path)
    try:
        if target.path is not None and target.replaced:
            _prepare_folder(target.path.parent)
        elif target.path is not None and not os.access(target.path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise _failure(error, path) from None
    return target


def prepare_folder(path: Path) -> None:
    """See to it, before long work begins, that files can be written into a folder; it is made when missing.

    Raises:
        WriteError: they can't.
    """
    try:
        _prepare_folder(path)
    except FileExistsError:
        raise WriteError("is no folder; name one", file=path) from None
    except OSError as error:
        raise _failure(error, path) from None


def _prepare_folder(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path):
        pass


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file, as the module says; its folder is made when missing.

    Raises:
        WriteError: when it can't be written.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, as the module says; its folder is made when missing.

    Raises:
        WriteError: when it can't be written.
    """
    write_with(path, lambda stream: stream.write(content))


def write_with(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Have ``write`` fill a file, as the module says; its folder is made when missing.

    Raises:
        WriteError: when it can't be written; what ``write`` itself raises passes through.
    """
    target = target_of(path)
    if target.path is not None and inputs.was_read(target.path):
        raise WriteError("is not written: it was read, and what it said would be lost", file=path)
    try:
        if target.path is None:
            out = _Standard.output or sys.stdout
            out.flush()
            write(out.buffer)
            out.buffer.flush()
        elif target.replaced:
            _replace(target.path, write)
        else:
            with os.fdopen(os.open(target.path, os.O_WRONLY), "wb") as stream:  # makes nothing, cuts nothing off
                write(stream)
    except OSError as error:
        if target.path is None and isinstance(error, BrokenPipeError):
            raise  # who reads our output has seen enough
        raise _failure(error, path) from None


@contextlib.contextmanager
def sole_holder(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold a file, which is made and holds nothing, against other processes; where nothing can be locked, go on.

    The hold ends with the block, or with the process, however that ends.

    Raises:
        BlockingIOError: another process holds it, and ``wait`` says not to wait for that.
    """
    with path.open("a") as stream:
        try:
            _lock(stream.fileno(), wait=wait)
        except BlockingIOError:
            raise
        except OSError:  # some network folders have no locks
            pass
        yield


def discard_unfinished() -> None:
    """Remove what is half written: for a process that is about to end without unwinding."""
    for name in list(_unfinished):
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108 - no object is made where a signal may strike


def _replace(path: Path, write: Callable[[BinaryIO], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(path) as (stream, name):
        write(stream)
        stream.flush()
        _take_over_rights(stream.fileno(), path)
        os.fsync(stream.fileno())
        try:
            os.replace(name, path)  # noqa: PTH105
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.EXDEV):
                raise
            _write_into_mount(stream, path)
    _synchronise_folder(path.parent)


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[tuple[BinaryIO, str]]:
    """Make a file beside a path, and see to it that it is gone afterwards, or has become the path's."""
    prefix = f".{path.name[:100]}."
    _remove_abandoned(path.parent, prefix)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=_UNFINISHED)
    _unfinished.add(name)
    try:
        with os.fdopen(handle, "w+b") as stream:
            with contextlib.suppress(OSError):  # some network folders have no locks
                _lock(stream.fileno())
            yield stream, name
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108 - gone already where it took its place
        _unfinished.discard(name)


def _remove_abandoned(folder: Path, prefix: str) -> None:
    """Remove what a process that was killed while it wrote has left: whoever still writes holds a lock on it."""
    for entry in os.scandir(folder) if fcntl is not None else ():
        if not (entry.name.startswith(prefix) and entry.name.endswith(_UNFINISHED)):
            continue
        with contextlib.suppress(OSError):
            if entry.is_file(follow_symlinks=False) and time.time() - entry.stat().st_mtime > _LOCKED_BY_THEN:
                with Path(entry.path).open("rb") as stream:
                    _lock(stream.fileno())
                    Path(entry.path).unlink()


def _lock(handle: int, *, wait: bool = False) -> None:
    """Hold a lock on a file until it is closed; raises BlockingIOError when another process holds it."""
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def _write_into_mount(stream: BinaryIO, path: Path) -> None:
    """Copy the finished file into one that is a mount point, as containers have them: no name can be moved there."""
    stream.seek(0)
    with path.open("wb") as there:
        while chunk := stream.read(1 << 20):
            there.write(chunk)


def _take_over_rights(handle: int, path: Path) -> None:
    """Give a new file the permissions, and where it may be the owner, of the one that it replaces."""
    if not hasattr(os, "fchmod"):
        return
    try:
        old = path.stat()
    except OSError:
        os.fchmod(handle, 0o666 & ~_umask())
        return
    with contextlib.suppress(OSError):
        os.fchown(handle, old.st_uid, old.st_gid)
    os.fchmod(handle, stat.S_IMODE(old.st_mode))


def _umask() -> int:
    """Return the mask of permissions for new files without changing it, where the platform shows it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o022


def _synchronise_folder(folder: Path) -> None:
    """Make the new name last through a power cut, where folders can be synchronised."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _is_open_file(path: Path) -> bool:
    """Whether a path names what a process has open (``/dev/fd/3``, ``/proc/self/fd/3``) rather than a file's name."""
    parts = _without_last_links(path).parts
    return "fd" in parts[:-1] and parts[1:2] in (("proc",), ("dev",))


def _without_last_links(path: Path) -> Path:
    """Follow links, but not those of a folder of open files: these lead to the file's name."""
    for _ in range(40):
        path = Path(os.path.realpath(path.parent)) / path.name
        if path.parent.name == "fd" or not os.path.islink(path):  # noqa: PTH114 - never raises
            return path
        path = path.parent / path.readlink()
    return path


def _is_stream(path: Path, stream: object) -> bool:
    """Whether a path is the very file that a stream of ours writes to, by one of the names of open files."""
    if not _is_open_file(path):
        return False
    try:
        return os.path.samestat(path.stat(), os.fstat(stream.fileno()))  # type: ignore[attr-defined]
    except (OSError, AttributeError, ValueError):
        return False


def _failure(error: OSError, path: Path) -> WriteError:
    return WriteError(f"cannot be written ({error.strerror or error})", file=path)
