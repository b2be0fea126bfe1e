"""What is thrown at the readers that need ONNX or PyTorch: graphs, exported programs, checkpoints, smaller networks."""

from __future__ import annotations

import copy
import functools
import io
import json
import random
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz_bombs import archive_bomb
from fuzz_case import Case, mutated_yaml
from fuzz_mutations import LEAVES, mutate_message, mutated_bytes, mutated_tree

RECIPE = """
from: modern
name: mine
epochs: 2
batch_size: 64
optimizer: sgd
learning_rate: 0.1
momentum: 0.9
weight_decay: 1e-4
schedule: cosine
warm_up: 0.1
shift: 1
mirror: false
keep_last: true
half_range: true
stem: auto
label_smoothing: 0.1
mixup: 0.2
cutout: 4
mean_weights: 0.99
patience: 3
"""
DATA = Path(__file__).parent / "data"


@functools.cache
def _models() -> list[Any]:
    """Small graphs with every operation that has a form, and sizes that the graph computes."""
    from onnx import TensorProto, helper

    def weight(name: str, *shape: int) -> Any:
        return helper.make_tensor(
            name, TensorProto.FLOAT, shape, b"\0" * (4 * functools.reduce(int.__mul__, shape, 1)), raw=True
        )

    def whole(name: str, *numbers: int) -> Any:
        return helper.make_tensor(name, TensorProto.INT64, (len(numbers),), numbers)

    def model(nodes: list[Any], weights: list[Any], shape: tuple[Any, ...], out: str) -> Any:
        first = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
        last = helper.make_tensor_value_info(out, TensorProto.FLOAT, None)
        graph = helper.make_graph(nodes, "g", [first], [last], weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)

    node = helper.make_node
    images = model(
        [
            node("Conv", ["x", "c.weight"], ["a"], name="/c/Conv", strides=[2, 2], pads=[1, 1, 1, 1], group=1),
            node("Relu", ["a"], ["b"]),
            node("ConvTranspose", ["b", "t.weight"], ["t"], strides=[2, 2]),
            node("GlobalAveragePool", ["t"], ["p"]),
            node("Shape", ["p"], ["s"]),
            node("Slice", ["s", "zero", "one"], ["n"]),
            node("Concat", ["n", "rest"], ["to"], axis=0),
            node("Reshape", ["p", "to"], ["flat"]),
            node("Gemm", ["flat", "f.weight"], ["y"], transB=1),
        ],
        [weight("c.weight", 8, 3, 3, 3), weight("t.weight", 8, 4, 2, 2), weight("f.weight", 10, 4),
         whole("zero", 0), whole("one", 1), whole("rest", -1)],
        ("batch", 3, 16, 16), "y",
    )  # fmt: skip
    tokens = model(
        [
            node("MatMul", ["x", "q"], ["a"]),
            node("Transpose", ["a"], ["b"], perm=[0, 2, 1]),
            node("MatMul", ["a", "b"], ["c"]),
            node("Softmax", ["c"], ["d"]),
            node("Einsum", ["d", "a"], ["e"], equation="bij,bjk->bik"),
            node("Transpose", ["e"], ["g"], perm=[1, 0, 2]),
            node("LSTM", ["g", "w", "r"], ["h"], hidden_size=5),
            node("GRU", ["g", "w3", "r3"], ["h3"], hidden_size=5),
            node("Mine", ["h"], ["y"], domain="own"),
        ],
        [weight("q", 6, 6), weight("w", 1, 20, 6), weight("r", 1, 20, 5), weight("w3", 1, 15, 6),
         weight("r3", 1, 15, 5)],
        (2, 7, 6), "y",
    )  # fmt: skip
    return [images, tokens]


@functools.cache
def _narrow_models() -> list[Any]:
    """Small graphs of narrow numbers: pairs that quantise and dequantise, integers, blocks that share a scale."""
    from onnx import TensorProto as Of
    from onnx import helper

    node = helper.make_node

    def zeros(name: str, kind: int, *shape: int) -> Any:
        size = functools.reduce(int.__mul__, shape, 1)
        size = (size + 1) // 2 if kind == Of.INT4 else size * {Of.FLOAT: 4, Of.FLOAT16: 2, Of.INT16: 2}.get(kind, 1)
        return helper.make_tensor(name, kind, shape, bytes(size), raw=True)

    def model(nodes: list[Any], weights: list[Any], shape: tuple[int, ...], kind: int = Of.FLOAT) -> Any:
        ends = [helper.make_tensor_value_info("x", kind, shape)], [helper.make_empty_tensor_value_info("y")]
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(helper.make_graph(nodes, "g", *ends, weights), opset_imports=opsets)

    pairs = model(
        [
            node("QuantizeLinear", ["x", "s", "z8"], ["xq"]),
            node("Clip", ["xq", "low", "high"], ["xc"]),
            node("DequantizeLinear", ["xc", "s", "z8"], ["xd"]),
            node("DequantizeLinear", ["w4", "s", "z4"], ["wd"]),
            node("Conv", ["xd", "wd"], ["c"], kernel_shape=[3, 3]),
            node("Relu", ["c"], ["r"]),
            node("QuantizeLinear", ["r", "s", "z16"], ["rq"]),
            node("DequantizeLinear", ["rq", "s", "z16"], ["rd"]),
            node("Flatten", ["rd"], ["f"]),
            node("DequantizeLinear", ["m8", "s", "z8"], ["md"]),
            node("MatMul", ["f", "md"], ["y"]),
        ],
        [zeros("s", Of.FLOAT), zeros("z8", Of.INT8), zeros("z4", Of.INT4), zeros("z16", Of.INT16),
         zeros("low", Of.INT8), zeros("high", Of.INT8), zeros("w4", Of.INT4, 6, 4, 3, 3), zeros("m8", Of.INT8, 96, 10)],
        (1, 4, 6, 6),
    )  # fmt: skip
    whole = model(
        [
            node("QLinearConv", ["x", "s", "z", "w", "s", "z", "s", "z"], ["c"], kernel_shape=[1, 1]),
            node("Flatten", ["c"], ["f"]),
            node("MatMulInteger", ["f", "m"], ["y"]),
        ],
        [zeros("s", Of.FLOAT), zeros("z", Of.UINT8), zeros("w", Of.UINT8, 6, 4, 1, 1), zeros("m", Of.UINT8, 96, 10)],
        (1, 4, 4, 4), Of.UINT8,
    )  # fmt: skip
    blocks = model(
        [
            node("DequantizeLinear", ["w", "s"], ["wd"], axis=0, block_size=32),
            node("MatMul", ["x", "wd"], ["h"]),
            node("MatMulNBits", ["h", "b", "t"], ["y"], domain="com.microsoft", K=8, N=4, bits=4, block_size=16),
        ],
        [zeros("w", Of.INT4, 64, 8), zeros("s", Of.FLOAT16, 2, 8), zeros("b", Of.UINT8, 4, 1, 8),
         zeros("t", Of.FLOAT, 4)],
        (1, 64), Of.FLOAT16,
    )  # fmt: skip
    return [pairs, whole, blocks]


@functools.cache
def _exported() -> bytes:
    """A saved exported program's graph, as torch 2 writes it."""
    return (DATA / "exported_model.json").read_bytes()


@functools.cache
def _trained() -> tuple[bytes, bytes]:
    """The last and the best checkpoint of a short run."""
    from dovetail.cli.main import main

    with tempfile.TemporaryDirectory() as folder:
        main([*_train(folder)])
        run = next(Path(folder).glob("*/last.pt")).parent
        return (run / "last.pt").read_bytes(), (run / "best.pt").read_bytes()


def _train(folder: str) -> tuple[str, ...]:
    return ("train", "five-layer", "--width", "2", "--data", "digits", "--epochs", "1", "--workers", "1", "--device",
            "cpu", "--no-test", "--out", folder)  # fmt: skip


def _loaded(data: bytes) -> Any:
    import torch

    return torch.load(io.BytesIO(data), weights_only=True)


def _saved(content: Any) -> bytes:
    import torch

    packed = io.BytesIO()
    torch.save(content, packed)
    return packed.getvalue()


def _mutated_checkpoint(data: bytes, chance: random.Random) -> bytes:
    import torch

    if chance.random() < 0.15:
        return mutated_bytes(data, chance)
    tensors = [torch.zeros(shape) for shape in ((), (0,), (1,), (2, 1, 3, 3), (10,))] + [
        torch.zeros(2, dtype=torch.int8)
    ]
    odd = [torch.full((10,), float("nan")), torch.zeros(3, 3).to_sparse(), torch.zeros(1, dtype=torch.complex64),
           torch.empty(4, device="meta")]  # fmt: skip
    for _ in range(5):
        try:
            return _saved(mutated_tree(_loaded(data), chance, leaves=[*LEAVES, *tensors, *odd]))
        except (RuntimeError, TypeError, NotImplementedError, RecursionError):
            continue
    return data


@functools.cache
def _begun() -> dict[str, bytes]:
    """A folder in which a network was shrunk, with what it began from, by name."""
    from dovetail.cli.main import main

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "best.pt").write_bytes(_trained()[1])
        main([word.replace("%DIR%", folder) for word in _SHRINK])
        found = [path for path in Path(folder).rglob("*") if path.is_file()]
        return {str(path.relative_to(folder)): path.read_bytes() for path in found}


_SHRINK = ("shrink", "%DIR%/best.pt", "--on", "simple_weight_stationary", "--target", "macs=0.5x", "--data",
           "digits", "--candidates", "2", "--out", "%DIR%/out", "--method", "macs", "--supernet-epochs", "1",
           "--epochs", "1", "--finalists", "1", "--time-limit", "1", "--workers", "1", "--device", "cpu",
           "--no-reference")  # fmt: skip


@functools.cache
def _images() -> dict[str, bytes]:
    """Small images of two classes, in every format that is read, by name."""
    import numpy as np
    from PIL import Image

    kinds = (("png", "RGB"), ("jpg", "L"), ("bmp", "RGB"), ("tif", "I;16"), ("webp", "RGB"), ("ppm", "RGB"),
             ("tif", "F"), ("png", "P"))  # fmt: skip
    files: dict[str, bytes] = {}
    for number, (ending, kind) in enumerate(kinds):
        shape = (8, 8, 3) if kind == "RGB" else (8, 8)
        pixels = np.arange(np.prod(shape)).reshape(shape) % 200
        deep = {"F": np.float32, "I;16": np.uint16}.get(kind, np.uint8)
        image = Image.fromarray((pixels / 256 if kind == "F" else pixels).astype(deep))
        packed = io.BytesIO()
        (image.convert("P") if kind == "P" else image).save(packed, {"jpg": "jpeg", "tif": "tiff"}.get(ending, ending))
        for folder in ("a", "b"):
            files |= {f"f/{folder}/{number}{copy}.{ending}": packed.getvalue() for copy in "xyz"}
    return files


@functools.cache
def _shrunk() -> dict[str, bytes]:
    from dovetail.accuracy.models import ModelSpec
    from dovetail.shrink.saved import Shrunk, save_shrunk

    sizes = {"0": {"in": 1, "out": 1, "groups": 1}, "1": {"out": 1}, "3": {"in": 1, "out": 4, "groups": 1}}
    shrunk = Shrunk("small", ModelSpec("five-layer", 2, 10, 1, 8), sizes, {"0": [0]}, {"target": "edp=0.5x"})
    with tempfile.TemporaryDirectory() as folder:
        save_shrunk(Path(folder), shrunk, shrunk().state_dict())
        return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}


_CLASSES = ("=1+a\x1b[31m\x07", "\u202e<b onclick=x>", "..x", "-", "a b", "é", "a", "\n")


def onnx_graph(chance: random.Random) -> Case:
    return graph_of(_models(), chance)


def narrow(chance: random.Random) -> Case:
    return graph_of(_narrow_models(), chance)


def graph_of(models: list[Any], chance: random.Random) -> Case:
    graph = copy.deepcopy(chance.choice(models))
    mutate_message(graph, chance)
    data = graph.SerializeToString()
    data = mutated_bytes(data, chance) if chance.random() < 0.1 else data
    way = chance.choice(((), ("--batch", "3"), ("--json",)))
    return Case(("layers", "%DIR%/m.onnx", *way), {"m.onnx": data})


def exported(chance: random.Random) -> Case:
    packed = io.BytesIO()
    tree = mutated_tree(json.loads(_exported()), chance)
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("x/models/model.json", json.dumps(tree))
    data = mutated_bytes(packed.getvalue(), chance) if chance.random() < 0.1 else packed.getvalue()
    return Case(("layers", "%DIR%/m.pt2"), {"m.pt2": data})


def resumed(chance: random.Random) -> Case:
    return Case(_train("%DIR%"), {"five-layer-2-seed-0/last.pt": _mutated_checkpoint(_trained()[0], chance)})


def recipe(chance: random.Random) -> Case:
    files = {"r.yaml": mutated_yaml(RECIPE, chance)}
    way = (*_train("%DIR%/o"), "--recipe", "%DIR%/r.yaml", "--batch-size", "64", "--learning-rate", "0.1")
    return Case(way if chance.random() < 0.2 else ("recipe",), files)


def measured(chance: random.Random) -> Case:
    which = chance.randrange(2)
    return Case(("accuracy", "%DIR%/c.pt", "--device", "cpu"), {"c.pt": _mutated_checkpoint(_trained()[which], chance)})


def shrunk(chance: random.Random) -> Case:
    files = dict(_shrunk())
    if chance.random() < 0.7:
        files["network.json"] = json.dumps(mutated_tree(json.loads(files["network.json"]), chance)).encode()
    else:
        files["weights.pt"] = _mutated_checkpoint(files["weights.pt"], chance)
    return Case(("shrunk",), files)


def begun(chance: random.Random) -> Case:
    files = dict(_begun())
    name = chance.choice([each for each in sorted(files) if each.endswith((".json", ".pt")) and "/" in each])
    if chance.random() < 0.2:
        files[name] = mutated_bytes(files[name], chance)
    elif name.endswith(".json"):
        files[name] = json.dumps(mutated_tree(json.loads(files[name]), chance)).encode()
    else:
        files[name] = _mutated_checkpoint(files[name], chance)
    return Case(_SHRINK, files)


def images(chance: random.Random) -> Case:
    files = dict(_images())
    name = chance.choice(sorted(files))
    files[name] = mutated_bytes(files[name], chance)
    if chance.random() < 0.3:
        files = {each.replace("f/b/", f"f/{chance.choice(_CLASSES)}/"): data for each, data in files.items()}
    return Case((*_train("%DIR%/o"), "--data", "%DIR%/f"), files)


def archive(chance: random.Random) -> Case:
    if chance.random() < 0.5:
        return Case(("layers", "%DIR%/m.pt2"), {"m.pt2": archive_bomb(chance, {"x/models/model.json": _exported()})})
    with zipfile.ZipFile(io.BytesIO(_trained()[1])) as packed:
        inside = {name: packed.read(name) for name in packed.namelist()}
    return Case(("accuracy", "%DIR%/c.pt", "--device", "cpu"), {"c.pt": archive_bomb(chance, inside)})


#: What can be attacked where ONNX and PyTorch are there: name -> what makes a case.
TARGETS: dict[str, Callable[[random.Random], Case]] = {
    "onnx": onnx_graph, "narrow onnx": narrow, "recipe": recipe, "exported program": exported, "archive": archive,
    "resumed training": resumed, "checkpoint": measured, "smaller network": shrunk, "resumed shrinking": begun,
    "images": images,
}  # fmt: skip


def _read_shrunk(folder: Path) -> None:
    from dovetail.shrink.saved import load_shrunk

    load_shrunk(folder)


def _read_recipe(folder: Path) -> None:
    from dovetail.accuracy.recipe import read_recipe

    read = read_recipe(folder / "r.yaml")
    json.dumps(read.to_dict())
    assert 0 <= read.factor(0, 10, 0) <= 1


READERS: dict[str, Callable[[Path], None]] = {"shrunk": _read_shrunk, "recipe": _read_recipe}
