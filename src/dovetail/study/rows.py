"""One figure of the founding study three times: as published, as reproduced, corrected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dovetail.study.published import StudyFigures

#: The designs of the study's layer-by-layer tables.
SIMPLE = ("weight_stationary", "output_stationary")
BATCHES = (1, 16)


@dataclass(frozen=True)
class Row:
    """One figure of the study three times.

    Attributes:
        part: ``resnet``, ``alexnet_batch_1``, ``alexnet_batch_16`` or ``width``.
        item: network or layer.
        design: the study's short name of the design.
        published: what the study printed; None where it printed nothing.
        reproduced: ours, exactly optimal, on the study's shapes and designs, its mistakes included.
        corrected: ours on the true shapes, both axes of the simple designs usable.
    """

    part: str
    item: str
    design: str
    published: StudyFigures | None
    reproduced: StudyFigures | None
    corrected: StudyFigures | None


def parts(rows: Sequence[Row]) -> list[str]:
    """Return the parts that occur, in order."""
    return list(dict.fromkeys(row.part for row in rows))


def title(part: str) -> str:
    """Return a part's heading."""
    return {
        "resnet": "ResNets on three designs, batch 1, 224 x 224",
        "alexnet_batch_1": "AlexNet layer by layer, batch 1",
        "alexnet_batch_16": "AlexNet layer by layer, batch 16",
        "width": "ResNet-50 at several widths on the Eyeriss-like design, 32 x 32",
    }[part]
