"""Exports the ONNX files that the tests read, by both of PyTorch's exporters, weights left out.

Run as ``python tools/export_onnx_fixtures.py`` where the torch extra, onnx and onnxscript are. It takes some minutes,
which is why the files are kept under ``tests/data/onnx`` rather than exported by every test run.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
from pathlib import Path
from typing import Any

import onnx
import torch

from dovetail.files import write_bytes, write_text
from dovetail.workload.layer_table import write_csv
from dovetail.workload.torch_models import image_factory
from dovetail.workload.torch_trace import trace

MODELS = ("resnet18", "densenet121", "mobilenet_v2", "vit_b_16")
FOLDER = Path(__file__).parents[1] / "tests" / "data" / "onnx"


def export(model: Any, images: Any, path: Path, *, dynamo: bool) -> None:
    """Export with an open batch; `dynamo` chooses the newer exporter."""
    if dynamo:
        torch.onnx.export(model, (images,), str(path), dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch")},))
    else:
        names = {"input_names": ["x"], "dynamic_axes": {"x": {0: "batch"}}}
        torch.onnx.export(model, (images,), str(path), dynamo=False, **names)


def without_weights(path: Path) -> bytes:
    """Return the file with every large tensor made external, so that only shapes are left."""
    model = onnx.load(str(path), load_external_data=False)
    tensors = list(model.graph.initializer)
    tensors += [item.t for node in model.graph.node for item in node.attribute if item.HasField("t")]
    for tensor in tensors:
        if tensor.ByteSize() > 1024 or tensor.data_location == onnx.TensorProto.EXTERNAL:
            kept = (tensor.name, tensor.data_type, list(tensor.dims))
            tensor.Clear()
            tensor.name, tensor.data_type = kept[0], kept[1]
            tensor.dims.extend(kept[2])
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="weights-left-out.bin")
    for node in model.graph.node:
        kept_keys = [item for item in node.metadata_props if item.key == "pkg.torch.onnx.name_scopes"]
        del node.metadata_props[:]
        node.metadata_props.extend(kept_keys)
        node.doc_string = ""
    return bytes(model.SerializeToString())


def main() -> int:
    """Write every file."""
    with tempfile.TemporaryDirectory() as folder:
        for name in MODELS:
            factory, shape = image_factory(name, 224)
            table = write_csv(trace(factory, (2, *shape[1:]), name=name, source="tools/export_onnx_fixtures.py"))
            write_text(FOLDER / f"{name}.csv", table)
            for exporter in ("dynamo", "torchscript"):
                path = Path(folder) / f"{name}.onnx"
                export(factory().eval(), torch.zeros(2, *shape[1:]), path, dynamo=exporter == "dynamo")
                target = FOLDER / f"{name}_{exporter}.onnx.gz"
                write_bytes(target, gzip.compress(without_weights(path), mtime=0))
                print(target.name, target.stat().st_size)
    return 0


if __name__ == "__main__":
    sys.exit(main())
