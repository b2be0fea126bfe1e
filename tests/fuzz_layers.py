"""What is thrown at the readers of what layers are given, and of layers in other forms.

Bits, densities, arrays of values, language models, the tables of other tools.
"""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Sequence

import numpy as np

from fuzz_case import Case, as_bytes, mutated_cells, mutated_yaml, written_cells
from fuzz_mutations import NASTY, mutated_bytes, mutated_text, mutated_tree

TABLE = "name,C,M,P,Q,R,S\nstem,3,8,4,4,3,3\nbody,8,8,4,4,1,1\nfc,8,10,1,1,1,1\n"
BITS_ROWS = [
    ["layer", "bits"],
    ["*", "weights=4,inputs=8"],
    ["stem", "8"],
    ["f*", "mxfp4"],
    ["body", "sums=24 weights=2"],
]
BITS = "'*': {weights: 4, inputs: 8, sums: 24}\nstem: 8\nfc: weights=4+16/128 inputs=nvfp4\n"
WIDTHS = (
    "8",
    "4",
    "1",
    "64",
    "4+16/128",
    "mxfp4",
    "nvfp4",
    "0",
    "65",
    "-1",
    "1.5",
    "4+0/0",
    "8+8/9999999999",
    "²",
    "MXINT8",
    "",
)
SHARES = [
    ["layer", "weights", "inputs", "outputs"],
    ["*", "0.5", "2:4", ""],
    ["stem", "1", "0.1", "0"],
    ["fc", "", "1:8"],
]
DENSITIES = (
    "0.5",
    "2:4",
    "1",
    "0",
    "1e-9",
    "-0",
    "nan",
    "inf",
    "1e400",
    "4:2",
    "0:0",
    "999999:999999",
    "٣:4",
    "0.5:1",
    "",
)
LAYERS = ("", "*:", "stem:", "f*:", "first:", "last:", "stem:body:", "[a-z]*:", "none:", ":", "st?m:", "[:")
TENSORS = ("weights", "inputs", "outputs", "sums", "Weights", "*", "A", "")
PROBLEM = "problem: {shape: gemm_ABZ, M: 3, N: 4, K: 8, densities: {A: {distribution: actual_data, file: a.npy}}}"
#: What the header of an array may say of its extents and of its values.
SHAPES = (
    "(3, 8)", "(24,)", "()", "(0, 8)", "(-3, -8)", "(3, 8, 1)", "(2 ** 40, 2 ** 40)", f"({2**62}, {2**62})", "(3, 9)",
    f"({2**40},)", "(3.0, 8)", "[3, 8]", "('3', 8)", "(True, 24)", "None", f"({'1, ' * 70})", f"({'9' * 99}, 0)",
)  # fmt: skip
KINDS = (
    "'<f4'", "'<i8'", "'|b1'", "'|O'", "'|S3'", "'<U1'", "'|V8'", "'<M8[s]'", "[('a', '<f4'), ('b', '|i1')]", "'<c16'",
    "'x'", "3", "'<f4', 2", "'|i1'", "'<f2'", "('<f4', (2,))", "'<g'", "[]", "'|V0'", "'|S0'",
)  # fmt: skip
ORDERS = ("False", "True", "2", "None")
STEPS = """
- id: 0
  name: stem
  operator_type: Conv
  equation: O[b][k][oy][ox]+=W[k][c][fy][fx]*I[b][c][iy][ix]
  dimension_relations: [ix=2*ox+1*fx, iy=2*oy+3*fy]
  loop_dims: [B, K, C, OY, OX, FY, FX]
  loop_sizes: [4, 64, 3, 112, 110, 7, 5]
  operand_precision: {W: 8, I: 4, O: 16, O_final: 4}
  operand_source: {I: 0, W: 0}
- id: 1
  operator_type: Gemm
  equation: O[d0][d1]+=I[d0][d2]*W[d2][d1]
  dimension_relations: []
  loop_dims: [D0, D1, D2]
  loop_sizes: [128, 64, 32]
"""
TOPOLOGIES = (
    [["Layer name", "IFMAP Height", "IFMAP Width", "Filter Height", "Filter Width", "Channels", "Num Filter",
      "Strides", ""], ["Conv1", "224", "226", "7", "5", "3", "64", "2", ""],
     ["Conv1", "14", "14", "3", "3", "64", "128", "1", " # again"]],
    [["Layer", "M", "N", "K"], ["L0", "196", "192", "384"], ["L1", "1", "1", "1"]],
)  # fmt: skip
_COMMON = {"vocab_size": 300, "num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2}
_NARROW = {"intermediate_size": 16, "num_key_value_heads": 1, "max_position_embeddings": 64}
#: Small models of several families, as their ``config.json`` says them.
MODELS = (
    {"model_type": "llama", **_COMMON, **_NARROW, "tie_word_embeddings": False, "torch_dtype": "bfloat16"},
    {"model_type": "mixtral", **_COMMON, **_NARROW, "num_local_experts": 4, "num_experts_per_tok": 2},
    {"model_type": "gpt2", "vocab_size": 300, "n_layer": 2, "n_embd": 8, "n_head": 2, "n_positions": 64},
    {"model_type": "bert", **_COMMON, "intermediate_size": 16, "max_position_embeddings": 64, "type_vocab_size": 2},
    {"model_type": "mamba", "vocab_size": 300, "num_hidden_layers": 2, "hidden_size": 8, "state_size": 4,
     "conv_kernel": 4, "expand": 2, "time_step_rank": 2, "intermediate_size": 16},
    {"model_type": "x", "text_config": {"model_type": "llama", **_COMMON, **_NARROW}},
)  # fmt: skip


def bits(chance: random.Random) -> Case:
    """How wide values are: a table, a document, or an option's words."""
    name = chance.choice(("b.csv", "b.yaml", ""))
    files = {"t.csv": TABLE.encode()}
    if name:
        files[name] = _table(chance, BITS_ROWS, WIDTHS) if name == "b.csv" else mutated_yaml(BITS, chance)
    said = f"%DIR%/{name}" if name else _words(chance, WIDTHS)
    return Case((*_read(chance), f"--bits={said}"), files)


def densities(chance: random.Random) -> Case:
    """Where zeros are: a table, or an option's words."""
    files = {"t.csv": TABLE.encode()}
    said = _words(chance, DENSITIES)
    if chance.random() < 0.6:
        files["d.csv"] = _table(chance, SHARES, DENSITIES)
        said = "%DIR%/d.csv"
    return Case((*_read(chance), f"--densities={said}"), files)


def _table(chance: random.Random, rows: list[list[str]], values: Sequence[str]) -> bytes:
    """Return a table as CSV; mostly it is its rows that are changed, and its head stays."""
    if chance.random() < 0.3:
        return mutated_cells(chance, rows)
    leaves = [*values, *LAYERS, *(f"{name}={value}" for name in TENSORS for value in values), NASTY, "x" * 200_000]
    body = mutated_tree([list(row) for row in rows[1:]], chance, leaves=leaves)
    return written_cells([rows[0], *(row if isinstance(row, list) else [row] for row in body)])


def _words(chance: random.Random, values: Sequence[str]) -> str:
    """Return what an option says: a layer, and tensors with their values."""
    named = [f"{_good(chance, TENSORS)}={_good(chance, values)}" for _ in range(chance.choice((1, 1, 2, 3)))]
    said = _good(chance, LAYERS) + chance.choice((",", " ", ", ")).join(named)
    return mutated_text(said, chance) if chance.random() < 0.3 else said


def _good(chance: random.Random, words: Sequence[str]) -> str:
    """Return one of some words, mostly of the first ones, which are valid."""
    return chance.choice(words if chance.random() < 0.2 else words[:3])


def _read(chance: random.Random) -> tuple[str, ...]:
    on = ("--on", "simple_weight_stationary", "--samples", "2")
    return chance.choice((("layers", "%DIR%/t.csv"), ("layers", "%DIR%/t.csv", "--json"),
                          ("layers", "%DIR%/t.csv", "--csv", "%DIR%/o.csv"), ("map", "%DIR%/t.csv:stem", *on),
                          ("compare", "%DIR%/t.csv", *on, "--workers", "1")))  # fmt: skip


def values(chance: random.Random) -> Case:
    """An array of values, whose zeros are those of a tensor."""
    array = np.arange(24).reshape(3, 8) % 3
    kind = chance.choice(("f4", ">f8", "i1", "?", "c16", "S3", "V8", "O", "M8[s]", "i8,f4"))
    packed = io.BytesIO()
    try:
        np.save(packed, array.astype(kind) if kind != "O" else np.array([None, array], dtype=object))
    except (TypeError, ValueError):
        np.save(packed, array)
    data = packed.getvalue()
    if chance.random() < 0.5:  # what its header says
        odd = chance.randrange(3)
        kind, order, shape = (
            chance.choice(known) if at == odd else known[0] for at, known in enumerate((KINDS, ORDERS, SHAPES))
        )
        head = f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}"
        said = (mutated_text(head, chance) if chance.random() < 0.2 else head).encode("utf-8", "replace")
        length = len(said) if chance.random() < 0.9 else chance.choice((0, 1, 65535))
        data = data[:8] + (length % 65536).to_bytes(2, "little") + said + data[data.index(b"\n") :]
    elif chance.random() < 0.5:
        data = mutated_bytes(data, chance)
    problem = mutated_yaml(PROBLEM, chance) if chance.random() < 0.2 else PROBLEM.encode()
    return Case(("layers", "%DIR%/p.yaml", "--json"), {"p.yaml": problem, "a.npy": data})


def language(chance: random.Random) -> Case:
    """A language model's configuration, and how its experts are taken."""
    model = mutated_tree(chance.choice(MODELS), chance, MODELS)
    shares = mutated_tree([1, 2, 0.5, 0], chance)
    files = {"m/config.json": as_bytes(json.dumps(model)), "s.json": as_bytes(json.dumps(shares))}
    ways = (
        ("layers", "%DIR%/m", "--phase", "decode"), ("layers", "%DIR%/m/config.json", "--json", "--batch", "3"),
        ("layers", "%DIR%/m", "--expert-load", "random", "--tokens", "7"),
        ("layers", "%DIR%/m", "--expert-shares", "%DIR%/s.json"),
        ("tokens", "%DIR%/m", "--on", "simple_weight_stationary", "--samples", "1", "--context", "4", "--workers", "1"),
        ("tokens", "%DIR%/m", "--on", "tpu_like", "--samples", "1", "--tokens", "2", "--workers", "1", "--json"),
    )  # fmt: skip
    return Case(chance.choice(ways), files)


def other_layers(chance: random.Random) -> Case:
    """Layers in the forms of ZigZag and SCALE-Sim."""
    way = chance.choice(((), ("--json",), ("--batch", "3"), ("--timeloop", "%DIR%/out")))
    if chance.random() < 0.5:
        return Case(("layers", "%DIR%/w.yaml", *way), {"w.yaml": mutated_yaml(STEPS, chance)})
    rows = mutated_tree(chance.choice(TOPOLOGIES), chance, leaves=["0", "-1", "1e9", "²", "9" * 30, "", NASTY, "x,y"])
    sign = chance.choice((",", ", ", "\t"))
    lines = [sign.join(map(str, row)) if isinstance(row, list) else str(row) for row in rows]
    return Case(("layers", "%DIR%/n.csv", *way), {"n.csv": as_bytes("\n".join(lines))})


TARGETS: dict[str, Callable[[random.Random], Case]] = {
    "bits": bits, "densities": densities, "values": values, "language model": language,
    "other tools' layers": other_layers,
}  # fmt: skip
