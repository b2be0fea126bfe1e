"""Exports the bundled layer tables from the real modules: `python tools/export_tables.py` (needs the torch extra)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from dovetail.workload.layer_table import write_csv
from dovetail.workload.torch_models import classes_for, image_factory
from dovetail.workload.torch_trace import trace

MODELS = (
    *("alexnet", "alexnet_original", "vgg16"),
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("densenet121", "densenet161", "densenet169", "densenet201"),
    *("mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0"),
)
SIZES = (224, 32)
TABLES = Path(__file__).parents[1] / "src" / "dovetail" / "workload" / "tables"


def exported() -> Iterator[tuple[str, str]]:
    """Yield each table as (file name, text)."""
    for name in MODELS:
        for size in SIZES:
            yield f"{name}@{size}.csv", export(name, size)


def export(name: str, size: int) -> str:
    """Return one table's text."""
    factory, shape = image_factory(name, size)
    origin = "tools/export_tables.py" if name == "alexnet_original" else f"torchvision.models.{name}"
    stem = ", first convolution with stride 1" if name.startswith("alexnet") and size == 32 else ""
    source = f"{origin}, input 3x{size}x{size}, {classes_for(size)} classes{stem}"
    return write_csv(trace(factory, shape, name=name, source=source))


def main() -> int:
    """Write every table."""
    TABLES.mkdir(exist_ok=True)
    for file, text in exported():
        (TABLES / file).write_text(text, encoding="utf-8")
        print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
