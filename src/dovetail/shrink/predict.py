"""Predicts what narrowing each knob loses, from networks that were measured; narrowing never gains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dovetail.shrink.space import Choice

#: Strength of the pull of every coefficient towards the mean of all, in units of one measurement.
_PULL = 0.5
_ROUNDS = 2000


def predicted_losses(
    shares: Sequence[NDArray[np.float64]], choices: Sequence[Choice], losses: Sequence[float]
) -> list[NDArray[np.float64]]:
    """Return per knob ``(options,)`` what each option is predicted to lose against the widest.

    The model is ``loss = c + sum over knobs of a_k (1/s_k - 1) + b_k log(1/s_k)``, ``s_k`` the share of channels kept,
    ``a`` and ``b`` not negative, fitted by least squares with a pull towards equal coefficients: one curve that bends
    like a wall and one that bends like a slope, both falling with width.

    Args:
        shares: per knob ``(options,)`` the share of channels that an option keeps.
        choices: what was measured.
        losses: what it lost, of any unit.
    """
    knobs = len(shares)
    curves = [np.stack([1 / share - 1, np.log(1 / share)]) for share in shares]  # (2, options) each
    rows = np.array([[curves[k][:, choice[k]] for k in range(knobs)] for choice in choices])
    features = rows.transpose(0, 2, 1).reshape(len(choices), 2 * knobs)  # both curves of all knobs
    scale = np.maximum(features.std(axis=0), 1e-9)
    coefficients = _non_negative(features / scale, np.asarray(losses, float)) / scale
    return [coefficients[k] * curves[k][0] + coefficients[knobs + k] * curves[k][1] for k in range(knobs)]


def _non_negative(features: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return non-negative coefficients of least squares (a free constant taken out), by coordinate descent."""
    count = features.shape[1]
    centred, values = features - features.mean(axis=0), values - values.mean()
    mean_row = np.full((count, count), -1.0 / count) + np.eye(count)  # pulls coefficients towards their mean
    gram = centred.T @ centred + _PULL * mean_row
    aims = centred.T @ values
    found = np.zeros(count)
    for _ in range(_ROUNDS):
        before = found.copy()
        for place in range(count):
            rest = aims[place] - gram[place] @ found + gram[place, place] * found[place]
            found[place] = max(0.0, rest / gram[place, place])
        if np.abs(found - before).max() < 1e-10:
            break
    return found
