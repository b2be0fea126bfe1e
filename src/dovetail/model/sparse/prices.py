"""What done, gated and skipped actions cost: the names that energy tables may have for each, and their stand-ins.

Names and their order are the reference's (``include/model/topology.hpp``): the first that a table has counts. An action
that it has no name for costs nothing; only a computation that is gated or skipped costs its full energy then.
"""

from __future__ import annotations

from collections.abc import Mapping

from dovetail.model.sparse.accesses import FATES, KINDS


def _names(fate: str, kind: str, prefix: str) -> tuple[str, ...]:
    """Return what an access may be called: ``prefix`` is ``metadata_`` or nothing."""
    own = [f"{fate}_{prefix}{kind}"]
    if kind != "read":
        own.append(f"{fate}_{prefix}write")
    if fate == "random":
        own.append(f"{prefix}{kind}")
        if kind != "read":
            own.append(f"{prefix}write")
    return (*own, *(_names("gated", kind, prefix) if fate == "skipped" else ()))


#: Names of accesses to metadata and of data that is not simply read or written, by (fate, kind of access).
DATA = {(fate, kind): _names(fate, kind, "") for fate in FATES for kind in KINDS}
METADATA = {(fate, kind): _names(fate, kind, "metadata_") for fate in FATES for kind in KINDS}
_GATED = ("mac_gated", "mult_gated", "compute_gated")
_SKIPPED = ("mac_skipped", "mult_skipped", "compute_skipped", *_GATED)
DECOMPRESS, COMPRESS = "decompression_count", "compression_count"


def price(actions: Mapping[str, float], names: tuple[str, ...]) -> float:
    """Return pJ of the first of the names that there is; 0 where there is none."""
    return next((actions[name] for name in names if name in actions), 0.0)


def compute_prices(actions: Mapping[str, float], full: float) -> dict[str, float]:
    """Return pJ of a computation that is gated or skipped; what the table has no name for costs its full energy."""
    return {
        "gated": next((actions[name] for name in _GATED if name in actions), full),
        "skipped": next((actions[name] for name in _SKIPPED if name in actions), full),
    }


def has_gated_compute(actions: Mapping[str, float]) -> bool:
    """Return whether a table knows what a gated computation costs."""
    return any(name in actions for name in _GATED)
