"""The store of results: an SQLite file in the user's cache, keyed by the content of what was asked.

Safe for several processes at once and for ``kill -9`` at any moment. A damaged file is set aside under a name with
the time in it, and the next one begun under the next number: another process may still have the damaged file open,
and SQLite finds a file's log by its name. Where nothing can be written (read-only or full disk) work goes on without
a store, and one line on the log says so.

Every result carries a checksum over its key and value, and the file a census: the number of results and one digest of
all of them, kept up to date with every change. What was flipped in a result is noticed when it is read; what made
results vanish is noticed by the census, at the first question that finds no answer.

SQLite's locks do not hold between machines. On a folder that several may share (NFS and its kin) every machine
therefore keeps a file of its own.

Usage::

    key = content_key("layer cost", MODEL_VERSION, problem, architecture, energy_table, objective)
    with Store.open() as store:
        cost = store.get(key)
        if cost is None:
            store.put(key, cost := compute())      # anything that JSON can hold
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import platform
import re
import sqlite3
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from dovetail import inputs, store_census
from dovetail.content import content_key
from dovetail.files import sole_holder
from dovetail.text import shown

__all__ = ["Store", "StoreState", "Verification", "cache_folder", "content_key"]

_log = logging.getLogger("dovetail.store")
_T = TypeVar("_T")
_Row = tuple[bytes, bytes, bytes]

#: The file's name carries the layout of its table, so that versions of this program never meet in one file.
_FILE = "results-v2.sqlite3"
_LAYOUT = (
    "CREATE TABLE IF NOT EXISTS results (key BLOB PRIMARY KEY, value BLOB, checksum BLOB, stored REAL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS census (id INTEGER PRIMARY KEY, entries INTEGER, digest BLOB)",
    "INSERT OR IGNORE INTO census VALUES (1, 0, zeroblob(16))",
)
#: Kinds of file systems that machines share, as the system's list of mounts names them.
_SHARED_FOLDERS = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|afs|ceph|lustre|gpfs|beegfs|orangefs|panfs"
    r"|fuse\.(sshfs|s3fs|glusterfs|ceph|mfs|juicefs|gcsfuse|rclone|quobyte)"
)
_BUSY_SECONDS = 10.0
_ATTEMPTS = 3
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_WAIT = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

#: Connections that came through a fork: kept here so that nothing closes them in this process.
_inherited: list[sqlite3.Connection | None] = []


@dataclass(frozen=True)
class StoreState:
    """What a store holds.

    Attributes:
        path: its file; None when there is no store.
        entries: results in it.
        size_bytes: of its files on disk.
        oldest: when the oldest result was stored.
        newest: when the newest result was stored.
        set_aside: damaged files found earlier and kept for inspection.
    """

    path: Path | None
    entries: int
    size_bytes: int
    oldest: datetime | None
    newest: datetime | None
    set_aside: tuple[Path, ...]


@dataclass(frozen=True)
class Verification:
    """What verifying a store found.

    Attributes:
        checked: results whose checksum was compared.
        removed: results that were damaged and are gone now.
        set_aside: where the file was moved, when it was found damaged as a whole since the store was opened.
    """

    checked: int
    removed: int
    set_aside: Path | None


def cache_folder() -> Path | None:
    """Return the folder for what can be computed again; None when there is to be none.

    ``$DOVETAIL_CACHE`` when set (``off`` means none), else ``dovetail`` in ``$XDG_CACHE_HOME``, else in the place that
    the platform has for caches.
    """
    own, xdg = os.environ.get("DOVETAIL_CACHE", ""), os.environ.get("XDG_CACHE_HOME", "")
    try:
        if own:
            return None if own == "off" else Path(own).expanduser()
        if xdg and Path(xdg).is_absolute():
            return Path(xdg) / "dovetail"
        home = Path.home()
    except RuntimeError:  # nobody's home is known
        return None
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "dovetail"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "dovetail" / "Cache"
    return home / ".cache" / "dovetail"


class Store:
    """Results by key. Every method works without a file too: then nothing is found and nothing kept."""

    def __init__(self, path: Path | None, *, shared: bool | None = None) -> None:
        self._base, self._is_shared = path, shared
        self.path = None if path is None else _current(path)
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._warned = False
        self._writable = False
        self._counted = False
        self._last_set_aside: Path | None = None

    @classmethod
    def open(cls, path: Path | None = None) -> Store:
        """Open the store of a file; without one, that of the user's cache.

        Never fails, see the module's text; but a command that would write an output over the store is refused.
        """
        shared = None
        if path is None and (folder := cache_folder()) is not None:
            path, shared = folder / _FILE, _is_shared(folder)
            if shared:
                path = path.with_suffix(f".{re.sub('[^A-Za-z0-9-]', '_', platform.node())[:40]}{path.suffix}")
        if path is not None:
            inputs.refuse_output(path)
        store = cls(path, shared=shared)
        store._run(lambda connection: None, None)
        return store

    @classmethod
    def disabled(cls) -> Store:
        """Return a store that finds and keeps nothing."""
        return cls(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def close(self) -> None:
        """Close the file; the store opens it again when it is used again."""
        with self._lock:
            self._forget_inherited()
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def get(self, key: str) -> Any | None:
        """Return the value of a key; None when there is none, or when it is damaged."""
        return self.get_many([key]).get(key)

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values of those keys that have one."""
        wanted = sorted({key.encode() for key in keys})

        def read(connection: sqlite3.Connection) -> list[_Row]:
            rows: list[_Row] = []
            for start in range(0, len(wanted), 500):
                some = wanted[start : start + 500]
                marks = ",".join("?" * len(some))
                rows += connection.execute(f"SELECT key, value, checksum FROM results WHERE key IN ({marks})", some)  # noqa: S608
            return rows

        nothing: list[_Row] = []
        found = {key: _unpacked(key, value, checksum) for key, value, checksum in self._run(read, nothing)}
        if damaged := [key for key, value in found.items() if value is None]:
            _log.warning("%d damaged results in %s are computed anew", len(damaged), shown(str(self.path)))
            self._remove(damaged)
        if len(found) < len(wanted) and not self._counted:
            self._counted = True
            self._run(store_census.take_census, None)
        return {key.decode(): value[0] for key, value in found.items() if value is not None}

    def put(self, key: str, value: Any) -> None:
        """Keep a value: anything that JSON holds (tuples come back as lists). A former value is replaced."""
        self.put_many({key: value})

    def put_many(self, values: Mapping[str, Any]) -> None:
        """Keep several values, all or none of them."""
        now = time.time()
        rows = [(key.encode(), *_packed(key.encode(), value), now) for key, value in values.items()]
        if rows:
            self._run(lambda db: store_census.insert(db, rows), None, write=True)

    def state(self) -> StoreState:
        """Say what the store holds."""
        query = "SELECT count(*), min(stored), max(stored) FROM results"
        count, oldest, newest = self._run(lambda db: db.execute(query).fetchone(), (0, None, None))
        size = sum(path.stat().st_size for path in self._files() if path.exists())
        usable = self.path if self._connection is not None else None
        return StoreState(usable, count, size, _time(oldest), _time(newest), tuple(self._set_aside_files()))

    def verify(self) -> Verification:
        """Check the file's structure and every value's checksum; remove what is damaged."""
        self._run(store_census.check_structure, None)
        self._run(store_census.take_census, None)
        nothing: list[_Row] = []
        rows = self._run(lambda db: list(db.execute("SELECT key, value, checksum FROM results")), nothing)
        damaged = [key for key, value, checksum in rows if _unpacked(key, value, checksum) is None]
        self._remove(damaged)
        return Verification(len(rows), len(damaged), self._last_set_aside)

    def clear(self) -> int:
        """Remove every result and every damaged file set aside; return how many results there were."""
        count: int = self._run(store_census.empty, 0, write=True)
        self._run(lambda db: db.execute("VACUUM"), None)
        for path in self._set_aside_files():
            with contextlib.suppress(OSError):
                path.unlink()
        return count

    def _remove(self, keys: list[bytes]) -> None:
        if keys and self._writable:
            self._run(lambda db: store_census.delete(db, keys), None, write=True)

    def _run(self, work: Callable[[sqlite3.Connection], _T], otherwise: _T, *, write: bool = False) -> _T:
        """Do one piece of work on the file, around damage and contention; ``otherwise`` when it cannot be done."""
        with self._lock:
            for attempt in range(_ATTEMPTS):
                try:
                    return self._attempt(work, otherwise, write)
                except (sqlite3.Error, OSError) as error:
                    if attempt + 1 == _ATTEMPTS or not self._recovers(error):
                        self._warn(error)
                        break
            return otherwise

    def _recovers(self, error: sqlite3.Error | OSError) -> bool:
        """Whether another attempt makes sense: the file was contended, or damaged and could be set aside."""
        if isinstance(error, OSError):
            return False
        if not _is_damage(error):
            return _code(error) in _WAIT
        try:
            self._set_aside(error)
        except OSError:
            return False
        return True

    def _attempt(self, work: Callable[[sqlite3.Connection], _T], otherwise: _T, write: bool) -> _T:
        try:
            connection = self._connected()
            if connection is None:
                return otherwise
            with _transaction(connection) if write else contextlib.nullcontext():
                return work(connection)
        except UnicodeDecodeError as error:  # SQLite's message quotes a rotten name of the file's schema
            raise _malformed() from error

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            _log.warning("results are not stored: %s", shown(f"{self.path}: {error}"))
            self._warned = True

    def _connected(self) -> sqlite3.Connection | None:
        self._forget_inherited()
        while self._connection is None and self.path is not None:
            path = self.path
            connection, self.path = self._connect(path), _current(self._base or path)
            if self.path == path:
                self._connection = connection
                continue
            # Set aside by another process since the path was looked up: what stands there now nobody will look into.
            connection.close()
            for stale in _files_of(path):
                with contextlib.suppress(OSError):
                    stale.unlink()
        return self._connection

    def _forget_inherited(self) -> None:
        """Drop a connection that came through a fork, without closing it: SQLite allows neither use nor close."""
        if self._process != os.getpid():
            _inherited.append(self._connection)
            self._connection, self._process = None, os.getpid()

    def _connect(self, path: Path) -> sqlite3.Connection:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        before = _identity(path)
        writable = os.access(path.parent, os.W_OK) and (before is None or os.access(path, os.W_OK))
        self._writable = writable
        uri = path.absolute().as_uri() + ("?mode=rwc" if writable else "?mode=ro&immutable=1")
        connection = sqlite3.connect(
            uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.text_factory = bytes  # no column is text; a rotten one must not fail to decode
        try:
            if writable:
                if self._is_shared is None:
                    self._is_shared = _is_shared(path.parent)
                connection.execute(f"PRAGMA journal_mode={'DELETE' if self._is_shared else 'WAL'}")
                connection.execute("PRAGMA synchronous=NORMAL")  # survives kill -9; a power cut may lose the newest
                for statement in _LAYOUT:
                    connection.execute(statement)
            connection.execute("SELECT key, value, checksum, stored FROM results LIMIT 1").fetchone()
            connection.execute("SELECT entries, digest FROM census").fetchone()
        except BaseException:
            connection.close()
            raise
        finally:
            self._identity = before or _identity(path)
        return connection

    def _set_aside(self, damage: sqlite3.Error) -> None:
        """Move the damaged file away, unless another process has; raises OSError where that is not possible."""
        assert self.path is not None
        assert self._base is not None
        self.close()
        moved = self.path.with_name(f"{self.path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}")
        with sole_holder(self._base.with_suffix(".lock"), wait=True):
            if _identity(self.path) == self._identity:
                for suffix in ("-wal", "-shm", ""):
                    with contextlib.suppress(FileNotFoundError):
                        self.path.with_name(self.path.name + suffix).replace(moved.with_name(moved.name + suffix))
                self._last_set_aside = moved
                said = shown(f"the store of results was damaged ({damage}); set aside as {moved}, begun anew")
                _log.warning("%s", said)
        self.path = _current(self._base)

    def _files(self) -> list[Path]:
        return [] if self.path is None else _files_of(self.path)

    def _set_aside_files(self) -> list[Path]:
        return [] if self._base is None else [path for path, _, is_damaged in _generations(self._base) if is_damaged]


def _files_of(path: Path) -> list[Path]:
    """Return a store's file and those that SQLite keeps beside it."""
    return [path.with_name(path.name + end) for end in ("", "-wal", "-shm")]


def _generations(base: Path) -> list[tuple[Path, int, bool]]:
    """Return the store's files in their folder: path, number, and whether it was set aside as damaged."""
    name = re.compile(re.escape(base.stem) + r"(?:\.(\d{1,9}))?" + re.escape(base.suffix) + r"(\.damaged-.*)?")
    try:
        found = [(path, name.fullmatch(path.name)) for path in base.parent.iterdir()]
    except OSError:
        return []
    return sorted((path, int(match[1] or 0), match[2] is not None) for path, match in found if match)


def _current(base: Path) -> Path:
    """Return the file in use: the base until it was set aside, then the next number."""
    number = max((number + is_damaged for _, number, is_damaged in _generations(base)), default=0)
    return base if number == 0 else base.with_name(f"{base.stem}.{number}{base.suffix}")


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _is_shared(folder: Path) -> bool:
    """Say whether a folder lies on a file system that several machines may share, where the system tells."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        real = os.path.realpath(folder)
    except OSError:
        return False
    best, shared = "", False
    for fields in (line.split() for line in mounts):
        place = re.sub(r"\\(\d{3})", lambda sign: chr(int(sign[1], 8)), fields[1])
        if os.path.commonpath([place, real]) == place and len(place) >= len(best):
            best, shared = place, _SHARED_FOLDERS.fullmatch(fields[2]) is not None
    return shared


def _packed(key: bytes, value: Any) -> tuple[bytes, bytes]:
    text = json.dumps(value, separators=(",", ":"))
    packed = zlib.compress(text.encode(), 6)
    return packed, _checksum(key, packed)


def _unpacked(key: bytes, value: Any, checksum: Any) -> tuple[Any] | None:
    """Return the value, alone in a tuple; None when it is damaged."""
    if not isinstance(value, bytes) or checksum != _checksum(key, value):
        return None
    return (json.loads(zlib.decompress(value)),)


def _checksum(key: bytes, packed: bytes) -> bytes:
    return hashlib.blake2b(packed, digest_size=16, key=hashlib.sha256(key).digest()).digest()


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _malformed() -> sqlite3.DatabaseError:
    """Return what SQLite's error would be if Python could read its message."""
    error = sqlite3.DatabaseError("malformed database schema, with a name that is no text")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is at fault: not a database, torn, or with a table of another shape."""
    return _code(error) in _DAMAGE or (_code(error) == sqlite3.SQLITE_ERROR and "no such" in str(error))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _time(seconds: float | None) -> datetime | None:
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, TypeError, OSError):  # a time is no result: it has no checksum
        return None
