"""Exports what the core package holds of torchvision: layer tables from the real modules, accuracies of its weights.

Run as ``python tools/export_tables.py`` where the torch extra is.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path

from dovetail.files import write_text
from dovetail.text import csv_text
from dovetail.workload.layer_table import write_csv
from dovetail.workload.published_accuracy import FIELDS
from dovetail.workload.torch_models import OWN, classes_for, image_factory
from dovetail.workload.torch_trace import trace
from dovetail.workload.torchvision_import import import_torchvision

MODELS = (
    *("alexnet", "alexnet_original", "vgg16"),
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("densenet121", "densenet161", "densenet169", "densenet201"),
    *("mobilenet_v1_050", "mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0"),
)
#: Rows and columns of small images; large ones have the network's usual size.
SMALL_SIZE, USUAL_SIZE = 32, 224
WORKLOAD = Path(__file__).parents[1] / "src" / "dovetail" / "workload"
TABLES = WORKLOAD / "tables"
ACCURACIES = WORKLOAD / "data" / "published_accuracy.csv"


def sizes(name: str) -> tuple[int, int]:
    """Return the rows and columns that a network's tables are for."""
    return OWN[name][1] if name in OWN else USUAL_SIZE, SMALL_SIZE


def exported() -> Iterator[tuple[str, str]]:
    """Yield each table as (file name, text)."""
    for name in MODELS:
        for size in sizes(name):
            yield f"{name}@{size}.csv", export(name, size)


def export(name: str, size: int) -> str:
    """Return one table's text."""
    factory, shape = image_factory(name, size)
    origin = "tools/export_tables.py" if name in OWN else f"torchvision.models.{name}"
    stem = ", first convolution with stride 1" if name.startswith("alexnet") and size == 32 else ""
    source = f"{origin}, input 3x{size}x{size}, {classes_for(size)} classes{stem}"
    return write_csv(trace(factory, shape, name=name, source=source))


def export_accuracies() -> str:
    """Return the table of published accuracies: every set of weights of every classifier."""
    vision = import_torchvision("exporting accuracies")
    rows: list[tuple[object, ...]] = [FIELDS]
    for name in vision.models.list_models():
        for weights in vision.models.get_model_weights(name):
            (dataset, metrics), *_ = weights.meta["_metrics"].items()
            if math.isfinite(metrics.get("acc@1", math.nan)):  # one set is for features only and has none
                crop = weights.transforms.keywords["crop_size"]
                size = crop if isinstance(crop, int) else crop[-1]
                meta = weights.meta
                accuracy = (metrics["acc@1"], metrics["acc@5"])
                facts = (meta["num_params"], meta["_ops"], size, meta["recipe"])
                rows.append((name, weights.name, dataset, *accuracy, *facts))
    return f"# torchvision {vision.__version__.partition('+')[0]}: the metadata of its weights\n{csv_text(rows)}"


def main() -> int:
    """Write every table."""
    write_text(ACCURACIES, export_accuracies())
    for file, text in exported():
        write_text(TABLES / file, text)
        print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
