"""Which classes a network tells apart: images by their class, and by the class that it takes them for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dovetail.accuracy.data import Split
from dovetail.accuracy.evaluation import BATCH, ask
from dovetail.accuracy.execution import Execution
from dovetail.table import Cell, Column, Table
from dovetail.units import percent

#: Of more classes, JSON has no whole matrix.
MOST_CLASSES = 100


@dataclass(frozen=True, repr=False)
class Confusion:
    """What a network takes images for.

    Attributes:
        classes: their names.
        counts: images, shape (classes, classes + 1): by their own class, then by the one that the network says; the
            last column is of outputs beyond these classes.
        among: by rank, from 1 on, images whose class is among so many of the highest outputs.
    """

    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    among: tuple[int, ...] = ()

    def __repr__(self) -> str:
        return f"<Confusion of {len(self.classes)} classes: {percent(self.accuracy)} of {self.images} images right>"

    @property
    def images(self) -> int:
        """How many images there were."""
        return int(self.counts.sum())

    @property
    def accuracy(self) -> float:
        """The share of images whose class the network says, 0 to 1."""
        return int(np.trace(self.counts)) / self.images

    def taken_for(self, place: int) -> tuple[str, int]:
        """Return what a class is most often taken for instead, and how often; an empty name where it never is."""
        others = self.counts[place].copy()
        others[place] = 0
        most = int(others.argmax())
        if not others[most]:
            return "", 0
        return (self.classes[most] if most < len(self.classes) else "none of these"), int(others[most])

    def table(self) -> Table:
        """Return a row per class, the one that is least often right first."""
        rows: list[tuple[Cell, ...]] = []
        for place, name in enumerate(self.classes):
            images = int(self.counts[place].sum())
            right = int(self.counts[place, place]) / images if images else None
            other, often = self.taken_for(place)
            rows.append((name, images, right, other, often))
        rows.sort(key=lambda row: 2.0 if row[2] is None else float(row[2]))
        return Table(_COLUMNS, tuple(rows))

    def to_json(self) -> dict[str, Any]:
        """Return plain data: a row per class in their order, and the whole matrix of at most `MOST_CLASSES`."""
        by_name = {record["class"]: record for record in self.table().records()}
        whole = {"confusion": self.counts.tolist()} if len(self.classes) <= MOST_CLASSES else {}
        return {"classes": [by_name[name] for name in self.classes], **whole}

    def _repr_html_(self) -> str:
        return self.table().html(repr(self)[1:-1])


_COLUMNS = (
    Column("class", words=True),
    Column("images"),
    Column("right", key="accuracy", show=percent),
    Column("most taken for", key="taken_for", words=True),
    Column("times", key="times"),
)


def confusion(
    model: Any,
    split: Split,
    classes: tuple[str, ...],
    *,
    most: int = 1,
    execution: Execution | None = None,
    batch_size: int = BATCH,
) -> Confusion:
    """Count, per class, what a network takes its images for.

    Args:
        model: as `evaluate` takes it.
        split: the part of the data set.
        classes: the data set's.
        most: up to which rank it is counted how many images have their class among the highest outputs.
        execution: where it runs.
        batch_size: images a step.

    Raises:
        InputError: as `evaluate` does.
    """
    counts = np.zeros((len(classes), len(classes) + 1), np.int64)
    among = np.zeros(most, np.int64)

    def count(order: Any, labels: Any) -> None:
        np.add.at(counts, (labels.cpu().numpy(), order[:, 0].clamp(max=len(classes)).cpu().numpy()), 1)
        found = (order == labels[:, None]).cpu().numpy()
        among[: found.shape[1]] += np.maximum.accumulate(found, axis=1).sum(axis=0)
        among[found.shape[1] :] += int(found.any(axis=1).sum())  # of fewer outputs all are among the highest

    ask(model, split, most, count, execution=execution, batch_size=batch_size)
    return Confusion(classes, counts, tuple(map(int, among)))
