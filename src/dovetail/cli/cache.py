"""``dovetail cache``: shows, verifies and clears the store of results."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path

from dovetail.cli.tables import print_json
from dovetail.store import Store, StoreState
from dovetail.text import printable

#: Command lines to begin with.
EXAMPLES = (
    "cache",
    "cache verify",
    "cache clear",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "action",
        nargs="?",
        choices=("show", "verify", "clear"),
        default="show",
        help="show what is kept (default), verify its checksums, or clear it",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Run the command; returns 0, or 1 when verifying found damage."""
    with Store.open() as store:
        action = {"show": _show, "verify": _verify, "clear": _clear}[args.action]
        return action(store, args.json)


def _show(store: Store, as_json: bool) -> int:
    state = store.state()
    if as_json:
        print_json("cache", _fields(state))
        return 0
    if state.path is None:
        print("no store: results are computed anew each time")
        return 0
    print(f"store    {printable(str(state.path))}")
    print(f"results  {state.entries}")
    print(f"size     {state.size_bytes / 1e6:.1f} MB")
    if state.oldest is not None and state.newest is not None:
        print(f"stored   {_minute(state.oldest)} to {_minute(state.newest)}")
    for path in state.set_aside:
        print(f"damaged, set aside: {printable(str(path))}")
    return 0


def _verify(store: Store, as_json: bool) -> int:
    found = store.verify()
    damaged = found.removed > 0 or found.set_aside is not None
    if as_json:
        aside = [] if found.set_aside is None else [str(found.set_aside)]
        print_json("cache", {"checked": found.checked, "removed": found.removed, "set_aside": aside})
    elif found.set_aside is not None:
        print(f"the file was damaged; it is set aside as {printable(str(found.set_aside))} and a new one begun")
    else:
        print(f"{found.checked} results checked, {found.removed or 'none'} damaged" + (" and removed" * damaged))
    return 1 if damaged else 0


def _clear(store: Store, as_json: bool) -> int:
    removed = store.clear()
    if as_json:
        print_json("cache", {"removed": removed})
    else:
        print(f"{removed} results removed")
    return 0


def _fields(state: StoreState) -> dict[str, object]:
    return {
        "path": _text(state.path),
        "entries": state.entries,
        "size_bytes": state.size_bytes,
        "oldest": state.oldest.isoformat() if state.oldest else None,
        "newest": state.newest.isoformat() if state.newest else None,
        "set_aside": [str(path) for path in state.set_aside],
    }


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _minute(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")
