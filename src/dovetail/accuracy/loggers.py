"""Optional watchers of a run: TensorBoard and Weights & Biases."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dovetail.accuracy.training import Event
from dovetail.errors import InputError, MissingExtraError, did_you_mean

#: An observer of events, and what to call when the run is over.
Logger = tuple[Callable[[Event], None], Callable[[], None]]


def tensorboard(folder: Path, name: str, settings: dict[str, Any]) -> Logger:
    """Write loss, learning rate and validation accuracy, per step number, under ``folder/tensorboard/name``."""
    try:
        writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter(str(folder / "tensorboard" / name))
    except ImportError:
        raise MissingExtraError("logging to TensorBoard", "logging") from None
    writer.add_text("settings", "\n".join(f"    {key}: {value}" for key, value in settings.items()))

    def observe(event: Event) -> None:
        for key, value in _values(event).items():
            writer.add_scalar(key, value, event.step)

    return observe, writer.close


def wandb(folder: Path, name: str, settings: dict[str, Any]) -> Logger:
    """Log to the Weights & Biases project ``dovetail``; what it sends where is set as always, by its own variables."""
    try:
        library = importlib.import_module("wandb")
    except ImportError:
        raise MissingExtraError("logging to Weights & Biases", "logging") from None
    folder.mkdir(parents=True, exist_ok=True)
    run = library.init(project="dovetail", name=name, dir=str(folder), config=settings, reinit=True)

    def observe(event: Event) -> None:
        if event.epoch is not None:
            run.log(_values(event), step=event.step)

    return observe, run.finish


LOGGERS: dict[str, Callable[[Path, str, dict[str, Any]], Logger]] = {"tensorboard": tensorboard, "wandb": wandb}


def logger(kind: str, folder: Path, name: str, settings: dict[str, Any]) -> Logger:
    """Start a logger by name.

    Args:
        kind: ``tensorboard`` or ``wandb``.
        folder: of all runs together.
        name: of this run.
        settings: shown beside the curves.

    Raises:
        InputError: when there is no such logger.
        MissingExtraError: when its package is missing.
    """
    if kind not in LOGGERS:
        raise InputError(f"unknown logger '{kind}'{did_you_mean(kind, LOGGERS)}")
    return LOGGERS[kind](folder, name, settings)


def _values(event: Event) -> dict[str, float]:
    """Return what an event says in numbers; nothing unless an epoch has ended."""
    if event.epoch is None:
        return {}
    epoch = event.epoch
    return {"loss": epoch.loss, "learning_rate": epoch.learning_rate, "validation_accuracy": epoch.validation}
