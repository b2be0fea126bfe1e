"""Predicts what narrowing each knob loses, from networks that were measured; narrowing never gains."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from dovetail.shrink.space import Choice

#: Strength of the pull of every coefficient towards the mean of all, in units of one measurement.
_PULL = 0.5
_ROUNDS = 2000


def predicted_losses(
    shares: Sequence[NDArray[np.float64]],
    choices: Sequence[Choice],
    losses: Sequence[float],
    stepped: Collection[int] = (),
) -> list[NDArray[np.float64]]:
    """Return per knob ``(options,)`` what each option is predicted to lose against the widest.

    The model is ``loss = c + sum over knobs of a_k (1/s_k - 1) + b_k log(1/s_k)``, ``s_k`` the share of channels kept,
    ``a`` and ``b`` not negative, fitted by least squares with a pull towards equal coefficients: one curve that bends
    like a wall and one that bends like a slope, both falling with width. A knob of few options that lie on no such
    curve has, instead, a step of its own, not negative, from each option to the next.

    Args:
        shares: per knob ``(options,)`` the share of channels that an option keeps.
        choices: what was measured.
        losses: what it lost, of any unit.
        stepped: numbers of the knobs that have steps.
    """
    curves = [_steps(len(share)) if knob in stepped else _bends(share) for knob, share in enumerate(shares)]
    rows = [
        np.concatenate([curve[:, option] for curve, option in zip(curves, choice, strict=True)]) for choice in choices
    ]
    features = np.array(rows).reshape(len(choices), sum(map(len, curves)))  # all curves of all knobs
    scale = np.maximum(features.std(axis=0), 1e-9)
    coefficients = _non_negative(features / scale, np.asarray(losses, float)) / scale
    own = np.split(coefficients, np.cumsum([len(curve) for curve in curves])[:-1])
    return [each @ curve for each, curve in zip(own, curves, strict=True)]


def _bends(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``(2, options)`` what a knob's coefficients are multiplied with."""
    return np.stack([1 / share - 1, np.log(1 / share)])


def _steps(options: int) -> NDArray[np.float64]:
    """Return ``(options - 1, options)`` likewise: whether an option is below each step."""
    return (np.arange(options) > np.arange(options - 1)[:, None]).astype(float)


def _non_negative(features: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return non-negative coefficients of least squares (a free constant taken out), by coordinate descent."""
    count = features.shape[1]
    if not count:
        return np.zeros(0)
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
