"""The census of a store of results: how many there are and one digest of all, kept up to date with every change.

What made results vanish from the file, or stand there unasked, is noticed by it. The tables are those of
`dovetail.store`, which opens the file and says what becomes of a damaged one.
"""

from __future__ import annotations

import functools
import hashlib
import sqlite3
from typing import Any

_DIGEST_BYTES = 16


def check_structure(connection: sqlite3.Connection) -> None:
    """Have SQLite look through the file; raises DatabaseError where it is damaged."""
    answer = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if answer != b"ok":
        error = sqlite3.DatabaseError(answer.decode(errors="replace"))
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def take_census(connection: sqlite3.Connection) -> None:
    """Count all results again; raises DatabaseError where they are not as counted when they were stored: damage."""
    connection.execute("BEGIN")
    try:
        said = connection.execute("SELECT entries, digest FROM census").fetchall()
        rows = connection.execute("SELECT key, checksum FROM results").fetchall()
    finally:
        connection.execute("COMMIT")
    found = len(rows), functools.reduce(_joined, (_mark(*row) for row in rows), bytes(_DIGEST_BYTES))
    if said != [found]:
        error = sqlite3.DatabaseError("results are missing or others than were stored")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def insert(connection: sqlite3.Connection, rows: list[tuple[bytes, bytes, bytes, float]]) -> None:
    """Put results in: key, value, checksum and time each, in the place of those with the same keys."""
    delete(connection, [key for key, *_ in rows])
    connection.executemany("INSERT INTO results VALUES (?, ?, ?, ?)", rows)
    _count(connection, len(rows), [_mark(key, checksum) for key, _, checksum, _ in rows])


def delete(connection: sqlite3.Connection, keys: list[bytes]) -> None:
    """Take the results of some keys out."""
    query = "DELETE FROM results WHERE key = ? RETURNING key, checksum"
    gone = [row for key in keys for row in connection.execute(query, (key,)).fetchall()]
    _count(connection, -len(gone), [_mark(*row) for row in gone])


def empty(connection: sqlite3.Connection) -> int:
    """Take every result out; return how many there were."""
    connection.execute("UPDATE census SET entries = 0, digest = ?", (bytes(_DIGEST_BYTES),))
    return connection.execute("DELETE FROM results").rowcount


def _count(connection: sqlite3.Connection, more: int, marks: list[bytes]) -> None:
    """Bring the census up to date with what was added or taken away."""
    if marks:
        digest = connection.execute("SELECT digest FROM census").fetchone()[0]
        digest = functools.reduce(_joined, marks, digest)
        connection.execute("UPDATE census SET entries = entries + ?, digest = ?", (more, digest))


def _mark(key: Any, checksum: Any) -> bytes:
    """Return what one result contributes to the digest of all."""
    text = b"".join(part if isinstance(part, bytes) else repr(part).encode() for part in (key, checksum))
    return hashlib.blake2b(text, digest_size=_DIGEST_BYTES).digest()


def _joined(one: bytes, other: bytes) -> bytes:
    """Return the digest of both: the same in any order, and each its own inverse."""
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
