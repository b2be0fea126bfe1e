"""What done, gated and skipped actions cost: the names that energy tables may have for each, and their stand-ins.

Names and their order are the reference's (``include/model/topology.hpp``): the first that a table has counts. An action
that it has no name for costs nothing; only a computation that is gated or skipped costs its full energy then.
"""

from __future__ import annotations

from collections.abc import Mapping

from dovetail.components.energy_table import EnergyTable
from dovetail.hardware.architecture import Architecture
from dovetail.hardware.sparse import Leaving
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


def price_notes(architecture: Architecture, energies: EnergyTable) -> tuple[str, ...]:
    """Say which computations that a design leaves out save nothing, as its energy table has no name for them."""
    able = architecture.compute.sparse.computing
    if not able or architecture.compute.name not in energies.components:
        return ()
    unit = architecture.compute.name
    actions = energies[unit].actions
    return tuple(
        f"{architecture.name}: {unit} has no energy {names[-1]}, so a computation that is {how.done} "
        f"costs as much as one that is done (the reference counts so); give its energy table one"
        for how, names in ((Leaving.GATING, _GATED), (Leaving.SKIPPING, _SKIPPED[: -len(_GATED)]))
        if how in able and not any(name in actions for name in (*names, *_GATED))
    )
