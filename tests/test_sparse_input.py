"""What files say about zeros: densities of problems, formats and left-out work of designs, refused or read."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.document import parse_document
from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture, Storage
from dovetail.hardware.reader import read_architecture
from dovetail.hardware.sparse import Choice, Format, LeaveOut, Leaving, MetadataStore, Rank, Sparse, TensorFormat
from dovetail.mapping.directives import mapping_from_directives, mapping_to_directives
from dovetail.mapping.native_yaml import native_mapping_yaml, parse_native_mapping
from dovetail.workload.densities import Banded, FixedStructured, Hypergeometric, Measured
from dovetail.workload.problem import Problem
from dovetail.workload.problem_yaml import problem_of_document, read_problem, write_problem

PROBLEM = """\
problem:
  version: 0.4
  shape:
    name: product
    dimensions: [M, N, K]
    data_spaces:
    - {name: A, projection: [[[M]], [[K]]]}
    - {name: B, projection: [[[N]], [[K]]]}
    - {name: Z, projection: [[[M]], [[N]]], read_write: true}
  instance: {M: 4, N: 6, K: 4, DENSITIES}
"""
V04 = """\
architecture:
  version: 0.4
  nodes:
  - !Component
    name: DRAM
    class: DRAM
    attributes: {width: 64, datawidth: 8, metadata_storage_width: 32, metadata_datawidth: 4}
    sparse_optimizations: DRAM_SPARSE
  - !Component
    name: buffer
    class: SRAM
    attributes:
      {width: 8, depth: 64, datawidth: 8, metadata_storage_width: 8, metadata_storage_depth: 16, metadata_datawidth: 4,
       decompression_supported: true}
    sparse_optimizations: BUFFER_SPARSE
  - !Component
    name: mac
    class: intmac
    attributes: {datawidth: 8}
    sparse_optimizations: MAC_SPARSE
"""
RANKS = "[{format: UOP}, {format: CP, metadata_word_bits: 5}]"
FORMAT = f"{{representation_format: {{data_spaces: [{{name: A, ranks: {RANKS}}}]}}}}"
OPTIONS = "[{target: B, condition_on: [A]}, {target: Z, condition_on: [A, B]}]"
SKIP = f"{{action_optimization: [{{type: skipping, options: {OPTIONS}}}]}}"


def problem(densities: str) -> Problem:
    return problem_of_document(parse_document(PROBLEM.replace("DENSITIES", densities), file="p.yaml"), "p").problem


def design(dram: str = "{}", buffer: str = "{}", mac: str = "{}", more: str = "") -> Architecture:
    text = V04.replace("DRAM_SPARSE", dram).replace("BUFFER_SPARSE", buffer).replace("MAC_SPARSE", mac)
    return read_architecture(parse_document(text + more, file="a.yaml"), "a")


def test_densities_of_every_kind_are_read() -> None:
    read = problem(
        "densities: {A: {distribution: hypergeometric, density: 0.5}, B: 1/4, "
        "Z: {distribution: fixed_structured, density: 1.0}}"
    )
    assert read.densities == (Hypergeometric(0.5), FixedStructured(0.25), FixedStructured(1.0))
    assert problem("densities: {A: {distribution: banded, band_width: 1}}").density("A") == Banded(1)
    assert problem("commonDensity: 0.5").densities == (FixedStructured(0.5),) * 3
    assert problem("densities: {A: 1, B: {density: 1.0}}") == problem("densities: {}")
    written = (
        "{distribution: fixed-structured, density: 0.5, band_width: 0, workload_tensor_size: 0}"  # by the front end
    )
    assert problem(f"densities: {{A: {written}}}") == problem("densities: {A: 0.5}")


@pytest.mark.parametrize(
    ("densities", "said"),
    [
        ("densities: {C: 0.5}", "has no tensor 'C'"),
        ("densities: {A: 1.5}", "must be a number from 0 to 1, found '1.5'"),
        ("densities: {A: {distribution: normal, density: 0.5}}", "unknown distribution 'normal'"),
        (
            "densities: {A: {distribution: real-data, data_file_path: m.txt}}",
            "there is no file 'm.txt' in the document",
        ),
        ("densities: {A: {distribution: real-data, data_file_path: ..}}", "names no file in the document's folder"),
        ("densities: {A: {distribution: real-data}}", "the key 'data_file_path' is missing"),
        ("densities: {A: {distribution: actual-data, file: a.npy, shape: [2]}}", "'shape' stands beside 'file'"),
        ("commonDensity: 0.5, common_density: 0.4", "are the same; one must go"),
        ("commonDensity: {distribution: real-data, data_file_path: m.txt}", "one file cannot stand for all"),
        ("densities: {A: {distribution: hypergeometric}}", "the key 'density' is missing"),
        ("densities: {A: {distribution: hypergeometric, density: 0.5, band_width: 3}}", "says nothing about hyper"),
        ("densities: {B: {distribution: banded, band_width: 1}}", "in square matrices only; B is 6 x 4"),
        ("densities: {A: {distribution: banded, band_width: 4}}", "not below the 4 rows"),
        ("densities: {A: {distribution: hypergeometric, density: 0.5, workload_tensor_size: 9}}", "A has 16 words"),
        ("densities: {A: {distribution: actual_data}}", "the key 'file' is missing"),
        ("densities: {A: {distribution: actual_data, file: none.npy}}", "none.npy: no such file"),
        ("densities: {A: {distribution: actual_data, shape: [4, 4], nonzero: AAAA}}", "is no compressed pattern"),
        ("commonDensity: {distribution: actual_data, file: x.npy}", "one file cannot stand for all"),
    ],
)
def test_wrong_densities_are_refused_where_they_stand(densities: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        problem(densities)
    assert said in str(caught.value)
    assert str(caught.value).startswith("p.yaml:10: problem.instance.")


def test_a_tensor_file_gives_its_pattern_and_survives_being_written(tmp_path: Path) -> None:
    tensor = np.arange(16).reshape(4, 4) % 3
    np.save(tmp_path / "a.npy", tensor)
    file = tmp_path / "p.yaml"
    file.write_text(PROBLEM.replace("DENSITIES", "densities: {A: {distribution: actual_data, file: a.npy}}"))
    read = read_problem(file)
    density = read.density("A")
    assert isinstance(density, Measured)
    assert np.array_equal(density.nonzero, tensor != 0)
    assert density.share == pytest.approx(np.mean(tensor != 0))
    assert read.density("B") == FixedStructured(1.0)
    again = problem_of_document(parse_document(write_problem(read)), "p").problem
    assert np.array_equal(again.density("A").nonzero, density.nonzero)  # type: ignore[union-attr]
    np.save(tmp_path / "a.npy", tensor[:2])
    with pytest.raises(InputError, match=r"p\.yaml:10: .*a\.npy is 2 x 4, but A is 4 x 4"):
        read_problem(file)


def test_a_text_of_digits_gives_a_pattern_the_first_axis_running_fastest(tmp_path: Path) -> None:
    """As Sparseloop's artifact writes them: counted so, its eight layers take the cycles that the chip took."""
    tensor = np.arange(16).reshape(4, 4) % 3 != 0
    (tmp_path / "masks").mkdir()
    text, file = tmp_path / "masks" / "a.txt", tmp_path / "p.yaml"
    digits = "".join(str(int(word)) for word in tensor.T.ravel())
    text.write_text(f"{digits[:7]}\n{digits[7:]}\n")
    named = "densities: {A: {distribution: real-data, data_file_path: /home/somebody/runs/../masks/a.txt}}"
    file.write_text(PROBLEM.replace("DENSITIES", named))
    density = read_problem(file).density("A")
    assert isinstance(density, Measured)
    assert np.array_equal(density.nonzero, tensor)
    for digits, said in (("01" * 7, "has 14 digits, but the tensor is 4 x 4"), ("0120" * 4, "found '2'")):
        text.write_text(digits)
        with pytest.raises(InputError, match=rf"p\.yaml:10: .*a\.txt: .*{said}"):
            read_problem(file)


def test_nothing_in_a_tensor_file_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "sprung",)

    trap = np.empty((4, 4), object)
    trap[0, 0] = Trap()
    np.save(tmp_path / "a.npy", trap, allow_pickle=True)
    file = tmp_path / "p.yaml"
    file.write_text(PROBLEM.replace("DENSITIES", "densities: {A: {distribution: actual_data, file: a.npy}}"))
    with pytest.raises(InputError, match="without unpickling"):
        read_problem(file)
    assert not (tmp_path / "sprung").exists()


def test_a_pattern_that_unpacks_to_more_than_it_says_is_refused() -> None:
    bomb = base64.b64encode(zlib.compress(b"\0" * 10**6)).decode()
    with pytest.raises(InputError, match="not the 2 of 16 values"):
        problem(f"densities: {{A: {{distribution: actual_data, shape: [4, 4], nonzero: {bomb}}}}}")


@given(
    st.lists(
        st.one_of(st.builds(FixedStructured, st.floats(0, 1)), st.builds(Hypergeometric, st.floats(0, 1))),
        min_size=3,
        max_size=3,
    )
)
def test_densities_are_written_as_they_are_read(densities: list[FixedStructured | Hypergeometric]) -> None:
    dense = problem("densities: {}")
    layer = Problem(dense.shape, dense.bounds, dense.coefficients, dense.name, tuple(densities))
    assert problem_of_document(parse_document(write_problem(layer)), "p").problem == layer


def test_a_design_says_at_its_components_what_it_does_about_zeros() -> None:
    read = design(FORMAT, SKIP, "{compute_optimization: [{type: [gating, skipping]}]}")
    assert read.is_sparse
    dram, buffer, mac = read.levels
    ranks = (Rank(Format.UOP), Rank(Format.CP, metadata_bits=5))
    assert dram.sparse == Sparse((TensorFormat("A", ranks),))
    choices = (Choice("B", ("A",)), Choice("Z", ("A", "B")))
    assert buffer.sparse == Sparse(leaves_out=(LeaveOut(Leaving.SKIPPING, choices),))
    assert mac.sparse == Sparse(computing=frozenset(Leaving))
    assert isinstance(dram, Storage)
    assert isinstance(buffer, Storage)
    assert dram.metadata == MetadataStore(4, 32, 0)
    assert buffer.metadata == MetadataStore(4, 8, 16, decompresses=True)
    assert dram.metadata.word_bits(ranks[1]) == (8, 4)  # 5 bits do not divide a line of 32


@given(st.integers(1, 300), st.integers(1, 300))
def test_words_of_metadata_widen_to_the_next_that_divide_a_line(width: int, bits: int) -> None:
    widened = MetadataStore(width=width).word_bits(Rank(Format.CP, bits, bits))
    next_divisor = (wider for wider in range(bits, 2 * bits) if width % wider == 0)
    assert widened == (next(next_divisor, bits if bits > width else 2 * bits),) * 2


@pytest.mark.parametrize("bits", [10**11, 2**30 + 1])
def test_words_of_metadata_of_any_size_are_measured_at_once(bits: int) -> None:
    """To try every width up to the next divisor took minutes."""
    widened, _ = MetadataStore(width=2**31 - 1).word_bits(Rank(Format.CP, bits))
    assert widened == (bits if bits > 2**31 else 2**31 - 1)


def test_a_section_of_its_own_says_the_same_in_either_version() -> None:
    said = {"DRAM": FORMAT, "buffer": SKIP, "mac": "{compute_optimization: [{type: gating}]}"}
    at_components = design(said["DRAM"], said["buffer"], said["mac"])
    targets = "".join(f"  - {{name: {name}, {text[1:]}\n" for name, text in said.items())
    apart = design(more=f"sparse_optimizations:\n  version: 0.4\n  targets:\n{targets}")
    assert apart == at_components
    hyphens = (
        targets.replace("_optimization", "-optimization")
        .replace("data_spaces", "data-spaces")
        .replace("name:", "target:", 1)
    )
    assert design(more=f"sparse_optimizations:\n  targets:\n{hyphens}") == at_components
    older = """\
architecture:
  version: 0.3
  subtree:
  - name: system
    local:
    - name: DRAM
      class: DRAM
      attributes: {width: 64, datawidth: 8, metadata_storage_width: 32, metadata_datawidth: 4}
    - name: buffer
      class: SRAM
      attributes: {width: 8, depth: 64, datawidth: 8, metadata-storage-width: 8, metadata-storage-depth: 16,
                   metadata_datawidth: 4, decompression_supported: true}
    - {name: "mac[0..0]", class: intmac, attributes: {datawidth: 8}}
"""
    text = older + f"sparse_optimizations:\n  targets:\n{targets}"
    read = read_architecture(parse_document(text, file="a.yaml"), "a")
    assert [level.sparse for level in read.levels] == [level.sparse for level in at_components.levels]
    assert [level.metadata for level in read.storages] == [level.metadata for level in at_components.storages]


@pytest.mark.parametrize(
    ("where", "sparse", "said"),
    [
        ("mac", FORMAT, "'representation_format' stands at storages only"),
        ("buffer", "{compute_optimization: [{type: gating}]}", "stands at the compute level only"),
        ("dram", "{format: 3}", "unknown key 'format'"),
        ("dram", FORMAT.replace("CP", "COO"), "unknown format 'COO'"),
        ("dram", FORMAT.replace("UOP", "B").replace("CP", "UOP"), "an uncompressed rank (UOP) inside"),
        ("dram", FORMAT.replace("ranks:", "rank_application_order: inside_out, ranks:"), "unknown order 'inside_out'"),
        ("dram", FORMAT.replace(RANKS, "[]"), "has no rank"),
        ("dram", FORMAT.replace("ranks:", "compression_rate: 0.5, ranks:"), "is not modelled"),
        ("buffer", SKIP.replace("skipping", "spatial_skipping"), "'spatial_skipping' is not supported"),
        ("buffer", SKIP.replace("skipping", "skiping"), "unknown type 'skiping', did you mean 'skipping'?"),
        ("buffer", SKIP.replace("[A]", "[]"), "is empty"),
        ("buffer", SKIP.replace("[A]", "[B]"), "cannot depend on B itself"),
        ("buffer", SKIP.replace("[A, B]", "[A, B, A]"), "names A twice"),
        ("buffer", SKIP.replace("type:", "target: A, type:"), "'target' stands beside 'options'"),
        ("buffer", SKIP.replace("type:", "condition-on: [A], type:"), "'condition_on' stands beside 'options'"),
        ("buffer", "{target: DRAM, " + SKIP[1:], "'DRAM' is not buffer, whose zeros this is about"),
        ("mac", f"{{compute_optimization: [{{type: gating, options: {OPTIONS}}}]}}", "says nothing about computing"),
        ("buffer", SKIP.replace(", condition_on: [A]", ""), "the key 'condition_on' is missing"),
        ("mac", "{compute_optimization: [{type: dropping}]}", "unknown type 'dropping'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_where_it_stands(where: str, sparse: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        design(**{where: sparse})
    assert said in str(caught.value)
    assert str(caught.value).startswith("a.yaml:")


def test_a_target_that_is_no_level_and_a_container_are_refused() -> None:
    with pytest.raises(InputError, match="unknown target 'bufer', did you mean 'buffer'"):
        design(more=f"sparse_optimizations: {{targets: [{{name: bufer, {SKIP[1:]}]}}\n")
    container = "  - !Container\n    name: chip\n    sparse_optimizations: " + SKIP + "\n"
    text = V04.replace("  nodes:\n", "  nodes:\n" + container)
    for name in ("DRAM", "BUFFER", "MAC"):
        text = text.replace(f"{name}_SPARSE", "{}")
    with pytest.raises(InputError, match="a container keeps nothing"):
        read_architecture(parse_document(text, file="a.yaml"), "a")


@given(st.data())
def test_loops_of_one_iteration_keep_their_place_on_sparse_designs_only(data: st.DataObject) -> None:
    sparse, dense, layer = design(FORMAT), design(), problem("densities: {}")
    order = [data.draw(st.permutations(["M", "N", "K"])) for _ in range(2)]
    directives = [
        {"target": name, "type": "temporal", "factors": factors, "permutation": permutation}
        for name, factors, permutation in zip(("DRAM", "buffer"), ({"M": 4}, {"N": 6, "K": 4}), order, strict=True)
    ]
    mapping = mapping_from_directives(directives, sparse, layer)
    assert [[loop.dimension for loop in entry.temporal] for entry in mapping.levels] == [o[::-1] for o in order]
    assert mapping_from_directives(mapping_to_directives(mapping, sparse, layer), sparse, layer) == mapping
    text = native_mapping_yaml(mapping, layer)
    assert parse_native_mapping(parse_document(text), sparse, layer) == mapping
    plain = mapping_from_directives(directives, dense, layer)
    assert plain == mapping.normalized()
    assert json.dumps(mapping_to_directives(plain, dense, layer)) == json.dumps(
        mapping_to_directives(mapping, dense, layer)
    )


def test_two_names_of_one_size_must_agree() -> None:
    """The first one used to win without a word."""
    same = V04.replace("metadata_datawidth: 4,", "metadata_datawidth: 4, metadata_word_bits: 4,")
    for text, said in ((same, None), (same.replace("word_bits: 4", "word_bits: 8"), "which says the same, another")):
        for place in ("DRAM_SPARSE", "BUFFER_SPARSE", "MAC_SPARSE"):
            text = text.replace(place, "{}")
        if said is None:
            read_architecture(parse_document(text, file="a.yaml"), "a")
        else:
            with pytest.raises(InputError, match=said):
                read_architecture(parse_document(text, file="a.yaml"), "a")


def test_a_section_of_zeros_speaks_of_memories_and_compute_units_only() -> None:
    """What it said of a fan-out was left out without a word."""
    spread = V04.replace("class: intmac\n", "class: intmac\n    spatial: {meshX: 4}\n")
    for place in ("DRAM_SPARSE", "BUFFER_SPARSE", "MAC_SPARSE"):
        spread = spread.replace(place, "{}")
    read = read_architecture(parse_document(spread, file="a.yaml"), "a")
    fan_out = next(
        level.name for level in read.levels if not level.sparse and level.name not in {"DRAM", "buffer", "mac"}
    )
    said = f"sparse_optimizations:\n  targets:\n  - {{name: {fan_out}, {SKIP[1:]}\n"
    with pytest.raises(InputError, match="unknown target"):
        read_architecture(parse_document(spread + said, file="a.yaml"), "a")
