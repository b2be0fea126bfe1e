"""Which classes a network tells apart: images by their class, and by the class that it takes them for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dovetail.accuracy.data import Split, in_order
from dovetail.accuracy.evaluation import BATCH, class_outputs
from dovetail.accuracy.execution import Execution
from dovetail.table import Cell, Column, Table
from dovetail.units import percent
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("evaluation")

#: Of more classes, JSON has no whole matrix.
MOST_CLASSES = 100


@dataclass(frozen=True, repr=False)
class Confusion:
    """What a network takes images for.

    Attributes:
        classes: their names.
        counts: images, shape (classes, classes + 1): by their own class, then by the one that the network says; the
            last column is of outputs beyond these classes.
    """

    classes: tuple[str, ...]
    counts: NDArray[np.int64]

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
    execution: Execution | None = None,
    batch_size: int = BATCH,
) -> Confusion:
    """Count, per class, what a network takes its images for.

    Args:
        model: as `evaluate` takes it.
        split: the part of the data set.
        classes: the data set's.
        execution: where it runs.
        batch_size: images a step.

    Raises:
        InputError: as `evaluate` does.
    """
    execution = execution or Execution()
    device, layout = execution.torch_device, execution.memory_format()
    counts = np.zeros((len(classes), len(classes) + 1), np.int64)
    was_training = model.training
    model.to(device).eval()
    try:
        with torch.no_grad(), execution.autocast():
            for images, labels in split.batches(in_order(len(split), batch_size), device):
                outputs = class_outputs(model, images.contiguous(memory_format=layout), 1 + int(split.labels.max()))
                said = outputs.topk(1, dim=1).indices[:, 0].clamp(max=len(classes))
                np.add.at(counts, (labels.cpu().numpy(), said.cpu().numpy()), 1)
    finally:
        model.train(was_training)
    return Confusion(classes, counts)
